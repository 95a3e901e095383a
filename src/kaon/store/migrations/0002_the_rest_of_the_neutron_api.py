"""The rest of the Neutron API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema from 0001 to 0002."""
    op.create_table(
        "agent_placements",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("agent_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("resource_id", sa.String(length=36), nullable=True),
        sa.Column("hosted", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agent_placements")),
    )
    with op.batch_alter_table("agent_placements", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_placements_agent_id"), ["agent_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_agent_placements_resource_id"), ["resource_id"], unique=False)

    op.create_table(
        "conntrack_helpers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.Column("protocol", sa.String(length=64), nullable=True),
        sa.Column("port", sa.BigInteger(), nullable=True),
        sa.Column("helper", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conntrack_helpers")),
        sa.UniqueConstraint("router_id", "protocol", "port", "helper", name="uq_conntrack_helpers_what"),
    )
    with op.batch_alter_table("conntrack_helpers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_conntrack_helpers_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_conntrack_helpers_router_id"), ["router_id"], unique=False)

    op.create_table(
        "local_ip_associations",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("local_ip_id", sa.String(length=36), nullable=True),
        sa.Column("local_ip_address", sa.String(length=45), nullable=True),
        sa.Column("fixed_port_id", sa.String(length=36), nullable=True),
        sa.Column("fixed_ip", sa.String(length=45), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_ip_associations")),
        sa.UniqueConstraint("local_ip_id", "fixed_port_id", name="uq_local_ip_associations_port"),
    )
    with op.batch_alter_table("local_ip_associations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_local_ip_associations_fixed_port_id"), ["fixed_port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ip_associations_local_ip_id"), ["local_ip_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ip_associations_project_id"), ["project_id"], unique=False)

    op.create_table(
        "local_ips",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("local_port_id", sa.String(length=36), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("local_ip_address", sa.String(length=45), nullable=True),
        sa.Column("ip_mode", sa.String(length=64), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_local_ips")),
    )
    with op.batch_alter_table("local_ips", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_local_ips_local_ip_address"), ["local_ip_address"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ips_local_port_id"), ["local_port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ips_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ips_network_id"), ["network_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_local_ips_project_id"), ["project_id"], unique=False)

    op.create_table(
        "logs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("resource_type", sa.String(length=255), nullable=True),
        sa.Column("resource_id", sa.String(length=36), nullable=True),
        sa.Column("event", sa.String(length=64), nullable=True),
        sa.Column("target_id", sa.String(length=36), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_logs")),
    )
    with op.batch_alter_table("logs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_logs_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_logs_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_logs_resource_id"), ["resource_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_logs_target_id"), ["target_id"], unique=False)

    op.create_table(
        "metering_label_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("metering_label_id", sa.String(length=36), nullable=True),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("excluded", sa.Boolean(), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=49), nullable=True),
        sa.Column("source_ip_prefix", sa.String(length=49), nullable=True),
        sa.Column("destination_ip_prefix", sa.String(length=49), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_label_rules")),
    )
    with op.batch_alter_table("metering_label_rules", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_metering_label_rules_metering_label_id"), ["metering_label_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_metering_label_rules_project_id"), ["project_id"], unique=False)

    op.create_table(
        "metering_labels",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metering_labels")),
    )
    with op.batch_alter_table("metering_labels", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_metering_labels_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_metering_labels_project_id"), ["project_id"], unique=False)

    op.create_table(
        "ndp_proxies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("ip_address", sa.String(length=45), nullable=True),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ndp_proxies")),
        sa.UniqueConstraint("router_id", "ip_address", name="uq_ndp_proxies_address"),
    )
    with op.batch_alter_table("ndp_proxies", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ndp_proxies_ip_address"), ["ip_address"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxies_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxies_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxies_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ndp_proxies_router_id"), ["router_id"], unique=False)

    op.create_table(
        "network_segment_ranges",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("default", sa.Boolean(), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("network_type", sa.String(length=64), nullable=True),
        sa.Column("physical_network", sa.String(length=64), nullable=True),
        sa.Column("minimum", sa.BigInteger(), nullable=True),
        sa.Column("maximum", sa.BigInteger(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_network_segment_ranges")),
    )
    with op.batch_alter_table("network_segment_ranges", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_network_segment_ranges_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_network_segment_ranges_project_id"), ["project_id"], unique=False)

    op.create_table(
        "port_bindings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("vif_type", sa.String(length=64), nullable=True),
        sa.Column("vif_details", sa.JSON(), nullable=True),
        sa.Column("vnic_type", sa.String(length=64), nullable=True),
        sa.Column("profile", sa.JSON(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_bindings")),
        sa.UniqueConstraint("port_id", "host", name="uq_port_bindings_host"),
    )
    with op.batch_alter_table("port_bindings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_port_bindings_port_id"), ["port_id"], unique=False)

    op.create_table(
        "port_forwardings",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("floatingip_id", sa.String(length=36), nullable=True),
        sa.Column("protocol", sa.String(length=64), nullable=True),
        sa.Column("external_port", sa.BigInteger(), nullable=True),
        sa.Column("external_port_range", sa.String(length=11), nullable=True),
        sa.Column("internal_port_id", sa.String(length=36), nullable=True),
        sa.Column("internal_ip_address", sa.String(length=45), nullable=True),
        sa.Column("internal_port", sa.BigInteger(), nullable=True),
        sa.Column("internal_port_range", sa.String(length=11), nullable=True),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_port_forwardings")),
    )
    with op.batch_alter_table("port_forwardings", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_port_forwardings_floatingip_id"), ["floatingip_id"], unique=False)
        batch_op.create_index(
            "ix_port_forwardings_inside", ["internal_port_id", "internal_ip_address", "protocol"], unique=False
        )
        batch_op.create_index("ix_port_forwardings_outside", ["floatingip_id", "protocol"], unique=False)
        batch_op.create_index(batch_op.f("ix_port_forwardings_project_id"), ["project_id"], unique=False)

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
        batch_op.create_index(batch_op.f("ix_qos_policies_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_qos_policies_project_id"), ["project_id"], unique=False)

    op.create_table(
        "security_groups_default_statefulness",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("stateful", sa.Boolean(), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_groups_default_statefulness")),
    )
    with op.batch_alter_table("security_groups_default_statefulness", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_security_groups_default_statefulness_project_id"), ["project_id"], unique=False
        )

    op.create_table(
        "segments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("physical_network", sa.String(length=64), nullable=True),
        sa.Column("network_type", sa.String(length=64), nullable=True),
        sa.Column("segmentation_id", sa.BigInteger(), nullable=True),
        sa.Column("place", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_segments")),
    )
    with op.batch_alter_table("segments", schema=None) as batch_op:
        batch_op.create_index(
            "ix_segments_identifier", ["network_type", "physical_network", "segmentation_id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_segments_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_segments_network_id"), ["network_id"], unique=False)

    op.create_table(
        "trunks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("sub_ports", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trunks")),
    )
    with op.batch_alter_table("trunks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_trunks_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_trunks_port_id"), ["port_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_trunks_project_id"), ["project_id"], unique=False)

    with op.batch_alter_table("address_groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_groups_name"), ["name"], unique=False)

    with op.batch_alter_table("address_scopes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_scopes_name"), ["name"], unique=False)

    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_agents_host"), type_="unique")
        batch_op.create_unique_constraint(batch_op.f("uq_agents_agent_type_host"), ["agent_type", "host"])

    with op.batch_alter_table("flavors", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_flavors_name"), ["name"], unique=False)

    with op.batch_alter_table("floatingips", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_floatingips_fixed_ip_address"), ["fixed_ip_address"], unique=False)
        batch_op.create_index(batch_op.f("ix_floatingips_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.add_column(sa.Column("user_name", sa.String(length=255), server_default="", nullable=False))
        batch_op.add_column(sa.Column("owner_id", sa.String(length=255), server_default="", nullable=False))
        batch_op.drop_index(batch_op.f("ix_journal_resource"))
        batch_op.create_index("ix_journal_resource", ["resource_id", "seq"], unique=False)
        batch_op.create_index("ix_journal_kind", ["kind", "seq"], unique=False)
        batch_op.create_index("ix_journal_owner", ["owner_id", "seq"], unique=False)
        batch_op.create_index("ix_journal_owner_kind", ["owner_id", "kind", "seq"], unique=False)

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("segments", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("qinq", sa.Boolean(), server_default=sa.text("false"), nullable=True))
        batch_op.add_column(sa.Column("project_default", sa.Boolean(), server_default=sa.text("false"), nullable=True))
        batch_op.add_column(sa.Column("pvlan", sa.Boolean(), server_default=sa.text("false"), nullable=True))
        batch_op.add_column(sa.Column("routed", sa.Boolean(), server_default=sa.text("false"), nullable=True))
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("ha", sa.Boolean(), server_default=sa.text("false"), nullable=True))
        batch_op.add_column(sa.Column("ha_of", sa.String(length=255), nullable=True))
        batch_op.create_index(batch_op.f("ix_networks_ha_of"), ["ha_of"], unique=False)
        batch_op.create_index(batch_op.f("ix_networks_ipv4_address_scope"), ["ipv4_address_scope"], unique=False)
        batch_op.create_index(batch_op.f("ix_networks_ipv6_address_scope"), ["ipv6_address_scope"], unique=False)
        batch_op.create_index(batch_op.f("ix_networks_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_networks_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dns_domain", sa.String(length=255), server_default=sa.text("''"), nullable=True))
        batch_op.add_column(
            sa.Column("published_domain", sa.String(length=255), server_default=sa.text("''"), nullable=True)
        )
        batch_op.add_column(sa.Column("qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("qos_network_policy_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("resource_request", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("trunk_details", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("subport_of", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("pvlan_type", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("pvlan_community", sa.String(length=232), nullable=True))
        batch_op.add_column(sa.Column("data_plane_status", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("device_profile", sa.String(length=255), nullable=True))
        batch_op.add_column(sa.Column("hardware_offload_type", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("hints", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("numa_affinity_policy", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("trusted", sa.Boolean(), nullable=True))
        batch_op.add_column(
            sa.Column("propagate_uplink_status", sa.Boolean(), server_default=sa.text("true"), nullable=True)
        )
        batch_op.create_index(batch_op.f("ix_ports_mac_address"), ["mac_address"], unique=False)
        batch_op.create_index(batch_op.f("ix_ports_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_ports_qos_network_policy_id"), ["qos_network_policy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_ports_qos_policy_id"), ["qos_policy_id"], unique=False)

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("ha", sa.Boolean(), nullable=True))
        batch_op.add_column(sa.Column("flavor_id", sa.String(length=36), nullable=True))
        batch_op.add_column(sa.Column("gateways", sa.JSON(), nullable=True))
        batch_op.add_column(
            sa.Column("enable_default_route_ecmp", sa.Boolean(), server_default=sa.text("false"), nullable=True)
        )
        batch_op.add_column(
            sa.Column("enable_default_route_bfd", sa.Boolean(), server_default=sa.text("false"), nullable=True)
        )
        batch_op.add_column(sa.Column("enable_ndp_proxy", sa.Boolean(), server_default=sa.text("false"), nullable=True))
        batch_op.add_column(sa.Column("gateway_qos_policy_id", sa.String(length=36), nullable=True))
        batch_op.create_index(batch_op.f("ix_routers_flavor_id"), ["flavor_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_routers_gateway_qos_policy_id"), ["gateway_qos_policy_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_routers_name"), ["name"], unique=False)

    with op.batch_alter_table("security_group_rules", schema=None) as batch_op:
        batch_op.drop_column("tags")

    with op.batch_alter_table("security_groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_groups_name"), ["name"], unique=False)

    with op.batch_alter_table("subnetpools", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subnetpools_name"), ["name"], unique=False)

    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("segment_id", sa.String(length=36), nullable=True))
        batch_op.add_column(
            sa.Column("dns_publish_fixed_ip", sa.Boolean(), server_default=sa.text("false"), nullable=True)
        )
        batch_op.create_index(batch_op.f("ix_subnets_cidr"), ["cidr"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnets_gateway_ip"), ["gateway_ip"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnets_name"), ["name"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnets_segment_id"), ["segment_id"], unique=False)

    # By hand:
    journal = sa.table(
        "journal", sa.column("owner_id", sa.String), sa.column("before", sa.JSON), sa.column("after", sa.JSON)
    )
    own = (journal.c[name]["project_id"].as_string() for name in ("after", "before"))
    op.execute(sa.update(journal).values(owner_id=sa.func.coalesce(*own, "")))
    # What an instance's port is bound to is also a record now; the port's id serves for its only binding.
    op.execute(
        "INSERT INTO port_bindings (id, port_id, project_id, host, status, vif_type, vif_details, vnic_type, profile, "
        "created_at, updated_at, revision_number) SELECT id, id, project_id, binding_host_id, 'ACTIVE', "
        "binding_vif_type, binding_vif_details, binding_vnic_type, binding_profile, created_at, updated_at, 0 "
        "FROM ports WHERE binding_host_id <> '' AND (device_owner LIKE 'compute:%' OR device_owner LIKE 'manila:%')"
    )
