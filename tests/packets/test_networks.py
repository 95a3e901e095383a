"""A network carries its own machines' frames, and nobody else's, whatever their addresses."""

from __future__ import annotations

import socket

import pytest

from tests import sandbox
from tests.packets.lab import Lab, Project
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

CIDRS = ("10.0.0.0/24", "fd00:1::/64")


def test_machines_of_one_network_talk(project: Project) -> None:
    network = project.network(*CIDRS)
    group = project.open()
    one, two = (project.machine(network, group) for _ in range(2))
    for address in (two.ipv4, two.ipv6):
        assert sandbox.ping(one.netns, address)
        with sandbox.listen(two.netns, address, 8080):
            assert sandbox.connects(one.netns, address, 8080)


def test_networks_with_the_same_addresses_are_worlds_apart(lab: Lab, project: Project) -> None:
    with lab.project() as other:
        mine, theirs = (each.network(*CIDRS) for each in (project, other))
        addresses = []
        for each, network in ((project, mine), (other, theirs)):
            group = each.open()
            fixed = [{"subnet_id": network.subnets[0]["id"], "ip_address": "10.0.0.50"}]
            addresses.append((each.machine(network, group, fixed_ips=fixed), each.machine(network, group)))
        (one, neighbour), (twin, stranger) = addresses
        assert one.ipv4 == twin.ipv4
        # Only the other project has a machine at this address, so that an answer would have come from there.
        lonely = [{"subnet_id": theirs.subnets[0]["id"], "ip_address": "10.0.0.99"}]
        target = other.machine(theirs, other.open(), fixed_ips=lonely)
        assert sandbox.ping(stranger.netns, "10.0.0.99")
        seen = [machine.capture() for machine in (twin, stranger, target)]
        assert sandbox.ping(neighbour.netns, one.ipv4)
        assert not sandbox.ping(neighbour.netns, "10.0.0.99", 0.4)
        assert not sandbox.ping(neighbour.netns, stranger.ipv6, 0.4)
        foreign = bytes.fromhex(neighbour.mac.replace(":", ""))
        assert [frame for capture in seen for frame in capture.frames() if frame[6:12] == foreign] == []


def test_connections_with_the_same_ends_in_two_networks_do_not_mix(lab: Lab, project: Project) -> None:
    with lab.project() as other:
        pairs = []
        for each in (project, other):
            network, group = each.network("10.0.0.0/24"), each.open()
            fixed = [[{"subnet_id": network.subnets[0]["id"], "ip_address": f"10.0.0.{n}"}] for n in (11, 12)]
            pairs.append(tuple(each.machine(network, group, fixed_ips=ips) for ips in fixed))
        open_ones = []
        for client, server in pairs:
            listener = sandbox.listen(server.netns, server.ipv4, 8080)
            connection = sandbox.connect(client.netns, server.ipv4, 8080)
            accepted, _ = listener.accept()
            open_ones.append((connection, accepted))
            listener.close()
        # One project closes its door; the same connection of the other one goes on.
        project.cloud.update("ports", pairs[0][1].id, security_groups=[])
        until(lambda: not sandbox.passes(*open_ones[0], 0.1), what="the closed one is cut")
        assert sandbox.passes(*open_ones[1])
        for pair in open_ones:
            for end in pair:
                end.close()


def test_a_network_that_is_down_carries_nothing(project: Project) -> None:
    network = project.network("10.0.0.0/24")
    group = project.open()
    one, two = (project.machine(network, group) for _ in range(2))
    assert sandbox.ping(one.netns, two.ipv4)
    project.cloud.update("networks", network.id, admin_state_up=False)
    until(lambda: not sandbox.ping(one.netns, two.ipv4, 0.2), what="silence")
    project.cloud.update("networks", network.id, admin_state_up=True)
    assert sandbox.ping(one.netns, two.ipv4, 3)


def test_a_port_that_is_down_carries_nothing(project: Project) -> None:
    network = project.network("10.0.0.0/24")
    group = project.open()
    one, two, three = (project.machine(network, group) for _ in range(3))
    project.cloud.update("ports", two.id, admin_state_up=False)
    until(lambda: not sandbox.ping(one.netns, two.ipv4, 0.2), what="silence")
    assert sandbox.ping(one.netns, three.ipv4)
    project.cloud.update("ports", two.id, admin_state_up=True)
    assert sandbox.ping(one.netns, two.ipv4, 3)


@pytest.mark.parametrize("mtu", [1450, 1300])
def test_a_packet_of_the_networks_mtu_passes_and_no_longer_one_is_sent(project: Project, mtu: int) -> None:
    network = project.network("10.0.0.0/24", mtu=mtu)
    one, two = (project.machine(network, project.open()) for _ in range(2))
    with sandbox.inside(two.netns):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sandbox.inside(one.netns):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with receiver, sender:
        receiver.bind((two.ipv4, 9999))
        receiver.settimeout(2)
        # IP_MTU_DISCOVER (10) as IP_PMTUDISC_DO (2): never fragment. 28 bytes are IP and UDP headers.
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)
        sender.sendto(bytes(mtu - 28), (two.ipv4, 9999))
        assert len(receiver.recv(4096)) == mtu - 28
        with pytest.raises(OSError, match="too long"):
            sender.sendto(bytes(mtu - 27), (two.ipv4, 9999))
