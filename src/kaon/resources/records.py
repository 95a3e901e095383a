"""Reading and writing records: the only place that touches a resource's table, so that nothing escapes the journal."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.resources import usage
from kaon.resources.declare import Resource, named
from kaon.resources.errors import ApiError, not_found
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


class _Statements(NamedTuple):
    one: sa.Select[Any]
    every: sa.Select[Any]
    insert: sa.Insert
    update: sa.Update
    delete: sa.Delete


@cache
def _statements(collection: str, table: sa.Table) -> _Statements:
    key: sa.BindParameter[str] = sa.bindparam("_id")
    every = sa.select(table)
    return _Statements(
        every.where(table.c.id == key),
        every,
        sa.insert(table),
        sa.update(table).where(table.c.id == key),
        sa.delete(table).where(table.c.id == key),
    )


def _of(resource: Resource) -> _Statements:
    return _statements(resource.collection, resource.table)


def timestamp(now: float) -> str:
    """A time as the Network API writes it, in UTC to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))


def find(conn: sa.Connection, resource: Resource, id: str) -> Record | None:
    """The record with this id, or None."""
    row = conn.execute(_of(resource).one, {"_id": id}).first()
    return None if row is None else dict(zip(resource.names, row, strict=True))


def missing(resource: Resource, id: str) -> ApiError:
    """The 404 for this id, in Neutron's words."""
    return not_found(resource.missing, f"{resource.name.replace('_', ' ').capitalize()} {id} could not be found.")


def get(conn: sa.Connection, resource: Resource, id: str) -> Record:
    """The record with this id; raises the resource's 404."""
    record = find(conn, resource, id)
    if record is None:
        raise missing(resource, id)
    return record


def select(conn: sa.Connection, resource: Resource, *where: sa.ColumnElement[bool]) -> list[Record]:
    """All records for which every condition holds."""
    rows = conn.execute(_of(resource).every.where(*where))
    return [dict(zip(resource.names, row, strict=True)) for row in rows]


@cache
def _equal(resource_name: str, table: sa.Table, attributes: tuple[str, ...]) -> sa.Select[Any]:
    return sa.select(table).where(
        *(table.c[name] == sa.bindparam(f"_{place}") for place, name in enumerate(attributes))
    )


def by(conn: sa.Connection, resource: Resource, **equal: Any) -> list[Record]:
    """All records whose attributes have these values; cheaper than `select`, as the statement is built once."""
    statement = _equal(resource.name, resource.table, tuple(equal))
    rows = conn.execute(statement, {f"_{place}": value for place, value in enumerate(equal.values())})
    return [dict(zip(resource.names, row, strict=True)) for row in rows]


def _owner(tx: Transaction, resource: Resource, record: Record) -> str:
    """The project to which a record belongs: its own, else that of what it is a part of; "" for none."""
    if "project_id" in record:
        return record["project_id"] or ""
    for attribute, kind in resource.judged_with.values():
        held = find(tx.conn, named(kind), record[attribute]) if record[attribute] else None
        if held is not None:
            return _owner(tx, named(kind), held)
    return ""


def insert(tx: Transaction, resource: Resource, values: Mapping[str, Any]) -> Record:
    """Store a new record from a complete set of values; id, times and revision are filled in. Returns it."""
    now = timestamp(tx.now)
    record: Record = {name: values.get(name, default) for name, default in resource.initial.items()}
    record["created_at"] = record["updated_at"] = now
    record["revision_number"] = 0
    if resource.quota is not None:
        usage.add(tx, resource.name, record["project_id"], 1)
    tx.execute(_of(resource).insert, record)
    tx.changed(resource.name, record["id"], None, record, _owner(tx, resource, record))
    return record


def update(tx: Transaction, resource: Resource, before: Record, changes: Mapping[str, Any]) -> Record:
    """Store changed attributes and return the record as it now is; nothing is written when nothing differs."""
    if all(before.get(name) == value for name, value in changes.items()):
        return before
    after = {**before, **changes, "updated_at": timestamp(tx.now), "revision_number": before["revision_number"] + 1}
    tx.execute(_of(resource).update, {**after, "_id": after["id"]})
    tx.changed(resource.name, after["id"], before, after, _owner(tx, resource, after))
    return after


def touch(tx: Transaction, resource: Resource, id: str) -> None:
    """Count a new revision of a record because something that belongs to it changed (a rule of a group …)."""
    before = get(tx.conn, resource, id)
    after = {**before, "updated_at": timestamp(tx.now), "revision_number": before["revision_number"] + 1}
    tx.execute(_of(resource).update, {**after, "_id": id})
    tx.changed(resource.name, id, before, after, _owner(tx, resource, after))


def delete(tx: Transaction, resource: Resource, record: Record) -> None:
    """Remove a record."""
    if resource.quota is not None:
        usage.add(tx, resource.name, record["project_id"], -1)
    tx.execute(_of(resource).delete, {"_id": record["id"]})
    tx.changed(resource.name, record["id"], record, None, _owner(tx, resource, record))


def load_all(conn: sa.Connection, resources: Iterable[Resource]) -> Iterable[tuple[str, Record]]:
    """Every record of every resource, as (kind, record): what a world starts from."""
    for resource in resources:
        if resource.serves is not None:
            continue
        for row in conn.execute(_of(resource).every):
            yield resource.name, dict(zip(resource.names, row, strict=True))
