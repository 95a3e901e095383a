"""What ports tell of the trunk that they are in: a parent port shows it, a sub-port only remembers it."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, named
from kaon.resources.errors import conflict
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "trunk:subport"
"""Device owner of a sub-port that nobody else claims."""

ATTRIBUTES = (
    Attribute(
        "trunk_details",
        types.nullable(types.MAPPING),
        default=None,
        filter=False,
        sort=False,
        sparse=True,
        alias="trunk-details",
    ),
    Attribute("subport_of", types.nullable(types.UUID), default=None, internal=True),
)


def write(tx: Transaction, trunk: Record) -> None:
    """Tell the parent port of its trunk: the sub-ports, each with the MAC address that its frames have."""
    port = named("port")
    shown = []
    for item in trunk["sub_ports"]:
        sub_port = records.get(tx.conn, port, item["port_id"])
        shown.append({**item, "mac_address": sub_port["mac_address"]})
    parent = records.get(tx.conn, port, trunk["port_id"])
    records.update(tx, port, parent, {"trunk_details": {"trunk_id": trunk["id"], "sub_ports": shown}})


def clear(tx: Transaction, trunk: Record) -> None:
    """Take the trunk from its parent port, and its sub-ports from the trunk."""
    for item in trunk["sub_ports"]:
        leave(tx, item["port_id"])
    port = named("port")
    records.update(tx, port, records.get(tx.conn, port, trunk["port_id"]), {"trunk_details": None})


def join(tx: Transaction, trunk_id: str, port_id: str) -> None:
    """Make a port a sub-port."""
    port = named("port")
    held = records.get(tx.conn, port, port_id)
    records.update(tx, port, held, {"subport_of": trunk_id, "device_owner": held["device_owner"] or OWNER})


def leave(tx: Transaction, port_id: str) -> None:
    """Make a sub-port an ordinary port again."""
    port = named("port")
    held = records.get(tx.conn, port, port_id)
    changes: dict[str, Any] = {"subport_of": None}
    if held["device_owner"] == OWNER:
        changes["device_owner"] = ""
    records.update(tx, port, held, changes)


def follow(tx: Transaction, port: Record) -> None:
    """Tell the parent of a sub-port whose MAC address changed."""
    if port["subport_of"]:
        write(tx, records.get(tx.conn, named("trunk"), port["subport_of"]))


def demand_in_no_trunk(port: Record) -> None:
    """Raise 409 for a port that cannot go because a trunk has it."""
    if port["trunk_details"]:
        raise conflict(
            "PortInUseAsTrunkParent",
            f"Port {port['id']} is currently a parent port for trunk {port['trunk_details']['trunk_id']}.",
        )
    if port["subport_of"]:
        raise conflict(
            "PortInUseAsSubPort", f"Port {port['id']} is currently a subport for trunk {port['subport_of']}."
        )


EXTENSIONS = (
    Extension("trunk-details", "Trunk port details", "Expose trunk port details", "2016-01-01T10:00:00-00:00"),
)
