"""Get me a network: made once, on what the operator has set as defaults."""

from __future__ import annotations

from tests.api.cloud import Cloud


async def with_defaults(cloud: Cloud) -> str:
    """A default external network and default pools; the network's id."""
    public = await cloud.made("admin:ops", "/networks", **{"router:external": True, "is_default": True})
    await cloud.made("admin:ops", "/subnets", network_id=public["id"], ip_version=4, cidr="203.0.113.0/24")
    for prefix, length in (("10.0.0.0/20", 26), ("fd12:67:1::/56", 64)):
        pool = {"prefixes": [prefix], "default_prefixlen": length, "is_default": True, "shared": True}
        await cloud.made("admin:ops", "/subnetpools", name="default", **pool)
    return str(public["id"])


async def test_the_first_question_makes_a_network_that_reaches_outside_and_the_next_finds_it(cloud: Cloud) -> None:
    public = await with_defaults(cloud)
    status, body = await cloud("member:red", "GET", "/auto-allocated-topology/None?fields=dry-run")
    assert (status, body["auto_allocated_topology"]["id"]) == (200, "dry-run=pass")
    assert (await cloud("member:red", "GET", "/networks?project_id=red"))[1] == {"networks": []}

    _, body = await cloud("member:red", "GET", "/auto-allocated-topology/red")
    network = body["auto_allocated_topology"]["id"]
    _, body = await cloud("member:red", "GET", f"/subnets?network_id={network}&sort_key=ip_version&sort_dir=asc")
    assert [item["cidr"] for item in body["subnets"]] == ["10.0.0.0/26", "fd12:67:1::/64"]
    _, body = await cloud("member:red", "GET", "/routers")
    assert [item["external_gateway_info"]["network_id"] for item in body["routers"]] == [public]
    _, body = await cloud("member:red", "GET", "/auto-allocated-topology/red")
    assert body["auto_allocated_topology"]["id"] == network

    assert (await cloud("member:red", "DELETE", "/auto-allocated-topology/red"))[0] == 204
    assert (await cloud("member:red", "GET", "/networks?project_id=red"))[1] == {"networks": []}
    assert (await cloud("member:red", "GET", "/routers"))[1] == {"routers": []}


async def test_without_defaults_nothing_is_made_and_the_reason_is_told(cloud: Cloud) -> None:
    status, body = await cloud("member:red", "GET", "/auto-allocated-topology/red")
    assert (status, body["NeutronError"]["type"]) == (409, "AutoAllocationFailure")
    assert "No default router:external network" in body["NeutronError"]["message"]
    await cloud.made("admin:ops", "/networks", **{"router:external": True, "is_default": True})
    _, body = await cloud("member:red", "GET", "/auto-allocated-topology/red")
    assert "No default subnetpools" in body["NeutronError"]["message"]
    assert (await cloud("member:red", "GET", "/networks?project_id=red"))[1] == {"networks": []}


async def test_nobody_asks_for_another_project_and_there_is_one_default_network(cloud: Cloud) -> None:
    await with_defaults(cloud)
    assert (await cloud("member:red", "GET", "/auto-allocated-topology/blue"))[0] == 403
    status, body = await cloud(
        "admin:ops", "POST", "/networks", {"network": {"router:external": True, "is_default": True}}
    )
    assert (status, body["NeutronError"]["type"]) == (409, "DefaultExternalNetworkExists")
