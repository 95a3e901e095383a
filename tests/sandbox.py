"""A private place for tests that need network privileges: own network and mount namespaces, tmpfs on /run/netns.

The whole pytest process enters it once, before any test runs and while it has a single thread; without root, with a
user namespace of its own. When the process ends, however it does, all that was made is removed.
Below are the helpers of packet tests: namespaces with an interface, ping, TCP, and capture, all in process.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from kaon.cli import rootless

T = TypeVar("T")
_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
NETNS = Path("/run/netns")
_entered = False


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def entered() -> bool:
    """Whether this process is in its sandbox."""
    return _entered


def enter() -> None:
    """Enter the sandbox; raises RootlessError saying which privilege is missing."""
    global _entered
    if _entered:
        return
    if threading.active_count() > 1:
        raise rootless.RootlessError("the sandbox must be entered before other threads start")
    rootless.enter()
    _entered = True


def _loopback_up() -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
        route.send(struct.pack("=IHHIIBxHiII", 32, 16, 1, 1, 0, 0, 0, 1, 1, 1))


# ---------------------------------------------------------------- namespaces


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """The calling thread is in a named namespace for the time of the block; sockets made there stay there."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        there = os.open(NETNS / name, os.O_RDONLY)
        try:
            _check(_libc.setns(there, _NEWNET), f"cannot enter {name}")
        finally:
            os.close(there)
        try:
            yield
        finally:
            _check(_libc.setns(home, _NEWNET), "cannot come back")
    finally:
        os.close(home)


@contextlib.contextmanager
def namespace(*names: str) -> Iterator[None]:
    """Named namespaces, as an operator makes them with `ip netns add`, loopback up; removed at the end."""
    try:
        for name in names:
            make_namespace(name)
        yield
    finally:
        for name in names:
            remove_namespace(name)


def make_namespace(name: str) -> None:
    """One named namespace, loopback up."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    path = NETNS / name
    path.touch()
    try:
        _check(_libc.unshare(_NEWNET), "cannot make a namespace")
        try:
            _check(_libc.mount(b"/proc/thread-self/ns/net", bytes(path), b"none", 4096, None), "cannot name it")
            _no_duplicate_address_detection()
            _loopback_up()
        finally:
            _check(_libc.setns(home, _NEWNET), "cannot come back")
    finally:
        os.close(home)


def remove_namespace(name: str) -> None:
    """Remove a named namespace if it is there."""
    _libc.umount2(bytes(NETNS / name), 2)
    (NETNS / name).unlink(missing_ok=True)


def _no_duplicate_address_detection() -> None:
    for scope in ("all", "default"):
        path = Path(f"/proc/sys/net/ipv6/conf/{scope}/accept_dad")
        if path.exists():
            path.write_text("0")


def within(name: str, fn: Callable[[], T]) -> T:
    """Call a function inside a named namespace."""
    with inside(name):
        return fn()


# ---------------------------------------------------------------- packets


def _family(address: str) -> int:
    return socket.AF_INET if ipaddress.ip_address(address).version == 4 else socket.AF_INET6


def ping(name: str, address: str, seconds: float = 1.0) -> bool:
    """Whether an echo request from a namespace is answered in time. Sends one every 0.1 s until then."""
    family = _family(address)
    protocol = socket.IPPROTO_ICMP if family == socket.AF_INET else socket.IPPROTO_ICMPV6
    with inside(name):
        raw = socket.socket(family, socket.SOCK_RAW, protocol)
    mark = os.urandom(8)
    echo, reply = (8, 0) if family == socket.AF_INET else (128, 129)
    deadline = time.monotonic() + seconds
    with raw:
        raw.settimeout(0.1)
        while time.monotonic() < deadline:
            packet = struct.pack("!BBHHH", echo, 0, 0, os.getpid() & 0xFFFF, 1) + mark
            if family == socket.AF_INET:
                packet = packet[:2] + struct.pack("!H", _checksum(packet)) + packet[4:]
            with contextlib.suppress(OSError):
                raw.sendto(packet, (address, 0))
            until = min(deadline, time.monotonic() + 0.1)
            while time.monotonic() < until:
                try:
                    answer = raw.recv(2048)
                except OSError:
                    break
                body = answer[(answer[0] & 15) * 4 :] if family == socket.AF_INET else answer
                if body[0] == reply and body.endswith(mark):
                    return True
    return False


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def listen(name: str, address: str, port: int) -> socket.socket:
    """A listening TCP socket inside a namespace, with a deadline of five seconds on what is done with it."""
    with inside(name):
        server = socket.socket(_family(address), socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((address, port))
    server.listen(16)
    server.settimeout(5)
    return server


def connect(name: str, address: str, port: int, seconds: float = 2.0) -> socket.socket:
    """A TCP connection from a namespace; raises OSError (TimeoutError) when there is none in time."""
    with inside(name):
        client = socket.socket(_family(address), socket.SOCK_STREAM)
    client.settimeout(seconds)
    try:
        client.connect((address, port))
    except OSError:
        client.close()
        raise
    return client


def connects(name: str, address: str, port: int, seconds: float = 1.0) -> bool:
    """Whether a TCP connection from a namespace is accepted in time; a refusal is an error of the test."""
    try:
        connect(name, address, port, seconds).close()
    except TimeoutError:
        return False
    return True


def passes(sender: socket.socket, receiver: socket.socket, seconds: float = 1.0) -> bool:
    """Whether a byte sent on one end of an established connection comes out at the other in time."""
    mark = os.urandom(4)
    receiver.settimeout(seconds)
    try:
        sender.sendall(mark)
        return receiver.recv(64).endswith(mark)
    except TimeoutError:
        return False


class Capture:
    """Frames that an interface receives or sends from now on, raw from the Ethernet header."""

    def __init__(self, name: str, interface: str) -> None:
        with inside(name) if name else contextlib.nullcontext():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.bind((interface, 3))
        self._socket.setblocking(False)

    def frames(self) -> list[bytes]:
        """Frames since the last call."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(self._socket.recv(65536))
        return found

    def close(self) -> None:
        """Stop."""
        self._socket.close()
