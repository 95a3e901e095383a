"""Frames that no honest machine would send, made by scapy and sent as they are."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable

from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet, Raw

from tests import sandbox
from tests.packets.lab import Machine
from tests.wait import until

__all__ = [
    "ARP",
    "BOOTP",
    "DHCP",
    "ICMP",
    "IP",
    "TCP",
    "UDP",
    "Ether",
    "ICMPv6EchoRequest",
    "ICMPv6NDOptDstLLAddr",
    "ICMPv6NDOptPrefixInfo",
    "ICMPv6NDOptSrcLLAddr",
    "ICMPv6ND_NA",
    "ICMPv6ND_NS",
    "ICMPv6ND_RA",
    "ICMPv6ND_Redirect",
    "IPv6",
    "Raw",
    "arrives",
    "send",
]

EVERYONE = "33:33:00:00:00:01"


def send(machine: Machine, frame: Packet) -> None:
    """Put a frame on a machine's interface."""
    with sandbox.inside(machine.netns):
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with sender:
        sender.sendto(bytes(frame), (machine.device, 0))


def arrives(frame: Packet, source: Machine, target: Machine, seconds: float = 0.3) -> bool:
    """Whether a frame that one machine sends reaches the other one, byte for byte."""
    wanted = bytes(frame)
    return _seen(lambda: send(source, frame), target, lambda found: found[: len(wanted)] == wanted, seconds)


def _seen(work: Callable[[], None], target: Machine, wanted: Callable[[bytes], bool], seconds: float) -> bool:
    capture = target.capture()
    try:
        work()
        with contextlib.suppress(AssertionError):
            return bool(until(lambda: any(wanted(frame) for frame in capture.frames()), seconds))
        return False
    finally:
        capture.close()
