"""Routers: what they join talks, what they don't join does not, and nothing private shows outside."""

from __future__ import annotations

import json

import pytest

from tests import sandbox
from tests.packets.lab import OUTSIDE, OUTSIDE4, OUTSIDE6, WIRE, Body, Lab, Machine, Network, Project, ip
from tests.sandbox import ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

FOUR, SIX = "10.0.0.0/24", "fd00:1::/64"
FOUR_B, SIX_B = "10.0.1.0/24", "fd00:2::/64"


def source_seen(machine: Machine, address: str, host: str = OUTSIDE) -> str:
    """The source address that a host outside sees of a machine that connects to it."""
    with sandbox.listen(host, address, 8080) as listener:
        client = sandbox.connect(machine.netns, address, 8080)
        accepted, peer = listener.accept()
        accepted.close()
        client.close()
        return str(peer[0])


def silent(netns: str, address: str) -> None:
    """Wait until an address answers no more, and see that it stays so."""
    until(lambda: not ping(netns, address, 0.2), what=f"silence of {address}")
    assert not ping(netns, address, 0.3)


def test_subnets_of_one_network_are_joined_by_a_router(project: Project) -> None:
    network = project.network(FOUR, FOUR_B)
    one, two = (
        project.machine(network, project.pings(), fixed_ips=[{"subnet_id": subnet["id"]}]) for subnet in network.subnets
    )
    assert not ping(one.netns, two.ipv4, 0.3)
    project.router(*network.subnets)
    assert ping(one.netns, two.ipv4, 3)


def test_networks_are_joined_by_a_router_and_apart_without_it(project: Project) -> None:
    left, right = project.network(FOUR, SIX), project.network(FOUR_B, SIX_B)
    one, two = project.machine(left, project.pings()), project.machine(right, project.pings())
    for address in two.addresses:
        assert not ping(one.netns, address, 0.3)
    router = project.router(*left.subnets, *right.subnets)
    for address in two.addresses:
        assert ping(one.netns, address, 3)
    # Both ways have a hop in between: the packet's time to live tells.
    seen = two.capture()
    assert ping(one.netns, two.ipv4)
    lives = {frame[22] for frame in seen.frames() if frame[12:14] == b"\x08\x00" and frame[34] == 8}
    seen.close()
    assert lives == {63}
    project.leave(router, subnet_id=right.subnets[0]["id"])
    silent(one.netns, two.ipv4)
    assert ping(one.netns, two.ipv6)


def test_a_router_that_is_down_carries_nothing(project: Project) -> None:
    left, right = project.network(FOUR, SIX), project.network(FOUR_B, SIX_B)
    one, two = project.machine(left, project.pings()), project.machine(right, project.pings())
    router = project.router(*left.subnets, *right.subnets)
    assert ping(one.netns, two.ipv4, 3)
    project.cloud.update("routers", router["id"], admin_state_up=False)
    for address in two.addresses:
        silent(one.netns, address)
    project.cloud.update("routers", router["id"], admin_state_up=True)
    for address in two.addresses:
        assert ping(one.netns, address, 5)


def test_two_routers_with_colliding_networks_are_worlds_apart(lab: Lab, project: Project) -> None:
    with lab.project() as other:
        ends = []
        for each in (project, other):
            left, right = each.network(FOUR), each.network(FOUR_B)
            each.router(*left.subnets, *right.subnets, outside=True)
            ends.append((each.machine(left, each.pings()), each.machine(right, each.pings())))
        (one, two), (twin, stranger) = ends
        assert (one.ipv4, two.ipv4) == (twin.ipv4, stranger.ipv4)
        seen = [machine.capture() for machine in (twin, stranger)]
        assert ping(one.netns, two.ipv4)
        echoes = [
            frame for capture in seen for frame in capture.frames() if frame[12:14] == b"\x08\x00" and frame[23] == 1
        ]
        assert echoes == []
        assert ping(twin.netns, stranger.ipv4)


def test_an_extra_route_leads_through_a_machine(project: Project) -> None:
    network = project.network(FOUR)
    router = project.router(*network.subnets)
    hop = project.machine(network, project.open(), allowed_address_pairs=[{"ip_address": "172.20.0.0/16"}])
    source = project.machine(network, project.open())
    ip("addr", "add", "172.20.0.1/32", "dev", "lo", netns=hop.netns)
    assert not ping(source.netns, "172.20.0.1", 0.3)
    routes = [{"destination": "172.20.0.0/16", "nexthop": hop.ipv4}]
    project.cloud.update("routers", router["id"], routes=routes)
    assert ping(source.netns, "172.20.0.1", 3)
    project.cloud.update("routers", router["id"], routes=[])
    silent(source.netns, "172.20.0.1")


def test_the_outside_sees_the_routers_address(project: Project) -> None:
    network = project.network(FOUR)
    router = project.router(*network.subnets, outside=True)
    machine = project.machine(network, project.group())
    gateway = router["external_gateway_info"]["external_fixed_ips"]
    address = next(each["ip_address"] for each in gateway if ":" not in each["ip_address"])
    assert ping(machine.netns, OUTSIDE4, 3)
    seen = sandbox.Capture(OUTSIDE, "eth0")
    assert source_seen(machine, OUTSIDE4) == address
    private = bytes(int(part) for part in machine.ipv4.split("."))
    assert [frame for frame in seen.frames() if frame[12:14] == b"\x08\x00" and frame[26:30] == private] == []
    seen.close()
    # Who knows the private address outside and has a route still gets nowhere.
    ip("route", "add", FOUR, "via", address, netns=OUTSIDE)
    try:
        project.cloud.update("ports", machine.id, security_groups=[project.open()["id"]])
        assert not ping(OUTSIDE, machine.ipv4, 0.4)
    finally:
        ip("route", "del", FOUR, netns=OUTSIDE)


def test_only_routers_speak_to_the_outside_and_not_the_host(lab: Lab, project: Project) -> None:
    network = project.network(FOUR)
    seen = sandbox.Capture(OUTSIDE, "eth0")
    router = project.router(*network.subnets, outside=True)
    machine = project.machine(network, project.group())
    assert ping(machine.netns, OUTSIDE4, 3)
    ports: list[Body] = lab.admin.call("GET", f"/v2.0/ports?device_id={router['id']}")["ports"]
    gateway = next(port["mac_address"] for port in ports if port["device_owner"] == "network:router_gateway")
    links = json.loads(ip("-j", "link", "show", "dev", "eth0", netns=OUTSIDE)) + json.loads(ip("-j", "link"))
    operators = {link["address"] for link in links if link["ifname"] in ("eth0", "br-outside", "to-outside")}
    senders = {frame[6:12].hex(":") for frame in seen.frames()}
    seen.close()
    assert senders - operators == {gateway}


def test_without_source_nat_the_outside_sees_private_addresses(lab: Lab, project: Project) -> None:
    network = project.network(FOUR)
    router = project.router(*network.subnets)
    # Whether to translate is for administrators to say, as in Neutron's default policy.
    info = {"network_id": lab.external["id"], "enable_snat": False}
    gateway = lab.admin.update("routers", router["id"], external_gateway_info=info)["external_gateway_info"]
    address = next(each["ip_address"] for each in gateway["external_fixed_ips"] if ":" not in each["ip_address"])
    machine = project.machine(network, project.open())
    assert not ping(machine.netns, OUTSIDE4, 0.4)
    ip("route", "add", FOUR, "via", address, netns=OUTSIDE)
    try:
        assert ping(machine.netns, OUTSIDE4, 3)
        assert source_seen(machine, OUTSIDE4) == machine.ipv4
        assert ping(OUTSIDE, machine.ipv4)
        info["enable_snat"] = True
        lab.admin.update("routers", router["id"], external_gateway_info=info)
        until(lambda: source_seen(machine, OUTSIDE4) == address, what="translated again")
    finally:
        ip("route", "del", FOUR, netns=OUTSIDE)


def test_ipv6_is_routed_to_the_outside_as_it_is(project: Project) -> None:
    network = project.network(FOUR, SIX)
    router = project.router(*network.subnets, outside=True)
    machine = project.machine(network, project.pings())
    gateway = router["external_gateway_info"]["external_fixed_ips"]
    address = next(each["ip_address"] for each in gateway if ":" in each["ip_address"])
    ip("route", "add", SIX, "via", address, netns=OUTSIDE)
    try:
        assert ping(machine.netns, OUTSIDE6, 3)
        assert source_seen(machine, OUTSIDE6) == machine.ipv6
        assert ping(OUTSIDE, machine.ipv6)
    finally:
        ip("route", "del", SIX, netns=OUTSIDE)


def test_without_its_gateway_a_router_reaches_nobody_outside(project: Project) -> None:
    network = project.network(FOUR)
    router = project.router(*network.subnets, outside=True)
    one, two = (project.machine(network, project.pings()) for _ in range(2))
    gateway = router["external_gateway_info"]["external_fixed_ips"]
    address = next(each["ip_address"] for each in gateway if ":" not in each["ip_address"])
    assert ping(one.netns, OUTSIDE4, 3)
    assert ping(OUTSIDE, address)
    project.cloud.update("routers", router["id"], external_gateway_info={})
    silent(one.netns, OUTSIDE4)
    silent(OUTSIDE, address)
    assert ping(one.netns, two.ipv4)


def test_a_network_on_an_interface_of_the_operators_reaches_what_is_behind_it(lab: Lab, project: Project) -> None:
    mapped = {"provider:network_type": "flat", "provider:physical_network": "wire"}
    body = lab.admin.create("networks", project_id=project.cloud.project_id, **mapped)
    subnet = lab.admin.create(
        "subnets",
        network_id=body["id"],
        project_id=project.cloud.project_id,
        ip_version=4,
        cidr="192.0.2.0/24",
        gateway_ip="192.0.2.1",
    )
    network = Network(body, [subnet])
    machine = project.machine(network, project.pings())
    assert ping(machine.netns, "192.0.2.1", 3)
    assert ping(WIRE, machine.ipv4)
    # The neighbour on the wire is nobody's port, and is filtered at the machine's own port.
    with sandbox.listen(machine.netns, machine.ipv4, 80):
        assert not sandbox.connects(WIRE, machine.ipv4, 80, 0.3)
    assert not ping(machine.netns, OUTSIDE4, 0.3)
