"""Stand-ins for instances that tell, by packets, when the kernel does what was asked.

Each probe works on a thread of its own inside the namespaces that it is about (kaon.demo.instance.within).
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple, Self

from kaon.demo.instance import within
from kaon.engines.linux import link as ln
from kaon.engines.linux import netlink as nl

PATIENCE = 10.0
_LINKS = 1
_NEWADDR = 20
_CARRIER = 0x10000
"""IFF_LOWER_UP: the far end of the cable is up as well."""
_ECHO, _ECHO_REPLY = 8, 0
_AGAIN = 0.0005
"""Seconds between two packets of a probe: the resolution of what it finds."""


class Instance(NamedTuple):
    """A port and the namespace and interface in which it appears."""

    port_id: str
    netns: str
    address: str
    prefix: int
    ifname: str = "eth0"


def make_namespace(name: str) -> None:
    """An empty namespace."""
    subprocess.run(["ip", "netns", "add", name], check=True)


def address(instance: Instance) -> None:
    """Give an instance's interface its address."""
    within(instance.netns, lambda: _address(instance))


def _address(instance: Instance) -> None:
    # A neighbour that does not answer yet is asked again at once, not after a second.
    Path(f"/proc/sys/net/ipv4/neigh/{instance.ifname}/retrans_time_ms").write_text("1")
    packed = socket.inet_aton(instance.address)
    with_index = struct.pack("=BBBBI", socket.AF_INET, instance.prefix, 0, 0, socket.if_nametoindex(instance.ifname))
    kernel = nl.NetlinkSocket(nl.NETLINK_ROUTE)
    try:
        kernel.request(_NEWADDR, nl.CREATE, with_index + nl.attr(2, packed) + nl.attr(1, packed))
    finally:
        kernel.close()


def first_ping(instance: Instance, target: str) -> Future[float]:
    """The time (time.perf_counter) of the first echo reply that `instance` gets from `target`.

    Returns when it listens. The interface is given its address as soon as the kernel tells that it is there.
    """
    found: Future[float] = Future()
    listening = threading.Event()

    def run() -> float:
        links = nl.NetlinkSocket(nl.NETLINK_ROUTE, (_LINKS,))
        try:
            listening.set()
            _await_link(links, instance.ifname)
        finally:
            links.close()
        _address(instance)
        return _ping(target)

    def work() -> None:
        try:
            found.set_result(within(instance.netns, run))
        except BaseException as error:
            listening.set()
            found.set_exception(error)

    threading.Thread(target=work).start()
    listening.wait()
    return found


def _await_link(links: nl.NetlinkSocket, ifname: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        select.select([links.fileno()], [], [], PATIENCE)
        for message in links.news()[0]:
            (flags,) = struct.unpack_from("=8xI", message.body)
            if message.kind == ln.NEWLINK and flags & _CARRIER and ln.parse(message.body).name == ifname:
                return
    raise TimeoutError(f"no interface {ifname} within {PATIENCE:.0f} s")


def _ping(target: str) -> float:
    number = os.getpid() & 0xFFFF
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as icmp:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                icmp.sendto(echo_request(number), (target, 0))
            except OSError:
                time.sleep(_AGAIN)  # no route yet, or no neighbour
                continue
            while select.select([icmp], [], [], _AGAIN)[0]:
                arrived = time.perf_counter()
                packet = icmp.recv(2048)
                if packet[20] == _ECHO_REPLY and packet[12:16] == socket.inet_aton(target):
                    return arrived
    raise TimeoutError(f"{target} answers no ping within {PATIENCE:.0f} s")


def echo_request(number: int) -> bytes:
    """An echo request (RFC 792); the checksum of constant fields needs no loop."""
    total = (_ECHO << 8) + number + 1
    total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!BBHHH", _ECHO, 0, ~total & 0xFFFF, number, 1)


class Stream:
    """Datagrams from one instance to another, twice a millisecond; tells when they begin and cease to pass.

    `answered`: each that arrives is answered, so that the kernel holds them to be an established connection. Else
    every one of them is judged by the rules.
    """

    def __init__(self, source: Instance, target: Instance, port: int, *, answered: bool = False) -> None:
        """Use it as a context: it runs as long as that lasts."""
        self._to = (target.address, port)
        self._answered = answered
        self._out = within(source.netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._in = within(target.netns, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self._in.bind(("0.0.0.0", port))
        self._in.setblocking(False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._last = 0.0
        self._first = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._in.close()
        self._out.close()

    def closed(self) -> None:
        """Forget what has arrived; from now on nothing should."""
        self._first = 0.0

    def opened(self) -> float:
        """The time (time.perf_counter) of the first datagram since `closed`."""
        deadline = time.monotonic() + PATIENCE
        while not self._first:
            if time.monotonic() > deadline:
                raise TimeoutError("no datagram arrives although it should")
            time.sleep(_AGAIN)
        return self._first

    def last(self) -> float:
        """The time of the last datagram, once none has come for a fifth of a second."""
        deadline = time.monotonic() + PATIENCE
        while time.perf_counter() - self._last < 0.2:
            if time.monotonic() > deadline:
                raise TimeoutError("datagrams still arrive although they should not")
            time.sleep(0.01)
        return self._last

    def _run(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(OSError):  # refused by the packet filter of the sender's own port
                self._out.sendto(b"kaon", self._to)
            with contextlib.suppress(BlockingIOError):
                while True:
                    _, source = self._in.recvfrom(64)
                    self._last = time.perf_counter()
                    self._first = self._first or self._last
                    if self._answered:
                        self._in.sendto(b"noak", source)
            time.sleep(_AGAIN)
