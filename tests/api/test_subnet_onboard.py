"""Onboarding: a network's subnets come to belong to a subnet pool."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud

RED = "member:red"


async def onboard(cloud: Cloud, pool: dict[str, Any], network_id: str, token: str = RED) -> tuple[int, Any]:
    """Ask a pool to take a network's subnets."""
    return await cloud(token, "PUT", f"/subnetpools/{pool['id']}/onboard_network_subnets", {"network_id": network_id})


async def test_a_pool_takes_a_networks_subnets_of_its_ip_version(cloud: Cloud) -> None:
    scope = await cloud.made(RED, "/address-scopes", name="all", ip_version=4)
    pool = await cloud.made(RED, "/subnetpools", name="pool", prefixes=["10.0.0.0/16"], address_scope_id=scope["id"])
    net = await cloud.made(RED, "/networks")
    subnet = await cloud.made(RED, "/subnets", network_id=net["id"], ip_version=4, cidr="10.9.0.0/24")
    await cloud.made(RED, "/subnets", network_id=net["id"], ip_version=6, cidr="2001:db8::/64")
    assert await onboard(cloud, pool, net["id"]) == (200, [{"id": subnet["id"], "cidr": "10.9.0.0/24"}])
    _, body = await cloud(RED, "GET", f"/subnets?subnetpool_id={pool['id']}")
    assert [item["id"] for item in body["subnets"]] == [subnet["id"]]
    _, body = await cloud(RED, "GET", f"/subnetpools/{pool['id']}")
    assert body["subnetpool"]["prefixes"] == ["10.0.0.0/16", "10.9.0.0/24"]
    _, body = await cloud(RED, "GET", f"/networks/{net['id']}")
    assert body["network"]["ipv4_address_scope"] == scope["id"]
    # What the pool gave away already, it cannot take once more.
    status, body = await onboard(cloud, pool, net["id"])
    assert (status, body["NeutronError"]["type"]) == (400, "IllegalSubnetPoolUpdate")


async def test_a_network_of_others_is_not_onboarded(cloud: Cloud) -> None:
    pool = await cloud.made(RED, "/subnetpools", name="pool", prefixes=["10.0.0.0/16"])
    hidden = await cloud.made("member:blue", "/networks")
    status, body = await onboard(cloud, pool, hidden["id"])
    assert (status, body["NeutronError"]["type"]) == (404, "NetworkNotFound")
    shared = await cloud.made("admin:ops", "/networks", shared=True)
    status, body = await onboard(cloud, pool, shared["id"])
    assert (status, body["NeutronError"]["type"]) == (403, "NotAuthorized")
    status, body = await cloud(RED, "PUT", f"/subnetpools/{pool['id']}/onboard_network_subnets", {})
    assert status == 400
    mine = await cloud.made(RED, "/networks")
    assert (await onboard(cloud, pool, mine["id"], "member:blue"))[0] == 404
