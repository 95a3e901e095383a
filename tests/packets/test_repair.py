"""Somebody breaks by hand what the Linux engine made: it is as it was within two seconds, and traffic flows.

This is the one module of the suite that knows what the Linux engine makes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kaon.compile import names
from kaon.demo import kernel
from tests import sandbox
from tests.packets.lab import OUTSIDE4, Lab, Machine, Network, Project, add_address, ip
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


class Scene:
    """A machine behind a router that closes all doors, and a friend of it in the same network."""

    def __init__(self, project: Project) -> None:
        self.network: Network = project.network("10.0.0.0/24")
        self.router = names.router_netns(project.router(*self.network.subnets, outside=True)["id"])
        self.services = names.network_netns(self.network.id)
        self.bridge = names.bridge(self.network.id)
        self.friend: Machine = project.machine(self.network, project.open())
        self.machine: Machine = project.machine(self.network, project.pings())
        self.port = names.host_device(self.machine.port)
        self.project = project

    def works(self, seconds: float = 5.0) -> None:
        """What is admitted passes, within the network and beyond; what is not does not."""
        assert sandbox.ping(self.friend.netns, self.machine.ipv4, seconds)
        assert sandbox.ping(self.machine.netns, OUTSIDE4, seconds)
        with sandbox.listen(self.machine.netns, self.machine.ipv4, 80):
            assert not sandbox.connects(self.friend.netns, self.machine.ipv4, 80, 0.3)


@pytest.fixture
def scene(project: Project) -> Scene:
    made = Scene(project)
    made.works()
    return made


def nft(*words: str) -> str:
    """Run nft(8); raises AssertionError with what it said."""
    done = subprocess.run(["nft", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _delete_a_rule(scene: Scene) -> None:
    listed = json.loads(nft("-j", "-a", "list", "chain", "inet", "kaon", "ingress"))["nftables"]
    rule = [entry["rule"]["handle"] for entry in listed if "rule" in entry][-1]
    nft("delete", "rule", "inet", "kaon", "ingress", "handle", str(rule))


def _add_a_rule(scene: Scene) -> None:
    nft("insert", "rule", "inet", "kaon", "ingress", "accept")


def _delete_a_chain(scene: Scene) -> None:
    nft("delete", "chain", "inet", "kaon", "forward")


def _router_address(scene: Scene) -> None:
    device = next(line.split()[1] for line in _addresses(scene) if " in-" in line and "10.0.0.1/" in line)
    ip("addr", "del", "10.0.0.1/24", "dev", device, netns=scene.router)


def _addresses(scene: Scene) -> list[str]:
    return ip("-o", "-4", "addr", netns=scene.router).splitlines()


DAMAGES: dict[str, Callable[[Scene], object]] = {
    "bridge deleted": lambda scene: ip("link", "del", scene.bridge),
    "bridge down": lambda scene: ip("link", "set", scene.bridge, "down"),
    "port taken from its bridge": lambda scene: ip("link", "set", scene.port, "nomaster"),
    "port down": lambda scene: ip("link", "set", scene.port, "down"),
    "bridge table deleted": lambda _: nft("delete", "table", "bridge", "kaon"),
    "inet table deleted": lambda _: nft("delete", "table", "inet", "kaon"),
    "chain deleted": _delete_a_chain,
    "chain flushed": lambda _: nft("flush", "chain", "inet", "kaon", "egress"),
    "rule deleted": _delete_a_rule,
    "rule added": _add_a_rule,
    "set flushed": lambda _: nft("flush", "set", "bridge", "kaon", "source_ip4"),
    "map flushed": lambda _: nft("flush", "map", "bridge", "kaon", "port_marks"),
    "address of the router deleted": _router_address,
    "default route of the router deleted": lambda scene: ip("route", "del", "default", netns=scene.router),
    "router's namespace deleted": lambda scene: ip("netns", "del", scene.router),
    "services' namespace deleted": lambda scene: ip("netns", "del", scene.services),
    "nft of the router deleted": lambda scene: ip(
        "netns", "exec", scene.router, "nft", "delete", "table", "inet", "kaon"
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_broken_by_hand_is_repaired(lab: Lab, scene: Scene, damage: str) -> None:
    until(lab.settled)
    before = kernel.shape()
    DAMAGES[damage](scene)
    until(lambda: kernel.shape() == before, 2, f"repair of: {damage}")
    scene.works()
    lines = lab.running.output.read_text(errors="replace").splitlines()
    assert any("repaired" in line and "origin=" in line for line in lines)


def test_an_interface_deleted_in_its_machine_comes_back_empty(scene: Scene) -> None:
    machine = scene.machine
    ip("link", "del", machine.device, netns=machine.netns)
    until(lambda: machine.device in ip("link", netns=machine.netns), 2, "the interface")
    scene.project.configure(machine, scene.network)
    scene.works()


def test_a_stranger_on_the_bridge_reaches_nobody(scene: Scene) -> None:
    with sandbox.namespace("stranger"):
        ip("link", "add", "stranger0", "type", "veth", "peer", "name", "eth0", "netns", "stranger")
        try:
            ip("link", "set", "stranger0", "master", scene.bridge, "up")
            ip("link", "set", "eth0", "up", netns="stranger")
            add_address(Machine("stranger", "eth0", {}), "10.0.0.99/24")
            assert not sandbox.ping("stranger", scene.friend.ipv4, 0.5)
            scene.works()
        finally:
            if Path("/sys/class/net/stranger0").exists():
                ip("link", "del", "stranger0")
