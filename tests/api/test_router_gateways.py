"""Several external gateways of one router."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import kind, shown

ADMIN = "admin:ops"
Gateway = dict[str, Any]


async def outside(cloud: Cloud, cidr: str = "203.0.113.0/24") -> str:
    network = await cloud.made(ADMIN, "/networks", **{"router:external": True})
    await cloud.made(ADMIN, "/subnets", network_id=network["id"], ip_version=4, cidr=cidr, enable_dhcp=False)
    return str(network["id"])


async def act(
    cloud: Cloud, router: dict[str, Any], verb: str, *gateways: Gateway, token: str = ADMIN
) -> tuple[int, Any]:
    body = {"router": {"external_gateways": list(gateways)}}
    return await cloud(token, "PUT", f"/routers/{router['id']}/{verb}_external_gateways", body)


async def done(cloud: Cloud, router: dict[str, Any], verb: str, *gateways: Gateway) -> dict[str, Any]:
    status, body = await act(cloud, router, verb, *gateways)
    assert status == 200, body
    assert body["router"] == await shown(cloud, ADMIN, f"/routers/{router['id']}")
    return dict(body["router"])


def first_is_told(router: dict[str, Any]) -> bool:
    """Whether ``external_gateway_info`` tells of the first of the gateways."""
    gateways, info = router["external_gateways"], router["external_gateway_info"]
    return bool(gateways) == (info is not None) and (not gateways or gateways[0].items() <= info.items())


async def test_gateways_come_beside_the_first_and_the_next_follows_it(cloud: Cloud) -> None:
    network = await outside(cloud)
    router = await cloud.made("member:red", "/routers", external_gateway_info={"network_id": network})
    assert first_is_told(router) and len(router["external_gateways"]) == 1
    first = router["external_gateways"][0]
    router = await done(cloud, router, "add", {"network_id": network}, {"network_id": network})
    assert first_is_told(router) and len(router["external_gateways"]) == 3
    assert router["external_gateways"][0] == first and router["external_gateway_info"]["enable_snat"] is True
    second, third = router["external_gateways"][1:]
    router = await done(cloud, router, "remove", second)
    assert router["external_gateways"] == [first, third] and first_is_told(router)
    change = {"router": {"external_gateway_info": None}}
    router = (await cloud("member:red", "PUT", f"/routers/{router['id']}", change))[1]["router"]
    assert router["external_gateways"] == [third] and first_is_told(router)
    router = await done(cloud, router, "remove", {"network_id": network})
    assert (router["external_gateways"], router["external_gateway_info"]) == ([], None)
    _, body = await cloud(ADMIN, "GET", f"/ports?device_id={router['id']}")
    assert body == {"ports": []}


async def test_the_first_gateways_of_a_router_may_come_all_at_once(cloud: Cloud) -> None:
    network, other = await outside(cloud), await outside(cloud, "198.51.100.0/24")
    router = await cloud.made("member:red", "/routers")
    assert router["external_gateways"] == []
    wanted: list[Gateway] = [{"network_id": network, "enable_snat": False}, {"network_id": other}]
    router = await done(cloud, router, "add", *wanted)
    assert [gateway["network_id"] for gateway in router["external_gateways"]] == [network, other]
    assert first_is_told(router) and router["external_gateway_info"]["enable_snat"] is False
    assert (await cloud("member:red", "DELETE", f"/routers/{router['id']}"))[0] == 204
    _, body = await cloud(ADMIN, "GET", "/ports?device_owner=network:router_gateway")
    assert body == {"ports": []}


async def test_an_update_keeps_what_it_names_and_brings_and_takes_the_rest(cloud: Cloud) -> None:
    network = await outside(cloud)
    router = await cloud.made("member:red", "/routers")
    router = await done(cloud, router, "add", {"network_id": network}, {"network_id": network})
    first, second = router["external_gateways"]
    router = await done(cloud, router, "update", second)
    assert router["external_gateways"] == [second] and first_is_told(router)
    router = await done(cloud, router, "update", second, first)
    assert router["external_gateways"] == [second, first]
    router = await done(cloud, router, "update", first, second)
    assert router["external_gateways"] == [first, second] and first_is_told(router)
    moved = {"network_id": network, "external_fixed_ips": [{"ip_address": "203.0.113.77"}]}
    router = await done(cloud, router, "update", moved)
    assert [item["external_fixed_ips"][0]["ip_address"] for item in router["external_gateways"]] == ["203.0.113.77"]
    router = await done(cloud, router, "update")
    assert router["external_gateways"] == []


async def test_what_cannot_be_matched_or_would_overlap_is_refused(cloud: Cloud) -> None:
    network, overlapping = await outside(cloud), await outside(cloud, "203.0.0.0/16")
    router = await cloud.made("member:red", "/routers")
    named = {"network_id": network}
    assert kind(await act(cloud, router, "remove", named)) == (400, "UnableToRemoveGateways")
    router = await done(cloud, router, "add", named, named)
    assert kind(await act(cloud, router, "remove", named)) == (400, "UnableToMatchGateways")
    stranger = {"network_id": network, "external_fixed_ips": [{"ip_address": "203.0.113.99"}]}
    assert kind(await act(cloud, router, "remove", stranger)) == (400, "UnableToMatchGateways")
    assert kind(await act(cloud, router, "add", {"network_id": overlapping})) == (400, "BadRequest")
    inside = await cloud.made("member:red", "/networks")
    assert kind(await act(cloud, router, "add", {"network_id": inside["id"]})) == (400, "BadRequest")
    gateway = {"network_id": network, "external_fixed_ips": [{"ip_address": "203.0.113.1"}]}
    assert kind(await act(cloud, router, "add", gateway)) == (400, "BadRequest")
    assert kind(await act(cloud, router, "add", {}))[0] == 400
    assert kind(await cloud(ADMIN, "PUT", f"/routers/{router['id']}/add_external_gateways", {"router": {}}))[0] == 400
    assert (await shown(cloud, ADMIN, f"/routers/{router['id']}")) == router


async def test_the_last_gateway_to_a_network_stays_while_a_floating_ip_needs_it(cloud: Cloud) -> None:
    network = await outside(cloud)
    router = await cloud.made("member:red", "/routers")
    router = await done(cloud, router, "add", {"network_id": network}, {"network_id": network})
    inside = await cloud.made("member:red", "/networks")
    subnet = await cloud.made("member:red", "/subnets", network_id=inside["id"], ip_version=4, cidr="10.0.0.0/24")
    await cloud("member:red", "PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port = await cloud.made("member:red", "/ports", network_id=inside["id"])
    floating = await cloud.made("member:red", "/floatingips", floating_network_id=network, port_id=port["id"])
    assert floating["router_id"] == router["id"]
    router = await done(cloud, router, "remove", router["external_gateways"][0])
    refused = await act(cloud, router, "remove", {"network_id": network})
    assert kind(refused) == (409, "RouterExternalGatewayInUseByFloatingIp")


async def test_members_add_gateways_but_leave_their_addresses_and_snat_to_admins(cloud: Cloud) -> None:
    network = await outside(cloud)
    router = await cloud.made("member:red", "/routers")
    member = "member:red"
    addressed = {"network_id": network, "external_fixed_ips": [{"ip_address": "203.0.113.9"}]}
    for gateway in (addressed, {"network_id": network, "enable_snat": False}):
        assert kind(await act(cloud, router, "add", gateway, token=member)) == (403, "PolicyNotAuthorized")
    status, body = await act(cloud, router, "add", {"network_id": network}, token=member)
    assert status == 200
    kept = body["router"]["external_gateways"]
    assert kind(await act(cloud, router, "update", *kept, token=member)) == (403, "PolicyNotAuthorized")
    assert (await act(cloud, router, "remove", *kept, token=member))[0] == 200
    assert kind(await act(cloud, router, "add", {"network_id": network}, token="member:blue"))[0] == 404


async def test_a_gateway_that_gets_another_address_says_so_in_its_place(cloud: Cloud) -> None:
    network = await outside(cloud)
    router = await cloud.made("member:red", "/routers")
    router = await done(cloud, router, "add", {"network_id": network}, {"network_id": network})
    second = router["external_gateways"][1]["external_fixed_ips"][0]["ip_address"]
    _, body = await cloud(ADMIN, "GET", f"/ports?fixed_ips=ip_address={second}")
    change = {"port": {"fixed_ips": [{"ip_address": "203.0.113.200"}]}}
    assert (await cloud(ADMIN, "PUT", f"/ports/{body['ports'][0]['id']}", change))[0] == 200
    after = await shown(cloud, ADMIN, f"/routers/{router['id']}")
    addresses = [item["external_fixed_ips"][0]["ip_address"] for item in after["external_gateways"]]
    assert addresses[1] == "203.0.113.200"
    assert after["external_gateway_info"] == router["external_gateway_info"]


async def test_default_routes_over_several_gateways_are_for_admins_to_choose(cloud: Cloud) -> None:
    router = await cloud.made("member:red", "/routers")
    for name in ("enable_default_route_ecmp", "enable_default_route_bfd"):
        assert router[name] is False
        change = {"router": {name: True}}
        refused = await cloud("member:red", "PUT", f"/routers/{router['id']}", change)
        assert kind(refused) == (403, "PolicyNotAuthorized")
        status, body = await cloud(ADMIN, "PUT", f"/routers/{router['id']}", change)
        assert status == 200 and body["router"][name] is True
        status, body = await cloud(ADMIN, "PUT", f"/routers/{router['id']}", {"router": {name: None}})
        assert status == 200 and body["router"][name] is True


async def test_a_request_that_names_no_gateways_changes_nothing_however_it_says_so(cloud: Cloud) -> None:
    """The openstack command says {} where others leave the list empty."""
    network = await outside(cloud)
    router = await cloud.made("member:red", "/routers", external_gateway_info={"network_id": network})
    for nothing in ({}, [], None):
        path = f"/routers/{router['id']}/remove_external_gateways"
        status, body = await cloud(ADMIN, "PUT", path, {"router": {"external_gateways": nothing}})
        assert (status, body["router"]["external_gateways"]) == (200, router["external_gateways"])
    status, body = await act(cloud, router, "remove", "all")  # type: ignore[arg-type]
    assert kind((status, body))[0] == 400
