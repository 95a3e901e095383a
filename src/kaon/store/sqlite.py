"""All that is particular to SQLite: an acknowledged write is durable, and readers never wait for writers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa


def _decode(text: str | bytes) -> Any:
    return msgspec.json.decode(text)


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _configure(dbapi_connection: Any, _record: Any) -> None:
    # Transactions are begun by name below (BEGIN IMMEDIATE for writers), never implicitly by the driver.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    # WAL with synchronous=FULL syncs the log at every commit: https://sqlite.org/pragma.html#pragma_synchronous
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000", "cache_size=-8000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_by(engine: sa.Engine, statement: str) -> None:
    """Have transactions of an engine begin with a statement.

    SQLAlchemy has an event for it as well, but an engine with listeners pays for events at every statement.
    """

    def do_begin(dbapi_connection: Any) -> None:
        dbapi_connection.execute(statement)

    engine.dialect.do_begin = do_begin  # type: ignore[method-assign]


def engines(path: Path) -> tuple[sa.Engine, sa.Engine]:
    """A writing and a reading engine on one database file; each keeps the single connection of its thread."""
    made = []
    for begin in ("BEGIN IMMEDIATE", "BEGIN"):
        engine = sa.create_engine(
            f"sqlite:///{path}",
            json_serializer=_encode,
            json_deserializer=_decode,
            poolclass=sa.pool.StaticPool,
            connect_args={"check_same_thread": False, "cached_statements": 512},
        )
        sa.event.listen(engine, "connect", _configure)
        _begin_by(engine, begin)
        made.append(engine)
    return made[0], made[1]
