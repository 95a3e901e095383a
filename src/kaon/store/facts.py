"""What a database knows about itself: small facts under fixed names, such as the epoch of its journal."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.store.schema import metadata

FACTS = sa.Table(
    "store_facts",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


def get(conn: sa.Connection, name: str) -> str | None:
    """The fact of this name, or None."""
    return conn.execute(sa.select(FACTS.c.value).where(FACTS.c.name == name)).scalar_one_or_none()


def put(conn: sa.Connection, name: str, value: str) -> None:
    """Note a fact that is not there yet."""
    conn.execute(sa.insert(FACTS), {"name": name, "value": value})
