"""What a caller may name in a request by its id: 404 for what it may not know of."""

from __future__ import annotations

from kaon.resources import records
from kaon.resources.declare import named
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def network(tx: Transaction, id: str) -> Record:
    """A network of the caller's own, or one opened to it in either way."""
    found = records.get(tx.conn, named("network"), id)
    opened = {*found["shared_with"], *found["external_to"]} & {"*", tx.caller.project_id}
    if not (tx.caller.is_admin or opened or found["project_id"] == tx.caller.project_id):
        raise records.missing(named("network"), id)
    return found


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
