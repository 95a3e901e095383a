"""Small things that Neutron's own API tests insist on."""

from __future__ import annotations

import pytest

from tests.api.cloud import Cloud


@pytest.mark.parametrize(("mtu", "version", "cidr"), [(67, 4, "10.0.0.0/24"), (1279, 6, "fd00::/64")])
async def test_a_network_whose_mtu_is_too_small_for_ip_has_no_subnet(
    cloud: Cloud, mtu: int, version: int, cidr: str
) -> None:
    wish = {"ip_version": version, "cidr": cidr}
    small = await cloud.made("member:red", "/networks", mtu=mtu)
    status, body = await cloud("member:red", "POST", "/subnets", {"subnet": {"network_id": small["id"], **wish}})
    assert (status, body["NeutronError"]["type"]) == (409, "NetworkMTUSubnetConflict")
    large = await cloud.made("member:red", "/networks", mtu=1280)
    await cloud.made("member:red", "/subnets", network_id=large["id"], **wish)
    status, body = await cloud("member:red", "PUT", f"/networks/{large['id']}", {"network": {"mtu": mtu}})
    assert (status, body["NeutronError"]["type"]) == (409, "NetworkMTUSubnetConflict")


async def test_a_revision_that_never_was_is_a_failed_precondition(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    change = {"network": {"name": "x"}}
    status, _ = await cloud(
        "member:red", "PUT", f"/networks/{net['id']}", change, headers={"If-Match": "revision_number=-1"}
    )
    assert status == 412


async def test_an_interface_that_comes_or_goes_counts_a_revision_of_its_router(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    router = await cloud.made("member:red", "/routers")
    seen = [router["revision_number"]]
    for action in ("add_router_interface", "remove_router_interface"):
        await cloud("member:red", "PUT", f"/routers/{router['id']}/{action}", {"subnet_id": subnet["id"]})
        _, body = await cloud("member:red", "GET", f"/routers/{router['id']}")
        seen.append(body["router"]["revision_number"])
    assert seen[0] < seen[1] < seen[2]


async def test_only_a_router_that_is_down_becomes_distributed_and_only_admins_see_it(cloud: Cloud) -> None:
    router = await cloud.made("admin:ops", "/routers")
    assert router["distributed"] is False
    path, wish = f"/routers/{router['id']}", {"router": {"distributed": True}}
    assert (await cloud("admin:ops", "PUT", path, wish))[0] == 400
    await cloud("admin:ops", "PUT", path, {"router": {"admin_state_up": False}})
    assert (await cloud("admin:ops", "PUT", path, wish))[1]["router"]["distributed"] is True
    assert "distributed" not in await cloud.made("member:red", "/routers")
    assert (await cloud("member:red", "POST", "/routers", {"router": {"distributed": True}}))[0] == 403


async def test_the_default_external_network_stays_open_to_all(cloud: Cloud) -> None:
    net = await cloud.made("admin:ops", "/networks", **{"router:external": True, "is_default": True})
    _, body = await cloud("admin:ops", "GET", f"/rbac-policies?object_id={net['id']}")
    (policy,) = body["rbac_policies"]
    assert sorted(policy) == [
        "action",
        "id",
        "object_id",
        "object_type",
        "project_id",
        "target_tenant",
        "tenant_id",
    ]
    status, body = await cloud("admin:ops", "DELETE", f"/rbac-policies/{policy['id']}")
    assert (status, body["NeutronError"]["type"]) == (409, "RbacPolicyInUse")
    await cloud("admin:ops", "PUT", f"/networks/{net['id']}", {"network": {"is_default": False}})
    assert (await cloud("admin:ops", "DELETE", f"/rbac-policies/{policy['id']}"))[0] == 204


async def test_a_pool_is_opened_only_to_those_who_have_its_address_scope(cloud: Cloud) -> None:
    scope = await cloud.made("member:red", "/address-scopes", name="s", ip_version=4)
    pool = await cloud.made(
        "member:red", "/subnetpools", name="p", prefixes=["10.0.0.0/8"], address_scope_id=scope["id"]
    )
    wish = {"action": "access_as_shared", "target_tenant": "blue"}
    of_pool = {"rbac_policy": {"object_type": "subnetpool", "object_id": pool["id"], **wish}}
    status, body = await cloud("member:red", "POST", "/rbac-policies", of_pool)
    assert (status, body["NeutronError"]["type"]) == (400, "RbacPolicyInitError")
    await cloud.made("member:red", "/rbac-policies", object_type="address_scope", object_id=scope["id"], **wish)
    assert (await cloud("member:red", "POST", "/rbac-policies", of_pool))[0] == 201


async def test_an_external_network_takes_its_idle_floating_ips_with_it(cloud: Cloud) -> None:
    public = await cloud.made("admin:ops", "/networks", **{"router:external": True})
    await cloud.made("admin:ops", "/subnets", network_id=public["id"], ip_version=4, cidr="203.0.113.0/24")
    await cloud.made("member:red", "/floatingips", floating_network_id=public["id"])
    assert (await cloud("admin:ops", "DELETE", f"/networks/{public['id']}"))[0] == 204
    assert (await cloud("member:red", "GET", "/floatingips"))[1] == {"floatingips": []}


async def test_the_items_of_a_bulk_may_be_wrapped_in_their_name(cloud: Cloud) -> None:
    wrapped = [{"security_group": {"name": "a"}}, {"security_group": {"name": "b"}}]
    status, body = await cloud("member:red", "POST", "/security-groups", {"security_groups": wrapped})
    assert (status, [item["name"] for item in body["security_groups"]]) == (201, ["a", "b"])


async def test_a_port_is_tagged_as_it_is_made_and_null_gives_it_another_mac_address(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], tags=["blue", "red"])
    assert port["tags"] == ["blue", "red"]
    status, body = await cloud("admin:ops", "PUT", f"/ports/{port['id']}", {"port": {"mac_address": None}})
    assert status == 200 and body["port"]["mac_address"] not in (None, port["mac_address"])
