"""Role assignments one by one: PUT, GET, DELETE a role of a user or group on a project, domain or the system."""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.caller import Caller
from kaon.identity import crud, errors, policy
from kaon.identity.call import Call, Handler, no_content, route
from kaon.identity.effective import SYSTEM_TARGET
from kaon.identity.groups import GROUPS
from kaon.identity.policy import MANAGER_MAY_GIVE
from kaon.identity.projects import PROJECTS
from kaon.identity.resource import Values
from kaon.identity.roles import ROLES
from kaon.identity.state import Identity
from kaon.identity.tables import ASSIGNMENT, DOMAIN, ROLE
from kaon.identity.users import USERS
from kaon.store.transaction import Transaction


class Grant(NamedTuple):
    """Who gets a role on what. Kinds are user or group, and project, domain or system."""

    actor_kind: str
    actor_id: str
    target_kind: str
    target_id: str
    inherited: bool

    @property
    def condition(self) -> sa.ColumnElement[bool]:
        """The assignments of this actor on this target."""
        return sa.and_(
            ASSIGNMENT.c.actor_kind == self.actor_kind,
            ASSIGNMENT.c.actor_id == self.actor_id,
            ASSIGNMENT.c.target_kind == self.target_kind,
            ASSIGNMENT.c.target_id == self.target_id,
            ASSIGNMENT.c.inherited.is_(sa.true() if self.inherited else sa.false()),
        )


def _check_ends(conn: sa.Connection, grant: Grant) -> tuple[str, str]:
    """The domains of the actor and of the target (empty for the system); 404 where one of them is not there."""
    actors = USERS if grant.actor_kind == "user" else GROUPS
    actor = crud.find(conn, actors, grant.actor_id)
    if grant.target_kind == "system":
        return actor["domain_id"], ""
    if grant.target_kind == "project":
        return actor["domain_id"], crud.find(conn, PROJECTS, grant.target_id)["domain_id"]
    if conn.execute(sa.select(DOMAIN.c.id).where(DOMAIN.c.id == grant.target_id)).first() is None:
        raise errors.not_found("domain", grant.target_id)
    return actor["domain_id"], grant.target_id


def _authorize(
    conn: sa.Connection, caller: Caller, grant: Grant, action: str, reading: bool, role: Values | None
) -> None:
    everywhere = policy.READ_ALL if reading else policy.admin
    if everywhere(caller, {}):
        return
    rule = policy.domain_reader if reading else policy.domain_manager
    if grant.target_kind == "system" or not rule(caller, {"domain_id": caller.domain_id}):
        raise errors.forbidden(f"identity:{action}")
    actor_domain, target_domain = _check_ends(conn, grant)
    inside = actor_domain == target_domain == caller.domain_id
    if role is not None:
        inside = inside and role["domain_id"] in ("", caller.domain_id)
        inside = inside and (reading or role["name"] in MANAGER_MAY_GIVE)
    if not inside:
        raise errors.forbidden(f"identity:{action}")


def _give(tx: Transaction, caller: Caller, grant: Grant, role_id: str) -> None:
    role = _role_for(tx.conn, caller, grant, "create_grant", False, role_id)
    _, target_domain = _check_ends(tx.conn, grant)
    if role["domain_id"] and role["domain_id"] != target_domain:
        raise errors.refused(
            f"Role {role_id} belongs to domain {role['domain_id']} and can be given only on it and its projects."
        )
    if not tx.execute(sa.select(ASSIGNMENT.c.role_id).where(grant.condition, ASSIGNMENT.c.role_id == role_id)).first():
        tx.execute(sa.insert(ASSIGNMENT).values(role_id=role_id, **grant._asdict()))


def _role_for(conn: sa.Connection, caller: Caller, grant: Grant, action: str, reading: bool, role_id: str) -> Values:
    """The role, once the caller may do this with it; whoever has no right at all learns nothing of roles."""
    row = conn.execute(sa.select(ROLE).where(ROLE.c.id == role_id)).mappings().first()
    role = None if row is None else dict(row)
    _authorize(conn, caller, grant, action, reading, role)
    if role is None:
        raise errors.not_found("role", role_id)
    return role


def _must_be_given(conn: sa.Connection, grant: Grant, role_id: str) -> None:
    _check_ends(conn, grant)
    if not conn.execute(
        sa.select(ASSIGNMENT.c.role_id).where(grant.condition, ASSIGNMENT.c.role_id == role_id)
    ).first():
        raise errors.IdentityError(
            HTTPStatus.NOT_FOUND,
            f"Could not find role assignment with role: {role_id}, user or group: {grant.actor_id}, "
            f"project, domain, or system: {grant.target_id}.",
        )


def _take(tx: Transaction, caller: Caller, grant: Grant, role_id: str) -> None:
    _role_for(tx.conn, caller, grant, "revoke_grant", False, role_id)
    _must_be_given(tx.conn, grant, role_id)
    tx.execute(sa.delete(ASSIGNMENT).where(grant.condition, ASSIGNMENT.c.role_id == role_id))


def _given(call: Call, conn: sa.Connection, caller: Caller, grant: Grant) -> list[Values]:
    _authorize(conn, caller, grant, "list_grants", True, None)
    _check_ends(conn, grant)
    held = sa.select(ASSIGNMENT.c.role_id).where(grant.condition)
    rows = conn.execute(sa.select(ROLE).where(ROLE.c.id.in_(held)).order_by(ROLE.c.name)).mappings()
    return crud.bodies(call, ROLES, conn, [dict(row) for row in rows])


def _handlers(actor_kind: str, target_kind: str, inherited: bool) -> dict[str, Handler]:
    """What answers each method for one kind of actor, target and inheritance."""

    def grant_of(call: Call) -> Grant:
        target = SYSTEM_TARGET if target_kind == "system" else call.param("target_id")
        return Grant(actor_kind, call.param("actor_id"), target_kind, target, inherited)

    async def put(call: Call) -> Response:
        caller = await call.caller()
        await call.write(lambda tx: _give(tx, caller, grant_of(call), call.param("role_id")))
        return no_content()

    async def delete(call: Call) -> Response:
        caller = await call.caller()
        await call.write(lambda tx: _take(tx, caller, grant_of(call), call.param("role_id")))
        return no_content()

    async def check(call: Call) -> Response:
        caller = await call.caller()
        grant, role_id = grant_of(call), call.param("role_id")

        def read(conn: sa.Connection) -> None:
            _role_for(conn, caller, grant, "check_grant", True, role_id)
            _must_be_given(conn, grant, role_id)

        await call.identity.store.read(read)
        return no_content()

    async def list_(call: Call) -> Response:
        caller = await call.caller()
        given = await call.identity.store.read(lambda conn: _given(call, conn, caller, grant_of(call)))
        return crud.page(call, "roles", given)

    return {"PUT": put, "DELETE": delete, "GET": check, "LIST": list_}


def routes(identity: Identity) -> list[Route]:
    """Every combination of user or group with project, domain or system, and the inherited ones."""
    made = []
    for actor in ("user", "group"):
        for target in ("project", "domain", "system"):
            where = "/v3/system" if target == "system" else f"/v3/{target}s/{{target_id}}"
            path = f"{where}/{actor}s/{{actor_id}}/roles"
            variants = [(path, path + "/{role_id}", False)]
            if target != "system":
                below = f"{path.replace('/v3/', '/v3/OS-INHERIT/', 1)}"
                variants.append((f"{below}/inherited_to_projects", f"{below}/{{role_id}}/inherited_to_projects", True))
            for many, one, inherited in variants:
                handlers = _handlers(actor, target, inherited)
                made.append(route(identity, "GET", many, handlers["LIST"]))
                made += [route(identity, method, one, handlers[method]) for method in ("PUT", "DELETE", "GET")]
    return made
