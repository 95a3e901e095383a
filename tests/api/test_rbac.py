"""RBAC policies: who may open what to whom, and what keeps a policy in place."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import external, kind, network

RED, BLUE = "member:red", "member:blue"


def opening(item: dict[str, Any], target: str, action: str = "access_as_shared", of: str = "network") -> dict[str, Any]:
    """A policy's values."""
    return {"object_type": of, "object_id": item["id"], "action": action, "target_tenant": target}


async def test_an_owner_opens_a_network_to_one_project_and_closes_it_again(cloud: Cloud) -> None:
    net, _ = await network(cloud, RED, "10.0.0.0/24")
    policy = await cloud.made(RED, "/rbac-policies", **opening(net, "blue"))
    assert (await cloud(BLUE, "GET", f"/networks/{net['id']}"))[1]["network"]["shared"] is True
    assert (await cloud("member:green", "GET", f"/networks/{net['id']}"))[0] == 404
    assert (await cloud(BLUE, "GET", f"/rbac-policies/{policy['id']}"))[0] == 404
    path = f"/rbac-policies/{policy['id']}"
    port = await cloud.made(BLUE, "/ports", network_id=net["id"])
    assert kind(await cloud(RED, "DELETE", path)) == (409, "RbacPolicyInUse")
    moved = {"rbac_policy": {"target_tenant": "green"}}
    assert kind(await cloud(RED, "PUT", path, moved)) == (409, "RbacPolicyInUse")
    assert (await cloud(BLUE, "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert (await cloud(RED, "PUT", path, moved))[0] == 200
    assert (await cloud(BLUE, "GET", f"/networks/{net['id']}"))[0] == 404
    assert (await cloud(RED, "DELETE", path))[0] == 204
    assert (await cloud("member:green", "GET", f"/networks/{net['id']}"))[0] == 404


async def test_what_is_not_ones_own_is_not_ones_to_open(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    common = await cloud.made("admin:ops", "/networks", shared=True)

    async def refused(token: str, values: dict[str, Any]) -> tuple[int, str]:
        return kind(await cloud(token, "POST", "/rbac-policies", {"rbac_policy": values}))

    assert await refused(BLUE, opening(net, "blue")) == (404, "NetworkNotFound")
    assert await refused(BLUE, opening(common, "blue")) == (400, "InvalidInput")
    assert await refused(RED, opening(net, "*")) == (403, "PolicyNotAuthorized")
    assert await refused(RED, opening(net, "blue", "access_as_owner")) == (400, "InvalidActionForType")
    assert await refused(RED, opening(net, "blue", of="router")) == (400, "InvalidInput")
    policy = await cloud.made(RED, "/rbac-policies", **opening(net, "blue"))
    assert await refused(RED, opening(net, "blue")) == (409, "DuplicateRbacPolicy")
    other = await cloud.made(RED, "/rbac-policies", **opening(net, "green"))
    path, to_blue = f"/rbac-policies/{other['id']}", {"rbac_policy": {"target_tenant": "blue"}}
    assert kind(await cloud(RED, "PUT", path, to_blue)) == (409, "DuplicateRbacPolicy")
    everybody = {"rbac_policy": {"target_tenant": "*"}}
    assert kind(await cloud(RED, "PUT", f"/rbac-policies/{policy['id']}", everybody))[0] == 403
    assert (await cloud("admin:ops", "PUT", f"/rbac-policies/{policy['id']}", everybody))[0] == 200


async def test_a_network_with_anothers_gateway_stays_external(cloud: Cloud) -> None:
    outside = await external(cloud)
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    path, closed = f"/networks/{outside['id']}", {"network": {"router:external": False}}
    assert kind(await cloud("admin:ops", "PUT", path, closed)) == (409, "ExternalNetworkInUse")
    assert (await cloud(RED, "PUT", f"/routers/{router['id']}", {"router": {"external_gateway_info": None}}))[0] == 200
    own = await cloud.made("admin:ops", "/routers", external_gateway_info={"network_id": outside["id"]})
    assert kind(await cloud("admin:ops", "PUT", path, closed)) == (409, "ExternalNetworkInUse")
    assert (await cloud("admin:ops", "DELETE", f"/routers/{own['id']}"))[0] == 204
    assert (await cloud("admin:ops", "PUT", path, closed))[0] == 200
    assert (await cloud(RED, "GET", path))[0] == 404


async def test_a_shared_network_in_use_by_others_stays_shared(cloud: Cloud) -> None:
    net, _ = await network(cloud, "admin:ops", "10.0.0.0/24", shared=True)
    await cloud.made(RED, "/ports", network_id=net["id"])
    closed = {"network": {"shared": False}}
    assert kind(await cloud("admin:ops", "PUT", f"/networks/{net['id']}", closed)) == (409, "InvalidSharedSetting")
    await cloud.made("admin:ops", "/rbac-policies", **opening(net, "red"))
    assert (await cloud("admin:ops", "PUT", f"/networks/{net['id']}", closed))[0] == 200


async def test_a_group_pool_or_scope_that_a_project_uses_stays_open(cloud: Cloud) -> None:
    net, _ = await network(cloud, BLUE, "10.0.0.0/24")
    group = await cloud.made(RED, "/security-groups")
    policy = await cloud.made(RED, "/rbac-policies", **opening(group, "blue", of="security_group"))
    port = await cloud.made(BLUE, "/ports", network_id=net["id"], security_groups=[group["id"]])
    assert kind(await cloud(RED, "DELETE", f"/rbac-policies/{policy['id']}")) == (409, "RbacPolicyInUse")
    assert kind(await cloud(RED, "DELETE", f"/security-groups/{group['id']}")) == (409, "SecurityGroupInUse")
    assert (await cloud(BLUE, "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert (await cloud(RED, "DELETE", f"/rbac-policies/{policy['id']}"))[0] == 204
    pool = await cloud.made(RED, "/subnetpools", name="p", prefixes=["10.9.0.0/16"], default_prefixlen=24)
    policy = await cloud.made(RED, "/rbac-policies", **opening(pool, "blue", of="subnetpool"))
    fresh = await cloud.made(BLUE, "/networks")
    subnet = await cloud.made(BLUE, "/subnets", network_id=fresh["id"], subnetpool_id=pool["id"], ip_version=4)
    assert kind(await cloud(RED, "DELETE", f"/rbac-policies/{policy['id']}")) == (409, "RbacPolicyInUse")
    assert (await cloud(BLUE, "DELETE", f"/subnets/{subnet['id']}"))[0] == 204
    assert (await cloud(RED, "DELETE", f"/rbac-policies/{policy['id']}"))[0] == 204
