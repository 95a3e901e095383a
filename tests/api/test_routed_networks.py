"""Routed networks: subnets on segments, and ports that have addresses where their host is."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.channel import Attachment
from kaon.resources.hosts import attachment
from kaon.resources.hosts.agent import AGENT
from kaon.resources.types import new_id
from tests.api.cloud import Cloud

ADMIN = "admin:ops"


class Routed(NamedTuple):
    """A network on two racks, each with a segment and a subnet."""

    network: dict[str, Any]
    segments: list[str]
    subnets: list[dict[str, Any]]


async def routed(cloud: Cloud) -> Routed:
    """A routed network, and a host in each rack."""
    racks = [
        {"provider:network_type": "vlan", "provider:physical_network": f"rack{n}", "provider:segmentation_id": 100 + n}
        for n in (1, 2)
    ]
    net = await cloud.made(ADMIN, "/networks", segments=racks, shared=True)
    _, body = await cloud(ADMIN, "GET", f"/segments?network_id={net['id']}&sort_key=physical_network&sort_dir=asc")
    ids = [item["id"] for item in body["segments"]]
    subnets = [
        await cloud.made(
            ADMIN, "/subnets", network_id=net["id"], ip_version=4, cidr=f"10.{n}.0.0/24", segment_id=ids[n - 1]
        )
        for n in (1, 2)
    ]
    for n in (1, 2):
        await host(cloud, f"host{n}", f"rack{n}")
    return Routed(net, ids, subnets)


async def host(cloud: Cloud, name: str, physical: str) -> None:
    """A host whose agent maps a physical network."""
    values = {**AGENT.initial, "id": new_id(), "host": name, "agent_type": "Linux bridge agent", "heartbeat": 0}
    mapped = {"bridge_mappings": {physical: "br-ex"}}
    await cloud.store.write(
        lambda tx: tx.execute(sa.insert(AGENT.table).values({**values, "configurations": mapped, "revision_number": 0}))
    )


async def refused(cloud: Cloud, method: str, path: str, body: Any) -> tuple[int, str]:
    """Status and type of a refusal."""
    status, answer = await cloud(ADMIN, method, path, body)
    return status, answer["NeutronError"]["type"]


async def test_a_network_with_subnets_on_segments_is_no_longer_one_l2_domain(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    assert net["l2_adjacency"] is True
    place = await routed(cloud)
    _, body = await cloud("member:red", "GET", f"/networks/{place.network['id']}")
    assert body["network"]["l2_adjacency"] is False
    for subnet in place.subnets:
        await cloud(ADMIN, "DELETE", f"/subnets/{subnet['id']}")
    _, body = await cloud("member:red", "GET", f"/networks/{place.network['id']}")
    assert body["network"]["l2_adjacency"] is True


async def test_a_port_gets_its_address_when_its_host_is_known(cloud: Cloud) -> None:
    place = await routed(cloud)
    port = await cloud.made(ADMIN, "/ports", network_id=place.network["id"])
    assert (port["fixed_ips"], port["ip_allocation"]) == ([], "deferred")
    _, body = await cloud(ADMIN, "PUT", f"/ports/{port['id']}", {"port": {"binding:host_id": "host2"}})
    assert body["port"]["ip_allocation"] == "immediate"
    assert [item["subnet_id"] for item in body["port"]["fixed_ips"]] == [place.subnets[1]["id"]]
    bound = await cloud.made(ADMIN, "/ports", network_id=place.network["id"], **{"binding:host_id": "host1"})
    assert [item["subnet_id"] for item in bound["fixed_ips"]] == [place.subnets[0]["id"]]
    # On a network that is not routed nothing waits.
    plain = await cloud.made(ADMIN, "/networks")
    await cloud.made(ADMIN, "/subnets", network_id=plain["id"], ip_version=4, cidr="10.9.0.0/24")
    port = await cloud.made(ADMIN, "/ports", network_id=plain["id"])
    assert port["ip_allocation"] == "immediate" and port["fixed_ips"]
    assert (await cloud.made(ADMIN, "/ports", network_id=plain["id"], fixed_ips=[]))["ip_allocation"] == "none"


async def test_an_attached_port_gets_its_address_where_the_agent_is(cloud: Cloud) -> None:
    place = await routed(cloud)
    port = await cloud.made(ADMIN, "/ports", network_id=place.network["id"])
    await cloud.store.write(lambda tx: attachment.attach(tx, "host2", Attachment(port_id=port["id"], tap="vnet0")))
    _, body = await cloud(ADMIN, "GET", f"/ports/{port['id']}")
    assert [item["subnet_id"] for item in body["port"]["fixed_ips"]] == [place.subnets[1]["id"]]
    assert body["port"]["ip_allocation"] == "immediate"


async def test_hosts_form_addresses_in_the_subnets_of_their_own_segment_only(cloud: Cloud) -> None:
    place = await routed(cloud)
    slaac = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    six = [
        await cloud.made(
            ADMIN,
            "/subnets",
            network_id=place.network["id"],
            cidr=f"2001:db8:{n}::/64",
            segment_id=place.segments[n - 1],
            **slaac,
        )
        for n in (1, 2)
    ]
    deferred = await cloud.made(ADMIN, "/ports", network_id=place.network["id"])
    assert deferred["fixed_ips"] == []
    mac = "fa:16:3e:00:00:07"
    body = {"port": {"binding:host_id": "host1", "mac_address": mac}}
    status, answer = await cloud(ADMIN, "PUT", f"/ports/{deferred['id']}", body)
    assert status == 200
    held = answer["port"]["fixed_ips"]
    assert {item["subnet_id"] for item in held} == {place.subnets[0]["id"], six[0]["id"]}
    assert "2001:db8:1::f816:3eff:fe00:7" in {
        item["ip_address"].replace("2001:db8:1:0:", "2001:db8:1::") for item in held
    }
    # Not bound, but by its address it is in the second rack.
    chosen = [{"subnet_id": place.subnets[1]["id"]}]
    unbound = await cloud.made(ADMIN, "/ports", network_id=place.network["id"], fixed_ips=chosen)
    waiting = await cloud.made(ADMIN, "/ports", network_id=place.network["id"])
    more = await cloud.made(
        ADMIN, "/subnets", network_id=place.network["id"], cidr="2001:db8:3::/64", segment_id=place.segments[1], **slaac
    )
    holders = set()
    for port in (deferred, unbound, waiting):
        _, body = await cloud(ADMIN, "GET", f"/ports/{port['id']}")
        if any(item["subnet_id"] == more["id"] for item in body["port"]["fixed_ips"]):
            holders.add(port["id"])
    assert holders == {unbound["id"]}


async def test_the_last_subnet_that_gives_a_port_its_address_stays(cloud: Cloud) -> None:
    net = await cloud.made(ADMIN, "/networks")
    _, body = await cloud(ADMIN, "GET", f"/segments?network_id={net['id']}")
    slaac = {"ip_version": 6, "ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"}
    one, two = [
        await cloud.made(
            ADMIN,
            "/subnets",
            network_id=net["id"],
            cidr=f"2001:db8:{n}::/64",
            segment_id=body["segments"][0]["id"],
            **slaac,
        )
        for n in (1, 2)
    ]
    await cloud.made(ADMIN, "/ports", network_id=net["id"], **{"binding:host_id": "anywhere"})
    assert (await cloud(ADMIN, "DELETE", f"/subnets/{one['id']}"))[0] == 204
    assert await refused(cloud, "DELETE", f"/subnets/{two['id']}", None) == (409, "SubnetInUse")


async def test_a_host_that_reaches_no_segment_or_the_wrong_one_is_refused(cloud: Cloud) -> None:
    place = await routed(cloud)
    port = await cloud.made(ADMIN, "/ports", network_id=place.network["id"])
    path = f"/ports/{port['id']}"
    nowhere = {"port": {"binding:host_id": "host3"}}
    assert await refused(cloud, "PUT", path, nowhere) == (409, "HostNotConnectedToAnySegment")
    new = {"port": {"network_id": place.network["id"], "binding:host_id": "host3"}}
    assert await refused(cloud, "POST", "/ports", new) == (409, "HostNotConnectedToAnySegment")
    # Its host is not known, but its addresses say where it is to be.
    fixed = [{"subnet_id": place.subnets[0]["id"]}]
    port = await cloud.made(ADMIN, "/ports", network_id=place.network["id"], fixed_ips=fixed)
    assert port["ip_allocation"] == "immediate" and len(port["fixed_ips"]) == 1
    path = f"/ports/{port['id']}"
    away = {"port": {"binding:host_id": "host2"}}
    assert await refused(cloud, "PUT", path, away) == (409, "HostNotCompatibleWithFixedIps")
    assert (await cloud(ADMIN, "PUT", path, {"port": {"binding:host_id": "host1"}}))[0] == 200
    both = {"port": {"network_id": place.network["id"], "fixed_ips": [{"subnet_id": s["id"]} for s in place.subnets]}}
    assert await refused(cloud, "POST", "/ports", both) == (400, "FixedIpsSubnetsNotOnSameSegment")


async def test_either_all_subnets_of_a_network_are_on_segments_or_none(cloud: Cloud) -> None:
    place = await routed(cloud)
    new = {"network_id": place.network["id"], "ip_version": 4, "cidr": "10.3.0.0/24"}
    error = await refused(cloud, "POST", "/subnets", {"subnet": new})
    assert error == (400, "SubnetsNotAllAssociatedWithSegments")
    other = await cloud.made(ADMIN, "/networks")
    new = {"network_id": other["id"], "ip_version": 4, "cidr": "10.3.0.0/24"}
    error = await refused(cloud, "POST", "/subnets", {"subnet": {**new, "segment_id": place.segments[0]}})
    assert error == (400, "NetworkIdsDontMatch")
    error = await refused(cloud, "POST", "/subnets", {"subnet": {**new, "segment_id": new_id()}})
    assert error == (404, "SegmentNotFound")
    mine = await cloud.made("member:red", "/networks")
    body = {"subnet": {**new, "network_id": mine["id"], "segment_id": new_id()}}
    status, answer = await cloud("member:red", "POST", "/subnets", body)
    assert (status, answer["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")


async def test_the_only_subnet_of_a_network_with_one_segment_can_be_put_on_it(cloud: Cloud) -> None:
    net = await cloud.made(ADMIN, "/networks")
    _, body = await cloud(ADMIN, "GET", f"/segments?network_id={net['id']}")
    on = {"subnet": {"segment_id": body["segments"][0]["id"]}}
    subnet = await cloud.made(ADMIN, "/subnets", network_id=net["id"], ip_version=4, cidr="10.1.0.0/24")
    second = await cloud.made(ADMIN, "/subnets", network_id=net["id"], ip_version=4, cidr="10.2.0.0/24")
    path = f"/subnets/{subnet['id']}"
    assert await refused(cloud, "PUT", path, on) == (400, "SubnetsNotAllAssociatedWithSegments")
    await cloud(ADMIN, "DELETE", f"/subnets/{second['id']}")
    status, body = await cloud(ADMIN, "PUT", path, on)
    assert (status, body["subnet"]["segment_id"]) == (200, on["subnet"]["segment_id"])
    _, body = await cloud(ADMIN, "GET", f"/networks/{net['id']}")
    assert body["network"]["l2_adjacency"] is False
    off = {"subnet": {"segment_id": None}}
    assert await refused(cloud, "PUT", path, off) == (400, "SubnetSegmentAssociationChangeNotAllowed")
    several = await cloud.made(
        ADMIN, "/networks", segments=[{"provider:network_type": "vxlan"}, {"provider:network_type": "geneve"}]
    )
    _, body = await cloud(ADMIN, "GET", f"/segments?network_id={several['id']}")
    on = {"subnet": {"segment_id": body["segments"][0]["id"]}}
    subnet = await cloud.made(ADMIN, "/subnets", network_id=several["id"], ip_version=4, cidr="10.1.0.0/24")
    error = await refused(cloud, "PUT", f"/subnets/{subnet['id']}", on)
    assert error == (400, "NoUpdateSubnetWhenMultipleSegmentsOnNetwork")


async def test_subnets_of_a_routed_network_have_routes_to_each_other(cloud: Cloud) -> None:
    place = await routed(cloud)
    first, second = (f"/subnets/{item['id']}" for item in place.subnets)

    async def routes(path: str) -> list[dict[str, str]]:
        _, body = await cloud(ADMIN, "GET", path)
        return list(body["subnet"]["host_routes"])

    assert await routes(first) == [{"destination": "10.2.0.0/24", "nexthop": "10.1.0.1"}]
    assert await routes(second) == [{"destination": "10.1.0.0/24", "nexthop": "10.2.0.1"}]
    # The gateway moves, and with it the route.
    await cloud(ADMIN, "PUT", first, {"subnet": {"gateway_ip": "10.1.0.254", "allocation_pools": []}})
    assert await routes(first) == [{"destination": "10.2.0.0/24", "nexthop": "10.1.0.254"}]
    # A wider route of a client's own covers the peer's prefix.
    own = [{"destination": "10.0.0.0/8", "nexthop": "10.1.0.9"}]
    await cloud(ADMIN, "PUT", first, {"subnet": {"host_routes": own}})
    assert await routes(first) == own
    await cloud(ADMIN, "DELETE", first)
    assert await routes(second) == []
