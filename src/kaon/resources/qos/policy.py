"""QoS policies: named sets of rules that ports, networks, floating IPs and router gateways follow."""

from __future__ import annotations

from typing import Any

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.access import sharing
from kaon.resources.declare import Attribute, Extension, Resource, standard
from kaon.resources.errors import conflict
from kaon.resources.qos import following, rules
from kaon.resources.roles import ADMIN, MANAGER, READER, either
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a policy without rules; open to all when it is shared."""
    shared = body.pop("shared")
    policy = records.insert(tx, QOS_POLICY, {**body, "id": types.new_id(), "rules": [], "shared_with": []})
    if policy["is_default"]:
        _demand_only_default(tx, policy)
    if shared:
        sharing.share_with_all(tx, QOS_POLICY, policy)
    return records.get(tx.conn, QOS_POLICY, policy["id"])


def _demand_only_default(tx: Transaction, policy: Record) -> None:
    for other in records.by(tx.conn, QOS_POLICY, project_id=policy["project_id"], is_default=True):
        if other["id"] != policy["id"]:
            raise conflict(
                "QoSPolicyDefaultAlreadyExists",
                f"A default QoS policy exists for project {policy['project_id']}: {other['id']}. Take is_default from "
                "it first.",
            )


def update(tx: Transaction, policy: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; sharing changes the RBAC policy behind it."""
    if "shared" in body:
        policy = sharing.set_shared_with_all(tx, QOS_POLICY, policy, body.pop("shared"))
    if body.get("is_default"):
        _demand_only_default(tx, policy)
    return records.update(tx, QOS_POLICY, policy, body)


def delete(tx: Transaction, policy: Record) -> None:
    """Remove a policy with its rules; refused while anything follows it."""
    follower = following.first(tx, policy["id"])
    if follower is not None:
        raise conflict("QosPolicyInUse", f"QoS Policy {policy['id']} is used by {follower.kind} {follower.id}.")
    rules.forget(tx, policy)
    sharing.forget_policies(tx, policy)
    records.delete(tx, QOS_POLICY, policy)


def _visible(caller: Caller) -> Any:
    return QOS_POLICY.table.c.id.in_(sharing.opened("qos_policy", caller))


_OWNER = either(ADMIN, MANAGER)

QOS_POLICY = Resource(
    name="qos_policy",
    collection="qos_policies",
    document="policy",
    documents="policies",
    path="qos/policies",
    attributes=standard(
        Attribute(
            "shared",
            types.BOOLEAN,
            default=False,
            post=True,
            put=True,
            derived=sharing.is_shared,
            filter=False,
            sort=False,
        ),
        Attribute("is_default", types.BOOLEAN, default=False, post=True, put=True, sort=False, alias="qos-default"),
        # Repeats the rules' records, so that a policy is shown, and judged as a whole, from its own row.
        Attribute("rules", types.list_of(types.MAPPING), filter=False, sort=False),
        Attribute("shared_with", types.list_of(types.text(255)), internal=True),
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=_OWNER,
    get_rule=either(ADMIN, READER, "rule:shared_qos_policy"),
    update_rule=_OWNER,
    delete_rule=_OWNER,
    extra_rules={"shared_qos_policy": "field:policies:shared=True"},
    head=("shared_with",),
    visible=_visible,
    filters={"shared": sharing.shared_filter("qos_policy")},
    not_found="QosPolicyNotFound",
)

RESOURCES = (QOS_POLICY,)

EXTENSIONS = (
    Extension(
        "qos",
        "Quality of Service",
        "The Quality of Service extension.",
        "2015-06-08T10:00:00-00:00",
        awaits="no bandwidth is guaranteed",
    ),
    Extension(
        "qos-default", "QoS default policy", "Expose the QoS default policy per project", "2017-04-06T10:00:00-00:00"
    ),
)
