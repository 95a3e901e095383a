#!/usr/bin/env python3
"""Write the next database revision: the difference between what the revisions make and what the code declares.

    scripts/new_migration.py "Add trunks"
    scripts/new_migration.py --amend "First schema"    # write the newest one anew; only while nobody has run it

The difference is taken on a temporary SQLite database. What is written is SQLAlchemy types only, so that it runs on
PostgreSQL as well. Read it before you commit it: what happens to rows that are there is for you to say, below a line
`# By hand:`, which `--amend` keeps.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.operations.ops import AddColumnOp, ModifyTableOps, UpgradeOps
from alembic.runtime.migration import MigrationContext

import kaon.identity.tables  # noqa: F401 (its tables belong to the schema)
from kaon.resources.catalog import resources
from kaon.resources.declare import REQUIRED, UNSET
from kaon.store import migrate, sqlite
from kaon.store.schema import metadata

TEMPLATE = '''"""{message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {previous}


def upgrade() -> None:
    """Bring the schema from {origin} to {number}."""
    {body}
{by_hand}'''

BY_HAND = "    # By hand:"


def difference(folder: Path) -> UpgradeOps:
    """What the newest revision lacks, found on a database made in `folder`."""
    writing, _ = sqlite.engines(folder / "scratch.db")
    with writing.connect() as conn, conn.begin():
        if migrate.revisions():
            migrate.run_revisions(conn)
        found = produce_migrations(MigrationContext.configure(conn), metadata).upgrade_ops
        if found is None or found.is_empty():
            sys.exit("the revisions make what the code declares: there is nothing to write")
        _fill_in(found)
        return found


def _fill_in(found: UpgradeOps) -> None:
    """Let a column that is added hold in old rows what its attribute's declaration gives to new ones."""
    defaults = {
        (item.table.name, item.table.c[attribute.name].name): attribute.default
        for item in resources()
        for attribute in item.stored
        if attribute.default not in (REQUIRED, UNSET, None)
    }
    for altered in found.ops:
        for added in altered.ops if isinstance(altered, ModifyTableOps) else ():
            if isinstance(added, AddColumnOp) and (added.table_name, added.column.name) in defaults:
                default = defaults[added.table_name, added.column.name]
                text = default if isinstance(default, str) else json.dumps(default)
                quoted = text if isinstance(default, int) else "'" + text.replace("'", "''") + "'"
                added.column.server_default = sa.DefaultClause(sa.text(quoted))


def main() -> None:
    """Write the revision's file, formatted, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("message", help="what the revision does")
    parser.add_argument("--amend", action="store_true", help="replace the newest revision")
    arguments = parser.parse_args()
    resources()
    by_hand = ""
    if arguments.amend:
        for path in migrate.FOLDER.glob(f"{migrate.revisions()[-1]}_*.py"):
            by_hand = "".join(path.read_text().partition(BY_HAND)[1:])
            path.unlink()
        migrate.revisions.cache_clear()
    known = migrate.revisions()
    number = f"{len(known) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        # SQLite alters a table that is there by making it anew, which Alembic calls a batch.
        body = render_python_code(difference(Path(folder)), render_as_batch=bool(known))
    # Alembic brackets its output by comments that invite to edit; the revision speaks for itself.
    body = re.sub(r"^ *# ###.*Alembic.*$", "", body, flags=re.MULTILINE)
    text = TEMPLATE.format(
        message=arguments.message.rstrip("."),
        number=number,
        previous=f'"{known[-1]}"' if known else None,
        origin=known[-1] if known else "nothing",
        body=body.strip(),
        by_hand=by_hand,
    )
    words = re.sub(r"[^a-z0-9]+", "_", arguments.message.lower()).strip("_")
    path = migrate.FOLDER / f"{number}_{words}.py"
    path.write_text(text)
    for command in (["format", "--quiet"], ["check", "--fix", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, str(path)], check=True)
    print(path)


if __name__ == "__main__":
    main()
