"""Which identifiers of which type are free to carry a network, and how large a packet may be there.

A pool holds what is free of all that a type can count to, so that an identifier is never given twice. Which of them are
taken when a client does not name one is told by the network segment ranges: those of the project first, then the
shared ones less what other projects have for themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from kaon.resources import defaults, ranges
from kaon.resources.declare import named
from kaon.resources.errors import ApiError, conflict, invalid
from kaon.resources.subnets.addressing import Range, difference, without
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

TUNNELS = ("vxlan", "geneve", "gre")
LIMITS: dict[str, Range] = {
    "vlan": (1, 4094),
    "vxlan": (1, 2**24 - 1),
    "geneve": (1, 2**24 - 1),
    "gre": (1, 2**32 - 1),
}
"""First and last identifier of the types that have one (IEEE 802.1Q, RFC 7348, RFC 8926, RFC 2890)."""
TYPES = ("flat", "geneve", "gre", "local", "vlan", "vxlan")
DEFAULT_TYPE = "vxlan"
"""What carries the networks of clients who do not say."""
VNIS = "vxlan"
"""Pool of VXLAN network identifiers."""

TUNNEL_OVERHEAD = 50
"""Bytes of outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348)."""


class Segment(NamedTuple):
    """What carries a network, or a part of one; `number` is the VLAN or tunnel identifier, None where not decided."""

    kind: str
    physical: str | None = None
    number: int | None = None


def of(record: Record, prefix: str = "") -> Segment:
    """The segment that a record describes; its attributes are named with this prefix."""
    return Segment(
        record[f"{prefix}network_type"], record[f"{prefix}physical_network"], record[f"{prefix}segmentation_id"]
    )


def pool(kind: str, physical: str | None) -> str:
    """Name of the pool of free identifiers of a type; VLANs are counted on each physical network."""
    return f"vlan/{physical}" if kind == "vlan" else kind


def first_start(tx: Transaction) -> None:
    """Fill the pools of tunnels' identifiers, once in the life of a database."""
    for kind in TUNNELS:
        ranges.fill(tx, pool(kind, None), [LIMITS[kind]])


def checked(segment: Segment) -> Segment:
    """The segment as it was asked for; raises 400 for what its type cannot be."""
    kind, physical, number = segment
    if kind == "flat" and not physical:
        raise invalid("physical_network required for flat provider network")
    if kind == "vlan" and number is not None and not physical:
        raise invalid("segmentation_id requires physical_network for VLAN provider network")
    if kind not in ("flat", "vlan") and physical:
        raise invalid(f"provider:physical_network specified for {kind} network")
    if number is not None:
        if kind not in LIMITS:
            raise invalid(f"segmentation_id prohibited for {kind} provider network")
        first, last = LIMITS[kind]
        if not first <= number <= last:
            raise invalid(f"segmentation_id out of range ({first} through {last})")
    return segment._replace(physical=physical or None)


def reserve(tx: Transaction, segment: Segment, project_id: str | None) -> Segment:
    """Take a segment; where it names no identifier, one that the project may have. Raises 400 and 409."""
    kind, physical, number = checked(segment)
    if kind == "flat":
        if _taken(tx, kind, physical):
            raise conflict(
                "FlatNetworkInUse", f"Unable to create the flat network. Physical network {physical} is in use."
            )
        return Segment(kind, physical)
    if kind == "local":
        return Segment(kind)
    if number is not None:
        _open(tx, kind, physical)
        if not ranges.take(tx, pool(kind, physical), number):
            raise _in_use(kind, physical, number)
        return Segment(kind, physical, number)
    places = [physical] if physical or kind != "vlan" else _physical_networks(tx)
    for place in places:
        _open(tx, kind, place)
        for spans in _eligible(tx, kind, place, project_id):
            number = ranges.take_within(tx, pool(kind, place), spans)
            if number is not None:
                return Segment(kind, place, number)
    raise conflict("NoNetworkAvailable", "Unable to create the network. No tenant network is available for allocation.")


def _in_use(kind: str, physical: str | None, number: int) -> ApiError:
    if kind == "vlan":
        return conflict(
            "VlanIdInUse",
            f"Unable to create the network. The VLAN {number} on physical network {physical} is in use.",
        )
    return conflict("TunnelIdInUse", f"Unable to create the network. The tunnel ID {number} is in use.")


def release(tx: Transaction, segment: Segment) -> None:
    """Give back what nothing is carried by any more."""
    if segment.kind in LIMITS and segment.number is not None:
        _open(tx, segment.kind, segment.physical)
        ranges.give_back(tx, pool(segment.kind, segment.physical), segment.number)


def _open(tx: Transaction, kind: str, physical: str | None) -> None:
    """Fill a pool in which nothing is free with what no segment has: at its first use, and after an upgrade."""
    name = pool(kind, physical)
    if ranges.is_empty(tx, name):
        ranges.fill(tx, name, without([LIMITS[kind]], (number for number in _taken(tx, kind, physical) if number)))


def _taken(tx: Transaction, kind: str, physical: str | None) -> list[int | None]:
    """The identifiers of the segments of a type, on one physical network where it has several."""
    column = named("segment").table.c
    return list(
        tx.execute(
            sa.select(column.segmentation_id).where(
                column.network_type == kind, column.physical_network.is_not_distinct_from(physical)
            )
        ).scalars()
    )


# ---------------------------------------------------------------- which identifiers are for whom


def _ranges(tx: Transaction, kind: str) -> Sequence[sa.Row[tuple[str, str | None, bool, int, int]]]:
    column = named("network_segment_range").table.c
    return tx.execute(
        sa.select(column.physical_network, column.project_id, column.shared, column.minimum, column.maximum).where(
            column.network_type == kind
        )
    ).all()


def _physical_networks(tx: Transaction) -> list[str | None]:
    """The physical networks on which there are VLANs to give away."""
    return sorted({row.physical_network for row in _ranges(tx, "vlan")})


def _eligible(tx: Transaction, kind: str, physical: str | None, project_id: str | None) -> Iterable[list[Range]]:
    """What may be given to a project, the more particular first. Where no range is shared, all that there is."""
    found = [row for row in _ranges(tx, kind) if row.physical_network == (physical or "")]
    own = [(row.minimum, row.maximum) for row in found if not row.shared and row.project_id == project_id]
    others = [(row.minimum, row.maximum) for row in found if not row.shared and row.project_id != project_id]
    shared = [(row.minimum, row.maximum) for row in found if row.shared] or [LIMITS[kind]]
    return sorted(own), difference(shared, others)


# ---------------------------------------------------------------- sizes


def largest_mtu(kinds: Iterable[str]) -> int:
    """Bytes that a packet may have on segments of all these types: the physical MTU less a tunnel's headers."""
    return defaults.physical_mtu() - (TUNNEL_OVERHEAD if set(TUNNELS).intersection(kinds) else 0)


def checked_mtu(kinds: Iterable[str], mtu: int | None) -> int:
    """The wanted size of packets, or the largest; raises 400 for one that does not fit."""
    most = largest_mtu(kinds)
    if mtu and mtu > most:
        raise invalid(f"Requested MTU is too big, maximum is {most}")
    return mtu or most
