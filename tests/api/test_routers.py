"""Routers, their gateways, interfaces and extra routes through the API."""

from __future__ import annotations

import sqlalchemy as sa

from tests.api.cloud import Cloud
from tests.api.l3 import external, join, kind, leave, network, shown

RED = "member:red"


async def test_an_interface_holds_the_gateway_address_and_keeps_the_router_in_use(cloud: Cloud) -> None:
    net, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers", name="r")
    assert (router["status"], router["external_gateway_info"], router["routes"]) == ("ACTIVE", None, [])
    status, answer = await join(cloud, RED, router, subnet_id=subnet["id"])
    assert status == 200
    assert answer["id"] == router["id"] and answer["project_id"] == answer["tenant_id"] == "red"
    assert answer["subnet_id"] == subnet["id"] and answer["subnet_ids"] == [subnet["id"]]
    port = await shown(cloud, RED, f"/ports/{answer['port_id']}")
    assert port["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}]
    assert (port["device_owner"], port["device_id"]) == ("network:router_interface", router["id"])
    assert port["network_id"] == net["id"] and port["security_groups"] == []
    assert kind(await cloud(RED, "DELETE", f"/routers/{router['id']}")) == (409, "RouterInUse")
    assert kind(await cloud(RED, "DELETE", f"/ports/{port['id']}")) == (409, "ServicePortInUse")
    assert kind(await cloud(RED, "DELETE", f"/subnets/{subnet['id']}"))[0] == 409
    status, again = await leave(cloud, RED, router, subnet_id=subnet["id"])
    assert status == 200 and again == answer
    assert (await cloud(RED, "GET", f"/ports/{port['id']}"))[0] == 404
    assert (await cloud(RED, "DELETE", f"/routers/{router['id']}"))[0] == 204


async def test_a_router_refuses_interfaces_that_make_no_sense(cloud: Cloud) -> None:
    net, (subnet, second) = await network(cloud, RED, "10.0.0.0/24", "10.1.0.0/24")
    _, (twin,) = await network(cloud, RED, "10.0.0.0/25")
    closed = await cloud.made(RED, "/subnets", network_id=net["id"], cidr="10.2.0.0/24", ip_version=4, gateway_ip=None)
    router = await cloud.made(RED, "/routers")
    for what in ({}, {"subnet_id": subnet["id"], "port_id": subnet["id"]}, {"subnet_id": closed["id"]}):
        assert kind(await join(cloud, RED, router, **what)) == (400, "BadRequest"), what
    unknown = "3f0e9a5c-6b1c-4d0e-9a7f-2f6c8e3d1b4a"
    assert kind(await join(cloud, RED, router, subnet_id=unknown)) == (404, "SubnetNotFound")
    assert kind(await join(cloud, RED, router, port_id=unknown)) == (404, "PortNotFound")
    assert kind(await join(cloud, RED, router, subnet_id="x")) == (400, "HTTPBadRequest")
    assert (await join(cloud, RED, router, subnet_id=subnet["id"]))[0] == 200
    status, body = await join(cloud, RED, router, subnet_id=subnet["id"])
    assert status == 400 and "already has a port on subnet" in body["NeutronError"]["message"]
    status, body = await join(cloud, RED, router, subnet_id=twin["id"])
    assert status == 400 and "overlaps with cidr" in body["NeutronError"]["message"]
    other = await cloud.made(RED, "/routers")
    assert kind(await join(cloud, RED, other, subnet_id=subnet["id"]))[0] == 409
    instance = await cloud.made(RED, "/ports", network_id=net["id"], device_id="vm")
    assert kind(await join(cloud, RED, router, port_id=instance["id"])) == (409, "PortInUse")
    bare = await cloud.made(RED, "/ports", network_id=net["id"], fixed_ips=[])
    assert kind(await join(cloud, RED, router, port_id=bare["id"])) == (400, "BadRequest")
    wide = [{"subnet_id": subnet["id"]}, {"subnet_id": second["id"]}]
    double = await cloud.made(RED, "/ports", network_id=net["id"], fixed_ips=wide)
    assert kind(await join(cloud, RED, other, port_id=double["id"])) == (400, "BadRequest")


async def test_a_port_made_for_it_becomes_an_interface_without_filters(cloud: Cloud) -> None:
    net, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers")
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    assert port["security_groups"] != []
    status, answer = await join(cloud, RED, router, port_id=port["id"])
    assert status == 200 and answer["port_id"] == port["id"] and answer["subnet_ids"] == [subnet["id"]]
    after = await shown(cloud, RED, f"/ports/{port['id']}")
    assert (after["device_owner"], after["port_security_enabled"]) == ("network:router_interface", False)
    assert after["security_groups"] == []
    mismatch = await leave(cloud, RED, router, port_id=port["id"], subnet_id=router["id"])
    assert kind(mismatch) == (400, "SubnetMismatchForPort")
    assert (await leave(cloud, RED, router, port_id=port["id"]))[0] == 200
    assert kind(await leave(cloud, RED, router, port_id=port["id"])) == (404, "RouterInterfaceNotFound")
    missing = await leave(cloud, RED, router, subnet_id=subnet["id"])
    assert kind(missing) == (404, "RouterInterfaceNotFoundForSubnet")


async def test_all_ipv6_prefixes_of_a_network_share_one_interface(cloud: Cloud) -> None:
    _, (v4, one, two) = await network(cloud, RED, "10.0.0.0/24", "fd00:1::/64", "fd00:2::/64")
    router = await cloud.made(RED, "/routers")
    ports = [(await join(cloud, RED, router, subnet_id=item["id"]))[1]["port_id"] for item in (v4, one, two)]
    assert ports[0] != ports[1] == ports[2]
    port = await shown(cloud, RED, f"/ports/{ports[1]}")
    assert [item["ip_address"] for item in port["fixed_ips"]] == ["fd00:1::1", "fd00:2::1"]
    assert (await leave(cloud, RED, router, subnet_id=one["id"]))[0] == 200
    port = await shown(cloud, RED, f"/ports/{ports[1]}")
    assert [item["ip_address"] for item in port["fixed_ips"]] == ["fd00:2::1"]
    assert (await leave(cloud, RED, router, subnet_id=two["id"]))[0] == 200
    assert (await cloud(RED, "GET", f"/ports/{ports[1]}"))[0] == 404


async def test_foreign_subnets_are_joined_only_where_their_owner_allows(cloud: Cloud) -> None:
    private, (hidden,) = await network(cloud, "member:blue", "10.8.0.0/24")
    public, (common,) = await network(cloud, "admin:ops", "10.9.0.0/24", shared=True)
    router = await cloud.made(RED, "/routers")
    assert kind(await join(cloud, RED, router, subnet_id=hidden["id"])) == (404, "SubnetNotFound")
    assert kind(await join(cloud, RED, router, subnet_id=common["id"])) == (400, "BadRequest")
    port = await cloud.made(RED, "/ports", network_id=public["id"])
    assert (await join(cloud, RED, router, port_id=port["id"]))[0] == 200
    opened = {"object_type": "network", "object_id": private["id"], "action": "access_as_shared"}
    await cloud.made("member:blue", "/rbac-policies", **opened, target_tenant="red")
    assert (await join(cloud, RED, router, subnet_id=hidden["id"]))[0] == 200
    assert kind(await join(cloud, "member:blue", router, subnet_id=hidden["id"])) == (404, "RouterNotFound")
    assert (await join(cloud, "reader:red", router, subnet_id=hidden["id"]))[0] == 403


async def test_a_gateway_takes_an_address_that_tenants_do_not_see_as_a_port(cloud: Cloud) -> None:
    outside = await external(cloud)
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    info = router["external_gateway_info"]
    assert info["network_id"] == outside["id"] and info["enable_snat"] is True
    (address,) = info["external_fixed_ips"]
    assert address["ip_address"].startswith("203.0.113.")
    assert (await cloud(RED, "GET", "/ports"))[1] == {"ports": []}
    _, body = await cloud("admin:ops", "GET", f"/ports?device_id={router['id']}")
    (port,) = body["ports"]
    assert (port["device_owner"], port["project_id"], port["fixed_ips"]) == (
        "network:router_gateway",
        "",
        [address],
    )
    path = f"/routers/{router['id']}"
    same = {"router": {"external_gateway_info": {"network_id": outside["id"]}}}
    _, body = await cloud(RED, "PUT", path, same)
    assert body["router"]["external_gateway_info"] == info
    _, body = await cloud(RED, "PUT", path, {"router": {"external_gateway_info": {}}})
    assert body["router"]["external_gateway_info"] is None
    assert (await cloud("admin:ops", "GET", f"/ports?device_id={router['id']}"))[1] == {"ports": []}


async def test_only_admins_choose_gateway_addresses_and_snat(cloud: Cloud) -> None:
    outside = await external(cloud)
    inside, _ = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers")
    path = f"/routers/{router['id']}"

    def body(**info: object) -> dict[str, object]:
        return {"router": {"external_gateway_info": {"network_id": outside["id"], **info}}}

    assert kind(await cloud(RED, "PUT", path, body(enable_snat=False))) == (403, "PolicyNotAuthorized")
    wished = [{"ip_address": "203.0.113.77"}]
    assert kind(await cloud(RED, "PUT", path, body(external_fixed_ips=wished)))[0] == 403
    _, answer = await cloud("admin:ops", "PUT", path, body(enable_snat=False, external_fixed_ips=wished))
    info = answer["router"]["external_gateway_info"]
    assert info["enable_snat"] is False and info["external_fixed_ips"][0]["ip_address"] == "203.0.113.77"
    own = [{"ip_address": "203.0.113.1"}]
    assert kind(await cloud("admin:ops", "PUT", path, body(external_fixed_ips=own))) == (400, "BadRequest")
    wrong = {"router": {"external_gateway_info": {"network_id": inside["id"]}}}
    assert kind(await cloud(RED, "PUT", path, wrong)) == (400, "BadRequest")
    wrong["router"]["external_gateway_info"]["network_id"] = router["id"]
    assert kind(await cloud(RED, "PUT", path, wrong)) == (404, "NetworkNotFound")
    assert kind(await cloud(RED, "PUT", path, {"router": {"external_gateway_info": 5}}))[0] == 400
    after = await shown(cloud, RED, path)
    assert after["external_gateway_info"] == info


async def test_the_gateway_info_follows_the_addresses_of_the_gateway_port(cloud: Cloud) -> None:
    outside = await external(cloud)
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    path = f"/routers/{router['id']}"

    async def addresses() -> list[str]:
        info = (await shown(cloud, RED, path))["external_gateway_info"]
        return [item["ip_address"] for item in info["external_fixed_ips"]]

    _, body = await cloud("admin:ops", "GET", f"/ports?device_id={router['id']}")
    wished = {"port": {"fixed_ips": [{"ip_address": "203.0.113.99"}]}}
    assert (await cloud("admin:ops", "PUT", f"/ports/{body['ports'][0]['id']}", wished))[0] == 200
    assert await addresses() == ["203.0.113.99"]
    slaac = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac", "cidr": "2001:db8::/64"}
    subnet = await cloud.made("admin:ops", "/subnets", network_id=outside["id"], **slaac)
    assert len(await addresses()) == 2
    assert (await cloud("admin:ops", "DELETE", f"/subnets/{subnet['id']}"))[0] == 204
    assert await addresses() == ["203.0.113.99"]
    assert (await cloud(RED, "PUT", path, {"router": {"external_gateway_info": None}}))[0] == 200
    assert (await cloud(RED, "DELETE", path))[0] == 204


async def test_a_gateway_gets_an_address_once_its_network_has_a_subnet(cloud: Cloud) -> None:
    outside = await cloud.made("admin:ops", "/networks", **{"router:external": True})
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    assert router["external_gateway_info"]["external_fixed_ips"] == []
    for cidr in ("203.0.113.0/24", "198.51.100.0/24", "2001:db8::/64"):
        version = 6 if ":" in cidr else 4
        await cloud.made("admin:ops", "/subnets", network_id=outside["id"], cidr=cidr, ip_version=version)
    info = (await shown(cloud, RED, f"/routers/{router['id']}"))["external_gateway_info"]
    assert [item["ip_address"] for item in info["external_fixed_ips"]] == ["203.0.113.2", "2001:db8::2"]


async def test_an_interface_that_overlaps_the_external_network_is_refused_both_ways(cloud: Cloud) -> None:
    outside = await external(cloud, "10.0.0.0/16")
    _, (subnet,) = await network(cloud, RED, "10.0.5.0/24")
    gateway = {"network_id": outside["id"]}
    router = await cloud.made(RED, "/routers", external_gateway_info=gateway)
    assert kind(await join(cloud, RED, router, subnet_id=subnet["id"])) == (400, "BadRequest")
    other = await cloud.made(RED, "/routers")
    assert (await join(cloud, RED, other, subnet_id=subnet["id"]))[0] == 200
    body = {"router": {"external_gateway_info": gateway}}
    assert kind(await cloud(RED, "PUT", f"/routers/{other['id']}", body)) == (400, "BadRequest")


async def test_extra_routes_lead_through_neighbours_and_keep_their_interface(cloud: Cloud) -> None:
    _, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers")
    await join(cloud, RED, router, subnet_id=subnet["id"])
    path = f"/routers/{router['id']}"
    good = {"destination": "10.7.0.0/16", "nexthop": "10.0.0.9"}
    for bad in (
        {"destination": "10.7.0.0/16", "nexthop": "10.1.0.9"},
        {"destination": "10.7.0.0/16", "nexthop": "10.0.0.1"},
        {"destination": "fd00::/64", "nexthop": "10.0.0.9"},
    ):
        assert kind(await cloud(RED, "PUT", path, {"router": {"routes": [bad]}})) == (400, "InvalidRoutes")
    many = [{"destination": f"10.7.{i}.0/24", "nexthop": "10.0.0.9"} for i in range(31)]
    assert kind(await cloud(RED, "PUT", path, {"router": {"routes": many}})) == (400, "RoutesExhausted")
    _, body = await cloud(RED, "PUT", path, {"router": {"routes": [good]}})
    assert body["router"]["routes"] == [good]
    refused = await leave(cloud, RED, router, subnet_id=subnet["id"])
    assert kind(refused) == (409, "RouterInterfaceInUseByRoute")
    more = {"destination": "10.8.0.0/16", "nexthop": "10.0.0.8"}
    _, body = await cloud(RED, "PUT", f"{path}/add_extraroutes", {"router": {"routes": [more, good]}})
    assert body["router"]["routes"] == [good, more]
    _, body = await cloud(RED, "PUT", f"{path}/remove_extraroutes", {"router": {"routes": [good, many[0]]}})
    assert body["router"]["routes"] == [more] and body["router"]["id"] == router["id"]
    assert (await cloud(RED, "PUT", path, {"router": {"routes": None}}))[1]["router"]["routes"] == []
    assert (await leave(cloud, RED, router, subnet_id=subnet["id"]))[0] == 200


async def test_the_fiftieth_interface_takes_as_many_statements_as_the_second(cloud: Cloud) -> None:
    router = await cloud.made("admin:ops", "/routers")
    statements: list[str] = []
    sa.event.listen(cloud.store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    counts = []
    for number in range(20):
        _, (subnet,) = await network(cloud, "admin:ops", f"10.{number}.0.0/24")
        statements.clear()
        assert (await join(cloud, "admin:ops", router, subnet_id=subnet["id"]))[0] == 200
        counts.append(len(statements))
    assert counts[1] == counts[-1]
