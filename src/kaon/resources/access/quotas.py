"""The quotas API: limits of a project, those in force for whoever has none of its own, and what is used."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import defaults, types, usage
from kaon.resources.access import quota
from kaon.resources.access.quota import LIMITS
from kaon.resources.declare import Ask, Call, Extension, counted
from kaon.resources.errors import bad_request, invalid_input, not_found
from kaon.resources.roles import ADMIN, ADMIN_OR_MANAGER
from kaon.store.transaction import Transaction

_LIMIT = types.integer(-1)
_PROJECT = types.text(255)
_IGNORED = ("project_id", "tenant_id", "check_limit")
"""Members of a body that say nothing: who is meant is in the path, and limits are always checked against usage."""


def _defaults() -> dict[str, int]:
    return {resource.name: defaults.quota(resource) for resource in counted()}


def _own(tx: Transaction, project_id: str) -> dict[str, int]:
    """Limits that were set for a project."""
    rows = tx.execute(sa.select(LIMITS.c.resource, LIMITS.c.limit).where(LIMITS.c.project_id == project_id))
    return {resource: int(limit) for resource, limit in rows}


def _in_force(tx: Transaction, project_id: str) -> dict[str, int]:
    defaults = _defaults()
    return {**defaults, **{name: value for name, value in _own(tx, project_id).items() if name in defaults}}


def _show(tx: Transaction, ask: Ask) -> dict[str, Any]:
    return {"quota": _in_force(tx, ask.params["project_id"])}


def _show_default(_tx: Transaction, _ask: Ask) -> dict[str, Any]:
    return {"quota": _defaults()}


def _show_details(tx: Transaction, ask: Ask) -> dict[str, Any]:
    project = ask.params["project_id"]
    return {
        "quota": {
            name: {"limit": limit, "used": usage.used(tx.conn, name, project), "reserved": 0}
            for name, limit in _in_force(tx, project).items()
        }
    }


def _index(tx: Transaction, _ask: Ask) -> dict[str, Any]:
    projects = tx.execute(sa.select(LIMITS.c.project_id).distinct().order_by(LIMITS.c.project_id)).scalars().all()
    return {"quotas": [{**_in_force(tx, project), "project_id": project, "tenant_id": project} for project in projects]}


def _who(key: str) -> Any:
    return lambda tx, _ask: {key: {f"{key}_id": tx.caller.project_id}}


def _wanted(ask: Ask) -> tuple[dict[str, int], bool]:
    """The limits in a body, and whether they are set even below what is used."""
    body = ask.body.get("quota")
    if not isinstance(body, dict):
        raise bad_request("Unable to find 'quota' in request body")
    known = _defaults()
    unknown = sorted(name for name in body if name not in known and name not in (*_IGNORED, "force"))
    if unknown:
        raise bad_request("Unrecognized attribute(s) '" + ", ".join(unknown) + "'")
    limits: dict[str, int] = {}
    for name in (name for name in body if name in known):
        try:
            limits[name] = _LIMIT.parse(body[name])
        except ValueError as error:
            raise invalid_input(name, str(error)) from None
    return limits, body.get("force") is True


def _set(tx: Transaction, ask: Ask) -> dict[str, Any]:
    """PUT: set limits of a project; refused below what it uses, unless forced."""
    limits, force = _wanted(ask)
    try:
        project = _PROJECT.parse(ask.params["project_id"])
    except ValueError as error:
        raise invalid_input("project_id", str(error)) from None
    for name, limit in limits.items():
        used = usage.used(tx.conn, name, project)
        if not force and 0 <= limit < used:
            raise bad_request(f"Quota limit {limit} for {name} must be greater than or equal to already used {used}")
    before = _own(tx, project)
    for name, limit in limits.items():
        quota.set_limit(tx, name, project, limit)
    after = {**before, **limits}
    if after != before:
        tx.changed("quota", project, {"id": project, **before} if before else None, {"id": project, **after}, project)
    return {"quota": _in_force(tx, project)}


def _reset(tx: Transaction, ask: Ask) -> None:
    """DELETE: a project gets the defaults again."""
    project = ask.params["project_id"]
    before = _own(tx, project)
    if not before:
        raise not_found("TenantQuotaNotFound", f"Quota for project {project} could not be found.")
    tx.execute(sa.delete(LIMITS).where(LIMITS.c.project_id == project))
    tx.changed("quota", project, {"id": project, **before}, None, project)


_BODY: types.Schema = {
    "type": "object",
    "properties": {"quota": {"type": "object", "additionalProperties": {"type": ["integer", "boolean"]}}},
    "required": ["quota"],
}

CALLS = (
    Call("GET", "quotas", _index, "get_quotas", ADMIN),
    Call("GET", "quotas/tenant", _who("tenant")),
    Call("GET", "quotas/project", _who("project")),
    Call("GET", "quotas/{project_id}/default", _show_default, "get_quota", ADMIN_OR_MANAGER, own_free=True),
    Call("GET", "quotas/{project_id}/details", _show_details, "get_quota", ADMIN_OR_MANAGER, own_free=True),
    Call("GET", "quotas/{project_id}", _show, "get_quota", ADMIN_OR_MANAGER, own_free=True),
    Call("PUT", "quotas/{project_id}", _set, "update_quota", ADMIN, body=_BODY),
    Call("DELETE", "quotas/{project_id}", _reset, "delete_quota", ADMIN, status=204),
)

EXTENSIONS = (
    Extension(
        "quotas",
        "Quota management support",
        "Expose functions for quotas management per project",
        "2012-07-29T10:00:00-00:00",
    ),
    Extension(
        "quota_details",
        "Quota details management support",
        "Expose functions for quotas usage statistics per project",
        "2017-02-10T10:00:00-00:00",
    ),
    Extension("quota-check-limit", "Quota engine limit check", "Support for checking the resource usage"),
    Extension(
        "quota-check-limit-default",
        "Quota engine limit check by default",
        "By default the Neutron quota engine checks the resource usage before applying a new quota limit",
    ),
)
