"""The bindings that a port has, kept right as the port goes from host to host.

What a port shows under ``binding:`` is its active binding, and the truth; the record of that binding repeats it, so
that all bindings of a port are listed alike.
"""

from __future__ import annotations

from kaon.resources import records, types
from kaon.resources.declare import named
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
OWNERS = ("compute:", "manila:")
"""Device owners that move between hosts, so that their ports may have several bindings."""


def may_have_several(port: Record) -> bool:
    """Whether the port belongs to something that moves between hosts."""
    return bool(port["device_owner"].startswith(OWNERS))


def of(tx: Transaction, port_id: str) -> dict[str, Record]:
    """The bindings of a port by host."""
    return {item["host"]: item for item in records.by(tx.conn, named("port_binding"), port_id=port_id)}


def follow(tx: Transaction, port: Record) -> None:
    """Repeat what a port shows in the record of its active binding."""
    if not may_have_several(port):
        return
    binding, by_host, host = named("port_binding"), of(tx, port["id"]), port["binding:host_id"]
    for item in by_host.values():
        if item["status"] == ACTIVE and item["host"] != host:
            records.delete(tx, binding, item)
    if not host:
        return
    values = {
        "port_id": port["id"],
        "project_id": port["project_id"],
        "host": host,
        "status": ACTIVE,
        **{name: port[f"binding:{name}"] for name in ("vnic_type", "profile", "vif_type", "vif_details")},
    }
    if host in by_host:
        records.update(tx, binding, by_host[host], values)
    else:
        records.insert(tx, binding, {**values, "id": types.new_id()})


def forget(tx: Transaction, port_id: str) -> None:
    """Remove the bindings of a port that goes away."""
    for item in of(tx, port_id).values():
        records.delete(tx, named("port_binding"), item)
