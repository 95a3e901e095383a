"""Who may use a network: whom it is shared with, and for whom it is external."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.access import rbac_dependents
from kaon.resources.declare import named
from kaon.resources.errors import ApiError, conflict
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

SHARED, EXTERNAL = "access_as_shared", "access_as_external"


def grant(tx: Transaction, network: Record, action: str) -> Record:
    """Give everybody access of one kind through an RBAC policy, as ``shared`` and ``router:external`` mean."""
    named("rbac_policy").create(
        tx,
        {
            "project_id": network["project_id"],
            "object_type": "network",
            "object_id": network["id"],
            "action": action,
            "target_tenant": "*",
        },
    )
    return records.get(tx.conn, named("network"), network["id"])


def revoke(tx: Transaction, network: Record, action: str) -> Record:
    if action == EXTERNAL:
        drop_idle_floatingips(tx, network["id"])
        _demand_no_gateways(tx, network)
    policy = named("rbac_policy")
    column = policy.table.c
    for entry in records.select(
        tx.conn,
        policy,
        column.object_id == network["id"],
        column.action == action,
        column.target_tenant == "*",
    ):
        try:
            policy.delete(tx, entry)
        except ApiError as error:
            if error.type != "RbacPolicyInUse":
                raise
            raise conflict(
                "InvalidSharedSetting",
                f"Unable to reconfigure sharing settings for network {network['id']}. Multiple projects are using it.",
            ) from None
    return records.get(tx.conn, named("network"), network["id"])


def drop_idle_floatingips(tx: Transaction, network_id: str) -> None:
    """Remove the floating IPs that lead nowhere of a network that goes away, or is external no more."""
    floatingip = named("floatingip")
    for item in records.by(tx.conn, floatingip, floating_network_id=network_id):
        if item["port_id"] is None and item["router_id"] is None:
            floatingip.delete(tx, item)


def _demand_no_gateways(tx: Transaction, network: Record) -> None:
    if rbac_dependents.projects(tx, "network", EXTERNAL, network["id"]):
        raise conflict(
            "ExternalNetworkInUse",
            f"External network {network['id']} cannot be updated to be made non-external, since it has existing "
            "gateway ports.",
        )


def accessible(caller: Caller, *actions: str) -> sa.Select[tuple[str]]:
    """Ids of the networks that RBAC policies open to the caller's project."""
    column = named("rbac_policy").table.c
    return sa.select(column.object_id).where(
        column.object_type == "network",
        column.action.in_(actions),
        column.target_tenant.in_(("*", caller.project_id)),
    )


def visible(caller: Caller) -> sa.ColumnElement[bool]:
    return named("network").table.c.id.in_(accessible(caller, SHARED, EXTERNAL))


def filter_external(values: list[str], caller: Caller) -> sa.ColumnElement[bool]:
    column = named("rbac_policy").table.c
    external = named("network").table.c.id.in_(
        sa.select(column.object_id).where(column.object_type == "network", column.action == EXTERNAL)
    )
    wanted = {types.BOOLEAN.parse(value) for value in values}
    return sa.or_(*(external if value else ~external for value in sorted(wanted)))
