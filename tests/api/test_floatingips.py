"""Floating IPs through the API: taken, led to a port, moved, released."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud
from tests.api.l3 import Body, external, join, kind, leave, network, shown

RED = "member:red"


@pytest.fixture
async def site(cloud: Cloud) -> dict[str, Body]:
    """A project's network behind a router with a gateway."""
    outside = await external(cloud)
    net, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    await join(cloud, RED, router, subnet_id=subnet["id"])
    return {"outside": outside, "net": net, "subnet": subnet, "router": router}


async def test_a_floating_ip_is_taken_led_to_a_port_moved_and_released(cloud: Cloud, site: dict[str, Body]) -> None:
    one = await cloud.made(RED, "/ports", network_id=site["net"]["id"], name="one")
    two = await cloud.made(RED, "/ports", network_id=site["net"]["id"])
    fip = await cloud.made(RED, "/floatingips", floating_network_id=site["outside"]["id"])
    assert fip["floating_ip_address"].startswith("203.0.113.")
    names = ("status", "port_id", "fixed_ip_address", "router_id", "port_details")
    assert tuple(fip[name] for name in names) == ("DOWN", None, None, None, None)
    assert "floating_port_id" not in fip and "subnet_id" not in fip and "name" not in fip
    path = f"/floatingips/{fip['id']}"
    for port in (one, two):
        _, body = await cloud(RED, "PUT", path, {"floatingip": {"port_id": port["id"]}})
        led = body["floatingip"]
        assert (led["status"], led["router_id"]) == ("ACTIVE", site["router"]["id"])
        assert led["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]
        assert led["port_details"]["mac_address"] == port["mac_address"]
    _, body = await cloud(RED, "PUT", path, {"floatingip": {"description": "kept"}})
    assert body["floatingip"]["port_id"] == two["id"]
    _, body = await cloud(RED, "PUT", path, {"floatingip": {"port_id": None}})
    assert tuple(body["floatingip"][name] for name in names) == ("DOWN", None, None, None, None)
    assert (await cloud(RED, "DELETE", path))[0] == 204
    query = f"/ports?network_id={site['outside']['id']}&device_owner=network:floatingip"
    assert (await cloud("admin:ops", "GET", query))[1] == {"ports": []}
    again = await cloud.made(RED, "/floatingips", floating_network_id=site["outside"]["id"])
    assert again["floating_ip_address"] == fip["floating_ip_address"]


async def test_port_details_follow_the_port(cloud: Cloud, site: dict[str, Body]) -> None:
    port = await cloud.made(RED, "/ports", network_id=site["net"]["id"], name="before")
    outside = site["outside"]["id"]
    fip = await cloud.made(RED, "/floatingips", floating_network_id=outside, port_id=port["id"])
    assert fip["status"] == "ACTIVE" and fip["port_details"]["name"] == "before"
    _, body = await cloud(RED, "GET", "/floatingips")
    await cloud(RED, "PUT", f"/ports/{port['id']}", {"port": {"name": "after"}})
    _, body = await cloud(RED, "GET", f"/floatingips?port_id={port['id']}")
    assert [item["port_details"]["name"] for item in body["floatingips"]] == ["after"]
    assert (await cloud(RED, "DELETE", f"/ports/{port['id']}"))[0] == 204
    after = await shown(cloud, RED, f"/floatingips/{fip['id']}")
    assert (after["port_id"], after["router_id"], after["status"]) == (None, None, "DOWN")


async def test_what_a_floating_ip_needs_cannot_go(cloud: Cloud, site: dict[str, Body]) -> None:
    port = await cloud.made(RED, "/ports", network_id=site["net"]["id"])
    fip = await cloud.made(RED, "/floatingips", floating_network_id=site["outside"]["id"], port_id=port["id"])
    router = f"/routers/{site['router']['id']}"
    refused = await cloud(RED, "PUT", router, {"router": {"external_gateway_info": None}})
    assert kind(refused) == (409, "RouterExternalGatewayInUseByFloatingIp")
    refused = await leave(cloud, RED, site["router"], subnet_id=site["subnet"]["id"])
    assert kind(refused) == (409, "RouterInterfaceInUseByFloatingIP")
    other = await cloud.made(RED, "/floatingips", floating_network_id=site["outside"]["id"])
    body = {"floatingip": {"port_id": port["id"]}}
    refused = await cloud(RED, "PUT", f"/floatingips/{other['id']}", body)
    assert kind(refused) == (409, "FloatingIPPortAlreadyAssociated")
    assert (await cloud(RED, "PUT", f"/floatingips/{fip['id']}", body))[0] == 200
    elsewhere = {"port": {"fixed_ips": [{"ip_address": "10.0.0.200"}]}}
    assert kind(await cloud(RED, "PUT", f"/ports/{port['id']}", elsewhere)) == (400, "BadRequest")
    _, found = await cloud("admin:ops", "GET", "/ports?device_owner=network:floatingip")
    floating = found["ports"][0]["id"]
    assert kind(await cloud("admin:ops", "DELETE", f"/ports/{floating}")) == (409, "ServicePortInUse")


async def test_a_port_that_cannot_be_reached_gets_no_floating_ip(cloud: Cloud, site: dict[str, Body]) -> None:
    outside, inside = site["outside"]["id"], site["net"]["id"]
    lonely, _ = await network(cloud, RED, "10.5.0.0/24")

    async def refused(**values: Any) -> tuple[int, str]:
        return kind(await cloud(RED, "POST", "/floatingips", {"floatingip": values}))

    port = await cloud.made(RED, "/ports", network_id=lonely["id"])
    unreachable = await refused(floating_network_id=outside, port_id=port["id"])
    assert unreachable == (404, "ExternalGatewayForFloatingIPNotFound")
    assert await refused(floating_network_id=inside) == (400, "BadRequest")
    assert await refused(floating_network_id=outside, fixed_ip_address="10.0.0.5") == (400, "BadRequest")
    bare = await cloud.made(RED, "/ports", network_id=inside, fixed_ips=[])
    assert await refused(floating_network_id=outside, port_id=bare["id"]) == (400, "BadRequest")
    missing = await refused(floating_network_id=outside, port_id=outside)
    assert missing == (404, "PortNotFound")
    blue, _ = await network(cloud, "member:blue", "10.6.0.0/24")
    foreign = await cloud.made("member:blue", "/ports", network_id=blue["id"])
    assert await refused(floating_network_id=outside, port_id=foreign["id"]) == (404, "PortNotFound")
    assert (await cloud(RED, "GET", "/floatingips"))[1] == {"floatingips": []}
    assert (await cloud("admin:ops", "GET", "/ports?device_owner=network:floatingip"))[1] == {"ports": []}


async def test_a_port_with_several_addresses_needs_one_to_be_named(cloud: Cloud, site: dict[str, Body]) -> None:
    subnet = site["subnet"]["id"]
    pair = [{"subnet_id": subnet, "ip_address": address} for address in ("10.0.0.20", "10.0.0.21")]
    port = await cloud.made(RED, "/ports", network_id=site["net"]["id"], fixed_ips=pair)
    outside = site["outside"]["id"]
    body = {"floatingip": {"floating_network_id": outside, "port_id": port["id"]}}
    status, reply = await cloud(RED, "POST", "/floatingips", body)
    assert status == 400 and "multiple fixed IPv4 addresses" in reply["NeutronError"]["message"]
    for address in ("10.0.0.20", "10.0.0.21"):
        values = {"port_id": port["id"], "fixed_ip_address": address}
        fip = await cloud.made(RED, "/floatingips", floating_network_id=outside, **values)
        assert fip["fixed_ip_address"] == address


async def test_only_managers_and_admins_choose_the_address(cloud: Cloud, site: dict[str, Body]) -> None:
    outside = site["outside"]["id"]
    body = {"floatingip": {"floating_network_id": outside, "floating_ip_address": "203.0.113.50"}}
    assert kind(await cloud(RED, "POST", "/floatingips", body)) == (403, "PolicyNotAuthorized")
    made = await cloud.made("admin:ops", "/floatingips", **body["floatingip"])
    assert made["floating_ip_address"] == "203.0.113.50"
    assert kind(await cloud("admin:ops", "POST", "/floatingips", body)) == (409, "IpAddressAlreadyAllocated")
    subnet = site["outside"]["subnets"] or (await shown(cloud, "admin:ops", f"/networks/{outside}"))["subnets"]
    chosen = await cloud.made(RED, "/floatingips", floating_network_id=outside, subnet_id=subnet[0])
    assert chosen["floating_ip_address"].startswith("203.0.113.")
    assert (await cloud("member:blue", "GET", f"/floatingips/{chosen['id']}"))[0] == 404


async def test_an_external_network_runs_out_of_addresses(cloud: Cloud) -> None:
    outside = await external(cloud, "203.0.113.0/29")
    for _ in range(5):
        await cloud.made(RED, "/floatingips", floating_network_id=outside["id"])
    body = {"floatingip": {"floating_network_id": outside["id"]}}
    assert kind(await cloud(RED, "POST", "/floatingips", body)) == (400, "ExternalIpAddressExhausted")
    bare = await cloud.made("admin:ops", "/networks", **{"router:external": True})
    body = {"floatingip": {"floating_network_id": bare["id"]}}
    assert kind(await cloud(RED, "POST", "/floatingips", body)) == (400, "BadRequest")


async def test_a_client_names_the_router_that_translates(cloud: Cloud, site: dict[str, Body]) -> None:
    """Behind an inner router no router has both the port's subnet and the external network."""
    far, (subnet,) = await network(cloud, RED, "10.7.0.0/24")
    inner = await cloud.made(RED, "/routers")
    await join(cloud, RED, inner, subnet_id=subnet["id"])
    transit = await cloud.made(RED, "/ports", network_id=site["net"]["id"])
    await join(cloud, RED, inner, port_id=transit["id"])
    port, outer = await cloud.made(RED, "/ports", network_id=far["id"]), site["router"]["id"]
    fip = await cloud.made(RED, "/floatingips", floating_network_id=site["outside"]["id"])
    path = f"/floatingips/{fip['id']}"

    async def lead(**values: Any) -> tuple[int, Any]:
        return await cloud(RED, "PUT", path, {"floatingip": values})

    assert kind(await lead(port_id=port["id"])) == (404, "ExternalGatewayForFloatingIPNotFound")
    assert kind(await lead(port_id=port["id"], router_id=inner["id"])) == (409, "Conflict")
    assert kind(await lead(port_id=port["id"], router_id=fip["id"])) == (404, "RouterNotFound")
    theirs = await cloud.made("member:blue", "/routers", external_gateway_info={"network_id": site["outside"]["id"]})
    assert kind(await lead(port_id=port["id"], router_id=theirs["id"])) == (404, "RouterNotFound")
    assert kind(await lead(router_id=outer)) == (400, "BadRequest")
    status, body = await lead(port_id=port["id"], router_id=outer)
    assert (status, body["floatingip"]["router_id"]) == (200, outer)
    _, body = await lead(description="kept", router_id=None)
    assert (body["floatingip"]["router_id"], body["floatingip"]["port_id"]) == (outer, port["id"])
    body = {"router": {"external_gateway_info": None}}
    in_use = kind(await cloud(RED, "PUT", f"/routers/{outer}", body))
    assert in_use == (409, "RouterExternalGatewayInUseByFloatingIp")


async def test_idle_floating_ips_go_when_their_network_is_external_no_more(cloud: Cloud, site: dict[str, Body]) -> None:
    outside = site["outside"]["id"]
    port = await cloud.made(RED, "/ports", network_id=site["net"]["id"])
    led = await cloud.made(RED, "/floatingips", floating_network_id=outside, port_id=port["id"])
    idle = await cloud.made("member:blue", "/floatingips", floating_network_id=outside)
    internal = {"network": {"router:external": False}}
    in_use = kind(await cloud("admin:ops", "PUT", f"/networks/{outside}", internal))
    assert in_use == (409, "ExternalNetworkInUse")
    assert (await cloud("member:blue", "GET", f"/floatingips/{idle['id']}"))[0] == 200
    await cloud(RED, "PUT", f"/floatingips/{led['id']}", {"floatingip": {"port_id": None}})
    await cloud(RED, "PUT", f"/routers/{site['router']['id']}", {"router": {"external_gateway_info": None}})
    assert (await cloud("admin:ops", "PUT", f"/networks/{outside}", internal))[0] == 200
    assert (await cloud("admin:ops", "GET", "/floatingips"))[1] == {"floatingips": []}
    assert (await cloud("admin:ops", "GET", "/ports?device_owner=network:floatingip"))[1] == {"ports": []}
