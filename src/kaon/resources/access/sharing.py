"""What the resources that RBAC policies open to other projects have in common."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.declare import Attribute, Filter, Resource, named
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

SHARED = "access_as_shared"


def is_shared(record: Record, caller: Caller) -> bool:
    """Whether policies open the record to the caller's project."""
    return any(target in ("*", caller.project_id) for target in record["shared_with"])


ATTRIBUTE = Attribute(
    "shared",
    types.BOOLEAN,
    default=False,
    post=True,
    put=True,
    post_rule=ADMIN,
    put_rule=ADMIN,
    derived=is_shared,
    filter=False,
)
"""Open to everybody, as an administrator may say directly where others write an RBAC policy."""


def opened(kind: str, caller: Caller) -> sa.Select[tuple[str]]:
    """Ids of the objects of a kind that policies open to the caller's project."""
    column = named("rbac_policy").table.c
    return sa.select(column.object_id).where(
        column.object_type == kind,
        column.action == SHARED,
        column.target_tenant.in_(("*", caller.project_id)),
    )


def shared_filter(kind: str) -> Filter:
    """The list filter ``shared=…`` of a kind."""

    def condition(values: list[str], caller: Caller) -> sa.ColumnElement[bool]:
        shared = named(kind).table.c.id.in_(opened(kind, caller))
        wanted = {types.BOOLEAN.parse(value) for value in values}
        return sa.or_(*(shared if value else ~shared for value in sorted(wanted)))

    return condition


def share_with_all(tx: Transaction, resource: Resource, record: Record) -> None:
    """Open a record to everybody, as ``shared: true`` means."""
    named("rbac_policy").create(
        tx,
        {
            "project_id": record["project_id"],
            "object_type": resource.name,
            "object_id": record["id"],
            "action": SHARED,
            "target_tenant": "*",
        },
    )


def set_shared_with_all(tx: Transaction, resource: Resource, record: Record, shared: bool) -> Record:
    """Open a record to everybody or close it again, as ``shared`` says; returns it as it then is.

    Raises 409 when another project needs it open.
    """
    if shared == ("*" in record["shared_with"]):
        return record
    if shared:
        share_with_all(tx, resource, record)
    else:
        policy = named("rbac_policy")
        for item in records.by(tx.conn, policy, object_id=record["id"], action=SHARED, target_tenant="*"):
            policy.delete(tx, item)
    return records.get(tx.conn, resource, record["id"])


def forget_policies(tx: Transaction, record: Record) -> None:
    """Remove the policies of a record that goes away."""
    policy = named("rbac_policy")
    for item in records.select(tx.conn, policy, policy.table.c.object_id == record["id"]):
        records.delete(tx, policy, item)


def in_default_rules(tx: Transaction, id: str) -> bool:
    """Whether a default security group rule names this group, so that every project needs it."""
    rule = named("default_security_group_rule").table.c
    named_here = (rule.remote_group_id == id) | (rule.remote_address_group_id == id)
    return tx.execute(sa.select(rule.id).where(named_here).limit(1)).first() is not None
