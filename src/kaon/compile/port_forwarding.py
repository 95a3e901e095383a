"""Ports of a floating address that lead to ports of instances: one map element a forwarding, whatever its range."""

from __future__ import annotations

from collections.abc import Iterator

from kaon.compile import nat
from kaon.compile.nft import element
from kaon.compile.view import View
from kaon.rows import Row
from kaon.world.world import Record

PROTOCOLS = ("dccp", "sctp", "tcp", "udp")
"""Those whose headers begin with a source and a destination port."""


def forwarding_rows(view: View, forwarding_id: str) -> Iterator[Row]:
    """The map elements of a port forwarding. Raises ValueError for a protocol without ports."""
    forwarding = view.get("port_forwarding", forwarding_id)
    floatingip = view.get("floatingip", forwarding["floatingip_id"]) if forwarding is not None else None
    place = nat.place_of(view, floatingip) if floatingip is not None else None
    if forwarding is None or floatingip is None or place is None:
        return
    protocol = forwarding["protocol"]
    if protocol not in PROTOCOLS:
        raise ValueError(
            f"port forwarding {forwarding_id} is of {protocol}, which has no ports: use one of {', '.join(PROTOCOLS)}"
        )
    for name, ports, target in _led(forwarding):
        yield element(
            "inet",
            name,
            (floatingip["floating_ip_address"], protocol, ports),
            target,
            exclusive=True,
            netns=place.netns,
            origin=f"port_forwarding/{forwarding_id}",
        )


def _led(forwarding: Record) -> Iterator[tuple[str, str, str]]:
    """What leads where: the name of a map, outer ports, and their target in it."""
    address = forwarding["internal_ip_address"]
    outer, outer_last = _bounds(forwarding["external_port_range"])
    inner, inner_last = _bounds(forwarding["internal_port_range"])
    if (outer, outer_last) == (inner, inner_last):
        yield nat.TO_ADDRESS, _span(outer, outer_last), address
    elif inner == inner_last:
        yield nat.TO_PORT, _span(outer, outer_last), f"{address} . {inner}"
    else:
        # nft has no words for ports that are moved by a distance.
        for distance in range(outer_last - outer + 1):
            yield nat.TO_PORT, str(outer + distance), f"{address} . {inner + distance}"


def _bounds(span: str) -> tuple[int, int]:
    first, _, last = span.partition(":")
    return int(first), int(last or first)


def _span(first: int, last: int) -> str:
    return str(first) if first == last else f"{first}-{last}"
