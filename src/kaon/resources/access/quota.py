"""Quotas: how many of a resource a project may hold."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.resources import defaults, usage
from kaon.resources.declare import Resource
from kaon.resources.errors import conflict
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

LIMITS = sa.Table(
    "quotas",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("resource", sa.String(64), primary_key=True),
    sa.Column("limit", sa.BigInteger, nullable=False),
)

_LIMIT = sa.select(LIMITS.c.limit).where(
    LIMITS.c.project_id == sa.bindparam("_project"), LIMITS.c.resource == sa.bindparam("_resource")
)


def limit(conn: sa.Connection, resource: Resource, project_id: str) -> int:
    """The limit in force for a project; -1 means none."""
    own = conn.execute(_LIMIT, {"_project": project_id, "_resource": resource.name}).scalar_one_or_none()
    return int(own) if own is not None else defaults.quota(resource)


def demand(tx: Transaction, resource: Resource, project_id: str, count: int = 1) -> None:
    """Raise 409 OverQuota when `count` more would exceed the project's limit."""
    allowed = limit(tx.conn, resource, project_id)
    if 0 <= allowed < usage.used(tx.conn, resource.name, project_id) + count:
        raise conflict("OverQuota", f"Quota exceeded for resources: ['{resource.name}'].")


def set_limit(tx: Transaction, resource: str, project_id: str, value: int) -> None:
    """Set a project's own limit; -1 means none."""
    key = (LIMITS.c.project_id == project_id) & (LIMITS.c.resource == resource)
    if tx.execute(sa.update(LIMITS).where(key).values(limit=value)).rowcount == 0:
        tx.execute(sa.insert(LIMITS), {"project_id": project_id, "resource": resource, "limit": value})
