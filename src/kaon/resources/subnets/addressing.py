"""Arithmetic on addresses and prefixes: pure functions that subnets, pools and allocation share.

Ranges are inclusive pairs of whole numbers, as in `kaon.resources.ranges`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Range = tuple[int, int]

AUTO_MODES = ("slaac", "dhcpv6-stateless")
"""IPv6 modes in which hosts form their own address from the prefix (RFC 4862)."""


@lru_cache(4096)
def network(cidr: str) -> Network:
    """The prefix that this text writes."""
    return ipaddress.ip_network(cidr)


def number(address: str) -> int:
    """An address as a number."""
    return int(ipaddress.ip_address(address))


def text(version: int, value: int) -> str:
    """A number as an address of IP version 4 or 6."""
    return str(ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value))


def bounds(prefix: Network) -> Range:
    """First and last number of a prefix."""
    return int(prefix.network_address), int(prefix.broadcast_address)


def hosts(prefix: Network) -> Range:
    """First and last address that allocation may use by default.

    IPv4 leaves out the network and broadcast addresses (except in a /31 and /32, RFC 3021), IPv6 the subnet-router
    anycast address (RFC 4291 section 2.6.1).
    """
    first, last = bounds(prefix)
    if prefix.version == 6:
        return (first + 1, last) if first < last else (first, last)
    return (first, last) if prefix.prefixlen > 30 else (first + 1, last - 1)


def usable(prefix: Network, address: str, anycast: bool) -> bool:
    """Whether an interface may have this address: inside the prefix, and neither its network nor broadcast address.

    `anycast`: an IPv6 network address is taken (routers own it).
    """
    candidate = ipaddress.ip_address(address)
    if candidate.version != prefix.version or candidate not in prefix:
        return False
    if prefix.version == 6:
        return anycast or candidate != prefix.network_address
    return candidate not in (prefix.network_address, prefix.broadcast_address) or prefix.prefixlen > 30


def eui64(cidr: str, mac: str) -> int:
    """The address that a host forms from a /64 prefix and its MAC address (RFC 4291 appendix A)."""
    digits = int(mac.replace(":", ""), 16)
    interface = ((digits >> 24) << 40 | 0xFFFE << 24 | digits & 0xFFFFFF) ^ 1 << 57
    return int(network(cidr).network_address) | interface


def is_eui64(address: str) -> bool:
    """Whether an IPv6 address was formed from a MAC address."""
    return ":" in address and number(address) >> 24 & 0xFFFF == 0xFFFE


def difference(ranges: Iterable[Range], holes: Iterable[Range]) -> list[Range]:
    """Ranges less others, in order; each side is disjoint in itself."""
    left: list[Range] = []
    cuts = sorted(holes)
    position = 0
    for first, last in sorted(ranges):
        while position < len(cuts) and cuts[position][1] < first:
            position += 1
        for index in range(position, len(cuts)):
            start, end = cuts[index]
            if start > last:
                break
            if start > first:
                left.append((first, start - 1))
            first = max(first, end + 1)
        if first <= last:
            left.append((first, last))
    return left


def without(ranges: Iterable[Range], taken: Iterable[int]) -> list[Range]:
    """Ranges less single numbers."""
    return difference(ranges, ((number, number) for number in set(taken)))


def joined(ranges: Iterable[Range]) -> list[Range]:
    """Disjoint ranges in order, those that touch as one."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and found[-1][1] + 1 == first:
            found[-1] = found[-1][0], last
        else:
            found.append((first, last))
    return found


def overlapping(ranges: Iterable[Range]) -> tuple[Range, Range] | None:
    """The first two ranges that share a number."""
    ordered = sorted(ranges)
    for left, right in pairwise(ordered):
        if right[0] <= left[1]:
            return left, right
    return None
