"""Telling neighbours where an address is now: gratuitous ARP (RFC 5227) and unsolicited NA (RFC 4861, 7.2.6)."""

from __future__ import annotations

import ipaddress
import socket
import struct

from kaon.engines.linux.link import Link
from kaon.engines.linux.namespaces import Namespace

_ARP, _IPV6 = 0x0806, 0x86DD
_ICMPV6 = 58
_OVERRIDE = 0x20000000


def announce(namespace: Namespace, link: Link, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Send one announcement out of the interface. Raises OSError when it cannot be sent."""
    mac = bytes.fromhex(link.mac.replace(":", ""))
    frame = _arp(mac, address.packed) if address.version == 4 else _neighbour_advertisement(mac, address.packed)
    with namespace.entered():
        sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    with sender:
        sender.sendto(frame, (link.name, 0))


def _arp(mac: bytes, address: bytes) -> bytes:
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + mac + address + bytes(6) + address
    return b"\xff" * 6 + mac + struct.pack("!H", _ARP) + body


def _neighbour_advertisement(mac: bytes, address: bytes) -> bytes:
    everyone = ipaddress.IPv6Address("ff02::1").packed
    body = struct.pack("!BBHI", 136, 0, 0, _OVERRIDE) + address + bytes((2, 1)) + mac
    pseudo = address + everyone + struct.pack("!II", len(body), _ICMPV6)
    body = body[:2] + struct.pack("!H", _checksum(pseudo + body)) + body[4:]
    packet = struct.pack("!IHBB", 6 << 28, len(body), _ICMPV6, 255) + address + everyone + body
    return bytes.fromhex("333300000001") + mac + struct.pack("!H", _IPV6) + packet


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
