"""Port forwardings: ports of one floating address lead to several machines, and its other ports to none."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

from tests import sandbox
from tests.packets.greeting import greeter, greeting, udp_greeter, udp_greeting
from tests.packets.lab import OUTSIDE, OUTSIDE4, Body, Machine, Network, Project
from tests.sandbox import ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def network(project: Project) -> Network:
    """A network with a way out."""
    made = project.network("10.0.0.0/24")
    project.router(*made.subnets, outside=True)
    return made


def forward(project: Project, floating: Body, machine: Machine, outer: str, inner: str, protocol: str = "tcp") -> Body:
    """Lead ports of a floating IP, one or a range, to ports of a machine."""
    asked = {
        "internal_port_id": machine.id,
        "internal_ip_address": machine.ipv4,
        "external_port_range": outer,
        "internal_port_range": inner,
        "protocol": protocol,
    }
    return dict(project.cloud.call("POST", path(floating), {"port_forwarding": asked})["port_forwarding"])


def path(floating: Body, forwarding: Body | None = None) -> str:
    below = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    return below if forwarding is None else f"{below}/{forwarding['id']}"


def change(project: Project, floating: Body, forwarding: Body, **values: Any) -> None:
    project.cloud.call("PUT", path(floating, forwarding), {"port_forwarding": values})


def remove(project: Project, floating: Body, forwarding: Body) -> None:
    project.cloud.call("DELETE", path(floating, forwarding))


def reached(address: str, port: int, machine: Machine, netns: str = OUTSIDE) -> bool:
    """Whether it is this machine that a TCP port leads to."""
    return greeting(netns, address, port)[:1] == (machine.id,)


def test_two_machines_share_a_floating_address(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, one, "8001", "80")
    forward(project, floating, two, "8002", "80")
    with greeter(one, 80), greeter(two, 80):
        until(lambda: reached(address, 8002, two), what="the second machine answers")
        assert greeting(OUTSIDE, address, 8001) == (one.id, OUTSIDE4), "seen as who it is"
        # The inner port is none of the outer address, and outwards a machine is the router, as without forwardings.
        assert greeting(OUTSIDE, address, 80) == ()
    with sandbox.listen(OUTSIDE, OUTSIDE4, 8080) as listener, closing(sandbox.connect(one.netns, OUTSIDE4, 8080)):
        accepted, peer = listener.accept()
        accepted.close()
        assert peer[0] not in (address, one.ipv4)


def test_other_ports_and_protocols_do_not_reach_the_machine(project: Project, network: Network) -> None:
    machine = project.machine(network, project.open())
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, machine, "8000", "8000")
    with greeter(machine, 8000), greeter(machine, 8001), udp_greeter(machine, 8000):
        until(lambda: reached(address, 8000, machine))
        capture = machine.capture()
        assert greeting(OUTSIDE, address, 8001) == ()
        assert udp_greeting(OUTSIDE, address, 8000) == ()
        ping(OUTSIDE, address, 0.2)  # the router may answer: it has the address
        strays = [frame for frame in capture.frames() if sandbox.socket.inet_aton(OUTSIDE4) in frame]
        capture.close()
        # What is left of the greeting may end late; nothing else comes from outside.
        assert all(frame[23] == socket.IPPROTO_TCP and _port(frame, 8000) for frame in strays)


def _port(frame: bytes, port: int) -> bool:
    """Whether a frame of TCP over IPv4 without options comes from or goes to a port."""
    return port in (int.from_bytes(frame[34:36], "big"), int.from_bytes(frame[36:38], "big"))


def test_ranges_keep_move_and_join_ports(project: Project, network: Network) -> None:
    machine = project.machine(network, project.open())
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, machine, "100:199", "100:199")
    forward(project, floating, machine, "300:302", "400:402")
    forward(project, floating, machine, "500:599", "80")
    with greeter(machine, 199), greeter(machine, 402), greeter(machine, 80):
        until(lambda: reached(address, 199, machine), what="the same port")
        until(lambda: reached(address, 302, machine), what="the last of the moved ports")
        until(lambda: reached(address, 500, machine) and reached(address, 599, machine), what="both ends of the range")
        assert [greeting(OUTSIDE, address, port) for port in (402, 301, 303, 600, 499)] == [()] * 5


def test_udp_is_forwarded_even_for_a_sender_who_was_there_before(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, two, "53", "53", "tcp")  # the address is there
    until(lambda: ping(OUTSIDE, address))
    with udp_greeter(one, 5353), udp_greeter(two, 5353):
        assert udp_greeting(OUTSIDE, address, 53, source_port=4000) == ()
        forwarding = forward(project, floating, one, "53", "5353", "udp")
        until(lambda: udp_greeting(OUTSIDE, address, 53, source_port=4000) == (one.id, OUTSIDE4), what="the first one")
        change(project, floating, forwarding, internal_port_id=two.id, internal_ip_address=two.ipv4)
        until(lambda: udp_greeting(OUTSIDE, address, 53, source_port=4000) == (two.id, OUTSIDE4), what="the second one")


def test_security_groups_judge_what_is_forwarded(project: Project, network: Network) -> None:
    group = project.group({"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
    machine = project.machine(network, group)
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, machine, "8000", "80")
    forward(project, floating, machine, "8001", "81")
    with greeter(machine, 80), greeter(machine, 81):
        until(lambda: reached(address, 8000, machine))
        assert greeting(OUTSIDE, address, 8001) == ()
        project.rule(group, protocol="tcp", port_range_min=81, port_range_max=81, remote_ip_prefix=f"{OUTSIDE4}/32")
        until(lambda: reached(address, 8001, machine), what="the rule admits the caller by its own address")


def test_a_forwarding_is_reached_from_inside_too(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, one, "8000", "80")
    with greeter(one, 80):
        until(lambda: reached(address, 8000, one))
        assert reached(address, 8000, one, two.netns), "from a neighbour in the same subnet"
        assert reached(address, 8000, one, one.netns), "from itself"
        assert greeting(two.netns, address, 80) == ()


def established(address: str, port: int, machine: Machine, inner: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection from outside to a forwarded port."""

    def attempt() -> socket.socket | None:
        try:
            return sandbox.connect(OUTSIDE, address, port, 0.3)
        except OSError:
            return None

    with closing(sandbox.listen(machine.netns, machine.ipv4, inner)) as listener:
        client = until(attempt)
        return client, listener.accept()[0]


def carries(ends: tuple[socket.socket, socket.socket], seconds: float = 1.0) -> bool:
    """Whether a connection carries a byte inwards; a reset one does not."""
    try:
        return sandbox.passes(*ends, seconds)
    except OSError:
        return False


def test_a_removed_forwarding_cuts_its_connections_and_no_others(project: Project, network: Network) -> None:
    machine = project.machine(network, project.open())
    floating = project.floating()
    address = floating["floating_ip_address"]
    going = forward(project, floating, machine, "8000:8009", "80")
    staying = forward(project, floating, machine, "8010:8019", "81")
    cut, kept = established(address, 8005, machine, 80), established(address, 8015, machine, 81)
    assert carries(cut) and carries(kept)
    remove(project, floating, going)
    until(lambda: not carries(cut, 0.1), what="the connection is cut")
    assert carries(kept)
    with greeter(machine, 80), greeter(machine, 81):
        assert greeting(OUTSIDE, address, 8005) == () and reached(address, 8010, machine)
    remove(project, floating, staying)
    until(lambda: not carries(kept, 0.1), what="the last one goes with the address")
    assert not ping(OUTSIDE, address, 0.3)
    for end in (*cut, *kept):
        end.close()


def test_a_forwarding_that_is_led_elsewhere_takes_its_callers_along(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating()
    address = floating["floating_ip_address"]
    forwarding = forward(project, floating, one, "8000", "80")
    cut = established(address, 8000, one, 80)
    assert carries(cut)
    change(project, floating, forwarding, internal_port_id=two.id, internal_ip_address=two.ipv4)
    with greeter(one, 80), greeter(two, 80):
        until(lambda: reached(address, 8000, two), what="the other machine answers")
        until(lambda: not carries(cut, 0.3), what="the connection of before is cut")
    for end in cut:
        end.close()


def test_a_deleted_port_takes_its_forwardings_along(project: Project, network: Network) -> None:
    one, two = (project.machine(network, project.open()) for _ in range(2))
    floating = project.floating()
    address = floating["floating_ip_address"]
    forward(project, floating, one, "8001", "80")
    forward(project, floating, two, "8002", "80")
    with greeter(two, 80):
        until(lambda: reached(address, 8002, two))
        project.cloud.delete("ports", one.id)
        (left,) = project.cloud.show("floatingips", floating["id"])["port_forwardings"]
        assert left["external_port"] == 8002 and reached(address, 8002, two)
