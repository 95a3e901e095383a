"""Bringing a database to this version's schema, and what happens once in its life.

Alembic runs the revisions in `migrations/`. It takes a quarter of a second and 12 MB to import, so it is imported only
for a database of an older version: an empty one gets its tables from the declarations, which a test holds to be
exactly what the revisions make.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from kaon.store import facts, sqlite
from kaon.store.engine import Store
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

FOLDER = Path(__file__).parent / "migrations"
EPOCH = "epoch"
"""Fact: names this database's journal, so that nobody takes a sequence number of another journal for one of this."""

FirstStart = Callable[[Transaction], None]

# Alembic's own bookkeeping: https://alembic.sqlalchemy.org/en/latest/api/runtime.html (version_table)
_VERSION = sa.table("alembic_version", sa.column("version_num", sa.String))


class SchemaError(Exception):
    """A database that this version of Kaon cannot use; the message says why, and the way out."""


@cache
def revisions() -> tuple[str, ...]:
    """Every revision that this version knows, oldest first: the numbers that the files' names begin with."""
    return tuple(sorted(path.name.partition("_")[0] for path in FOLDER.glob("[0-9]*.py")))


def version(conn: sa.Connection) -> str:
    """The revision of a database; empty for a new one."""
    if not sa.inspect(conn).has_table(_VERSION.name):
        return ""
    return str(conn.execute(sa.select(_VERSION.c.version_num)).scalar_one_or_none() or "")


def prepare(path: Path) -> None:
    """Import what `upgrade` is going to need. Call it while Python's own files can be read, before privileges go."""
    known = revisions()
    # Making engines imports the driver, and opens nothing.
    writing, reading = sqlite.engines(path)
    if path.exists():
        with reading.connect() as conn:
            current = version(conn)
        if current not in ("", known[-1]):
            _scripts()
    for engine in (writing, reading):
        engine.dispose()


def upgrade(store: Store) -> None:
    """Bring a database to the newest revision, all or nothing. Every table must have been declared by now.

    Raises SchemaError for a database of a newer version of Kaon.
    """
    head = revisions()[-1]
    current = store.read_now(version)
    if current == head:
        return
    if current and current not in revisions():
        raise SchemaError(
            f"{store.engine.url.database} has schema {current} and this version of Kaon knows up to {head}: start the "
            "version that wrote it, or restore a backup made before that one"
        )
    with store.engine.connect() as conn, conn.begin():
        if current:
            run_revisions(conn)
        else:
            metadata.create_all(conn)
            conn.execute(sa.schema.CreateTable(_version_table()))
            conn.execute(sa.insert(_VERSION), {"version_num": head})


def _version_table() -> sa.Table:
    return sa.Table(_VERSION.name, sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


@cache
def _scripts() -> ScriptDirectory:
    """Alembic's view of the revisions, all of them loaded."""
    import alembic.runtime.environment  # noqa: F401 (with `alembic.script` it is all that `run_revisions` needs)
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER)])
    scripts.get_current_head()
    return scripts


def run_revisions(conn: sa.Connection, target: str = "head") -> None:
    """Run the revisions that a database lacks, up to `target`, in the transaction of `conn`."""
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    scripts = _scripts()

    def steps(current: Any, _context: MigrationContext) -> list[Any]:
        return scripts._upgrade_revs(target, current)

    with EnvironmentContext(Config(), scripts, fn=steps) as environment:
        environment.configure(connection=conn, target_metadata=metadata, transactional_ddl=True)
        environment.run_migrations()


def epoch(store: Store) -> str:
    """The name of the store's journal."""
    return store.read_now(partial(facts.get, name=EPOCH)) or ""


def _start_once(tx: Transaction, first_starts: Iterable[FirstStart]) -> None:
    if facts.get(tx.conn, EPOCH) is None:
        for start in first_starts:
            start(tx)
        facts.put(tx.conn, EPOCH, uuid.uuid4().hex)


async def open_store(path: Path, first_starts: Iterable[FirstStart] = ()) -> Store:
    """Open the database at `path`, made or brought to this version where it must be.

    `first_starts` run once in a database's life, in one transaction with the mark that they have. Every table must
    have been declared (`catalog.resources()` does that). Raises SchemaError and sqlalchemy's DBAPIError.
    """
    store = Store(path)
    try:
        upgrade(store)
        if not epoch(store):
            await store.write(partial(_start_once, first_starts=tuple(first_starts)))
    except BaseException:
        store.close()
        raise
    return store
