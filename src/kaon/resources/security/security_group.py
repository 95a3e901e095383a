"""Security groups: named sets of rules that ports share. Every project has one called ``default``."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.access import quota
from kaon.resources.access.sharing import in_default_rules, is_shared, opened, shared_filter
from kaon.resources.declare import UNSET, Attribute, Extension, FirstNeed, Resource, named, standard
from kaon.resources.errors import conflict
from kaon.resources.roles import ADMIN, READER, either
from kaon.resources.security import log
from kaon.resources.security.security_groups_default_statefulness import is_stateful
from kaon.store.journal import Record
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

DEFAULT = "default"
PARENT = "PARENT"
"""In a default rule: the group itself that gets it."""


@cache
def _default() -> sa.Select[Any]:
    column = SECURITY_GROUP.table.c
    return sa.select(column.id).where(column.default_of == sa.bindparam("_project"))


def default_id(conn: sa.Connection, project_id: str) -> str | None:
    """Id of the project's default group, None while it has none."""
    found: str | None = conn.execute(_default(), {"_project": project_id}).scalar()
    return found


def default_group(tx: Transaction, project_id: str) -> Record:
    """The project's default group, made when there is none yet, with the rules that the operator has chosen.

    It is made whatever the project's quotas say, because nothing works without it; it counts in their usage.
    """
    id = default_id(tx.conn, project_id)
    if id is not None:
        return records.get(tx.conn, SECURITY_GROUP, id)
    return _store(
        tx,
        {
            "name": DEFAULT,
            "description": "Default security group",
            "project_id": project_id,
            "default_of": project_id,
            "stateful": True,
        },
        records.by(tx.conn, named("default_security_group_rule"), used_in_default_sg=True),
    )


def _store(tx: Transaction, values: dict[str, Any], default_rules: list[Record]) -> Record:
    group = records.insert(tx, SECURITY_GROUP, {"tags": [], **values, "id": types.new_id(), "shared_with": []})
    rule = named("security_group_rule")
    belongs = {"security_group_id": group["id"], "project_id": group["project_id"]}
    for default in default_rules:
        matching = {name: default[name] for name in rule.by_name if name in default and rule.by_name[name].post}
        if matching["remote_group_id"] == PARENT:
            matching["remote_group_id"] = group["id"]
        rule.create(tx, rule.with_defaults({**matching, **belongs, "description": ""}))
    return records.get(tx.conn, SECURITY_GROUP, group["id"])


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a group with the default rules; unless the operator changed those, all gets out and nothing in."""
    _demand_other_name(body)
    project = body["project_id"]
    body.setdefault("stateful", is_stateful(tx, project))
    if project:
        default_group(tx, project)
        # The default group may just have taken the last place.
        quota.demand(tx, SECURITY_GROUP, project)
    default_rules = records.by(tx.conn, named("default_security_group_rule"), used_in_non_default_sg=True)
    quota.demand(tx, named("security_group_rule"), project, len(default_rules))
    return _store(tx, body, default_rules)


def _demand_other_name(body: dict[str, Any]) -> None:
    if body.get("name", "").lower() == DEFAULT:
        raise conflict("SecurityGroupDefaultAlreadyExists", "Default security group already exists.")


def update(tx: Transaction, group: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; the default group keeps its name."""
    if group["default_of"] and body.get("name", DEFAULT) != DEFAULT:
        raise conflict("SecurityGroupCannotUpdateDefault", "Updating default security group not allowed.")
    if not group["default_of"]:
        _demand_other_name(body)
    if body.get("stateful", group["stateful"]) != group["stateful"]:
        _demand_unused(tx, group)
    return records.update(tx, SECURITY_GROUP, group, body)


def _demand_unused(tx: Transaction, group: Record) -> None:
    """Raise 409 while a port is in the group."""
    used = metadata.tables["port_security_groups"]
    if tx.execute(sa.select(used.c.port_id).where(used.c.security_group_id == group["id"]).limit(1)).first():
        raise conflict("SecurityGroupInUse", f"Security Group {group['id']} in use.")


def delete(tx: Transaction, group: Record) -> None:
    """Remove a group with its rules and with the rules of other groups that admit its members."""
    _demand_unused(tx, group)
    if in_default_rules(tx, group["id"]):
        raise conflict("SecurityGroupInUse", f"Security Group {group['id']} in use by a default rule.")
    if group["default_of"] and not tx.caller.is_admin:
        raise conflict("SecurityGroupCannotRemoveDefault", "Insufficient rights for removing default security group.")
    rule, policy = named("security_group_rule"), named("rbac_policy")
    column = rule.table.c
    for item in records.select(
        tx.conn, rule, sa.or_(column.security_group_id == group["id"], column.remote_group_id == group["id"])
    ):
        rule.delete(tx, item)
    for item in records.select(tx.conn, policy, policy.table.c.object_id == group["id"]):
        records.delete(tx, policy, item)
    log.forget(tx, resource_id=group["id"])
    records.delete(tx, SECURITY_GROUP, records.get(tx.conn, SECURITY_GROUP, group["id"]))


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    return SECURITY_GROUP.table.c.id.in_(opened("security_group", caller))


SECURITY_GROUP = Resource(
    name="security_group",
    collection="security_groups",
    attributes=standard(
        # Of all names, only a group's may hold anything.
        Attribute("name", types.text(255), default="", post=True, put=True, index=True),
        Attribute("stateful", types.BOOLEAN, default=UNSET, post=True, put=True, alias="stateful-security-group"),
        Attribute(
            "shared",
            types.BOOLEAN,
            derived=is_shared,
            filter=False,
            sort=False,
            alias="security-groups-shared-filtering",
        ),
        Attribute(
            "security_group_rules",
            types.list_of(types.MAPPING),
            children=("security_group_rule", "security_group_id"),
            filter=False,
            sort=False,
        ),
        Attribute("shared_with", types.list_of(types.text(255)), internal=True),
        Attribute("default_of", types.nullable(types.text(255)), internal=True),
        named=False,
    ),
    create=create,
    update=update,
    delete=delete,
    get_rule=either(ADMIN, READER, "rule:shared_security_group"),
    extra_rules={"shared_security_group": "field:security_groups:shared=True"},
    head=("shared_with",),
    visible=_visible,
    filters={"shared": shared_filter("security_group")},
    first_need=FirstNeed(lambda conn, project: default_id(conn, project) is None, default_group),
    quota=10,
    constraints=(sa.UniqueConstraint("default_of"),),
)

RESOURCES = (SECURITY_GROUP,)

EXTENSIONS = (
    Extension(
        "stateful-security-group",
        "Stateful security group",
        "Indicates if the security group is stateful or not",
        "2019-11-26T09:00:00-00:00",
    ),
    Extension("security-group", "security-group", "The security groups extension.", "2012-10-05T10:00:00-00:00"),
    Extension(
        "security-groups-shared-filtering",
        "Security group filtering on the shared field",
        "Support filtering security groups on the shared field",
    ),
)
