"""The rest of the Neutron API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema from 0001 to 0002."""
    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_name", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("owner_id", sa.String(length=255), server_default="", nullable=False))
        batch_op.drop_index(batch_op.f("ix_journal_resource"))
        batch_op.create_index("ix_journal_resource", ["resource_id", "seq"], unique=False)
        batch_op.create_index("ix_journal_kind", ["kind", "seq"], unique=False)
        batch_op.create_index("ix_journal_owner", ["owner_id", "seq"], unique=False)
        batch_op.create_index("ix_journal_owner_kind", ["owner_id", "kind", "seq"], unique=False)
    # By hand:
    journal = sa.table(
        "journal", sa.column("owner_id", sa.String), sa.column("before", sa.JSON), sa.column("after", sa.JSON)
    )
    own = (journal.c[name]["project_id"].as_string() for name in ("after", "before"))
    op.execute(sa.update(journal).values(owner_id=sa.func.coalesce(*own, "")))
