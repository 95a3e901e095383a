"""Address scopes: pools that share one never overlap, and networks know theirs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud


@pytest.fixture
async def scope(cloud: Cloud) -> dict[str, Any]:
    """An IPv4 scope of project red."""
    return await cloud.made("member:red", "/address-scopes", name="s", ip_version=4)


def pool(scope: dict[str, Any], *prefixes: str) -> dict[str, Any]:
    """The body of a pool in the scope."""
    return {
        "subnetpool": {
            "name": "p",
            "prefixes": list(prefixes) or ["10.0.0.0/16"],
            "default_prefixlen": 24,
            "address_scope_id": scope["id"],
        }
    }


async def test_pools_of_a_scope_do_not_overlap(cloud: Cloud, scope: dict[str, Any]) -> None:
    assert (await cloud("member:red", "POST", "/subnetpools", pool(scope)))[0] == 201
    status, body = await cloud("member:red", "POST", "/subnetpools", pool(scope, "10.0.8.0/24"))
    assert (status, body["NeutronError"]["type"]) == (409, "AddressScopePrefixConflict")
    assert (await cloud("member:red", "POST", "/subnetpools", pool(scope, "10.1.0.0/16")))[0] == 201
    status, body = await cloud("member:red", "POST", "/subnetpools", pool(scope, "fd00::/48"))
    assert status == 400
    status, body = await cloud("member:red", "DELETE", f"/address-scopes/{scope['id']}")
    assert (status, body["NeutronError"]["type"]) == (409, "AddressScopeInUse")


async def test_a_scope_of_another_ip_version_or_project_takes_no_pool(cloud: Cloud, scope: dict[str, Any]) -> None:
    six = await cloud.made("member:red", "/address-scopes", name="s6", ip_version=6)
    status, body = await cloud("member:red", "POST", "/subnetpools", pool(six))
    assert (status, body["NeutronError"]["type"]) == (400, "IllegalSubnetPoolIpVersionAssociationToAddressScope")
    status, body = await cloud("member:blue", "POST", "/subnetpools", pool(scope))
    assert (status, body["NeutronError"]["type"]) == (404, "AddressScopeNotFound")
    assert (await cloud("member:blue", "GET", f"/address-scopes/{scope['id']}"))[0] == 404


async def test_a_network_is_in_the_scope_of_its_pool_and_moves_with_it(cloud: Cloud, scope: dict[str, Any]) -> None:
    _, body = await cloud("member:red", "POST", "/subnetpools", pool(scope))
    taken_from = body["subnetpool"]
    net = await cloud.made("member:red", "/networks")
    assert net["ipv4_address_scope"] is None
    subnet = await cloud.made(
        "member:red", "/subnets", network_id=net["id"], ip_version=4, subnetpool_id=taken_from["id"]
    )

    async def scope_of_network() -> str | None:
        return (await cloud("member:red", "GET", f"/networks/{net['id']}"))[1]["network"]["ipv4_address_scope"]

    assert await scope_of_network() == scope["id"]
    other = await cloud.made("member:red", "/address-scopes", name="t", ip_version=4)
    change = {"subnetpool": {"address_scope_id": other["id"]}}
    assert (await cloud("member:red", "PUT", f"/subnetpools/{taken_from['id']}", change))[0] == 200
    assert await scope_of_network() == other["id"]
    assert (await cloud("member:red", "DELETE", f"/subnets/{subnet['id']}"))[0] == 204
    assert await scope_of_network() is None


async def test_pools_of_one_scope_may_meet_on_a_network(cloud: Cloud, scope: dict[str, Any]) -> None:
    net = await cloud.made("member:red", "/networks")
    for prefix in ("10.0.0.0/16", "10.1.0.0/16"):
        _, body = await cloud("member:red", "POST", "/subnetpools", pool(scope, prefix))
        await cloud.made(
            "member:red", "/subnets", network_id=net["id"], ip_version=4, subnetpool_id=body["subnetpool"]["id"]
        )


async def test_what_is_shared_with_all_stays_shared(cloud: Cloud, scope: dict[str, Any]) -> None:
    path = f"/address-scopes/{scope['id']}"
    assert (await cloud("member:red", "PUT", path, {"address_scope": {"shared": True}}))[0] == 403
    status, body = await cloud("admin:ops", "PUT", path, {"address_scope": {"shared": True, "name": "ours"}})
    assert status == 200 and body["address_scope"]["shared"] is True and body["address_scope"]["name"] == "ours"
    _, body = await cloud("member:blue", "GET", "/address-scopes?shared=True")
    assert [item["id"] for item in body["address_scopes"]] == [scope["id"]]
    status, body = await cloud("admin:ops", "PUT", path, {"address_scope": {"shared": False}})
    assert (status, body["NeutronError"]["type"]) == (400, "AddressScopeUpdateError")
    assert (await cloud("member:blue", "POST", "/subnetpools", pool(scope)))[0] == 201
