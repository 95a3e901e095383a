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
    sa.Column("project_id", sa.String(64), nullable=False),
    sa.Column("kind", sa.String(64), nullable=False),
    sa.Column("resource_id", sa.String(255), nullable=False),
    sa.Column("before", sa.JSON(none_as_null=True)),
    sa.Column("after", sa.JSON(none_as_null=True)),
    sa.Index("ix_journal_resource", "kind", "resource_id"),
    sqlite_autoincrement=True,
)


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
