"""What follows a QoS policy: ports, networks, floating IPs and routers, by the attribute that names it."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.errors import forbidden
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

NAMING = (
    ("network", "qos_policy_id"),
    ("port", "qos_policy_id"),
    ("floatingip", "qos_policy_id"),
    ("router", "gateway_qos_policy_id"),
)
"""(kind, its attribute that holds a policy's id)."""


class Follower(NamedTuple):
    """Something that follows a policy."""

    kind: str
    id: str


def first(tx: Transaction, policy_id: str) -> Follower | None:
    """Something that follows the policy; None when nothing does."""
    for kind, attribute in NAMING:
        column = named(kind).table.c
        id = tx.execute(sa.select(column.id).where(column[attribute] == policy_id).limit(1)).scalar()
        if id is not None:
            return Follower(kind, id)
    return None


def projects(policy_id: str) -> sa.Select[tuple[str]]:
    """The projects of all that follows the policy."""
    return sa.union(  # type: ignore[return-value]
        *(
            sa.select(named(kind).table.c.project_id).where(named(kind).table.c[attribute] == policy_id)
            for kind, attribute in NAMING
        )
    )


def ports(tx: Transaction, policy_id: str) -> list[Record]:
    """The ports that follow the policy: their own, or their network's where they have none of their own."""
    port = named("port")
    column = port.table.c
    of_network = (column.qos_network_policy_id == policy_id) & column.qos_policy_id.is_(None)
    return records.select(tx.conn, port, (column.qos_policy_id == policy_id) | of_network)


def accessible(tx: Transaction, found: Record) -> bool:
    """Whether the caller may have something follow the policy: its own, or one opened to it."""
    mine = {"*", tx.caller.project_id}
    own: bool = found["project_id"] == tx.caller.project_id
    return tx.caller.is_admin or own or bool(mine & set(found["shared_with"]))


def usable(tx: Transaction, id: str | None) -> Record | None:
    """The policy that a request names, None for none; 404 for one that the caller may not use."""
    if id is None:
        return None
    found = records.get(tx.conn, named("qos_policy"), id)
    if not accessible(tx, found):
        raise records.missing(named("qos_policy"), id)
    return found


def changed(tx: Transaction, before: str | None, after: str | None) -> Record | None:
    """The policy that shall be followed instead of another; 403 when the caller may not take away that other one."""
    if before is not None and before != after:
        held = records.find(tx.conn, named("qos_policy"), before)
        if held is not None and not accessible(tx, held):
            raise forbidden(
                f"Failed to remove provided policy {before} because you are not authorized.",
                "PolicyRemoveAuthorizationError",
            )
    return usable(tx, after) if after != before else policy(tx, after)


def policy(tx: Transaction, id: str | None) -> Record | None:
    """The policy with this id, whosever it is; None for none."""
    return None if id is None else records.get(tx.conn, named("qos_policy"), id)
