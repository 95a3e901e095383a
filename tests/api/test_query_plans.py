"""Lists find their rows by an index: what a filter costs does not grow with what others have."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from kaon.api import query
from kaon.caller import Caller
from kaon.resources.catalog import resources
from kaon.resources.declare import Attribute, Resource
from tests.api.cloud import Cloud, caller

ID = "00000000-0000-0000-0000-000000000001"

COARSE = frozenset(
    {
        "action", "agent_type", "binding:vif_type", "created_at", "description", "destination_ip_prefix",
        "device_owner", "device_profile", "dns_domain", "dns_name", "ip_allocation", "network_type",
        "normalized_cidr", "object_type", "physical_network", "protocol", "provider:physical_network",
        "pvlan_community", "remote_ip_prefix", "resource_type", "source_ip_prefix", "status", "tags", "updated_at",
    }
)  # fmt: skip
"""Filters by what very many rows have in common, or what nobody looks things up by. An index of such a column is worse
than none: SQLite may prefer it to a fine one."""

FEW = frozenset({"agent", "default_security_group_rule", "flavor", "service_profile"})
"""Of these a whole cloud has a few dozen."""

EXAMPLES = {
    "cidr": ("10.0.0.0/24",),
    "fixed_ips": (f"subnet_id={ID}", "ip_address=10.0.0.1"),
    "allowed_address_pairs": (),
    "shared": ("true",),
    "router:external": ("true",),
}
"""Values for filters that no attribute of their own type is behind; pairs of addresses are looked for in all ports."""


def is_fine(attribute: Attribute) -> bool:
    """Whether a value of it is of few rows, as far as its type and its name tell."""
    coarse = isinstance(attribute.type.column, sa.Boolean | sa.Integer) or "enum" in str(attribute.type.schema)
    return not coarse and attribute.name not in COARSE


def filters(resource: Resource) -> list[tuple[str, str]]:
    """Each fine filter of a resource, with a value."""
    found = []
    for name in sorted({*resource.by_name, *resource.filters} - {"tenant_id"}):
        attribute = resource.by_name.get(name)
        if query.filterable(resource, name) and (attribute is None or is_fine(attribute) or name in resource.filters):
            found += [(name, value) for value in EXAMPLES.get(name, (ID,))]
    return found


def plan(cloud: Cloud, resource: Resource, pairs: list[tuple[str, str]], who: Caller) -> list[str]:
    """What SQLite would do, step by step."""
    wanted = query.parse(resource, pairs)
    chosen = query.statement(resource, [resource.table.c.id], wanted, who, cloud.live, None)
    if resource.within is not None:
        chosen = chosen.where(resource.table.c[resource.within[1]] == ID)

    def explain(conn: sa.Connection) -> list[str]:
        text = chosen.compile(conn, compile_kwargs={"literal_binds": True})
        return [row.detail for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]

    return cloud.store.read_now(explain)


LISTED = [resource for resource in resources() if "list" in resource.methods and resource.name not in FEW]


@pytest.mark.parametrize("resource", LISTED, ids=lambda resource: resource.name)
@pytest.mark.parametrize("who", ["admin:a", "member:a"])
async def test_no_list_that_a_fine_filter_narrows_reads_the_whole_table(
    cloud: Cloud, resource: Resource, who: str
) -> None:
    asked: list[Any] = [[pair] for pair in filters(resource)]
    if who == "member:a":
        asked.append([])
    whole = f"SCAN {resource.table.name}"
    scans = [pairs for pairs in asked if whole in plan(cloud, resource, pairs, caller(who))]
    assert scans == [], "index these attributes in their declaration, or say that they are coarse"


async def test_a_page_of_what_a_filter_finds_does_not_walk_through_all_ids(cloud: Cloud) -> None:
    (port,) = (resource for resource in resources() if resource.name == "port")
    (step, *_) = plan(cloud, port, [("name", "web"), ("limit", "10")], caller("admin:a"))
    assert "ix_ports_name (name=?)" in step
