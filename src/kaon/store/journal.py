"""The journal: every change to intent, in the transaction that made it, followed by everything downstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.store.schema import metadata

Record = dict[str, Any]
"""A resource as stored: JSON-able values under the names of the Neutron API, internal attributes included."""

JOURNAL = sa.Table(
    "journal",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("user_id", sa.String(64), nullable=False),
    sa.Column("user_name", sa.String(255), nullable=False, server_default=""),
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("owner_id", sa.String(255), nullable=False, server_default=""),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("resource_id", sa.String(255), nullable=False),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
    # Each is followed by the sequence number, so that a page is read from the index in its order.
    sa.Index("ix_journal_resource", "resource_id", "seq"),
    sa.Index("ix_journal_kind", "kind", "seq"),
    sa.Index("ix_journal_owner", "owner_id", "seq"),
    sa.Index("ix_journal_owner_kind", "owner_id", "kind", "seq"),
    sqlite_autoincrement=True,
)
"""`user_id`, `user_name` and `project_id` tell who made a change, `owner_id` to which project the changed resource
belongs ("" for what belongs to none); changes that nobody asked for have a `user_name` only, Kaon's own."""


class Change(NamedTuple):
    """One journal row. `before` is None for a creation, `after` for a deletion; `seq` grows with every change."""

    kind: str
    id: str
    before: Record | None
    after: Record | None
    seq: int = 0
    request_id: str = ""


_INSERT = sa.insert(JOURNAL).returning(JOURNAL.c.seq, sort_by_parameter_order=True)
_SINCE = (
    sa.select(
        JOURNAL.c.kind, JOURNAL.c.resource_id, JOURNAL.c.before, JOURNAL.c.after, JOURNAL.c.seq, JOURNAL.c.request_id
    )
    .where(JOURNAL.c.seq > sa.bindparam("since"))
    .order_by(JOURNAL.c.seq)
    .limit(sa.bindparam("most"))
)
_LAST = sa.select(sa.func.coalesce(sa.func.max(JOURNAL.c.seq), 0))


def append(conn: sa.Connection, entries: Sequence[Mapping[str, Any]]) -> int:
    """Write journal rows and return the sequence number of the last one."""
    return max(int(seq) for seq in conn.execute(_INSERT, list(entries)).scalars())


def since(conn: sa.Connection, seq: int, most: int = 1000) -> list[Change]:
    """The changes after `seq`, oldest first, at most `most` of them."""
    return [Change(*row) for row in conn.execute(_SINCE, {"since": seq, "most": most})]


def last(conn: sa.Connection) -> int:
    """The sequence number of the newest change, 0 for an empty journal."""
    return int(conn.execute(_LAST).scalar_one())


class Entry(NamedTuple):
    """One journal row with all that it tells: who changed what, when, in which request."""

    seq: int
    at: float
    request_id: str
    user_id: str
    user_name: str
    project_id: str
    owner_id: str
    kind: str
    resource_id: str
    before: Record | None
    after: Record | None


class Wanted(NamedTuple):
    """Which entries somebody wants to see; "" is no condition."""

    kind: str = ""
    resource_id: str = ""
    owner_id: str = ""
    """The project to which the changed thing belongs."""

    def holds(self, entry: Entry) -> bool:
        """Whether an entry is wanted; what `page` asks of the database."""
        return (
            (not self.kind or entry.kind == self.kind)
            and (not self.resource_id or entry.resource_id == self.resource_id)
            and (not self.owner_id or entry.owner_id == self.owner_id)
        )


_ENTRY = sa.select(*(JOURNAL.c[name] for name in Entry._fields))


def page(
    conn: sa.Connection, wanted: Wanted, most: int, after: int | None = None, before: int | None = None
) -> list[Entry]:
    """At most `most` entries, oldest first, of those with numbers above `after` and below `before`.

    They are the first ones behind `after`; without it the last ones.
    """
    column = JOURNAL.c
    statement = _ENTRY
    if wanted.kind:
        statement = statement.where(column.kind == wanted.kind)
    if wanted.resource_id:
        statement = statement.where(column.resource_id == wanted.resource_id)
    if wanted.owner_id:
        statement = statement.where(column.owner_id == wanted.owner_id)
    if after is not None:
        statement = statement.where(column.seq > after)
    if before is not None:
        statement = statement.where(column.seq < before)
    order = column.seq.asc() if after is not None else column.seq.desc()
    found = [Entry(*row) for row in conn.execute(statement.order_by(order).limit(most))]
    return found if after is not None else found[::-1]


def first(conn: sa.Connection) -> int:
    """The sequence number of the oldest entry that is kept, 0 for an empty journal."""
    return int(conn.execute(sa.select(sa.func.coalesce(sa.func.min(JOURNAL.c.seq), 0))).scalar_one())


_FROM = (
    sa.select(JOURNAL.c.seq, JOURNAL.c.at).where(JOURNAL.c.seq >= sa.bindparam("seq")).order_by(JOURNAL.c.seq).limit(1)
)


def number_at(conn: sa.Connection, at: float) -> int:
    """The number of the last entry before a Unix time, 0 when there is none.

    Times grow with numbers, so that halving finds it: twenty small questions among a million entries, and no index.
    """
    low, high = first(conn), last(conn) + 1
    if not high - 1:
        return 0
    while low < high:
        middle = (low + high) // 2
        row = conn.execute(_FROM, {"seq": middle}).first()
        if row is not None and row.at < at:
            low = int(row.seq) + 1
        else:
            high = middle
    return low - 1


def forget(conn: sa.Connection, upto: int, most: int) -> int:
    """Remove the oldest entries up to a number, at most `most`; how many went. The newest entry stays in any case."""
    upto = min(upto, first(conn) + most - 1, last(conn) - 1)
    return conn.execute(sa.delete(JOURNAL).where(JOURNAL.c.seq <= upto)).rowcount
