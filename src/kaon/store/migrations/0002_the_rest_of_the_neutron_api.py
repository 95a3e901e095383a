"""The rest of the Neutron API."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Bring the schema from 0001 to 0002."""
    with op.batch_alter_table("address_groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_groups_name"), ["name"], unique=False)

    with op.batch_alter_table("address_scopes", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_address_scopes_name"), ["name"], unique=False)

    with op.batch_alter_table("flavors", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_flavors_name"), ["name"], unique=False)

    with op.batch_alter_table("floatingips", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_floatingips_fixed_ip_address"), ["fixed_ip_address"], unique=False)

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_networks_ipv4_address_scope"), ["ipv4_address_scope"], unique=False)
        batch_op.create_index(batch_op.f("ix_networks_ipv6_address_scope"), ["ipv6_address_scope"], unique=False)
        batch_op.create_index(batch_op.f("ix_networks_name"), ["name"], unique=False)

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_ports_mac_address"), ["mac_address"], unique=False)
        batch_op.create_index(batch_op.f("ix_ports_name"), ["name"], unique=False)

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_routers_name"), ["name"], unique=False)

    with op.batch_alter_table("security_groups", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_security_groups_name"), ["name"], unique=False)

    with op.batch_alter_table("subnetpools", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subnetpools_name"), ["name"], unique=False)

    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_subnets_cidr"), ["cidr"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnets_gateway_ip"), ["gateway_ip"], unique=False)
        batch_op.create_index(batch_op.f("ix_subnets_name"), ["name"], unique=False)
