"""Which projects built something on an object that an RBAC policy opens, and so would lose their ground without it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from kaon.resources.access.sharing import SHARED
from kaon.resources.declare import named
from kaon.resources.qos import following
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

EXTERNAL = "access_as_external"

Statement = Callable[[str], sa.Select[tuple[str]]]
"""From an object's id to the projects that hold something that depends on it."""


def _on_network(object_id: str) -> sa.Select[tuple[str]]:
    port, subnet = named("port").table, named("subnet").table
    return sa.union(  # type: ignore[return-value]
        sa.select(port.c.project_id).where(port.c.network_id == object_id),
        sa.select(subnet.c.project_id).where(subnet.c.network_id == object_id),
    )


def _through_network(object_id: str) -> sa.Select[tuple[str]]:
    """Projects with a router's gateway or a floating IP on the network."""
    port, router, floatingip = named("port").table, named("router").table, named("floatingip").table
    return sa.union(  # type: ignore[return-value]
        sa.select(router.c.project_id)
        .join(port, port.c.device_id == router.c.id)
        .where(port.c.network_id == object_id, port.c.device_owner == "network:router_gateway"),
        sa.select(floatingip.c.project_id).where(floatingip.c.floating_network_id == object_id),
    )


def _in_group(object_id: str) -> sa.Select[tuple[str]]:
    port, joined = named("port").table, metadata.tables["port_security_groups"]
    return (
        sa.select(port.c.project_id)
        .join(joined, joined.c.port_id == port.c.id)
        .where(joined.c.security_group_id == object_id)
    )


def _holding(kind: str, attribute: str) -> Statement:
    def statement(object_id: str) -> sa.Select[tuple[str]]:
        table = named(kind).table
        return sa.select(table.c.project_id).where(table.c[attribute] == object_id)

    return statement


_DEPENDENTS: Mapping[tuple[str, str], Statement] = {
    ("network", SHARED): _on_network,
    ("network", EXTERNAL): _through_network,
    ("security_group", SHARED): _in_group,
    ("subnetpool", SHARED): _holding("subnet", "subnetpool_id"),
    ("address_group", SHARED): _holding("security_group_rule", "remote_address_group_id"),
    ("address_scope", SHARED): _holding("subnetpool", "address_scope_id"),
    ("qos_policy", SHARED): following.projects,
}


def projects(tx: Transaction, kind: str, action: str, object_id: str) -> set[str]:
    """The projects with something that depends on the object's being opened in this way."""
    return {project for project in tx.execute(_DEPENDENTS[kind, action](object_id)).scalars() if project}
