"""Quality of service as packets meet it: rates that hold, change and go while machines stay plugged in, and marks.

Rates are compared with one another rather than with the clock, since the machines that run these tests differ; a limit
is held to its own figure within what TCP and a busy machine make of it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pytest

from tests import sandbox
from tests.packets.lab import OUTSIDE, OUTSIDE4, Lab, Machine, Network, Project, ip
from tests.packets.throughput import megabits
from tests.sandbox import ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

FAST = 40
"""Mbit/s that only traffic without a limit reaches here."""
AT_ONCE = 1_200_000
"""Bytes after which a floating IP's or a gateway's limit of 8 Mbit/s holds: a second's worth may go at once."""


@dataclass(slots=True)
class Policy:
    """A QoS policy that everybody may use."""

    lab: Lab
    id: str

    def add(self, kind: str, **values: Any) -> str:
        """Add a rule; returns its path."""
        path = f"/v2.0/qos/policies/{self.id}/{kind}_rules"
        made = self.lab.admin.call("POST", path, {f"{kind}_rule": values})
        return f"{path}/{made[f'{kind}_rule']['id']}"

    def limit(self, direction: str, megabits: int) -> str:
        """Limit bandwidth, with little that may go at once."""
        return self.add("bandwidth_limit", direction=direction, max_kbps=megabits * 1000, max_burst_kbps=400)

    def change(self, path: str, **values: Any) -> None:
        """Change a rule."""
        self.lab.admin.call("PUT", path, {path.split("/")[-2].removesuffix("s"): values})

    def remove(self, path: str) -> None:
        """Remove a rule."""
        self.lab.admin.call("DELETE", path)

    def follow(self, collection: str, id: str, *, yes: bool = True) -> None:
        """Have something follow this policy, or none any more."""
        self.lab.admin.update(collection, id, qos_policy_id=self.id if yes else None)


@pytest.fixture
def policy(lab: Lab) -> Iterator[Policy]:
    """A policy without rules. Asked for before the project, since it goes only after its followers."""
    made = lab.admin.call("POST", "/v2.0/qos/policies", {"policy": {"name": "gold", "shared": True}})["policy"]
    yield Policy(lab, made["id"])
    lab.admin.call("DELETE", f"/v2.0/qos/policies/{made['id']}")


def enforced(lab: Lab) -> None:
    """Wait until what has been asked for is so."""
    (newest,) = lab.admin.call("GET", "/kaon/v1/history?limit=1")["history"]
    until(lambda: (status := lab.settled()) and status.seq >= newest["sequence"], what="the agent has converged")


def pair(project: Project) -> tuple[Machine, Machine, Network]:
    """Two machines of a network that let everything in."""
    network = project.network("10.0.0.0/24", "fd00:1::/64")
    one, two = (project.machine(network, project.open()) for _ in range(2))
    assert ping(one.netns, two.ipv4, 5)
    return one, two, network


def rate(sender: Machine, receiver: Machine) -> float:
    """Mbit/s from one machine to another."""
    return megabits(sender.netns, receiver.netns, receiver.ipv4)


def held(megabits: int, measured: float) -> bool:
    """Whether a rate is that of a limit: headers count, and the machine may be busy, but more is too much."""
    return 0.6 * megabits < measured < 1.15 * megabits


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_port_is_as_fast_as_its_policy_says_one_way_and_free_the_other(
    policy: Policy, project: Project, direction: str
) -> None:
    one, two, _ = pair(project)
    sender, receiver = (one, two) if direction == "egress" else (two, one)
    assert rate(sender, receiver) > FAST
    policy.limit(direction, 4)
    policy.follow("ports", one.id)
    enforced(project.lab)
    assert held(4, rate(sender, receiver))
    assert rate(receiver, sender) > FAST
    assert project.status(one) == "ACTIVE"


def test_a_rule_changes_the_rate_of_a_port_that_stays_plugged_in(policy: Policy, project: Project) -> None:
    one, two, _ = pair(project)
    rule = policy.limit("egress", 2)
    policy.follow("ports", one.id)
    enforced(project.lab)
    plugged = ip("-o", "link", "show", "eth0", netns=one.netns)
    assert held(2, rate(one, two))
    policy.change(rule, max_kbps=8000)
    enforced(project.lab)
    assert held(8, rate(one, two))
    policy.remove(rule)
    enforced(project.lab)
    assert rate(one, two) > FAST
    assert ip("-o", "link", "show", "eth0", netns=one.netns) == plugged


def test_a_port_follows_its_networks_policy_until_it_has_its_own(policy: Policy, project: Project) -> None:
    one, two, network = pair(project)
    policy.limit("egress", 3)
    policy.follow("networks", network.id)
    enforced(project.lab)
    assert held(3, rate(one, two)) and held(3, rate(two, one))
    policy.follow("networks", network.id, yes=False)
    enforced(project.lab)
    assert rate(one, two) > FAST


def test_what_a_limited_port_sends_is_filtered_as_before(policy: Policy, project: Project) -> None:
    network = project.network("10.0.0.0/24")
    closed, two = project.machine(network, project.group()), project.machine(network, project.open())
    policy.limit("egress", 4)
    policy.limit("ingress", 4)
    policy.follow("ports", closed.id)
    enforced(project.lab)
    assert ping(closed.netns, two.ipv4, 5)
    assert not ping(two.netns, closed.ipv4, 0.5)
    ip("addr", "add", "10.0.0.77/24", "dev", "eth0", netns=closed.netns)
    with sandbox.inside(closed.netns):
        forger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(forger), closing(capture := two.capture()):
        forger.bind(("10.0.0.77", 0))
        forger.sendto(b"forged", (two.ipv4, 9))
        assert ping(closed.netns, two.ipv4, 1)
        assert not [frame for frame in capture.frames() if b"forged" in frame]


def test_packets_are_marked_on_their_way_from_a_port_and_from_no_other(policy: Policy, project: Project) -> None:
    one, two, _ = pair(project)
    policy.add("dscp_marking", dscp_mark=46)
    policy.follow("ports", one.id)
    enforced(project.lab)
    with closing(at_two := two.capture()), closing(at_one := one.capture()):
        for here, there in ((one, two), (two, one)):
            assert ping(here.netns, there.ipv4, 3) and ping(here.netns, there.ipv6, 3)
        assert marks(at_two.frames(), one.mac) == {(4, 46), (6, 46)}
        assert marks(at_one.frames(), two.mac) == {(4, 0), (6, 0)}
    policy.follow("ports", one.id, yes=False)
    enforced(project.lab)
    with closing(at_two := two.capture()):
        assert ping(one.netns, two.ipv4, 3)
        assert marks(at_two.frames(), one.mac) == {(4, 0)}


def marks(frames: list[bytes], source: str) -> set[tuple[int, int]]:
    """IP version and code point of the echo requests that a MAC address sent; answers repeat those of requests."""
    found = set()
    for frame in frames:
        if frame[6:12].hex(":") != source:
            continue
        packet = frame[14:]
        if frame[12:14] == b"\x08\x00" and packet[9] == socket.IPPROTO_ICMP and packet[20] == 8:
            found.add((4, packet[1] >> 2))
        elif frame[12:14] == b"\x86\xdd" and packet[6] == socket.IPPROTO_ICMPV6 and packet[40] == 128:
            found.add((6, (packet[0] << 8 | packet[1]) >> 6 & 63))
    return found


def arrived(sender: Machine, receiver: Machine, packets: int = 4000) -> int:
    """How many of a volley of small packets come through."""
    with sandbox.inside(receiver.netns):
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sandbox.inside(sender.netns):
        source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(sink), closing(source):
        sink.bind((receiver.ipv4, 9999))
        sink.setblocking(False)
        source.connect((receiver.ipv4, 9999))
        count = 0
        for number in range(packets):
            source.send(b"volley")
            if number % 50 == 49:
                count += drained(sink)
        while select.select([sink], [], [], 0.2)[0]:
            count += drained(sink)
        return count


def drained(sink: socket.socket) -> int:
    """How many packets a socket holds."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            sink.recv(64)
            count += 1
    return count


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_port_sends_and_gets_no_more_packets_than_its_policy_says(
    policy: Policy, project: Project, direction: str
) -> None:
    one, two, _ = pair(project)
    sender, receiver = (one, two) if direction == "egress" else (two, one)
    assert arrived(sender, receiver) == 4000
    rule = policy.add("packet_rate_limit", direction=direction, max_kpps=1, max_burst_kpps=1)
    policy.follow("ports", one.id)
    enforced(project.lab)
    start = time.monotonic()
    count = arrived(sender, receiver)
    assert 1000 <= count < 1100 + 1000 * (time.monotonic() - start)
    assert arrived(receiver, sender) == 4000
    policy.remove(rule)
    enforced(project.lab)
    assert arrived(sender, receiver) == 4000


@pytest.mark.parametrize("direction", ["egress", "ingress"])
def test_a_floating_ip_is_limited_and_its_machines_neighbours_are_not(
    policy: Policy, project: Project, direction: str
) -> None:
    one, two, network = pair(project)
    project.router(*network.subnets, outside=True)
    limited, other = project.floating(one), project.floating(two)["floating_ip_address"]
    floating = limited["floating_ip_address"]
    policy.limit(direction, 8)
    policy.follow("floatingips", limited["id"])
    enforced(project.lab)
    assert held(8, through(one, floating, direction))
    assert through(two, other, direction) > FAST
    policy.follow("floatingips", limited["id"], yes=False)
    enforced(project.lab)
    assert through(one, floating, direction) > FAST


def through(machine: Machine, floating: str, direction: str) -> float:
    """Mbit/s between a machine and the host outside, by its floating IP."""
    if direction == "egress":
        return megabits(machine.netns, OUTSIDE, OUTSIDE4, skip=AT_ONCE)
    assert ping(OUTSIDE, floating, 5)
    return megabits(OUTSIDE, machine.netns, machine.ipv4, floating, AT_ONCE)


def test_a_gateway_is_limited_without_its_floating_ips(policy: Policy, project: Project) -> None:
    one, two, network = pair(project)
    router = project.router(*network.subnets, outside=True)
    floating = project.floating(one)["floating_ip_address"]
    policy.limit("egress", 8)
    info = {"network_id": project.lab.external["id"], "qos_policy_id": policy.id}
    project.lab.admin.update("routers", router["id"], external_gateway_info=info)
    enforced(project.lab)
    assert held(8, through(two, "", "egress"))
    assert through(one, floating, "egress") > FAST
    project.lab.admin.update("routers", router["id"], external_gateway_info={**info, "qos_policy_id": None})
    enforced(project.lab)
    assert through(two, "", "egress") > FAST
