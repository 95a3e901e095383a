"""How many of each resource a project holds, counted in the transaction that adds or removes one."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

USAGE = sa.Table(
    "quota_usages",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("used", sa.BigInteger, nullable=False),
)

_ADD = (
    sa.update(USAGE)
    .where(USAGE.c.project_id == sa.bindparam("_project"), USAGE.c.resource == sa.bindparam("_resource"))
    .values(used=USAGE.c.used + sa.bindparam("_count"))
)
_USED = sa.select(USAGE.c.used).where(
    USAGE.c.project_id == sa.bindparam("_project"), USAGE.c.resource == sa.bindparam("_resource")
)


def add(tx: Transaction, resource: str, project_id: str, count: int) -> None:
    """Count `count` more (or fewer) of a resource for a project."""
    done = tx.execute(_ADD, {"_project": project_id, "_resource": resource, "_count": count})
    if done.rowcount == 0:
        tx.execute(sa.insert(USAGE), {"project_id": project_id, "resource": resource, "used": count})


def used(conn: sa.Connection, resource: str, project_id: str) -> int:
    """How many of a resource a project holds."""
    return conn.execute(_USED, {"_project": project_id, "_resource": resource}).scalar_one_or_none() or 0
