"""Segments: the VLANs, tunnels and physical networks that networks are made of, one or several each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kaon.resources import ranges, records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import ApiError, conflict, invalid
from kaon.resources.qos import ports as qos_ports
from kaon.resources.roles import ADMIN
from kaon.resources.segments import allocation
from kaon.resources.segments.allocation import DEFAULT_TYPE, TUNNELS, Segment
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

PROVIDER = "provider:"
ATTRIBUTES = tuple(f"{PROVIDER}{name}" for name in ("network_type", "physical_network", "segmentation_id"))


# ---------------------------------------------------------------- the segments of a network


def wanted(body: dict[str, Any]) -> list[Segment]:
    """What a new network is to be made of: the client's choice checked, or one of the default type."""
    several = body.get("segments")
    if any(body.get(name) is not None for name in ATTRIBUTES):
        if several:
            raise _invalid_as(
                "SegmentsSetInConjunctionWithProviders", "Segments and provider values cannot both be set"
            )
        several = [{name: body.get(name) for name in ATTRIBUTES}]
    if not several:
        return [Segment(DEFAULT_TYPE)]
    found = [_parsed(item) for item in several]
    settled = [item for item in found if item.kind in ("flat", "local") or item.number is not None]
    if len(set(settled)) != len(settled):
        raise _invalid_as("SegmentsContainDuplicateEntry", "Duplicate segment entry in request")
    return found


def _parsed(item: dict[str, Any]) -> Segment:
    values = {name: item.get(name) for name in ATTRIBUTES}
    if values[f"{PROVIDER}network_type"] is None:
        raise invalid("network_type required")
    return allocation.checked(allocation.of(values, PROVIDER))


def _invalid_as(type: str, message: str) -> ApiError:
    return ApiError(400, type, f"Invalid input for operation: {message}.")


def shown(segments: Sequence[Segment]) -> dict[str, Any]:
    """What a network says of its segments: the provider attributes of the only one, or the list of several."""
    several = [dict(zip(ATTRIBUTES, item, strict=True)) for item in segments]
    if len(several) == 1:
        return {**several[0], "segments": None}
    return {**dict.fromkeys(ATTRIBUTES), "segments": several or None}


def carry(tx: Transaction, network_id: str, segments: Sequence[Segment]) -> None:
    """Store the segments of a new network, in order."""
    for place, item in enumerate(segments):
        _insert(tx, network_id, item, place, {})


def _insert(tx: Transaction, network_id: str, segment: Segment, place: int, values: dict[str, Any]) -> Record:
    return records.insert(
        tx,
        SEGMENT,
        {
            **values,
            "id": types.new_id(),
            "network_id": network_id,
            "network_type": segment.kind,
            "physical_network": segment.physical,
            "segmentation_id": segment.number,
            "place": place,
        },
    )


def of_network(tx: Transaction, network_id: str) -> list[Record]:
    """The segments of a network, in order."""
    return sorted(records.by(tx.conn, SEGMENT, network_id=network_id), key=lambda item: int(item["place"]))


def drop(tx: Transaction, network_id: str) -> None:
    """Give back what a network that goes away was made of."""
    for item in of_network(tx, network_id):
        allocation.release(tx, allocation.of(item))
        records.delete(tx, SEGMENT, item)


def changed(tx: Transaction, network: Record, body: dict[str, Any]) -> dict[str, Any]:
    """What an update changes of a network's segments: the VLAN of its only one. Raises 400 for anything else."""
    asked = {name: body[name] for name in (*ATTRIBUTES, "segments") if name in body and body[name] != network[name]}
    number = asked.pop(f"{PROVIDER}segmentation_id", None)
    if any(value is not None for value in asked.values()):
        raise invalid(
            "Plugin does not support updating the following provider network attributes: " + ", ".join(sorted(asked))
        )
    if number is None:
        return {}
    found = of_network(tx, network["id"])
    if len(found) != 1:
        raise invalid("Provider network attributes can be updated only in provider networks with a single segment")
    before = allocation.of(found[0])
    if before.kind != "vlan":
        raise invalid("Only VLAN type networks can be updated")
    after = allocation.reserve(tx, before._replace(number=number), network["project_id"])
    allocation.release(tx, before)
    records.update(tx, SEGMENT, found[0], {"segmentation_id": after.number})
    return shown([after])


# ---------------------------------------------------------------- segments by themselves


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Add a segment to a network."""
    network = records.get(tx.conn, named("network"), body["network_id"])
    held = of_network(tx, network["id"])
    asked = Segment(body["network_type"], body["physical_network"], body["segmentation_id"])
    segment = allocation.reserve(tx, asked, None)
    place = max((int(item["place"]) for item in held), default=-1) + 1
    record = _insert(tx, network["id"], segment, place, body)
    _tell_network(tx, network, checked=True)
    return record


def _tell_network(tx: Transaction, network: Record, checked: bool) -> None:
    """Have a network say what its segments have become. `checked`: raise 400 where its packets do not fit any more."""
    segments = [allocation.of(item) for item in of_network(tx, network["id"])]
    if checked:
        allocation.checked_mtu([item.kind for item in segments], network["mtu"])
    qos_ports.follow_segments(tx, records.update(tx, named("network"), network, shown(segments)))


def update(tx: Transaction, segment: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes: names and words, for what carries a network stays."""
    return records.update(tx, SEGMENT, segment, body)


def delete(tx: Transaction, segment: Record) -> None:
    """Take a segment from its network; refused while a subnet is on it, or bound ports have no other."""
    subnet, port = named("subnet"), named("port")
    subnets = records.by(tx.conn, subnet, segment_id=segment["id"])
    if subnets:
        raise _in_use(segment, "The segment is still associated with subnet(s) " + ", ".join(_ids(subnets)))
    if len(of_network(tx, segment["network_id"])) == 1:
        bound = records.select(
            tx.conn,
            port,
            port.table.c.network_id == segment["network_id"],
            port.table.c["binding:vif_type"] != "unbound",
        )
        if bound:
            raise _in_use(segment, "The segment is still bound with port(s) " + ", ".join(_ids(bound)))
    records.delete(tx, SEGMENT, segment)
    allocation.release(tx, allocation.of(segment))
    _tell_network(tx, records.get(tx.conn, named("network"), segment["network_id"]), checked=False)


def _ids(found: Sequence[Record]) -> list[str]:
    return sorted(item["id"] for item in found)


def _in_use(segment: Record, reason: str) -> ApiError:
    return conflict("SegmentInUse", f"Segment '{segment['id']}' cannot be deleted: {reason}.")


def start(tx: Transaction) -> None:
    """Give networks of a database that knew no segments yet the one that they say they are made of."""
    network = named("network").table
    lacking = ~sa.exists().where(SEGMENT.table.c.network_id == network.c.id)
    for item in records.select(tx.conn, named("network"), network.c[f"{PROVIDER}network_type"].is_not(None), lacking):
        segment = allocation.of(item, PROVIDER)
        if segment.kind in TUNNELS and segment.kind != DEFAULT_TYPE and segment.number is not None:
            # All tunnels took their identifiers from one pool then.
            ranges.give_back(tx, allocation.pool(DEFAULT_TYPE, None), segment.number)
        carry(tx, item["id"], [segment])


SEGMENT = Resource(
    name="segment",
    collection="segments",
    attributes=standard(
        Attribute("name", types.nullable(types.name()), default=None, post=True, put=True, index=True),
        Attribute("description", types.nullable(types.text(255)), default=None, post=True, put=True),
        Attribute("network_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("physical_network", types.nullable(types.text(64)), default=None, post=True),
        Attribute("network_type", types.one_of(*allocation.TYPES), default=REQUIRED, post=True),
        Attribute(
            "segmentation_id", types.nullable(types.integer(0, 2**32 - 1)), default=None, post=True, filter=False
        ),
        Attribute("place", types.integer(0), internal=True),
        named=False,
        description=False,
        owned=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=ADMIN,
    get_rule=ADMIN,
    update_rule=ADMIN,
    delete_rule=ADMIN,
    constraints=(sa.Index("ix_segments_identifier", "network_type", "physical_network", "segmentation_id"),),
)

RESOURCES = (SEGMENT,)

EXTENSIONS = (
    Extension("segment", "Segment", "Segments extension.", "2016-02-24T17:00:00-00:00"),
    Extension(
        "standard-attr-segment",
        "Standard Attribute Segment Extension",
        "Add standard attributes to Segment resource",
        "2017-04-09T00:00:00-00:00",
    ),
    Extension(
        "multi-provider",
        "Multi Provider Network",
        "Expose mapping of virtual networks to multiple physical networks",
        "2013-06-27T10:00:00-00:00",
    ),
    Extension(
        "provider",
        "Provider Network",
        "Expose mapping of virtual networks to physical networks",
        "2012-09-07T10:00:00-00:00",
    ),
)
