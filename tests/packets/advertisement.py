"""Asking for a router advertisement and reading what it says (RFC 4861, RFC 8106)."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import time
from typing import NamedTuple

from tests import sandbox
from tests.packets.lab import Machine


class Advertisement(NamedTuple):
    """What a router said: the M and O flags, whether each prefix is for SLAAC (A), the MTU, and DNS servers."""

    router: str
    managed: bool
    other: bool
    prefixes: dict[str, bool]
    mtu: int
    dns: list[str]


def ask(machine: Machine, seconds: float = 3.0) -> Advertisement | None:
    """Solicit routers until one answers; None when none does in time."""
    with sandbox.inside(machine.netns):
        raw = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
        index = socket.if_nametoindex(machine.device)
    with raw:
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        raw.settimeout(0.25)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                raw.sendto(struct.pack("!BBHI", 133, 0, 0, 0), ("ff02::2", 0))
            with contextlib.suppress(TimeoutError):
                while True:
                    message, peer = raw.recvfrom(2048)
                    if message[0] == 134:
                        return _parse(message, peer[0])
    return None


def _parse(message: bytes, router: str) -> Advertisement:
    flags = message[5]
    prefixes: dict[str, bool] = {}
    mtu, dns = 0, []
    options = message[16:]
    while options:
        kind, length = options[0], options[1] * 8
        body = options[:length]
        if kind == 3:
            prefixes[f"{ipaddress.IPv6Address(body[16:32])}/{body[2]}"] = bool(body[3] & 0x40)
        elif kind == 5:
            (mtu,) = struct.unpack_from("!I", body, 4)
        elif kind == 25:
            dns += [str(ipaddress.IPv6Address(body[start : start + 16])) for start in range(8, length, 16)]
        options = options[length:]
    return Advertisement(router.partition("%")[0], bool(flags & 0x80), bool(flags & 0x40), prefixes, mtu, dns)
