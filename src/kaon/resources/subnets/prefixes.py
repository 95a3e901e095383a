"""The arithmetic of subnet pools: bounds, sums and differences of prefixes, and where a new one fits."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Any

from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.subnets import addressing
from kaon.resources.subnets.addressing import Network
from kaon.store.journal import Record

_LEAST = {4: 8, 6: 64}
"""Shortest prefix of a subnet unless the pool says otherwise."""


def _networks(texts: Iterable[str]) -> list[Network]:
    return [ipaddress.ip_network(item) for item in texts]


def joined(items: Iterable[Network]) -> list[Network]:
    """The fewest prefixes of one IP version that hold the same addresses, in order."""
    return list(ipaddress.collapse_addresses(items))  # type: ignore[type-var]


def _spans(items: Iterable[Network], version: int) -> list[addressing.Range]:
    return [addressing.bounds(item) for item in joined(item for item in items if item.version == version)]


def less(items: Iterable[Network], taken: Iterable[Network]) -> list[Network]:
    """Prefixes without the addresses of others, in order."""
    whole, holes = list(items), list(taken)
    left: list[Network] = []
    for version, address in ((4, ipaddress.IPv4Address), (6, ipaddress.IPv6Address)):
        for first, last in addressing.difference(_spans(whole, version), _spans(holes, version)):
            left += ipaddress.summarize_address_range(address(first), address(last))
    return left


def contains_all(outer: Sequence[str], inner: Sequence[str]) -> bool:
    """Whether prefixes hold every address of others."""
    return not less(_networks(inner), _networks(outer))


def share_any(left: Sequence[str], right: Sequence[str]) -> bool:
    """Whether two sets of prefixes have an address in common."""
    sides = _networks(left), _networks(right)
    return any(
        addressing.overlapping(span for side in sides for span in _spans(side, version)) is not None
        for version in (4, 6)
    )


def completed(values: dict[str, Any]) -> Record:
    """A pool's values with prefixes joined and bounds filled in; raises 400 for what cannot be."""
    found = _networks(values["prefixes"])
    if not found:
        raise bad_request("Empty subnet pool prefix list.", "EmptySubnetPoolPrefixList")
    if len({item.version for item in found}) > 1:
        raise bad_request("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    version, most = found[0].version, found[0].max_prefixlen
    least = values.get("min_prefixlen", _LEAST[version])
    longest = values.get("max_prefixlen", most)
    default = values.get("default_prefixlen", least)
    for wrong, kind, length, base, bound in (
        (least > longest, "min_prefixlen", least, "max_prefixlen", longest),
        (longest > most, "max_prefixlen", longest, "ip_version_max", most),
        (default < least, "default_prefixlen", default, "min_prefixlen", least),
        (default > longest, "default_prefixlen", default, "max_prefixlen", longest),
    ):
        if wrong:
            raise bad_request(
                f"Illegal prefix bounds: {kind}={length}, {base}={bound}.", "IllegalSubnetPoolPrefixBounds"
            )
    return {
        **values,
        "prefixes": [str(item) for item in joined(found)],
        "ip_version": version,
        "min_prefixlen": least,
        "max_prefixlen": longest,
        "default_prefixlen": default,
    }


def allocate(pool: Record, taken: Sequence[Network], cidr: str | None, length: int | None) -> Network:
    """The prefix for a new subnet: the wanted one if it is free, or one of the wanted length from the tightest fit."""
    wanted = None if cidr is None else ipaddress.ip_network(cidr)
    size = wanted.prefixlen if wanted is not None else pool["default_prefixlen"] if length is None else length
    for wrong, kind, word, bound in (
        (size > pool["max_prefixlen"], "MaxPrefixSubnetAllocationError", "maximum", pool["max_prefixlen"]),
        (size < pool["min_prefixlen"], "MinPrefixSubnetAllocationError", "minimum", pool["min_prefixlen"]),
    ):
        if wrong:
            raise bad_request(
                f"Unable to allocate subnet with prefix length {size}, {word} allowed prefix is {bound}.", kind
            )
    free = less(_networks(pool["prefixes"]), taken)
    if wanted is not None:
        if any(item.supernet_of(wanted) for item in free if item.version == wanted.version):  # type: ignore[arg-type]
            return wanted
        raise _failed("Cannot allocate requested subnet from the available set of prefixes")
    for item in sorted(free, key=lambda item: (-item.prefixlen, int(item.network_address))):
        if item.prefixlen <= size:
            return ipaddress.ip_network(f"{item.network_address}/{size}")
    raise _failed(f"Insufficient prefix space to allocate subnet size /{size}")


def _failed(reason: str) -> ApiError:
    return conflict("SubnetAllocationError", f"Failed to allocate subnet: {reason}.")
