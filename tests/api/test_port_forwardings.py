"""Port forwardings through the API: ports of a floating IP that lead to several instances."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud
from tests.api.l3 import Body, external, join, kind, leave, network, shown

RED, BLUE = "member:red", "member:blue"


@pytest.fixture
async def site(cloud: Cloud) -> dict[str, Body]:
    """A project's network behind a router with a gateway, two ports there, and a floating IP that leads nowhere."""
    outside = await external(cloud)
    net, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    await join(cloud, RED, router, subnet_id=subnet["id"])
    return {
        "outside": outside,
        "net": net,
        "subnet": subnet,
        "router": router,
        "one": await cloud.made(RED, "/ports", network_id=net["id"]),
        "two": await cloud.made(RED, "/ports", network_id=net["id"]),
        "fip": await cloud.made(RED, "/floatingips", floating_network_id=outside["id"]),
    }


def path(site: dict[str, Body]) -> str:
    return f"/floatingips/{site['fip']['id']}/port_forwardings"


def tcp(port: Body, outer: int, inner: int, **more: Any) -> Body:
    return {"internal_port_id": port["id"], "external_port": outer, "internal_port": inner, "protocol": "tcp", **more}


async def forwarded(cloud: Cloud, site: dict[str, Body], **values: Any) -> Body:
    status, body = await cloud(RED, "POST", path(site), {"port_forwarding": values})
    assert status == 201, body
    return dict(body["port_forwarding"])


async def refused(cloud: Cloud, site: dict[str, Body], **values: Any) -> tuple[int, str]:
    return kind(await cloud(RED, "POST", path(site), {"port_forwarding": values}))


async def test_a_forwarding_comes_changes_and_goes(cloud: Cloud, site: dict[str, Body]) -> None:
    address = site["one"]["fixed_ips"][0]["ip_address"]
    made = await forwarded(cloud, site, **tcp(site["one"], 2222, 22, description="shell"))
    assert made == {
        "id": made["id"],
        "protocol": "tcp",
        "external_port": 2222,
        "external_port_range": "2222:2222",
        "internal_port_id": site["one"]["id"],
        "internal_ip_address": address,
        "internal_port": 22,
        "internal_port_range": "22:22",
        "description": "shell",
    }
    assert (await cloud(RED, "GET", path(site)))[1] == {"port_forwardings": [made]}
    assert (await cloud(RED, "GET", f"{path(site)}?external_port=2223"))[1] == {"port_forwardings": []}
    one = f"{path(site)}/{made['id']}"
    change = {"port_forwarding": {"external_port": 2200, "internal_port_id": site["two"]["id"]}}
    status, body = await cloud(RED, "PUT", one, change)
    assert status == 200, body
    changed = body["port_forwarding"]
    assert (changed["external_port"], changed["external_port_range"]) == (2200, "2200:2200")
    assert changed["internal_ip_address"] == site["two"]["fixed_ips"][0]["ip_address"]
    assert await shown(cloud, RED, one) == changed
    assert (await cloud(RED, "DELETE", one))[0] == 204
    assert kind(await cloud(RED, "GET", one)) == (404, "PortForwardingNotFound")


async def test_the_floating_ip_tells_of_its_forwardings_and_stays_on_their_router(
    cloud: Cloud, site: dict[str, Body]
) -> None:
    fip = f"/floatingips/{site['fip']['id']}"
    before = await shown(cloud, RED, fip)
    assert (before["port_forwardings"], before["router_id"], before["status"]) == ([], None, "DOWN")
    made = [await forwarded(cloud, site, **tcp(site[name], outer, 80)) for name, outer in (("one", 81), ("two", 82))]
    during = await shown(cloud, RED, fip)
    assert during["revision_number"] > before["revision_number"]
    assert (during["router_id"], during["port_id"], during["status"]) == (site["router"]["id"], None, "ACTIVE")
    names = ("id", "protocol", "external_port", "internal_port_id", "internal_ip_address", "internal_port")
    told = sorted(during["port_forwardings"], key=lambda item: str(item["external_port"]))
    assert told == [{name: item[name] for name in names} for item in made]
    _, body = await cloud(RED, "PUT", fip, {"floatingip": {"port_id": None, "description": "shared"}})
    assert (body["floatingip"]["router_id"], body["floatingip"]["description"]) == (site["router"]["id"], "shared")
    for item in made:
        await cloud(RED, "DELETE", f"{path(site)}/{item['id']}")
    after = await shown(cloud, RED, fip)
    assert (after["port_forwardings"], after["router_id"], after["status"]) == ([], None, "DOWN")


async def test_what_a_forwarding_needs_cannot_go(cloud: Cloud, site: dict[str, Body]) -> None:
    made = await forwarded(cloud, site, **tcp(site["one"], 2222, 22))
    fip, router = f"/floatingips/{site['fip']['id']}", f"/routers/{site['router']['id']}"
    assert kind(await cloud(RED, "DELETE", fip)) == (409, "FipInUseByPortForwarding")
    lead = {"floatingip": {"port_id": site["two"]["id"]}}
    assert kind(await cloud(RED, "PUT", fip, lead)) == (409, "FipInUseByPortForwarding")
    in_use = await leave(cloud, RED, site["router"], subnet_id=site["subnet"]["id"])
    assert kind(in_use) == (409, "RouterInterfaceInUseByFloatingIP")
    in_use = await cloud(RED, "PUT", router, {"router": {"external_gateway_info": None}})
    assert kind(in_use) == (409, "RouterExternalGatewayInUseByFloatingIp")
    assert (await cloud(RED, "DELETE", f"{path(site)}/{made['id']}"))[0] == 204
    assert (await leave(cloud, RED, site["router"], subnet_id=site["subnet"]["id"]))[0] == 200
    assert (await cloud(RED, "DELETE", fip))[0] == 204


async def test_a_forwarding_goes_with_its_port_and_with_the_address(cloud: Cloud, site: dict[str, Body]) -> None:
    await forwarded(cloud, site, **tcp(site["one"], 81, 80))
    await forwarded(cloud, site, **tcp(site["two"], 82, 80))
    elsewhere = {"port": {"fixed_ips": [{"ip_address": "10.0.0.200"}]}}
    status, body = await cloud(RED, "PUT", f"/ports/{site['one']['id']}", elsewhere)
    assert status == 200
    assert body["port"] == await shown(cloud, RED, f"/ports/{site['one']['id']}")
    _, left = await cloud(RED, "GET", path(site))
    assert [item["external_port"] for item in left["port_forwardings"]] == [82]
    assert (await cloud(RED, "DELETE", f"/ports/{site['two']['id']}"))[0] == 204
    assert (await cloud(RED, "GET", path(site)))[1] == {"port_forwardings": []}
    assert (await shown(cloud, RED, f"/floatingips/{site['fip']['id']}"))["router_id"] is None


async def test_ranges_lead_one_to_one_or_all_to_one(cloud: Cloud, site: dict[str, Body]) -> None:
    def ranges(outer: str, inner: str) -> Body:
        port = site["one"]["id"]
        return {
            "internal_port_id": port,
            "protocol": "udp",
            "external_port_range": outer,
            "internal_port_range": inner,
        }

    made = await forwarded(cloud, site, **ranges("100:109", "200:209"))
    assert (made["external_port"], made["internal_port"]) == (None, None)
    assert (await forwarded(cloud, site, **ranges("110:119", "300")))["internal_port"] == 300
    for outer, inner in (
        ("120:129", "400:404"),
        ("105:124", "500"),
        ("130:139", "205:214"),
        ("9:1", "9:1"),
        ("0:1", "1"),
        ("65535:65536", "1"),
        ("1:2:3", "1"),
        ("a:b", "1"),
    ):
        status, _ = await refused(cloud, site, **ranges(outer, inner))
        assert status == 400, (outer, inner)
    assert (await refused(cloud, site, **ranges("140:141", "600"), external_port=142))[0] == 400
    change = {"port_forwarding": {"external_port_range": "150:151", "internal_port_range": "250:251"}}
    _, body = await cloud(RED, "PUT", f"{path(site)}/{made['id']}", change)
    assert body["port_forwarding"]["external_port_range"] == "150:151"
    assert (await refused(cloud, site, **ranges("100:109", "200:209"))) == (201, "")


async def test_ports_are_forwarded_once(cloud: Cloud, site: dict[str, Body]) -> None:
    made = await forwarded(cloud, site, **tcp(site["one"], 2222, 22))
    for again in (tcp(site["two"], 2222, 22), tcp(site["one"], 2223, 22)):
        assert await refused(cloud, site, **again) == (400, "BadRequest")
    other = await forwarded(cloud, site, **tcp(site["two"], 2223, 22))
    taken = {"port_forwarding": {"external_port": 2222}}
    assert kind(await cloud(RED, "PUT", f"{path(site)}/{other['id']}", taken)) == (400, "BadRequest")
    same = {"port_forwarding": {"external_port": 2222, "internal_port": 22}}
    assert (await cloud(RED, "PUT", f"{path(site)}/{made['id']}", same))[0] == 200
    assert (await refused(cloud, site, **{**tcp(site["one"], 2222, 22), "protocol": "udp"})) == (201, "")


async def test_a_floating_ip_leads_to_a_port_or_its_ports_do(cloud: Cloud, site: dict[str, Body]) -> None:
    outside = site["outside"]["id"]
    whole = await cloud.made(RED, "/floatingips", floating_network_id=outside, port_id=site["one"]["id"])
    assert await refused(cloud, site, **tcp(site["one"], 80, 80)) == (409, "PortHasBindingFloatingIP")
    reply = await cloud(
        RED, "POST", f"/floatingips/{whole['id']}/port_forwardings", {"port_forwarding": tcp(site["two"], 80, 80)}
    )
    assert kind(reply) == (409, "FloatingIPPortAlreadyAssociated")
    # The other way round an ordinary router has no objection.
    await forwarded(cloud, site, **tcp(site["two"], 80, 80))
    await cloud.made(RED, "/floatingips", floating_network_id=outside, port_id=site["two"]["id"])


async def test_no_floating_ip_leads_to_a_port_that_a_distributed_router_forwards_to(
    cloud: Cloud, site: dict[str, Body]
) -> None:
    router = f"/routers/{site['router']['id']}"
    for change in ({"admin_state_up": False}, {"distributed": True}, {"admin_state_up": True}):
        assert (await cloud("admin:ops", "PUT", router, {"router": change}))[0] == 200
    await forwarded(cloud, site, **tcp(site["one"], 80, 80))
    body = {"floatingip": {"floating_network_id": site["outside"]["id"], "port_id": site["one"]["id"]}}
    assert kind(await cloud(RED, "POST", "/floatingips", body)) == (400, "PortHasPortForwarding")


async def test_what_cannot_be_forwarded(cloud: Cloud, site: dict[str, Body]) -> None:
    lonely, _ = await network(cloud, RED, "10.5.0.0/24")
    unreachable = await cloud.made(RED, "/ports", network_id=lonely["id"])
    bare = await cloud.made(RED, "/ports", network_id=site["net"]["id"], fixed_ips=[])
    for wrong in (
        tcp(unreachable, 80, 80),
        tcp(bare, 80, 80),
        tcp(site["one"], 80, 80, internal_ip_address="10.0.0.222"),
        {"internal_port_id": site["one"]["id"], "protocol": "tcp", "external_port": 80},
    ):
        assert await refused(cloud, site, **wrong) == (400, "BadRequest")
    for wrong in (
        tcp(site["one"], 65536, 80),
        tcp(site["one"], 80, 0),
        tcp(site["one"], 80, 80, floatingip_id=site["fip"]["id"]),
        {"external_port": 80, "internal_port": 80, "protocol": "tcp"},
    ):
        assert await refused(cloud, site, **wrong) == (400, "HTTPBadRequest")
    assert await refused(cloud, site, **tcp(site["one"], 80, 80, protocol="gre")) == (400, "InvalidInput")
    assert await refused(cloud, site, **tcp(site["net"], 80, 80)) == (404, "PortNotFound")
    other, (subnet,) = await network(cloud, RED, "10.6.0.0/24")
    second = await cloud.made(RED, "/routers", external_gateway_info={"network_id": site["outside"]["id"]})
    await join(cloud, RED, second, subnet_id=subnet["id"])
    await forwarded(cloud, site, **tcp(site["one"], 81, 80))
    behind_another = await cloud.made(RED, "/ports", network_id=other["id"])
    assert await refused(cloud, site, **tcp(behind_another, 82, 80)) == (400, "BadRequest")


async def test_forwardings_belong_to_the_owner_of_the_floating_ip(cloud: Cloud, site: dict[str, Body]) -> None:
    made = await forwarded(cloud, site, **tcp(site["one"], 80, 80))
    one, body = f"{path(site)}/{made['id']}", {"port_forwarding": tcp(site["two"], 81, 80)}
    assert kind(await cloud(BLUE, "GET", path(site))) == (404, "FloatingIPNotFound")
    assert kind(await cloud(BLUE, "POST", path(site), body)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud(BLUE, "DELETE", one)) == (404, "FloatingIPNotFound")
    assert (await cloud("reader:red", "GET", one))[0] == 200
    assert kind(await cloud("reader:red", "POST", path(site), body)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud("reader:red", "DELETE", one)) == (403, "PolicyNotAuthorized")
    by_admin = await cloud("admin:ops", "POST", path(site), body)
    assert by_admin[0] == 201
    _, listed = await cloud(RED, "GET", path(site))
    assert len(listed["port_forwardings"]) == 2
    other = await cloud.made(RED, "/floatingips", floating_network_id=site["outside"]["id"])
    elsewhere = f"/floatingips/{other['id']}/port_forwardings/{made['id']}"
    assert kind(await cloud(RED, "GET", elsewhere)) == (404, "PortForwardingNotFound")
