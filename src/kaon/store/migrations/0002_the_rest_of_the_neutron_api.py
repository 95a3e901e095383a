"""The rest of the Neutron API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema from 0001 to 0002."""
    op.create_table(
        "qos_bandwidth_limit_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("max_kbps", sa.BigInteger(), nullable=True),
        sa.Column("max_burst_kbps", sa.BigInteger(), nullable=True),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_bandwidth_limit_rules")),
    )
    with op.batch_alter_table("qos_bandwidth_limit_rules", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_bandwidth_limit_rules_qos_policy_id"), ["qos_policy_id"], unique=False)

    op.create_table(
        "qos_dscp_marking_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("dscp_mark", sa.Integer(), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_dscp_marking_rules")),
    )
    with op.batch_alter_table("qos_dscp_marking_rules", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_dscp_marking_rules_qos_policy_id"), ["qos_policy_id"], unique=False)

    op.create_table(
        "qos_minimum_bandwidth_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("min_kbps", sa.BigInteger(), nullable=True),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_minimum_bandwidth_rules")),
    )
    with op.batch_alter_table("qos_minimum_bandwidth_rules", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_qos_minimum_bandwidth_rules_qos_policy_id"), ["qos_policy_id"], unique=False
        )

    op.create_table(
        "qos_minimum_packet_rate_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("min_kpps", sa.BigInteger(), nullable=True),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_minimum_packet_rate_rules")),
    )
    with op.batch_alter_table("qos_minimum_packet_rate_rules", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_qos_minimum_packet_rate_rules_qos_policy_id"), ["qos_policy_id"], unique=False
        )

    op.create_table(
        "qos_packet_rate_limit_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("max_kpps", sa.BigInteger(), nullable=True),
        sa.Column("max_burst_kpps", sa.BigInteger(), nullable=True),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("qos_policy_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_packet_rate_limit_rules")),
    )
    with op.batch_alter_table("qos_packet_rate_limit_rules", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_qos_packet_rate_limit_rules_qos_policy_id"), ["qos_policy_id"], unique=False
        )

    op.create_table(
        "qos_policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=True),
        sa.Column("rules", sa.JSON(), nullable=True),
        sa.Column("shared_with", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_qos_policies")),
    )
    with op.batch_alter_table("qos_policies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_qos_policies_project_id"), ["project_id"], unique=False)

    with op.batch_alter_table("floatingips", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_floatingips_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_networks_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("qos_network_policy_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("resource_request", sa.JSON(), nullable=True))
        batch_op.create_index(batch_op.f("ix_ports_qos_network_policy_id"), ["qos_network_policy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ports_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("gateway_qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_routers_gateway_qos_policy_id"), ["gateway_qos_policy_id"], unique=False)
