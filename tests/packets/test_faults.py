"""Processes die and are started again: no packet is lost, and nothing is done twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import NamedTuple

import pytest

from kaon.demo import instance, kernel
from kaon.demo.stream import Stream
from tests import dhcp, sandbox
from tests.packets.lab import OUTSIDE, OUTSIDE4, Lab, Machine, Network, Project, kill
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


class Scene(NamedTuple):
    """Two machines in a network with a way out, the second one with a floating IP."""

    network: Network
    one: Machine
    two: Machine
    floating: str


@pytest.fixture
def scene(project: Project) -> Scene:
    network = project.network("10.0.0.0/24", "fd00:1::/64")
    project.router(*network.subnets, outside=True)
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating(two)["floating_ip_address"]
    assert sandbox.ping(OUTSIDE, floating, 5)
    assert sandbox.ping(one.netns, OUTSIDE4, 5)
    return Scene(network, one, two, floating)


@contextmanager
def unharmed(scene: Scene, count: int = 200) -> Iterator[None]:
    """Within a network, out of it and into it: every echo request during the block and beyond is answered."""
    ways = ((scene.one.netns, scene.two.ipv4), (scene.one.netns, scene.two.ipv6), (OUTSIDE, scene.floating))
    seen: list[instance.Ping] = []
    threads = [
        threading.Thread(target=lambda way=way: seen.append(instance.ping(*way, count, 0.01)))  # type: ignore[misc]
        for way in ways
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.join()
    assert [(each.sent, each.received) for each in seen] == [(count, count)] * len(ways), seen


def back(lab: Lab, before: int, which: Callable[[], int]) -> None:
    """Wait until a process that was killed has been started again and has settled."""
    until(lambda: which() not in (0, before), 20, "started again")
    until(lambda: lab.ready() and lab.settled(), 20, "settled")


@pytest.mark.parametrize("victim", ["server", "agent"])
def test_a_killed_process_costs_no_packet_and_changes_nothing(lab: Lab, scene: Scene, victim: str) -> None:
    until(lab.settled)
    before, pid = kernel.objects(), getattr(lab.state(), victim)
    with Stream(scene.one.netns, scene.two.netns, scene.two.ipv4, 8081) as stream, unharmed(scene):
        kill(pid)
        back(lab, pid, lambda: int(getattr(lab.state(), victim)))
    assert stream.received == stream.sent
    assert stream.in_order
    assert kernel.objects() == before
    if victim == "agent":
        status = until(lab.settled)
        assert status.figures["kernel_writes_total"] == 0


def test_what_changed_while_the_agent_was_dead_is_made_up_for(lab: Lab, project: Project, scene: Scene) -> None:
    pid = lab.state().agent
    closed = project.group()
    kill(pid)
    # The API goes on; whether the agent is back already is all the same.
    project.cloud.update("ports", scene.two.id, security_groups=[closed["id"]])
    project.cloud.update("ports", scene.one.id, name="renamed")
    back(lab, pid, lambda: lab.state().agent)
    until(lambda: not sandbox.ping(scene.one.netns, scene.two.ipv4, 0.2), what="the change is enforced")
    assert sandbox.ping(scene.two.netns, scene.one.ipv4)


def test_a_killed_dhcp_server_costs_no_packet_and_comes_back(scene: Scene, lab: Lab) -> None:
    def daemons() -> set[int]:
        return {pid for pid, line in dhcp.command_lines().items() if scene.network.id in line}

    before = daemons()
    assert before
    with unharmed(scene):
        for pid in before:
            kill(pid)
        until(lambda: len(daemons() - before) == len(before), what="it is started again")
    server = lab.admin.call("GET", f"/v2.0/ports?network_id={scene.network.id}&device_owner=network:dhcp")["ports"][0]
    address = server["fixed_ips"][0]["ip_address"]
    name = f"host-{scene.two.ipv4.replace('.', '-')}.openstacklocal"
    assert dhcp.resolve(scene.one.netns, address, name) == scene.two.ipv4


def test_open_connections_from_outside_outlive_both_processes(lab: Lab, scene: Scene) -> None:
    with ExitStack() as ends:
        listener = ends.enter_context(closing(sandbox.listen(scene.two.netns, scene.two.ipv4, 9090)))
        client = ends.enter_context(closing(sandbox.connect(OUTSIDE, scene.floating, 9090)))
        accepted = ends.enter_context(closing(listener.accept()[0]))
        assert sandbox.passes(client, accepted)
        state = lab.state()
        for pid in (state.server, state.agent):
            kill(pid)
        assert sandbox.passes(client, accepted)
        back(lab, state.server, lambda: lab.state().server)
        back(lab, state.agent, lambda: lab.state().agent)
        assert sandbox.passes(client, accepted)
        assert sandbox.passes(accepted, client)
