"""Conntrack helpers: what a protocol announces in its own words is admitted and translated by the router."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests import sandbox
from tests.packets.lab import OUTSIDE, OUTSIDE4, Body, Machine, Network, Project
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.fixture
def network(project: Project) -> Network:
    return project.network("10.0.0.0/24")


@pytest.fixture
def router(project: Project, network: Network) -> Body:
    """A router with a way out."""
    return project.router(*network.subnets, outside=True)


def helper(project: Project, router: Body, name: str, protocol: str, port: int) -> Body:
    """Have a router read a protocol."""
    asked = {"helper": name, "protocol": protocol, "port": port}
    reply = project.cloud.call("POST", path(router), {"conntrack_helper": asked})
    return dict(reply["conntrack_helper"])


def path(router: Body, helper: Body | None = None) -> str:
    below = f"/v2.0/routers/{router['id']}/conntrack_helpers"
    return below if helper is None else f"{below}/{helper['id']}"


@contextmanager
def serving(server: socket.socket, answer: str) -> Iterator[None]:
    """A server outside that answers each datagram from a port of its own, as TFTP servers do (RFC 1350)."""
    ending = threading.Event()
    server.settimeout(0.1)

    def serve() -> None:
        while not ending.is_set():
            try:
                _, peer = server.recvfrom(512)
            except TimeoutError:
                continue
            with sandbox.inside(OUTSIDE):
                own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with own:
                own.bind((OUTSIDE4, 0))
                own.sendto(answer.encode(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def fetched(machine: Machine, seconds: float = 0.3) -> str:
    """What a machine that asks for a file by TFTP is answered; nothing when no answer comes."""
    with sandbox.inside(machine.netns):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with client:
        client.settimeout(seconds)
        client.sendto(b"\x00\x01file\x00octet\x00", (OUTSIDE4, 69))
        try:
            return client.recv(512).decode()
        except TimeoutError:
            return ""


def test_tftp_is_answered_from_another_port_only_with_its_helper(
    project: Project, network: Network, router: Body
) -> None:
    machine = project.machine(network, project.open())
    assert sandbox.ping(machine.netns, OUTSIDE4, 3)
    with sandbox.inside(OUTSIDE):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with server:
        server.bind((OUTSIDE4, 69))
        with serving(server, "a block"):
            assert fetched(machine) == ""
            made = helper(project, router, "tftp", "udp", 69)
            until(lambda: fetched(machine) == "a block", what="the answer")
            project.cloud.call("PUT", path(router, made), {"conntrack_helper": {"port": 6969}})
            until(lambda: fetched(machine, 0.2) == "", what="silence on a port that is not read any more")
            project.cloud.call("DELETE", path(router, made))
            assert fetched(machine) == ""


def passive(control: socket.socket, address: str, port: int) -> None:
    """Tell an FTP client where to fetch its data (RFC 959)."""
    numbers = (*address.split("."), str(port // 256), str(port % 256))
    control.sendall(f"227 Entering Passive Mode ({','.join(numbers)})\r\n".encode())


def told(client: socket.socket) -> tuple[str, int]:
    """The address and port that an FTP client is told."""
    numbers = client.recv(200).decode().partition("(")[2].partition(")")[0].split(",")
    return ".".join(numbers[:4]), int(numbers[4]) * 256 + int(numbers[5])


def test_ftp_behind_a_forwarded_port_tells_where_it_is_reached(
    project: Project, network: Network, router: Body
) -> None:
    machine = project.machine(network, project.open())
    floating = project.floating()
    address = floating["floating_ip_address"]
    forwarding = {"internal_port_id": machine.id, "external_port": 21, "internal_port": 21, "protocol": "tcp"}
    below = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    project.cloud.call("POST", below, {"port_forwarding": forwarding})

    def conversation() -> tuple[str, int]:
        with closing(sandbox.listen(machine.netns, machine.ipv4, 21)) as listener:
            client = until(lambda: _connected(address))
            control = listener.accept()[0]
            with client, control:
                # A line is read as one only after a whole line before it.
                control.sendall(b"220 Ready\r\n")
                assert client.recv(64) == b"220 Ready\r\n"
                client.sendall(b"PASV\r\n")
                assert control.recv(64) == b"PASV\r\n"
                passive(control, machine.ipv4, 30000)
                where = told(client)
                if where[0] == address:
                    with closing(sandbox.listen(machine.netns, machine.ipv4, 30000)) as data:
                        fetching = sandbox.connect(OUTSIDE, *where)
                        with fetching, data.accept()[0] as sending:
                            assert sandbox.passes(sending, fetching)
                return where

    assert conversation() == (machine.ipv4, 30000), "nobody reads what the server says"
    helper(project, router, "ftp", "tcp", 21)
    until(lambda: conversation()[0] == address, what="the outer address")
    with sandbox.listen(machine.netns, machine.ipv4, 30001), pytest.raises(OSError, match="refused"):
        sandbox.connect(OUTSIDE, address, 30001)


def _connected(address: str) -> socket.socket | None:
    try:
        return sandbox.connect(OUTSIDE, address, 21, 0.3)
    except OSError:
        return None
