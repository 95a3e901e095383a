"""Floating IPs: an address outside that is a machine inside, as long as it is associated and no longer."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from tests import sandbox
from tests.packets.greeting import greeter, greeting
from tests.packets.lab import OUTSIDE, OUTSIDE4, Machine, Network, Project
from tests.sandbox import ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def network(project: Project) -> Network:
    """A network with a way out."""
    made = project.network("10.0.0.0/24")
    project.router(*made.subnets, outside=True)
    return made


def answers(netns: str, address: str, machine: Machine) -> bool:
    """Whether it is this machine that answers."""
    return greeting(netns, address)[:1] == (machine.id,)


def test_a_floating_ip_is_the_machine_both_ways(project: Project, network: Network) -> None:
    machine = project.machine(network, project.open())
    floating = project.floating(machine)["floating_ip_address"]
    with greeter(machine):
        assert until(lambda: greeting(OUTSIDE, floating)) == (machine.id, OUTSIDE4)
        assert ping(OUTSIDE, floating)
    with sandbox.listen(OUTSIDE, OUTSIDE4, 8080) as listener, closing(sandbox.connect(machine.netns, OUTSIDE4, 8080)):
        accepted, peer = listener.accept()
        accepted.close()
        assert peer[0] == floating


def test_security_groups_hold_for_callers_from_outside(project: Project, network: Network) -> None:
    group = project.group({"protocol": "tcp", "port_range_min": 8080, "port_range_max": 8080})
    machine = project.machine(network, group)
    floating = project.floating(machine)["floating_ip_address"]
    with greeter(machine), greeter(machine, 8081):
        until(lambda: answers(OUTSIDE, floating, machine))
        assert greeting(OUTSIDE, floating, 8081) == ()
    assert not ping(OUTSIDE, floating, 0.3)


def test_a_floating_ip_is_reached_from_inside_too(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    own, others = (project.floating(machine)["floating_ip_address"] for machine in (one, two))
    plain = project.machine(network, project.open())
    with greeter(one), greeter(two):
        # The neighbour's, one's own, and from a machine that has none.
        assert until(lambda: greeting(one.netns, others))[0] == two.id
        assert until(lambda: greeting(one.netns, own))[0] == one.id
        assert until(lambda: greeting(plain.netns, own))[0] == one.id
        assert ping(one.netns, others)


def test_a_floating_ip_moves_and_takes_its_callers_along(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating(one)
    address = floating["floating_ip_address"]
    with greeter(one), greeter(two):
        until(lambda: answers(OUTSIDE, address, one))
        project.cloud.update("floatingips", floating["id"], port_id=two.id)
        until(lambda: answers(OUTSIDE, address, two), what="the other machine answers")
        assert not answers(OUTSIDE, address, one)


def open_connection(address: str, machine: Machine) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection from outside that is established."""
    with closing(sandbox.listen(machine.netns, machine.ipv4, 9090)) as listener:
        client = until(lambda: _try(address))
        return client, listener.accept()[0]


def _try(address: str) -> socket.socket | None:
    try:
        return sandbox.connect(OUTSIDE, address, 9090, 0.3)
    except OSError:
        return None


def test_disassociation_cuts_open_connections(project: Project, network: Network) -> None:
    machine, other = (project.machine(network, project.open()) for _ in range(2))
    floating, kept = project.floating(machine), project.floating(other)
    cut = open_connection(floating["floating_ip_address"], machine)
    goes_on = open_connection(kept["floating_ip_address"], other)
    assert sandbox.passes(*cut)
    project.cloud.update("floatingips", floating["id"], port_id=None)
    until(lambda: not sandbox.passes(*cut, 0.1), what="the connection is cut")
    assert not sandbox.passes(cut[1], cut[0], 0.3)
    assert not ping(OUTSIDE, floating["floating_ip_address"], 0.3)
    assert sandbox.passes(*goes_on)
    assert project.cloud.show("floatingips", floating["id"])["status"] == "DOWN"
    for end in (*cut, *goes_on):
        end.close()


def test_the_port_of_a_floating_ip_may_be_deleted(project: Project, network: Network) -> None:
    machine, heir = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating(machine)
    address = floating["floating_ip_address"]
    assert ping(OUTSIDE, address, 3)
    project.cloud.delete("ports", machine.id)
    until(lambda: not ping(OUTSIDE, address, 0.2), what="silence")
    assert project.cloud.show("floatingips", floating["id"])["port_id"] is None
    project.cloud.update("floatingips", floating["id"], port_id=heir.id)
    assert ping(OUTSIDE, address, 3)


def test_a_deleted_floating_ip_is_nobody(project: Project, network: Network) -> None:
    machine = project.machine(network, project.open())
    floating = project.floating(machine)
    assert ping(OUTSIDE, floating["floating_ip_address"], 3)
    project.cloud.delete("floatingips", floating["id"])
    until(lambda: not ping(OUTSIDE, floating["floating_ip_address"], 0.2), what="silence")
    # The machine goes out by the router's address again.
    assert ping(machine.netns, OUTSIDE4, 3)


def test_a_floating_ip_of_a_second_address_leaves_the_first_alone(project: Project, network: Network) -> None:
    subnet = network.subnets[0]["id"]
    fixed = [{"subnet_id": subnet, "ip_address": "10.0.0.31"}, {"subnet_id": subnet, "ip_address": "10.0.0.32"}]
    machine = project.machine(network, project.open(), fixed_ips=fixed)
    floating = project.floating(machine, fixed_ip_address="10.0.0.32")["floating_ip_address"]
    with closing(sandbox.listen(machine.netns, "10.0.0.32", 80)) as listener:
        until(lambda: sandbox.connects(OUTSIDE, floating, 80, 0.3))
        listener.accept()[0].close()
        with closing(sandbox.listen(machine.netns, "10.0.0.31", 81)), pytest.raises(OSError, match="refused"):
            sandbox.connect(OUTSIDE, floating, 81)
