"""GET /v3/role_assignments: who has which role where; as stored, or effective (groups, inheritance, implications)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa
from starlette.datastructures import QueryParams
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import crud, errors, policy
from kaon.identity.call import Call, route
from kaon.identity.crud import FALSE_WORDS
from kaon.identity.effective import closure, implications
from kaon.identity.policy import require
from kaon.identity.resource import Values
from kaon.identity.state import Identity
from kaon.identity.tables import ASSIGNMENT, DOMAIN, GROUP, MEMBERSHIP, PROJECT, ROLE, USER

INHERITED_TO = "scope.OS-INHERIT:inherited_to"


class Assignment(NamedTuple):
    """A role held; `link` is the path of the stored assignment from which it follows, `prior` of an implied role."""

    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    role_id: str
    inherited: bool
    link: str
    membership: str = ""
    prior: str = ""


def _link(row: Assignment) -> str:
    where = "system" if row.target_kind == "system" else f"{row.target_kind}s/{row.target_id}"
    path = f"{where}/{row.actor_kind}s/{row.actor_id}/roles/{row.role_id}"
    return f"OS-INHERIT/{path}/inherited_to_projects" if row.inherited else path


def _stored(conn: sa.Connection) -> list[Assignment]:
    c = ASSIGNMENT.c
    rows = conn.execute(
        sa.select(c.actor_kind, c.actor_id, c.target_kind, c.target_id, c.role_id, c.inherited).order_by(
            c.actor_id, c.target_id, c.role_id
        )
    )
    return [row._replace(link=_link(row)) for row in (Assignment(*values, link="") for values in rows)]


def _expanded(conn: sa.Connection, stored: list[Assignment]) -> Iterator[Assignment]:
    """Assignments as users hold them: groups become members, inheritance projects; implied roles are added."""
    members: dict[str, list[str]] = {}
    for group_id, user_id in conn.execute(sa.select(MEMBERSHIP.c.group_id, MEMBERSHIP.c.user_id)):
        members.setdefault(group_id, []).append(user_id)
    children: dict[str, list[str]] = {}
    for id, parent_id in conn.execute(sa.select(PROJECT.c.id, PROJECT.c.parent_id)):
        children.setdefault(parent_id, []).append(id)
    implied = implications(conn)
    for row in stored:
        users = members.get(row.actor_id, []) if row.actor_kind == "group" else [row.actor_id]
        targets = [(row.target_kind, row.target_id)]
        if row.inherited:
            targets = [("project", id) for id in sorted(closure([row.target_id], _sets(children)) - {row.target_id})]
        for user_id in users:
            membership = f"groups/{row.actor_id}/users/{user_id}" if row.actor_kind == "group" else ""
            for kind, id in targets:
                for role_id in sorted(closure([row.role_id], implied)):
                    yield Assignment(
                        "user",
                        user_id,
                        kind,
                        id,
                        role_id,
                        False,
                        row.link,
                        membership,
                        "" if role_id == row.role_id else f"roles/{row.role_id}/implies/{role_id}",
                    )


def _sets(lists: dict[str, list[str]]) -> dict[str, set[str]]:
    return {key: set(values) for key, values in lists.items()}


def _is_true(query: QueryParams, name: str) -> bool:
    return name in query and query[name].lower() not in FALSE_WORDS


def _matches(row: Assignment, query: QueryParams) -> bool:
    wanted = [
        (query.get("user.id"), row.actor_id if row.actor_kind == "user" else None),
        (query.get("group.id"), row.actor_id if row.actor_kind == "group" else None),
        (query.get("scope.project.id"), row.target_id if row.target_kind == "project" else None),
        (query.get("scope.domain.id"), row.target_id if row.target_kind == "domain" else None),
        (query.get("role.id"), row.role_id),
    ]
    if any(given and given != held for given, held in wanted):
        return False
    if query.get("scope.system") and row.target_kind != "system":
        return False
    return INHERITED_TO not in query or row.inherited


def _check_query(query: QueryParams, effective: bool) -> None:
    scopes = [name for name in ("scope.project.id", "scope.domain.id", "scope.system") if query.get(name)]
    if len(scopes) > 1:
        raise errors.bad_request(f"Specify one of {' and '.join(scopes)}, not both")
    if query.get("user.id") and query.get("group.id"):
        raise errors.bad_request("Specify a user or group, not both")
    if effective and query.get("group.id"):
        raise errors.bad_request("Combining effective and group filter will always result in an empty list.")


def _names(conn: sa.Connection, table: sa.Table) -> dict[str, tuple[str, str]]:
    """Id -> name and domain id."""
    domain = table.c.domain_id if "domain_id" in table.c else sa.literal("")
    return {id: (name, owner) for id, name, owner in conn.execute(sa.select(table.c.id, table.c.name, domain))}


def _body(call: Call, row: Assignment, names: dict[str, dict[str, tuple[str, str]]]) -> Values:
    def named(kind: str, id: str) -> Values:
        if not names or id not in names[kind]:
            return {"id": id}
        name, domain_id = names[kind][id]
        if not domain_id:
            return {"id": id, "name": name}
        return {"id": id, "name": name, "domain": {"id": domain_id, "name": names["domain"][domain_id][0]}}

    scope: Values = {"system": {"all": True}}
    if row.target_kind != "system":
        scope = {row.target_kind: named(row.target_kind, row.target_id)}
    if row.inherited:
        scope["OS-INHERIT:inherited_to"] = "projects"
    links = {"assignment": f"{call.base}/{row.link}"}
    if row.membership:
        links["membership"] = f"{call.base}/{row.membership}"
    if row.prior:
        links["prior_role"] = f"{call.base}/{row.prior}"
    actor = {row.actor_kind: named(row.actor_kind, row.actor_id)}
    return {"role": named("role", row.role_id), **actor, "scope": scope, "links": links}


async def _list(call: Call) -> Response:
    caller = await call.caller()
    query = call.request.query_params
    effective = _is_true(query, "effective")
    domain = ""
    if not policy.READ_ALL(caller, {}):
        require("list_role_assignments", policy.domain_reader, caller, {"domain_id": caller.domain_id})
        domain = caller.domain_id
    _check_query(query, effective)

    def read(conn: sa.Connection) -> list[Values]:
        rows = _stored(conn)
        found = [row for row in (_expanded(conn, rows) if effective else rows) if _matches(row, query)]
        if domain:
            inside = set(conn.execute(sa.select(PROJECT.c.id).where(PROJECT.c.domain_id == domain)).scalars())
            inside.add(domain)
            found = [row for row in found if row.target_id in inside]
        names = {}
        if _is_true(query, "include_names"):
            tables = {"user": USER, "group": GROUP, "role": ROLE, "project": PROJECT, "domain": DOMAIN}
            names = {kind: _names(conn, table) for kind, table in tables.items()}
        return [_body(call, row, names) for row in found]

    return crud.page(call, "role_assignments", await call.identity.store.read(read))


def routes(identity: Identity) -> list[Route]:
    """The listing of role assignments."""
    return [route(identity, "GET", "/v3/role_assignments", _list)]
