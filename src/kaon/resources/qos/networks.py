"""QoS policies of networks, which their ports follow; a project's default policy is that of its new networks."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import Attribute, named
from kaon.resources.qos import following, ports
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def for_creation(tx: Transaction, body: dict[str, Any]) -> str | None:
    """The policy of a new network: the one asked for, else its project's default. 404 for one not to be used."""
    id = body["qos_policy_id"]
    if id is None:
        default = records.by(tx.conn, named("qos_policy"), project_id=body["project_id"], is_default=True)
        return str(default[0]["id"]) if default else None
    following.usable(tx, id)
    return str(id)


def follow(tx: Transaction, before: Record, after: Record) -> None:
    """Have a changed network's ports follow its policy; 403 or 404 for policies that are not the caller's."""
    if before["qos_policy_id"] != after["qos_policy_id"]:
        policy = following.changed(tx, before["qos_policy_id"], after["qos_policy_id"])
        ports.follow_network(tx, after, policy)


ATTRIBUTE = Attribute(
    "qos_policy_id", types.nullable(types.UUID), default=None, post=True, put=True, index=True, alias="qos"
)
