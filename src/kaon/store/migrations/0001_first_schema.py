"""First schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Bring the schema from nothing to 0001."""
    op.create_table(
        "address_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("addresses", sa.JSON(), nullable=True),
        sa.Column("shared_with", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_groups")),
    )
    op.create_index(op.f("ix_address_groups_project_id"), "address_groups", ["project_id"], unique=False)
    op.create_table(
        "address_scopes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("ip_version", sa.Integer(), nullable=True),
        sa.Column("shared_with", sa.JSON(), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_address_scopes")),
    )
    op.create_index(op.f("ix_address_scopes_project_id"), "address_scopes", ["project_id"], unique=False)
    op.create_table(
        "agents",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("agent_type", sa.String(length=255), nullable=True),
        sa.Column("binary", sa.String(length=255), nullable=True),
        sa.Column("topic", sa.String(length=255), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("started_at", sa.String(length=32), nullable=True),
        sa.Column("configurations", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("heartbeat", sa.BigInteger(), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_agents")),
        sa.UniqueConstraint("host", name=op.f("uq_agents_host")),
    )
    op.create_table(
        "attachments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("netns", sa.String(length=255), nullable=True),
        sa.Column("ifname", sa.String(length=15), nullable=True),
        sa.Column("tap", sa.String(length=15), nullable=True),
        sa.Column("instance_id", sa.String(length=255), nullable=True),
        sa.Column("hostname", sa.String(length=255), nullable=True),
        sa.Column("user_data", sa.String(length=1048576), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    op.create_index(op.f("ix_attachments_host"), "attachments", ["host"], unique=False)
    op.create_index(op.f("ix_attachments_network_id"), "attachments", ["network_id"], unique=False)
    op.create_table(
        "auto_allocated_topologies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_auto_allocated_topologies")),
    )
    op.create_index(
        op.f("ix_auto_allocated_topologies_project_id"), "auto_allocated_topologies", ["project_id"], unique=False
    )
    op.create_table(
        "default_security_group_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("ethertype", sa.String(length=4), nullable=True),
        sa.Column("protocol", sa.String(length=40), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=49), nullable=True),
        sa.Column("used_in_default_sg", sa.Boolean(), nullable=True),
        sa.Column("used_in_non_default_sg", sa.Boolean(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_default_security_group_rules")),
    )
    op.create_index(
        op.f("ix_default_security_group_rules_remote_address_group_id"),
        "default_security_group_rules",
        ["remote_address_group_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_default_security_group_rules_remote_group_id"),
        "default_security_group_rules",
        ["remote_group_id"],
        unique=False,
    )
    op.create_table(
        "flavors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("service_type", sa.String(length=64), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=True),
        sa.Column("service_profiles", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_flavors")),
    )
    op.create_table(
        "floatingips",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("floating_ip_address", sa.String(length=45), nullable=True),
        sa.Column("floating_network_id", sa.String(length=36), nullable=True),
        sa.Column("subnet_id", sa.String(length=36), nullable=True),
        sa.Column("port_id", sa.String(length=36), nullable=True),
        sa.Column("fixed_ip_address", sa.String(length=45), nullable=True),
        sa.Column("router_id", sa.String(length=36), nullable=True),
        sa.Column("dns_name", sa.String(length=255), nullable=True),
        sa.Column("dns_domain", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("floating_port_id", sa.String(length=36), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_floatingips")),
    )
    op.create_index(op.f("ix_floatingips_floating_ip_address"), "floatingips", ["floating_ip_address"], unique=False)
    op.create_index(op.f("ix_floatingips_floating_network_id"), "floatingips", ["floating_network_id"], unique=False)
    op.create_index(op.f("ix_floatingips_port_id"), "floatingips", ["port_id"], unique=False)
    op.create_index(op.f("ix_floatingips_project_id"), "floatingips", ["project_id"], unique=False)
    op.create_index(op.f("ix_floatingips_router_id"), "floatingips", ["router_id"], unique=False)
    op.create_table(
        "free_ranges",
        sa.Column("pool", sa.String(length=80), nullable=False),
        sa.Column("first", sa.String(length=32), nullable=False),
        sa.Column("last", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("pool", "first", name=op.f("pk_free_ranges")),
    )
    op.create_table(
        "identity_domain",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("valid_after", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_domain")),
        sa.UniqueConstraint("name", name=op.f("uq_identity_domain_name")),
    )
    op.create_table(
        "identity_region",
        sa.Column("id", sa.String(length=255), nullable=False),
        sa.Column("parent_region_id", sa.String(length=255), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent_region_id"], ["identity_region.id"], name=op.f("fk_identity_region_parent_region_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_region")),
    )
    op.create_table(
        "identity_revocation",
        sa.Column("audit_id", sa.String(length=32), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("audit_id", name=op.f("pk_identity_revocation")),
    )
    op.create_index(op.f("ix_identity_revocation_expires_at"), "identity_revocation", ["expires_at"], unique=False)
    op.create_table(
        "identity_role",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("domain_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_role")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_identity_role_domain_id_name")),
    )
    op.create_table(
        "identity_service",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_service")),
    )
    op.create_table(
        "ip_allocations",
        sa.Column("subnet_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=32), nullable=False),
        sa.Column("ip", sa.String(length=45), nullable=False),
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("network_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("subnet_id", "address", name=op.f("pk_ip_allocations")),
    )
    op.create_index(op.f("ix_ip_allocations_ip"), "ip_allocations", ["ip"], unique=False)
    op.create_index(op.f("ix_ip_allocations_port_id"), "ip_allocations", ["port_id"], unique=False)
    op.create_table(
        "journal",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("resource_id", sa.String(length=255), nullable=False),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_journal")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_journal_resource", "journal", ["kind", "resource_id"], unique=False)
    op.create_table(
        "networks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("subnets", sa.JSON(), nullable=True),
        sa.Column("provider_network_type", sa.String(length=64), nullable=True),
        sa.Column("provider_physical_network", sa.String(length=64), nullable=True),
        sa.Column("provider_segmentation_id", sa.BigInteger(), nullable=True),
        sa.Column("mtu", sa.BigInteger(), nullable=True),
        sa.Column("port_security_enabled", sa.Boolean(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=True),
        sa.Column("availability_zone_hints", sa.JSON(), nullable=True),
        sa.Column("availability_zones", sa.JSON(), nullable=True),
        sa.Column("dns_domain", sa.String(length=255), nullable=True),
        sa.Column("ipv4_address_scope", sa.String(length=36), nullable=True),
        sa.Column("ipv6_address_scope", sa.String(length=36), nullable=True),
        sa.Column("zone", sa.BigInteger(), nullable=True),
        sa.Column("shared_with", sa.JSON(), nullable=True),
        sa.Column("external_to", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_networks")),
    )
    op.create_index(op.f("ix_networks_project_id"), "networks", ["project_id"], unique=False)
    op.create_table(
        "port_security_groups",
        sa.Column("port_id", sa.String(length=36), nullable=False),
        sa.Column("security_group_id", sa.String(length=36), nullable=False),
        sa.PrimaryKeyConstraint("port_id", "security_group_id", name=op.f("pk_port_security_groups")),
    )
    op.create_index(
        op.f("ix_port_security_groups_security_group_id"), "port_security_groups", ["security_group_id"], unique=False
    )
    op.create_table(
        "ports",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=True),
        sa.Column("mac_address", sa.String(length=17), nullable=True),
        sa.Column("fixed_ips", sa.JSON(), nullable=True),
        sa.Column("device_id", sa.String(length=255), nullable=True),
        sa.Column("device_owner", sa.String(length=255), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("security_groups", sa.JSON(), nullable=True),
        sa.Column("port_security_enabled", sa.Boolean(), nullable=True),
        sa.Column("allowed_address_pairs", sa.JSON(), nullable=True),
        sa.Column("extra_dhcp_opts", sa.JSON(), nullable=True),
        sa.Column("binding_host_id", sa.String(length=255), nullable=True),
        sa.Column("binding_vnic_type", sa.String(length=64), nullable=True),
        sa.Column("binding_profile", sa.JSON(), nullable=True),
        sa.Column("binding_vif_type", sa.String(length=64), nullable=True),
        sa.Column("binding_vif_details", sa.JSON(), nullable=True),
        sa.Column("dns_name", sa.String(length=255), nullable=True),
        sa.Column("ip_allocation", sa.String(length=16), nullable=True),
        sa.Column("kaon_status_reason", sa.String(length=1024), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ports")),
        sa.UniqueConstraint("network_id", "mac_address", name="uq_ports_mac"),
    )
    op.create_index(op.f("ix_ports_binding_host_id"), "ports", ["binding_host_id"], unique=False)
    op.create_index(op.f("ix_ports_device_id"), "ports", ["device_id"], unique=False)
    op.create_index("ix_ports_network_owner", "ports", ["network_id", "device_owner"], unique=False)
    op.create_index(op.f("ix_ports_project_id"), "ports", ["project_id"], unique=False)
    op.create_table(
        "quota_usages",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_quota_usages")),
    )
    op.create_table(
        "quotas",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("resource", sa.String(length=64), nullable=False),
        sa.Column("limit", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "resource", name=op.f("pk_quotas")),
    )
    op.create_table(
        "rbac_policies",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("object_type", sa.String(length=64), nullable=True),
        sa.Column("object_id", sa.String(length=36), nullable=True),
        sa.Column("action", sa.String(length=255), nullable=True),
        sa.Column("target_tenant", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rbac_policies")),
    )
    op.create_index(op.f("ix_rbac_policies_object_id"), "rbac_policies", ["object_id"], unique=False)
    op.create_index(op.f("ix_rbac_policies_project_id"), "rbac_policies", ["project_id"], unique=False)
    op.create_index(op.f("ix_rbac_policies_target_tenant"), "rbac_policies", ["target_tenant"], unique=False)
    op.create_table(
        "routers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=True),
        sa.Column("external_gateway_info", sa.JSON(), nullable=True),
        sa.Column("distributed", sa.Boolean(), nullable=True),
        sa.Column("routes", sa.JSON(), nullable=True),
        sa.Column("availability_zone_hints", sa.JSON(), nullable=True),
        sa.Column("availability_zones", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_routers")),
    )
    op.create_index(op.f("ix_routers_project_id"), "routers", ["project_id"], unique=False)
    op.create_table(
        "security_group_rules",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("security_group_id", sa.String(length=36), nullable=True),
        sa.Column("direction", sa.String(length=64), nullable=True),
        sa.Column("ethertype", sa.String(length=4), nullable=True),
        sa.Column("protocol", sa.String(length=40), nullable=True),
        sa.Column("port_range_min", sa.Integer(), nullable=True),
        sa.Column("port_range_max", sa.Integer(), nullable=True),
        sa.Column("remote_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_address_group_id", sa.String(length=36), nullable=True),
        sa.Column("remote_ip_prefix", sa.String(length=49), nullable=True),
        sa.Column("normalized_cidr", sa.String(length=49), nullable=True),
        sa.Column("belongs_to_default_sg", sa.Boolean(), nullable=True),
        sa.Column("fingerprint", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_group_rules")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_security_group_rules_fingerprint")),
    )
    op.create_index(op.f("ix_security_group_rules_project_id"), "security_group_rules", ["project_id"], unique=False)
    op.create_index(
        op.f("ix_security_group_rules_remote_address_group_id"),
        "security_group_rules",
        ["remote_address_group_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_security_group_rules_remote_group_id"), "security_group_rules", ["remote_group_id"], unique=False
    )
    op.create_index(
        op.f("ix_security_group_rules_security_group_id"), "security_group_rules", ["security_group_id"], unique=False
    )
    op.create_table(
        "security_groups",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("stateful", sa.Boolean(), nullable=True),
        sa.Column("shared_with", sa.JSON(), nullable=True),
        sa.Column("default_of", sa.String(length=255), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_security_groups")),
        sa.UniqueConstraint("default_of", name=op.f("uq_security_groups_default_of")),
    )
    op.create_index(op.f("ix_security_groups_project_id"), "security_groups", ["project_id"], unique=False)
    op.create_table(
        "service_profiles",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("driver", sa.String(length=1024), nullable=True),
        sa.Column("metainfo", sa.String(length=4096), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_service_profiles")),
    )
    op.create_table(
        "store_facts",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_store_facts")),
    )
    op.create_table(
        "subnetpools",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("prefixes", sa.JSON(), nullable=True),
        sa.Column("ip_version", sa.Integer(), nullable=True),
        sa.Column("default_prefixlen", sa.BigInteger(), nullable=True),
        sa.Column("min_prefixlen", sa.BigInteger(), nullable=True),
        sa.Column("max_prefixlen", sa.BigInteger(), nullable=True),
        sa.Column("default_quota", sa.BigInteger(), nullable=True),
        sa.Column("is_default", sa.Boolean(), nullable=True),
        sa.Column("address_scope_id", sa.String(length=36), nullable=True),
        sa.Column("shared_with", sa.JSON(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnetpools")),
    )
    op.create_index(op.f("ix_subnetpools_address_scope_id"), "subnetpools", ["address_scope_id"], unique=False)
    op.create_index(op.f("ix_subnetpools_project_id"), "subnetpools", ["project_id"], unique=False)
    op.create_table(
        "subnets",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=True),
        sa.Column("network_id", sa.String(length=36), nullable=True),
        sa.Column("ip_version", sa.Integer(), nullable=True),
        sa.Column("cidr", sa.String(length=49), nullable=True),
        sa.Column("gateway_ip", sa.String(length=45), nullable=True),
        sa.Column("allocation_pools", sa.JSON(), nullable=True),
        sa.Column("dns_nameservers", sa.JSON(), nullable=True),
        sa.Column("host_routes", sa.JSON(), nullable=True),
        sa.Column("enable_dhcp", sa.Boolean(), nullable=True),
        sa.Column("ipv6_ra_mode", sa.String(length=64), nullable=True),
        sa.Column("ipv6_address_mode", sa.String(length=64), nullable=True),
        sa.Column("subnetpool_id", sa.String(length=36), nullable=True),
        sa.Column("service_types", sa.JSON(), nullable=True),
        sa.Column("router_external", sa.Boolean(), nullable=True),
        sa.Column("description", sa.String(length=255), nullable=True),
        sa.Column("created_at", sa.String(length=32), nullable=True),
        sa.Column("updated_at", sa.String(length=32), nullable=True),
        sa.Column("revision_number", sa.BigInteger(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subnets")),
    )
    op.create_index(op.f("ix_subnets_network_id"), "subnets", ["network_id"], unique=False)
    op.create_index(op.f("ix_subnets_project_id"), "subnets", ["project_id"], unique=False)
    op.create_index(op.f("ix_subnets_subnetpool_id"), "subnets", ["subnetpool_id"], unique=False)
    op.create_table(
        "identity_assignment",
        sa.Column("actor_kind", sa.String(length=8), nullable=False),
        sa.Column("actor_id", sa.String(length=64), nullable=False),
        sa.Column("target_kind", sa.String(length=8), nullable=False),
        sa.Column("target_id", sa.String(length=64), nullable=False),
        sa.Column("role_id", sa.String(length=64), nullable=False),
        sa.Column("inherited", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["role_id"], ["identity_role.id"], name=op.f("fk_identity_assignment_role_id")),
        sa.PrimaryKeyConstraint(
            "actor_kind",
            "actor_id",
            "target_kind",
            "target_id",
            "role_id",
            "inherited",
            name=op.f("pk_identity_assignment"),
        ),
    )
    op.create_index("ix_identity_assignment_target", "identity_assignment", ["target_kind", "target_id"], unique=False)
    op.create_table(
        "identity_endpoint",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("service_id", sa.String(length=64), nullable=False),
        sa.Column("region_id", sa.String(length=255), nullable=True),
        sa.Column("interface", sa.String(length=8), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["identity_region.id"], name=op.f("fk_identity_endpoint_region_id")),
        sa.ForeignKeyConstraint(["service_id"], ["identity_service.id"], name=op.f("fk_identity_endpoint_service_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_endpoint")),
    )
    op.create_index(op.f("ix_identity_endpoint_region_id"), "identity_endpoint", ["region_id"], unique=False)
    op.create_index(op.f("ix_identity_endpoint_service_id"), "identity_endpoint", ["service_id"], unique=False)
    op.create_table(
        "identity_group",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("domain_id", sa.String(length=64), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["identity_domain.id"], name=op.f("fk_identity_group_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_group")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_identity_group_domain_id_name")),
    )
    op.create_index(op.f("ix_identity_group_domain_id"), "identity_group", ["domain_id"], unique=False)
    op.create_table(
        "identity_implied_role",
        sa.Column("prior_id", sa.String(length=64), nullable=False),
        sa.Column("implied_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["implied_id"], ["identity_role.id"], name=op.f("fk_identity_implied_role_implied_id")),
        sa.ForeignKeyConstraint(["prior_id"], ["identity_role.id"], name=op.f("fk_identity_implied_role_prior_id")),
        sa.PrimaryKeyConstraint("prior_id", "implied_id", name=op.f("pk_identity_implied_role")),
    )
    op.create_table(
        "identity_project",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("domain_id", sa.String(length=64), nullable=False),
        sa.Column("parent_id", sa.String(length=64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("valid_after", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["identity_domain.id"], name=op.f("fk_identity_project_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_project")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_identity_project_domain_id_name")),
    )
    op.create_index(op.f("ix_identity_project_domain_id"), "identity_project", ["domain_id"], unique=False)
    op.create_index(op.f("ix_identity_project_parent_id"), "identity_project", ["parent_id"], unique=False)
    op.create_table(
        "identity_user",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("domain_id", sa.String(length=64), nullable=False),
        sa.Column("default_project_id", sa.String(length=64), nullable=True),
        sa.Column("password_hash", sa.String(length=255), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("valid_after", sa.BigInteger(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["domain_id"], ["identity_domain.id"], name=op.f("fk_identity_user_domain_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_user")),
        sa.UniqueConstraint("domain_id", "name", name=op.f("uq_identity_user_domain_id_name")),
    )
    op.create_index(op.f("ix_identity_user_default_project_id"), "identity_user", ["default_project_id"], unique=False)
    op.create_index(op.f("ix_identity_user_domain_id"), "identity_user", ["domain_id"], unique=False)
    op.create_table(
        "identity_application_credential",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.String(length=255), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("unrestricted", sa.Boolean(), nullable=False),
        sa.Column("role_ids", sa.JSON(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("extra", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["identity_project.id"], name=op.f("fk_identity_application_credential_project_id")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["identity_user.id"], name=op.f("fk_identity_application_credential_user_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_identity_application_credential")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_identity_application_credential_user_id_name")),
    )
    op.create_index(
        op.f("ix_identity_application_credential_project_id"),
        "identity_application_credential",
        ["project_id"],
        unique=False,
    )
    op.create_index(
        op.f("ix_identity_application_credential_user_id"), "identity_application_credential", ["user_id"], unique=False
    )
    op.create_table(
        "identity_membership",
        sa.Column("group_id", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["group_id"], ["identity_group.id"], name=op.f("fk_identity_membership_group_id")),
        sa.ForeignKeyConstraint(["user_id"], ["identity_user.id"], name=op.f("fk_identity_membership_user_id")),
        sa.PrimaryKeyConstraint("group_id", "user_id", name=op.f("pk_identity_membership")),
    )
    op.create_index(op.f("ix_identity_membership_user_id"), "identity_membership", ["user_id"], unique=False)
    op.create_table(
        "identity_project_tag",
        sa.Column("project_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"], ["identity_project.id"], name=op.f("fk_identity_project_tag_project_id")
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("pk_identity_project_tag")),
    )
