"""RBAC policies: an owner opens a network, pool, scope or group to another project, or to all."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.access import rbac_dependents
from kaon.resources.access.sharing import in_default_rules
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import bad_request, conflict, invalid
from kaon.resources.networks import network_access
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

SHARED, EXTERNAL = "access_as_shared", "access_as_external"

ACTIONS: dict[str, tuple[str, ...]] = {
    "network": (SHARED, EXTERNAL),
    "subnetpool": (SHARED,),
    "address_group": (SHARED,),
    "address_scope": (SHARED,),
    "security_group": (SHARED,),
    "qos_policy": (SHARED,),
}
"""What each type of object can be opened for."""

_TARGETS = {SHARED: "shared_with", EXTERNAL: "external_to"}
"""The object's internal attribute that repeats the policies' targets, so that showing it reads one row."""


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Open an object; its record repeats the target so that readers need not look here."""
    kind, action = body["object_type"], body["action"]
    if action not in ACTIONS[kind]:
        raise bad_request(
            f"Invalid action '{action}' for object type '{kind}'. Valid actions: {', '.join(ACTIONS[kind])}",
            "InvalidActionForType",
        )
    resource = named(kind)
    shared = records.get(tx.conn, resource, body["object_id"])
    _demand_own(tx, resource, shared)
    if kind == "subnetpool":
        _demand_scope_open(tx, shared, body["target_tenant"])
    _demand_new(tx, body, body["target_tenant"])
    record = records.insert(tx, RBAC_POLICY, {**body, "id": types.new_id()})
    _repeat(tx, record)
    return record


def _demand_own(tx: Transaction, resource: Resource, shared: Record) -> None:
    """Only an owner opens an object; who may not see it learns nothing of it."""
    project = tx.caller.project_id
    if tx.caller.is_admin or shared["project_id"] == project:
        return
    if not {"*", project} & {*shared["shared_with"], *shared.get("external_to", ())}:
        raise records.missing(resource, shared["id"])
    raise invalid("Only admins can manipulate policies on objects they do not own")


def _demand_scope_open(tx: Transaction, pool: Record, target: str) -> None:
    """Whoever may use a pool must be able to use its address scope as well."""
    if pool["address_scope_id"] is None:
        return
    scope = records.get(tx.conn, named("address_scope"), pool["address_scope_id"])
    if target != scope["project_id"] and not {"*", target} & set(scope["shared_with"]):
        raise bad_request(
            f"Failed to create RBAC policy on object {pool['id']} because the target has no access to its address "
            f"scope {scope['id']}.",
            "RbacPolicyInitError",
        )


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
        if not after["external_to"]:
            network_access.drop_idle_floatingips(tx, after["id"])
        subnet = named("subnet")
        for item in records.select(tx.conn, subnet, subnet.table.c.network_id == after["id"]):
            records.update(tx, subnet, item, {"router:external": bool(after["external_to"])})


def demand_unused(tx: Transaction, policy: Record, target: str | None) -> None:
    """Raise 409 when what a target project built on the opened object would lose its ground.

    `target` is what the policy shall point at from now on, None when it goes away.
    """
    if target == "*":
        return
    kind, action, object_id = policy["object_type"], policy["action"], policy["object_id"]
    table = RBAC_POLICY.table
    others = set(
        tx.execute(
            sa.select(table.c.target_tenant).where(
                table.c.object_id == object_id, table.c.action == action, table.c.id != policy["id"]
            )
        ).scalars()
    )
    if "*" in others:
        return
    opened = records.get(tx.conn, named(kind), object_id)
    owner = opened["project_id"]
    if action == EXTERNAL and policy["target_tenant"] == "*" and opened["is_default"]:
        raise conflict(
            "RbacPolicyInUse",
            f"RBAC policy on object {object_id} cannot be removed because other objects depend on it.\n"
            "Details: Default external networks must be shared to everyone.",
        )
    if action == SHARED and policy["target_tenant"] == "*" and in_default_rules(tx, object_id):
        raise conflict(
            "RbacPolicyInUse",
            f"RBAC policy on object {object_id} cannot be removed because other objects depend on it.\n"
            "Details: a default security group rule names it.",
        )
    # Who closes a network to all spares its owner and the next target; of all else Neutron spares nobody.
    spared = {owner, target} if kind == "network" or policy["target_tenant"] != "*" else set()
    lost = rbac_dependents.projects(tx, kind, action, object_id) - others - spared
    affected = sorted(project for project in lost if policy["target_tenant"] in ("*", project))
    if affected:
        raise conflict(
            "RbacPolicyInUse",
            f"RBAC policy on object {object_id} cannot be removed because other objects depend on it.\n"
            f"Details: something of projects {', '.join(affected)} depends on this {kind.replace('_', ' ')}.",
        )


def _demand_new(tx: Transaction, policy: Record, target: str) -> None:
    column = RBAC_POLICY.table.c
    if tx.execute(
        sa.select(column.id).where(
            column.object_id == policy["object_id"],
            column.action == policy["action"],
            column.target_tenant == target,
            column.id != policy.get("id", ""),
        )
    ).first():
        raise conflict("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")


def update(tx: Transaction, policy: Record, body: dict[str, Any]) -> Record:
    """Point a policy at another target."""
    target: str = body["target_tenant"] if "target_tenant" in body else policy["target_tenant"]
    _demand_new(tx, policy, target)
    demand_unused(tx, policy, target)
    after = records.update(tx, RBAC_POLICY, policy, body)
    _repeat(tx, after)
    return after


def delete(tx: Transaction, policy: Record) -> None:
    """Close an object again; refused while the target project depends on it."""
    demand_unused(tx, policy, None)
    records.delete(tx, RBAC_POLICY, policy)
    _repeat(tx, policy)


def _target(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"\*|[\w.-]{1,255}", value):
        raise types.unconverted(f"'{value}' is not a valid target project ID; expected an id or '*'")
    return value


_TARGET = replace(types.text(255), parse=_target)
_WILDCARD = "rule:restrict_wildcard"

RBAC_POLICY = Resource(
    name="rbac_policy",
    collection="rbac_policies",
    attributes=standard(
        Attribute("object_type", types.converted(types.one_of(*ACTIONS)), default=REQUIRED, post=True),
        Attribute("object_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("action", types.text(255), default=REQUIRED, post=True),
        Attribute(
            "target_tenant",
            _TARGET,
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
        stamped=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=ADMIN_OR_MEMBER,
    get_rule=ADMIN_OR_READER,
    extra_rules={"restrict_wildcard": f"(not field:rbac_policy:target_tenant=*) or {ADMIN}"},
    not_found="RbacPolicyNotFound",
    quota=10,
    bulk=False,
)

RESOURCES = (RBAC_POLICY,)

EXTENSIONS = (
    Extension("rbac-policies", "RBAC Policies", "Allows creation and modification of policies that control access."),
    Extension("rbac-subnetpool", "Add subnetpool type to RBAC", "Add subnetpool type to network RBAC"),
    Extension("rbac-address-scope", "Add address_scope type to RBAC", "Add address_scope type to RBAC"),
    Extension("rbac-security-groups", "Add security_group type to network RBAC", "Add security_group type to RBAC"),
)
