"""Roles, and which of them imply others: admin implies manager implies member implies reader."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import crud, errors, policy
from kaon.identity.call import Call, no_content, reply, route
from kaon.identity.effective import closure, implications
from kaon.identity.policy import Policy, require
from kaon.identity.resource import DESCRIPTION, DOMAIN_ID, NAME, Attribute, Collection, Values, must_exist
from kaon.identity.state import Identity
from kaon.identity.tables import APPLICATION_CREDENTIAL, ASSIGNMENT, DOMAIN, IMPLIED_ROLE, ROLE
from kaon.store.transaction import Transaction

ADMIN = "admin"


def _admit(tx: Transaction, before: Values | None, values: Values) -> None:
    if before is None and values["domain_id"]:
        must_exist(tx, DOMAIN, "domain", values["domain_id"])


def _removed(tx: Transaction, row: Values) -> None:
    id = row["id"]
    tx.execute(sa.delete(ASSIGNMENT).where(ASSIGNMENT.c.role_id == id))
    tx.execute(sa.delete(IMPLIED_ROLE).where(sa.or_(IMPLIED_ROLE.c.prior_id == id, IMPLIED_ROLE.c.implied_id == id)))
    for credential in tx.execute(sa.select(APPLICATION_CREDENTIAL)).all():
        if id in credential.role_ids:
            # A credential promised a fixed set of roles; without one of them it is another credential.
            tx.execute(sa.delete(APPLICATION_CREDENTIAL).where(APPLICATION_CREDENTIAL.c.id == credential.id))


def _decorate(conn: sa.Connection, bodies: Sequence[Values]) -> None:
    for body in bodies:
        body["domain_id"] = body["domain_id"] or None
        body["options"] = {}


def _global_unless_named(statement: sa.Select[Any], query: Sequence[tuple[str, str]]) -> sa.Select[Any]:
    if any(key == "domain_id" for key, _ in query):
        return statement
    return statement.where(ROLE.c.domain_id == "")


ROLES = Collection(
    name="roles",
    kind="role",
    table=ROLE,
    attributes=(NAME, DESCRIPTION, DOMAIN_ID, Attribute("options", dict, stored=False, default={})),
    policy=Policy(
        show=policy.any_of(policy.READ_ALL, policy.any_domain_manager),
        list=policy.any_of(policy.READ_ALL, policy.any_domain_manager),
    ),
    duplicate="Duplicate entry found with name {name}",
    admit=_admit,
    removed=_removed,
    decorate=_decorate,
    narrow=_global_unless_named,
)


# ---------------------------------------------------------------- role inferences


def _short(call: Call, role: Values) -> Values:
    return {
        "id": role["id"],
        "name": role["name"],
        "domain_id": role["domain_id"] or None,
        "links": {"self": f"{call.base}/roles/{role['id']}"},
    }


def _inference(call: Call, prior: Values, implied: Values) -> Values:
    path = f"{call.base}/roles/{prior['id']}/implies/{implied['id']}"
    return {
        "role_inference": {"prior_role": _short(call, prior), "implies": _short(call, implied)},
        "links": {"self": path},
    }


async def _imply(call: Call) -> Response:
    caller = await call.caller()
    require("create_implied_role", policy.admin, caller, {})
    prior_id, implied_id = call.param("id"), call.param("implied_id")

    def write(tx: Transaction) -> Values:
        prior = must_exist(tx, ROLE, "role", prior_id)
        implied = must_exist(tx, ROLE, "role", implied_id)
        if implied["name"] == ADMIN and not implied["domain_id"]:
            raise errors.refused(f"{implied_id} cannot be an implied role: it would make administrators unseen.")
        known = implications(tx.conn)
        if prior_id in closure([implied_id], known):
            raise errors.bad_request(f"Role {implied_id} implies {prior_id} already; roles cannot imply each other.")
        if implied_id not in known.get(prior_id, set()):
            tx.execute(sa.insert(IMPLIED_ROLE).values(prior_id=prior_id, implied_id=implied_id))
        return _inference(call, prior, implied)

    return reply(await call.write(write), HTTPStatus.CREATED)


async def _unimply(call: Call) -> Response:
    caller = await call.caller()
    require("delete_implied_role", policy.admin, caller, {})
    prior_id, implied_id = call.param("id"), call.param("implied_id")

    def write(tx: Transaction) -> None:
        _must_imply(tx.conn, prior_id, implied_id)
        row = sa.and_(IMPLIED_ROLE.c.prior_id == prior_id, IMPLIED_ROLE.c.implied_id == implied_id)
        tx.execute(sa.delete(IMPLIED_ROLE).where(row))

    await call.write(write)
    return no_content()


def _must_imply(conn: sa.Connection, prior_id: str, implied_id: str) -> None:
    if implied_id not in implications(conn).get(prior_id, set()):
        raise errors.IdentityError(HTTPStatus.NOT_FOUND, f"{prior_id} does not imply {implied_id}.")


async def _show_inference(call: Call) -> Response:
    caller = await call.caller()
    require("get_implied_role", policy.READ_ALL, caller, {})
    prior_id, implied_id = call.param("id"), call.param("implied_id")

    def read(conn: sa.Connection) -> Values:
        _must_imply(conn, prior_id, implied_id)
        return _inference(call, crud.find(conn, ROLES, prior_id), crud.find(conn, ROLES, implied_id))

    inference = await call.identity.store.read(read)
    return no_content() if call.request.method == "HEAD" else reply(inference)


def _implied_by(call: Call, conn: sa.Connection, prior: Values) -> Values:
    ids = implications(conn).get(prior["id"], set())
    rows = conn.execute(sa.select(ROLE).where(ROLE.c.id.in_(ids)).order_by(ROLE.c.name)).mappings()
    return {"prior_role": _short(call, prior), "implies": [_short(call, dict(row)) for row in rows]}


async def _list_implied(call: Call) -> Response:
    caller = await call.caller()
    require("list_implied_roles", policy.READ_ALL, caller, {})
    prior_id = call.param("id")
    body = await call.identity.store.read(lambda conn: _implied_by(call, conn, crud.find(conn, ROLES, prior_id)))
    return reply({"role_inference": body, "links": {"self": f"{call.base}/roles/{prior_id}/implies"}})


async def _list_inferences(call: Call) -> Response:
    caller = await call.caller()
    require("list_role_inference_rules", policy.READ_ALL, caller, {})

    def read(conn: sa.Connection) -> list[Values]:
        return [_implied_by(call, conn, crud.find(conn, ROLES, id)) for id in sorted(implications(conn))]

    inferences = await call.identity.store.read(read)
    return reply({"role_inferences": inferences, "links": {"self": f"{call.base}/role_inferences"}})


def routes(identity: Identity) -> list[Route]:
    """Roles and role inferences."""
    one = "/v3/roles/{id}/implies/{implied_id}"
    return [
        *crud.routes(identity, ROLES),
        route(identity, "GET", "/v3/roles/{id}/implies", _list_implied),
        route(identity, "PUT", one, _imply),
        route(identity, "DELETE", one, _unimply),
        route(identity, "GET", one, _show_inference),
        route(identity, "GET", "/v3/role_inferences", _list_inferences),
    ]
