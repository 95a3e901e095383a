"""RBAC policies: an owner opens a network, pool, scope or group to another project, or to all."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import bad_request, conflict, forbidden
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

SHARED, EXTERNAL = "access_as_shared", "access_as_external"

ACTIONS: dict[str, tuple[str, ...]] = {
    "network": (SHARED, EXTERNAL),
    "subnetpool": (SHARED,),
    "address_scope": (SHARED,),
    "security_group": (SHARED,),
}
"""What each type of object can be opened for."""

_TARGETS = {SHARED: "shared_with", EXTERNAL: "external_to"}
"""The object's internal attribute that repeats the policies' targets, so that showing it reads one row."""


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Open an object; its record repeats the target so that readers need not look here."""
    kind, action = body["object_type"], body["action"]
    if action not in ACTIONS[kind]:
        raise bad_request(
            f"Invalid action '{action}' for object type '{kind}'. Valid actions: {', '.join(ACTIONS[kind])}"
        )
    resource = named(kind)
    shared = records.get(tx.conn, resource, body["object_id"])
    if not tx.caller.is_admin and shared["project_id"] != tx.caller.project_id:
        raise forbidden(f"Only the owner of {kind} {shared['id']} or an administrator may open it to others")
    table = RBAC_POLICY.table
    if records.select(
        tx.conn,
        RBAC_POLICY,
        table.c.object_id == shared["id"],
        table.c.action == action,
        table.c.target_tenant == body["target_tenant"],
    ):
        raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
    record = records.insert(tx, RBAC_POLICY, {**body, "id": types.new_id()})
    _repeat(tx, record)
    return record


def _repeat(tx: Transaction, policy: Record) -> None:
    """Write the targets of all policies of one kind on an object into the object's record."""
    resource, table = named(policy["object_type"]), RBAC_POLICY.table
    held = records.find(tx.conn, resource, policy["object_id"])
    if held is None:
        return
    targets = tx.execute(
        sa.select(table.c.target_tenant)
        .where(table.c.object_id == held["id"], table.c.action == policy["action"])
        .order_by(table.c.target_tenant)
    ).scalars()
    after = records.update(tx, resource, held, {_TARGETS[policy["action"]]: list(targets)})
    if policy["action"] == EXTERNAL:
        subnet = named("subnet")
        for item in records.select(tx.conn, subnet, subnet.table.c.network_id == after["id"]):
            records.update(tx, subnet, item, {"router:external": bool(after["external_to"])})


def demand_unused(tx: Transaction, policy: Record, target: str | None) -> None:
    """Raise 409 when what a target project built on the opened object would lose its ground.

    `target` is what the policy shall point at from now on, None when it goes away.
    """
    if policy["object_type"] != "network" or policy["action"] != SHARED or target == "*":
        return
    table = RBAC_POLICY.table
    other = set(
        tx.execute(
            sa.select(table.c.target_tenant).where(
                table.c.object_id == policy["object_id"], table.c.action == SHARED, table.c.id != policy["id"]
            )
        ).scalars()
    )
    if target is not None:
        other.add(target)
    if "*" in other:
        return
    owner = records.get(tx.conn, named("network"), policy["object_id"])["project_id"]
    lost: list[str] = []
    for kind in ("port", "subnet"):
        held = named(kind).table
        users = set(
            tx.execute(
                sa.select(held.c.project_id).where(held.c.network_id == policy["object_id"]).distinct()
            ).scalars()
        )
        lost += [user for user in users if user and user not in other and user != owner]
    affected = [user for user in lost if policy["target_tenant"] in ("*", user)]
    if affected:
        raise conflict(
            "RbacPolicyInUse",
            f"RBAC policy on object {policy['object_id']} cannot be removed because other objects depend on it.\n"
            f"Details: projects {', '.join(sorted(set(affected)))} have ports or subnets on the network.",
        )


def update(tx: Transaction, policy: Record, body: dict[str, Any]) -> Record:
    """Point a policy at another target."""
    demand_unused(tx, policy, body.get("target_tenant", policy["target_tenant"]))
    after = records.update(tx, RBAC_POLICY, policy, body)
    _repeat(tx, after)
    return after


def delete(tx: Transaction, policy: Record) -> None:
    """Close an object again; refused while the target project depends on it."""
    demand_unused(tx, policy, None)
    records.delete(tx, RBAC_POLICY, policy)
    _repeat(tx, policy)


_WILDCARD = "rule:restrict_wildcard"

RBAC_POLICY = Resource(
    name="rbac_policy",
    collection="rbac_policies",
    attributes=standard(
        Attribute("object_type", types.one_of(*ACTIONS), default=REQUIRED, post=True),
        Attribute("object_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("action", types.text(255), default=REQUIRED, post=True),
        Attribute(
            "target_tenant",
            types.text(255),
            default=REQUIRED,
            post=True,
            put=True,
            post_rule=_WILDCARD,
            put_rule=_WILDCARD,
            index=True,
        ),
        named=False,
        tags=False,
        description=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=ADMIN_OR_MEMBER,
    get_rule=ADMIN_OR_READER,
    extra_rules={"restrict_wildcard": f"(not field:rbac_policy:target_tenant=*) or {ADMIN}"},
    not_found="RbacPolicyNotFound",
    quota=10,
)

RESOURCES = (RBAC_POLICY,)

EXTENSIONS = (
    Extension("rbac-policies", "RBAC Policies", "Allows creation and modification of policies that control access."),
    Extension("rbac-subnetpool", "Add subnetpool type to RBAC", "Add subnetpool type to network RBAC"),
    Extension("rbac-address-scope", "Add address_scope type to RBAC", "Add address_scope type to RBAC"),
    Extension("rbac-security-groups", "Add security_group type to network RBAC", "Add security_group type to RBAC"),
)
