"""Ports appear where they are attached, work there, and leave nothing behind when they go."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kaon.agent.control import AgentError
from tests import sandbox
from tests.packets.frames import ARP, ICMP, IP, Ether, send
from tests.packets.lab import Body, Lab, Machine, Network, Project, ip
from tests.sandbox import ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def network(project: Project) -> Network:
    return project.network("10.0.0.0/24", "fd00:1::/64")


def has_interface(machine: Machine) -> bool:
    """Whether the machine's interface exists."""
    with sandbox.inside(machine.netns):
        return machine.device in {name for _, name in socket.if_nameindex()}


# ---------------------------------------------------------------- namespaces


def test_a_port_is_active_while_it_is_attached(project: Project, network: Network) -> None:
    port = project.port(network, project.open())
    assert port["status"] == "DOWN"
    machine = project.plug(port)
    until(lambda: project.status(machine) == "ACTIVE")
    project.lab.detach(machine.id)
    until(lambda: project.status(machine) == "DOWN")
    assert not has_interface(machine)


def test_a_port_detached_here_is_attached_there(project: Project, network: Network) -> None:
    group = project.open()
    machine, other = (project.machine(network, group) for _ in range(2))
    assert ping(other.netns, machine.ipv4)
    project.lab.detach(machine.id)
    assert not ping(other.netns, machine.ipv4, 0.3)
    moved = project.plug(machine.port)
    project.configure(moved, network)
    assert moved.netns != machine.netns
    assert (moved.addresses, moved.mac) == (machine.addresses, machine.mac)
    # The neighbour finds it at its new place by itself.
    for address in moved.addresses:
        assert ping(other.netns, address, 5)


def test_a_port_deleted_while_attached_is_gone_from_its_machine(project: Project, network: Network) -> None:
    group = project.open()
    machine, other = (project.machine(network, group) for _ in range(2))
    project.cloud.delete("ports", machine.id)
    until(lambda: not has_interface(machine), what="the interface goes")
    assert not ping(other.netns, machine.ipv4, 0.3)
    third = project.machine(network, group)
    assert ping(other.netns, third.ipv4)


def test_one_machine_has_ports_in_two_networks(project: Project) -> None:
    left, right = project.network("10.0.0.0/24"), project.network("10.0.1.0/24")
    group = project.open()
    first = project.machine(left, group)
    second = project.plug(project.port(right, group), first.netns, "eth1")
    project.configure(second, right)
    for network, own in ((left, first), (right, second)):
        neighbour = project.machine(network, group)
        assert ping(neighbour.netns, own.ipv4)
        assert ping(first.netns, neighbour.ipv4)
    # Each interface is its own port: what belongs to one is a lie on the other.
    disguised = Ether(src=first.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=first.mac, psrc=first.ipv4, pdst="10.0.1.77")
    witness = project.machine(right, group)
    seen = witness.capture()
    send(second, disguised)
    assert ping(witness.netns, second.ipv4)
    assert [frame for frame in seen.frames() if frame[6:12] == bytes.fromhex(first.mac.replace(":", ""))] == []
    project.lab.detach(second.id)
    until(lambda: not has_interface(second))
    assert has_interface(first)


def test_a_machine_that_vanishes_and_comes_back_has_its_port_again(project: Project, network: Network) -> None:
    group = project.open()
    machine, other = (project.machine(network, group) for _ in range(2))
    sandbox.remove_namespace(machine.netns)
    until(lambda: project.status(machine) == "DOWN", what="the port is down without its machine")
    reason = project.lab.admin.show("ports", machine.id)["kaon:status_reason"]
    assert machine.netns in reason
    assert "kaon:status_reason" not in {
        name for name, value in project.cloud.show("ports", machine.id).items() if value is not None
    }
    assert project.status(other) == "ACTIVE"
    sandbox.make_namespace(machine.netns)
    until(lambda: project.status(machine) == "ACTIVE", 10, what="the port is up again")
    project.configure(machine, network)
    assert ping(other.netns, machine.ipv4, 3)


def test_attaching_again_is_no_change_and_another_place_is_a_move(project: Project, network: Network) -> None:
    machine, other = (project.machine(network, project.open()) for _ in range(2))
    again = project.plug(machine.port, machine.netns)
    assert ping(other.netns, again.ipv4)
    moved = project.plug(machine.port)
    until(lambda: not has_interface(machine), what="the old place is left")
    project.configure(moved, network)
    assert ping(other.netns, moved.ipv4, 5)


# ---------------------------------------------------------------- refusals


def test_an_unknown_port_is_refused_by_its_name(lab: Lab) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    sandbox.make_namespace("vm-lonely")
    try:
        with pytest.raises(AgentError, match=unknown):
            lab.attach(unknown, netns="vm-lonely")
        with pytest.raises(AgentError, match=unknown):
            lab.detach(unknown)
    finally:
        sandbox.remove_namespace("vm-lonely")


def test_a_missing_namespace_is_refused_by_its_name(lab: Lab, project: Project, network: Network) -> None:
    port = project.port(network, project.open())
    with pytest.raises(AgentError, match="vm-missing"):
        lab.attach(port["id"], netns="vm-missing")
    assert project.cloud.show("ports", port["id"])["status"] == "DOWN"


def test_an_interface_that_exists_is_not_taken(lab: Lab, project: Project, network: Network) -> None:
    first = project.machine(network, project.open())
    second = project.port(network, project.open())
    with pytest.raises(AgentError, match="eth0"):
        lab.attach(second["id"], netns=first.netns, wait=0.5)
    other = project.machine(network, project.open())
    assert ping(other.netns, first.ipv4)
    reason = lab.admin.show("ports", second["id"])["kaon:status_reason"]
    assert "eth0" in reason


def test_ports_of_the_network_itself_are_refused(lab: Lab, project: Project, network: Network) -> None:
    project.router(network.subnets[0])
    machine = project.machine(network, project.open())
    ports: list[Body] = lab.admin.call("GET", f"/v2.0/ports?network_id={network.id}")["ports"]
    for port in ports:
        if port["device_owner"].startswith("network:"):
            with pytest.raises(AgentError, match=port["id"]):
                lab.attach(port["id"], netns=machine.netns, ifname="eth9")


# ---------------------------------------------------------------- taps

needs_tun = pytest.mark.skipif(
    not os.access("/dev/net/tun", os.R_OK | os.W_OK), reason="this user may not open /dev/net/tun on this machine"
)


class TapMachine:
    """The end of a tap device that a virtual machine monitor holds: frames with a virtio header before each."""

    _TUNSETIFF, _FLAGS = 0x400454CA, 0x2 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR
    _HEADER = bytes(10)

    def __init__(self, name: str) -> None:
        self.descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.descriptor, self._TUNSETIFF, struct.pack("16sH22x", name.encode(), self._FLAGS))

    def send(self, frame: bytes) -> None:
        os.write(self.descriptor, self._HEADER + frame)

    def frames(self) -> list[bytes]:
        found = []
        try:
            while True:
                found.append(os.read(self.descriptor, 65536)[len(self._HEADER) :])
        except BlockingIOError:
            return found


@contextmanager
def opened(name: str) -> Iterator[TapMachine]:
    """A virtual machine monitor that has opened a tap device."""
    machine = TapMachine(name)
    try:
        yield machine
    finally:
        os.close(machine.descriptor)


@needs_tun
def test_a_tap_is_a_machine_like_any_other(project: Project, network: Network) -> None:
    port = project.port(network, project.pings())
    other = project.machine(network, project.open())
    bound = project.lab.attach(port["id"], tap="tap-vm0")
    mac, address = str(port["mac_address"]), str(bound["fixed_ips"][0]["ip_address"])  # type: ignore[index]
    ip("neigh", "replace", address, "lladdr", mac, "dev", other.device, netns=other.netns)
    with opened("tap-vm0") as vm:
        until(lambda: project.cloud.show("ports", port["id"])["status"] == "ACTIVE")
        question = Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(hwsrc=mac, psrc=address, pdst=other.ipv4)
        vm.send(bytes(question))
        answer = until(lambda: [f for f in vm.frames() if f[12:14] == b"\x08\x06" and f[6:12].hex(":") == other.mac])
        assert answer[0][28:32] == bytes(map(int, other.ipv4.split(".")))
        echo = Ether(src=mac, dst=other.mac) / IP(src=address, dst=other.ipv4) / ICMP(id=5)
        vm.send(bytes(echo))
        assert until(lambda: [f for f in vm.frames() if f[12:14] == b"\x08\x00" and f[34] == 0])
        # Its port filters as every port does: lies do not leave, uninvited connections do not enter.
        seen = other.capture()
        vm.send(bytes(Ether(src=mac, dst=other.mac) / IP(src="10.0.0.99", dst=other.ipv4) / ICMP(id=6)))
        vm.send(bytes(echo))
        assert until(lambda: [f for f in vm.frames() if f[12:14] == b"\x08\x00" and f[34] == 0])
        assert [f for f in seen.frames() if f[26:30] == bytes((10, 0, 0, 99))] == []
        seen.close()
        assert not sandbox.connects(other.netns, address, 80, 0.3)
        assert [f for f in vm.frames() if f[12:14] == b"\x08\x00" and f[23] == 6] == []
    project.lab.detach(port["id"])
    with pytest.raises(AssertionError):
        ip("link", "show", "tap-vm0")


@needs_tun
def test_a_tap_works_again_when_its_machine_restarts(project: Project, network: Network) -> None:
    port = project.port(network, project.pings())
    other = project.machine(network, project.open())
    project.lab.attach(port["id"], tap="tap-vm1")
    question = Ether(src=port["mac_address"], dst="ff:ff:ff:ff:ff:ff") / ARP(
        hwsrc=port["mac_address"], psrc=port["fixed_ips"][0]["ip_address"], pdst=other.ipv4
    )
    for _ in range(2):
        with opened("tap-vm1") as vm:

            def answered(vm: TapMachine = vm) -> bool:
                vm.send(bytes(question))
                return any(f[12:14] == b"\x08\x06" and f[6:12].hex(":") == other.mac for f in vm.frames())

            until(answered)
