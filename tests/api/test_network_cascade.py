"""Deleting a network with all that is on it."""

from __future__ import annotations

from tests.api.cloud import Cloud

RED = "member:red"


async def count(cloud: Cloud, collection: str, token: str = RED) -> int:
    """How many of a collection a project sees."""
    _, body = await cloud(token, "GET", f"/{collection}")
    return len(body[collection])


async def test_what_is_on_a_network_goes_with_it_when_asked_for(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    subnet = await cloud.made(RED, "/subnets", network_id=net["id"], ip_version=4, cidr="10.1.0.0/24")
    other = await cloud.made(RED, "/networks")
    router = await cloud.made(RED, "/routers")
    await cloud(RED, "PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    parent = await cloud.made(RED, "/ports", network_id=net["id"])
    child = await cloud.made(RED, "/ports", network_id=other["id"])
    sub_port = {"port_id": child["id"], "segmentation_type": "vlan", "segmentation_id": 5}
    await cloud.made(RED, "/trunks", port_id=parent["id"], sub_ports=[sub_port])
    mine = await cloud.made(RED, "/ports", network_id=net["id"])
    elsewhere = await cloud.made(RED, "/ports", network_id=other["id"])
    sub_port = {"port_id": mine["id"], "segmentation_type": "vlan", "segmentation_id": 6}
    trunk = await cloud.made(RED, "/trunks", port_id=elsewhere["id"], sub_ports=[sub_port])
    path = f"/networks/{net['id']}"
    status, body = await cloud(RED, "DELETE", path)
    assert (status, body["NeutronError"]["type"]) == (409, "NetworkInUse")
    assert (await cloud(RED, "DELETE", f"{path}?cascade=false"))[0] == 409
    status, body = await cloud(RED, "DELETE", f"{path}?cascade=perhaps")
    assert (status, body["NeutronError"]["type"]) == (400, "HTTPBadRequest")
    assert (await cloud(RED, "DELETE", f"{path}?cascade=true"))[0] == 204
    assert [await count(cloud, kind) for kind in ("networks", "subnets", "routers")] == [1, 0, 1]
    _, body = await cloud(RED, "GET", "/ports")
    assert [port["id"] for port in body["ports"]] == [elsewhere["id"]]
    _, body = await cloud(RED, "GET", "/trunks")
    assert [(item["id"], item["sub_ports"]) for item in body["trunks"]] == [(trunk["id"], [])]


async def test_where_something_must_stay_everything_does(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    subnet = await cloud.made(RED, "/subnets", network_id=net["id"], ip_version=4, cidr="10.1.0.0/24")
    router = await cloud.made(RED, "/routers")
    await cloud(RED, "PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    routes = [{"destination": "10.9.0.0/24", "nexthop": "10.1.0.7"}]
    await cloud(RED, "PUT", f"/routers/{router['id']}", {"router": {"routes": routes}})
    await cloud.made(RED, "/ports", network_id=net["id"])
    before = await count(cloud, "ports")
    status, body = await cloud(RED, "DELETE", f"/networks/{net['id']}?cascade=true")
    assert (status, body["NeutronError"]["type"]) == (409, "RouterInterfaceInUseByRoute")
    assert (await count(cloud, "networks"), await count(cloud, "ports")) == (1, before)


async def test_an_external_network_lets_go_of_its_routers(cloud: Cloud) -> None:
    net = await cloud.made("admin:ops", "/networks", **{"router:external": True})
    await cloud.made("admin:ops", "/subnets", network_id=net["id"], ip_version=4, cidr="203.0.113.0/24")
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": net["id"]})
    assert (await cloud(RED, "DELETE", f"/networks/{net['id']}?cascade=true"))[0] in (403, 404)
    assert (await cloud("admin:ops", "DELETE", f"/networks/{net['id']}?cascade=true"))[0] == 204
    _, body = await cloud(RED, "GET", f"/routers/{router['id']}")
    assert body["router"]["external_gateway_info"] is None
