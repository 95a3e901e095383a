"""Local IPs and the ports associated with them, through the API."""

from __future__ import annotations

import pytest

from tests.api.cloud import Cloud
from tests.api.l3 import Body, join, kind, leave, network, shown

RED, BLUE = "member:red", "member:blue"


@pytest.fixture
async def net(cloud: Cloud) -> Body:
    """A project's network."""
    made, _ = await network(cloud, RED, "10.0.0.0/24")
    return made


async def test_a_port_s_address_becomes_local(cloud: Cloud, net: Body) -> None:
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    address = port["fixed_ips"][0]["ip_address"]
    made = await cloud.made(RED, "/local-ips", name="cache", local_port_id=port["id"])
    assert (made["local_port_id"], made["network_id"]) == (port["id"], net["id"])
    assert (made["local_ip_address"], made["ip_mode"]) == (address, "translate")
    path = f"/local-ips/{made['id']}"
    _, body = await cloud(RED, "PUT", path, {"local_ip": {"name": "renamed", "description": "for all"}})
    assert (body["local_ip"]["name"], body["local_ip"]["description"]) == ("renamed", "for all")
    assert kind(await cloud(RED, "DELETE", f"/ports/{port['id']}")) == (409, "ServicePortInUse")
    elsewhere = {"port": {"fixed_ips": [{"ip_address": "10.0.0.200"}]}}
    assert kind(await cloud(RED, "PUT", f"/ports/{port['id']}", elsewhere)) == (400, "BadRequest")
    assert (await cloud(RED, "DELETE", path))[0] == 204
    assert kind(await cloud(RED, "GET", path)) == (404, "LocalIPNotFound")
    assert (await cloud(RED, "DELETE", f"/ports/{port['id']}"))[0] == 204


async def test_a_network_s_address_becomes_local(cloud: Cloud, net: Body) -> None:
    made = await cloud.made(RED, "/local-ips", network_id=net["id"], local_ip_address="10.0.0.77")
    holder = await shown(cloud, RED, f"/ports/{made['local_port_id']}")
    assert (holder["device_owner"], holder["device_id"]) == ("network:local_ip", made["id"])
    assert [item["ip_address"] for item in holder["fixed_ips"]] == ["10.0.0.77"]
    taken = {"local_ip": {"network_id": net["id"], "local_ip_address": "10.0.0.77"}}
    assert kind(await cloud(RED, "POST", "/local-ips", taken)) == (409, "IpAddressAlreadyAllocated")
    assert (await cloud(RED, "DELETE", f"/local-ips/{made['id']}"))[0] == 204
    assert (await cloud(RED, "GET", f"/ports/{holder['id']}"))[0] == 404


async def test_what_is_no_local_ip(cloud: Cloud, net: Body) -> None:
    async def refused(**values: str) -> tuple[int, str]:
        return kind(await cloud(RED, "POST", "/local-ips", {"local_ip": values}))

    assert await refused() == (400, "LocalIPPortOrNetworkRequired")
    assert await refused(local_port_id=net["id"]) == (400, "BadRequest")
    assert await refused(network_id=net["id"], ip_mode="route") == (400, "HTTPBadRequest")
    bare = await cloud.made(RED, "/ports", network_id=net["id"], fixed_ips=[])
    assert await refused(local_port_id=bare["id"]) == (400, "LocalIPNoIP")
    two = [{"ip_address": "10.0.0.20"}, {"ip_address": "10.0.0.21"}]
    double = await cloud.made(RED, "/ports", network_id=net["id"], fixed_ips=two)
    assert await refused(local_port_id=double["id"]) == (400, "LocalIPNoRequestedIP")
    assert await refused(local_port_id=double["id"], local_ip_address="10.0.0.22") == (
        400,
        "LocalIPRequestedIPNotFound",
    )
    empty = await cloud.made(RED, "/networks")
    assert await refused(network_id=empty["id"]) == (400, "BadRequest")
    foreign, _ = await network(cloud, BLUE, "10.9.0.0/24")
    assert await refused(network_id=foreign["id"]) == (404, "NetworkNotFound")
    theirs = await cloud.made(BLUE, "/ports", network_id=foreign["id"])
    assert await refused(local_port_id=theirs["id"]) == (400, "BadRequest")


async def test_ports_are_associated_with_a_local_ip(cloud: Cloud, net: Body) -> None:
    local = await cloud.made(RED, "/local-ips", network_id=net["id"])
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    path, body = f"/local-ips/{local['id']}/port_associations", {"port_association": {"fixed_port_id": port["id"]}}
    status, made = await cloud(RED, "POST", path, body)
    assert status == 201
    association = {
        "local_ip_id": local["id"],
        "local_ip_address": local["local_ip_address"],
        "fixed_port_id": port["id"],
        "fixed_ip": port["fixed_ips"][0]["ip_address"],
        "host": "",
    }
    assert made == {"port_association": association}
    assert kind(await cloud(RED, "POST", path, body)) == (409, "NeutronDbObjectDuplicateEntry")
    bound = {"port": {"binding:host_id": "alpha"}}
    assert (await cloud("admin:ops", "PUT", f"/ports/{port['id']}", bound))[0] == 200
    on_alpha = {**association, "host": "alpha"}
    # Clients spell the same path with underscores too.
    spelled = f"/local_ips/{local['id']}/port_associations"
    assert (await cloud(RED, "GET", spelled))[1] == {"port_associations": [on_alpha]}
    assert (await cloud(RED, "GET", f"{spelled}/{port['id']}"))[1] == {"port_association": on_alpha}
    assert kind(await cloud(RED, "DELETE", f"/local-ips/{local['id']}")) == (409, "LocalIPInUse")
    assert (await cloud(RED, "DELETE", f"{path}/{port['id']}"))[0] == 204
    assert kind(await cloud(RED, "GET", f"{path}/{port['id']}")) == (404, "LocalIPAssociationNotFound")
    assert (await cloud(RED, "DELETE", f"/local_ips/{local['id']}"))[0] == 204


async def test_an_association_names_an_address_and_goes_with_it(cloud: Cloud, net: Body) -> None:
    local = await cloud.made(RED, "/local-ips", network_id=net["id"])
    path = f"/local-ips/{local['id']}/port_associations"
    two = [{"ip_address": "10.0.0.20"}, {"ip_address": "10.0.0.21"}]
    port = await cloud.made(RED, "/ports", network_id=net["id"], fixed_ips=two)

    async def answer(**values: str) -> tuple[int, str]:
        return kind(await cloud(RED, "POST", path, {"port_association": {"fixed_port_id": port["id"], **values}}))

    assert await answer() == (400, "LocalIPNoRequestedIP")
    assert await answer(fixed_ip="10.0.0.22") == (400, "LocalIPRequestedIPNotFound")
    assert await answer(fixed_ip="10.0.0.21") == (201, "")
    assert (await cloud(RED, "PUT", f"/ports/{port['id']}", {"port": {"fixed_ips": two[:1]}}))[0] == 200
    assert (await cloud(RED, "GET", path))[1] == {"port_associations": []}
    assert await answer(fixed_ip="10.0.0.20") == (201, "")
    assert (await cloud(RED, "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert (await cloud(RED, "GET", path))[1] == {"port_associations": []}


async def test_local_ips_of_others_are_not_there(cloud: Cloud, net: Body) -> None:
    local = await cloud.made(RED, "/local-ips", network_id=net["id"])
    path = f"/local-ips/{local['id']}"
    assert kind(await cloud(BLUE, "GET", path)) == (404, "LocalIPNotFound")
    assert kind(await cloud(BLUE, "GET", f"{path}/port_associations")) == (404, "LocalIPNotFound")
    assert (await cloud(BLUE, "GET", "/local-ips"))[1] == {"local_ips": []}
    assert kind(await cloud("reader:red", "DELETE", path)) == (403, "PolicyNotAuthorized")
    _, listed = await cloud("reader:red", "GET", "/local_ips")
    assert [item["id"] for item in listed["local_ips"]] == [local["id"]]


async def test_a_router_keeps_the_interface_whose_address_is_local(cloud: Cloud, net: Body) -> None:
    router = await cloud.made(RED, "/routers")
    leg = await cloud.made(RED, "/ports", network_id=net["id"])
    assert (await join(cloud, RED, router, port_id=leg["id"]))[0] == 200
    local = await cloud.made(RED, "/local-ips", local_port_id=leg["id"])
    assert kind(await leave(cloud, RED, router, port_id=leg["id"])) == (409, "ServicePortInUse")
    assert (await cloud(RED, "DELETE", f"/local-ips/{local['id']}"))[0] == 204
    assert (await leave(cloud, RED, router, port_id=leg["id"]))[0] == 200
