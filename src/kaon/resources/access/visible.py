"""What a caller may name in a request by its id: 404 for what it may not know of."""

from __future__ import annotations

from kaon.resources import records
from kaon.resources.declare import named
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def network(tx: Transaction, id: str) -> Record:
    """A network of the caller's own, or one opened to it in either way."""
    found = records.get(tx.conn, named("network"), id)
    if not _open(tx, found, "shared_with", "external_to"):
        raise records.missing(named("network"), id)
    return found


def as_external(tx: Transaction, network: Record) -> bool:
    """Whether the caller may have gateways and floating IPs on a network."""
    return bool(network["external_to"]) and _open(tx, network, "external_to")


def _open(tx: Transaction, network: Record, *ways: str) -> bool:
    opened = any({"*", tx.caller.project_id} & set(network[way]) for way in ways)
    return opened or tx.caller.is_admin or network["project_id"] == tx.caller.project_id


def port(tx: Transaction, id: str) -> Record:
    """A port of the caller's own, or on its own network."""
    found = records.get(tx.conn, named("port"), id)
    if not tx.caller.is_admin and tx.caller.project_id not in (
        found["project_id"],
        records.get(tx.conn, named("network"), found["network_id"])["project_id"],
    ):
        raise records.missing(named("port"), id)
    return found


def router(tx: Transaction, id: str) -> Record:
    """A router of the caller's own."""
    found = records.get(tx.conn, named("router"), id)
    if not (tx.caller.is_admin or found["project_id"] == tx.caller.project_id):
        raise records.missing(named("router"), id)
    return found
