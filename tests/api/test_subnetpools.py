"""Subnet pools: prefixes handed out without overlap, within bounds, quotas and rights."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud


@pytest.fixture
async def pool(cloud: Cloud) -> dict[str, Any]:
    """Project red's pool of a /16 in /24s."""
    return await cloud.made("member:red", "/subnetpools", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24)


async def take(cloud: Cloud, pool: dict[str, Any], token: str = "member:red", **values: Any) -> tuple[int, Any]:
    """A subnet from the pool on a network of its own: its prefix, or the error's type."""
    net = await cloud.made(token, "/networks")
    body = {"network_id": net["id"], "ip_version": 4, "subnetpool_id": pool["id"], **values}
    status, reply = await cloud(token, "POST", "/subnets", {"subnet": body})
    return status, reply["subnet"]["cidr"] if status == 201 else reply["NeutronError"]["type"]


async def test_bounds_are_filled_in_and_prefixes_joined(cloud: Cloud) -> None:
    pool = await cloud.made("member:red", "/subnetpools", name="p", prefixes=["10.0.0.0/17", "10.0.128.0/17"])
    assert pool["prefixes"] == ["10.0.0.0/16"] and pool["ip_version"] == 4
    assert [pool[f"{name}_prefixlen"] for name in ("min", "default", "max")] == ["8", "8", "32"]
    assert pool["is_default"] is False and pool["shared"] is False and pool["default_quota"] is None
    pool = await cloud.made("member:red", "/subnetpools", name="p", prefixes=["fd00::/48"])
    assert [pool[f"{name}_prefixlen"] for name in ("min", "default", "max")] == ["64", "64", "128"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"prefixes": []}, "EmptySubnetPoolPrefixList"),
        ({"prefixes": ["10.0.0.0/8", "fd00::/48"]}, "PrefixVersionMismatch"),
        ({"min_prefixlen": 25, "max_prefixlen": 24}, "IllegalSubnetPoolPrefixBounds"),
        ({"max_prefixlen": 33}, "IllegalSubnetPoolPrefixBounds"),
        ({"default_prefixlen": 7}, "IllegalSubnetPoolPrefixBounds"),
        ({"default_prefixlen": 30, "max_prefixlen": 28}, "IllegalSubnetPoolPrefixBounds"),
        ({"prefixes": ["ten"]}, "HTTPBadRequest"),
        ({"ip_version": 4}, "HTTPBadRequest"),
    ],
)
async def test_a_pool_that_cannot_be_is_refused(cloud: Cloud, values: dict[str, Any], kind: str) -> None:
    body = {"subnetpool": {"name": "p", "prefixes": ["10.0.0.0/8"], **values}}
    status, reply = await cloud("member:red", "POST", "/subnetpools", body)
    assert (status, reply["NeutronError"]["type"]) == (400, kind)


async def test_subnets_are_cut_from_the_tightest_hole(cloud: Cloud, pool: dict[str, Any]) -> None:
    assert await take(cloud, pool) == (201, "10.0.0.0/24")
    assert await take(cloud, pool, cidr="10.0.2.0/24") == (201, "10.0.2.0/24")
    assert await take(cloud, pool, prefixlen=26) == (201, "10.0.1.0/26")
    assert await take(cloud, pool, cidr="10.0.2.128/25") == (409, "SubnetAllocationError")
    assert await take(cloud, pool, cidr="10.9.0.0/24") == (409, "SubnetAllocationError")
    assert await take(cloud, pool, prefixlen=16) == (409, "SubnetAllocationError")
    assert await take(cloud, pool, prefixlen=4) == (400, "MinPrefixSubnetAllocationError")
    assert await take(cloud, pool, ip_version=6) == (400, "BadRequest")
    assert await take(cloud, pool, allocation_pools=[{"start": "10.0.4.2", "end": "10.0.4.3"}]) == (400, "BadRequest")
    assert await take(cloud, {"id": "c0ffee00-0000-4000-8000-000000000000"}) == (404, "SubnetPoolNotFound")


async def test_a_freed_prefix_is_handed_out_again_and_a_used_pool_stays(cloud: Cloud, pool: dict[str, Any]) -> None:
    await take(cloud, pool)
    status, body = await cloud("member:red", "DELETE", f"/subnetpools/{pool['id']}")
    assert (status, body["NeutronError"]["type"]) == (400, "SubnetPoolDeleteError")
    _, body = await cloud("member:red", "GET", f"/subnets?subnetpool_id={pool['id']}")
    assert (await cloud("member:red", "DELETE", f"/subnets/{body['subnets'][0]['id']}"))[0] == 204
    assert await take(cloud, pool) == (201, "10.0.0.0/24")
    _, body = await cloud("member:red", "GET", "/subnets")
    await cloud("member:red", "DELETE", f"/subnets/{body['subnets'][0]['id']}")
    assert (await cloud("member:red", "DELETE", f"/subnetpools/{pool['id']}"))[0] == 204


async def test_a_pools_quota_counts_addresses_of_each_project(cloud: Cloud) -> None:
    pool = await cloud.made(
        "admin:red", "/subnetpools", name="p", prefixes=["10.0.0.0/16"], default_quota=512, shared=True
    )
    assert (await take(cloud, pool, prefixlen=24))[0] == 201
    assert (await take(cloud, pool, "member:blue", prefixlen=23))[0] == 201
    assert await take(cloud, pool, prefixlen=23) == (409, "SubnetPoolQuotaExceeded")
    assert (await take(cloud, pool, prefixlen=24))[0] == 201


async def test_one_network_draws_on_one_pool(cloud: Cloud, pool: dict[str, Any]) -> None:
    net = await cloud.made("member:red", "/networks")
    first = {"network_id": net["id"], "ip_version": 4, "subnetpool_id": pool["id"]}
    await cloud.made("member:red", "/subnets", **first)
    body = {"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": "10.9.0.0/24"}}
    status, reply = await cloud("member:red", "POST", "/subnets", body)
    assert (status, reply["NeutronError"]["type"]) == (400, "NetworkSubnetPoolAffinityError")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=6, cidr="fd00::/64")


async def test_the_default_pool_serves_who_names_none(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    body = {"subnet": {"network_id": net["id"], "ip_version": 4, "use_default_subnetpool": True}}
    status, reply = await cloud("member:red", "POST", "/subnets", body)
    assert status == 400 and "No default subnetpool found for IPv4" in reply["NeutronError"]["message"]
    pool = {"name": "d", "prefixes": ["10.0.0.0/16"], "default_prefixlen": 24, "is_default": True, "shared": True}
    assert (await cloud("member:red", "POST", "/subnetpools", {"subnetpool": pool}))[0] == 403
    await cloud.made("admin:ops", "/subnetpools", **pool)
    status, reply = await cloud("admin:ops", "POST", "/subnetpools", {"subnetpool": pool})
    assert status == 400 and "Only one default may exist" in reply["NeutronError"]["message"]
    status, reply = await cloud("member:red", "POST", "/subnets", body)
    assert status == 201 and reply["subnet"]["cidr"] == "10.0.0.0/24"


async def test_pools_are_private_unless_opened(cloud: Cloud, pool: dict[str, Any]) -> None:
    assert (await cloud("member:blue", "GET", f"/subnetpools/{pool['id']}"))[0] == 404
    assert await take(cloud, pool, "member:blue") == (404, "SubnetPoolNotFound")
    policy = {"object_type": "subnetpool", "object_id": pool["id"], "action": "access_as_shared"}
    await cloud.made("member:red", "/rbac-policies", target_tenant="blue", **policy)
    _, body = await cloud("member:blue", "GET", "/subnetpools?shared=true")
    assert [item["id"] for item in body["subnetpools"]] == [pool["id"]]
    assert await take(cloud, pool, "member:blue") == (201, "10.0.0.0/24")
    assert (await cloud("member:blue", "PUT", f"/subnetpools/{pool['id']}", {"subnetpool": {"name": "x"}}))[0] == 404


async def test_prefixes_are_added_and_removed_while_unused(cloud: Cloud, pool: dict[str, Any]) -> None:
    path = f"/subnetpools/{pool['id']}"
    await take(cloud, pool)
    status, body = await cloud("member:red", "PUT", f"{path}/add_prefixes", {"prefixes": ["10.1.0.0/16"]})
    assert (status, body) == (200, {"prefixes": ["10.0.0.0/15"]})
    status, body = await cloud("member:red", "PUT", f"{path}/remove_prefixes", {"prefixes": ["10.0.0.0/24"]})
    assert (status, body["NeutronError"]["type"]) == (400, "IllegalSubnetPoolPrefixUpdate")
    status, body = await cloud("member:red", "PUT", f"{path}/remove_prefixes", {"prefixes": ["10.0.128.0/17"]})
    assert (status, body) == (200, {"prefixes": ["10.0.0.0/17", "10.1.0.0/16"]})
    status, body = await cloud("member:red", "PUT", path, {"subnetpool": {"prefixes": ["10.1.0.0/16"]}})
    assert (status, body["NeutronError"]["type"]) == (400, "IllegalSubnetPoolPrefixUpdate")
    assert (await cloud("member:blue", "PUT", f"{path}/add_prefixes", {"prefixes": ["10.2.0.0/16"]}))[0] == 404
