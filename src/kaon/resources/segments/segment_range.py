"""Network segment ranges: which identifiers are given to whom when a network is made without naming one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kaon.resources import defaults, ranges, records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.roles import ADMIN
from kaon.resources.segments import allocation
from kaon.resources.segments.allocation import LIMITS
from kaon.resources.subnets.addressing import difference
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

_LARGEST = max(last for _, last in LIMITS.values())


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a range; shared ones belong to no project."""
    values = {**body, "default": False, "physical_network": body["physical_network"] or ""}
    if values["network_type"] != "vlan":
        values["physical_network"] = ""
    if values["shared"]:
        values["project_id"] = None
    elif not values["project_id"]:
        raise bad_request("A network segment range that is not shared must have a project_id")
    _check(tx, values)
    return records.insert(tx, NETWORK_SEGMENT_RANGE, {**values, "id": types.new_id()})


def _check(tx: Transaction, values: Record) -> None:
    """Raise unless the range is one of its type and shares nothing with another that was not configured."""
    kind, first, last = values["network_type"], values["minimum"], values["maximum"]
    least, most = LIMITS[kind]
    if not least <= first <= last <= most:
        error = "NetworkVlanRangeError" if kind == "vlan" else "NetworkTunnelRangeError"
        raise bad_request(
            f"Invalid network {kind} range: '{first}:{last}' - it must lie between {least} and {most}, the lower "
            "identifier first.",
            error,
        )
    if kind == "vlan" and not values["physical_network"]:
        raise bad_request("A range of VLANs needs a physical_network", "InvalidInput")
    column = NETWORK_SEGMENT_RANGE.table.c
    both = tx.execute(
        sa.select(column.id).where(
            ~column.default,
            column.network_type == kind,
            column.physical_network == values["physical_network"],
            column.minimum <= last,
            column.maximum >= first,
            column.id != values.get("id", ""),
        )
    ).scalars()
    if ids := sorted(both):
        raise conflict(
            "NetworkSegmentRangeOverlaps", f"Network segment range overlaps with range(s) with id {', '.join(ids)}"
        )


def update(tx: Transaction, held: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; refused where a network's identifier would fall out of the range."""
    after = {**held, **body}
    _demand_own(held)
    lost = [
        number
        for number in _used(tx.conn, held)
        if held["minimum"] <= number <= held["maximum"] and not after["minimum"] <= number <= after["maximum"]
    ]
    if lost:
        raise _referenced(held)
    _check(tx, after)
    return records.update(tx, NETWORK_SEGMENT_RANGE, held, body)


def delete(tx: Transaction, held: Record) -> None:
    """Remove a range from which no network has its identifier."""
    _demand_own(held)
    if _used(tx.conn, held):
        raise _referenced(held)
    records.delete(tx, NETWORK_SEGMENT_RANGE, held)


def _demand_own(held: Record) -> None:
    if held["default"]:
        raise bad_request(
            f"Network Segment Range {held['id']} is a default segment range which could not be updated or deleted.",
            "NetworkSegmentRangeDefaultReadOnly",
        )


def _referenced(held: Record) -> ApiError:
    return conflict(
        "NetworkSegmentRangeReferencedByProject",
        f"Network Segment Range {held['id']} is referenced by one or more project networks.",
    )


# ---------------------------------------------------------------- what is in use


def _used(conn: sa.Connection, held: Record) -> dict[int, str]:
    """The identifiers of a range that networks have, and these networks' projects."""
    segment, network = named("segment").table.c, named("network").table.c
    rows = conn.execute(
        sa.select(segment.segmentation_id, network.project_id)
        .join_from(named("segment").table, named("network").table, segment.network_id == network.id)
        .where(
            segment.network_type == held["network_type"],
            segment.physical_network.is_not_distinct_from(held["physical_network"] or None),
            segment.segmentation_id.between(held["minimum"], held["maximum"]),
        )
        .order_by(segment.segmentation_id)
    )
    return {row[0]: row[1] for row in rows}


def _used_by(conn: sa.Connection, found: Sequence[Record]) -> list[dict[str, str]]:
    return [{str(number): project for number, project in _used(conn, held).items()} for held in found]


def _available(conn: sa.Connection, found: Sequence[Record]) -> list[list[int]]:
    """What is free in each range, one by one as the API lists it."""
    listed = []
    for held in found:
        whole = [(held["minimum"], held["maximum"])]
        free = ranges.free(conn, allocation.pool(held["network_type"], held["physical_network"]))
        if free:
            taken = difference(whole, free)
            listed.append([number for span in difference(whole, taken) for number in range(span[0], span[1] + 1)])
        else:
            # Of this type nothing was ever taken, or nothing is left.
            used = _used(conn, held)
            listed.append([number for number in range(whole[0][0], whole[0][1] + 1) if number not in used])
    return listed


# ---------------------------------------------------------------- what is configured


def start(tx: Transaction) -> None:
    """Make the default ranges those that are configured."""
    column = NETWORK_SEGMENT_RANGE.table.c
    wanted = set(defaults.segment_ranges())
    for held in records.select(tx.conn, NETWORK_SEGMENT_RANGE, column.default):
        told = held["network_type"], held["physical_network"], held["minimum"], held["maximum"]
        if told in wanted:
            wanted.remove(told)
        else:
            records.delete(tx, NETWORK_SEGMENT_RANGE, held)
    for kind, physical, first, last in sorted(wanted):
        values = {"network_type": kind, "physical_network": physical, "minimum": first, "maximum": last}
        records.insert(tx, NETWORK_SEGMENT_RANGE, {**values, "id": types.new_id(), "default": True, "shared": True})


NETWORK_SEGMENT_RANGE = Resource(
    name="network_segment_range",
    collection="network_segment_ranges",
    attributes=standard(
        Attribute("default", types.BOOLEAN),
        Attribute("shared", types.BOOLEAN, default=True, post=True),
        Attribute("project_id", types.nullable(types.text(255)), post=True, index=True),
        Attribute("network_type", types.one_of(*LIMITS), default=REQUIRED, post=True),
        Attribute("physical_network", types.nullable(types.text(64)), default=None, post=True),
        Attribute("minimum", types.integer(1, _LARGEST), default=REQUIRED, post=True, put=True),
        Attribute("maximum", types.integer(1, _LARGEST), default=REQUIRED, post=True, put=True),
        Attribute("used", types.MAPPING, gathered=_used_by, filter=False, sort=False),
        Attribute(
            "available",
            types.list_of(types.integer(1, _LARGEST), most=_LARGEST),
            gathered=_available,
            filter=False,
            sort=False,
        ),
        owned=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=ADMIN,
    get_rule=ADMIN,
    update_rule=ADMIN,
    delete_rule=ADMIN,
)

RESOURCES = (NETWORK_SEGMENT_RANGE,)

EXTENSIONS = (
    Extension(
        "network-segment-range",
        "Neutron Network Segment Range",
        "Provides support for the network segment range management",
        "2018-11-29T00:00:00-00:00",
    ),
)
