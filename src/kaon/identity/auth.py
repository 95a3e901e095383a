"""/v3/auth: issue, validate and revoke tokens; where the caller could go with one."""

from __future__ import annotations

from http import HTTPStatus

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.caller import Caller
from kaon.identity import crud, errors, policy, times
from kaon.identity.authenticate import authenticate
from kaon.identity.call import Call, no_content, read_body, reply, route
from kaon.identity.catalog import catalog
from kaon.identity.context import TokenFacts
from kaon.identity.domains import DOMAINS
from kaon.identity.effective import targets_of
from kaon.identity.policy import Target, require
from kaon.identity.projects import PROJECTS
from kaon.identity.resource import Collection, Values
from kaon.identity.state import Identity
from kaon.identity.tables import PROJECT, REVOCATION
from kaon.identity.tokens import Scope
from kaon.identity.users import USERS
from kaon.identity.validate import now_us
from kaon.store.transaction import Transaction


def token_body(facts: TokenFacts) -> Values:
    """A token as Keystone describes it, without its catalog."""
    payload, caller = facts.payload, facts.caller
    token: Values = {
        "methods": list(payload.methods),
        "user": {
            "domain": {"id": caller.user_domain_id, "name": facts.user_domain_name},
            "id": caller.user_id,
            "name": caller.user_name,
            "password_expires_at": None,
        },
        "audit_ids": [audit for audit in (payload.audit_id, payload.parent_audit_id) if audit],
        "expires_at": times.write(payload.expires_at),
        "issued_at": times.write(payload.issued_at),
    }
    if payload.scope is not Scope.UNSCOPED:
        token["roles"] = [{"id": role.id, "name": role.name} for role in facts.roles]
    if payload.scope is Scope.SYSTEM:
        token["system"] = {"all": True}
    elif payload.scope is Scope.DOMAIN:
        token["domain"] = {"id": caller.domain_id, "name": facts.domain_name}
    elif payload.scope is Scope.PROJECT:
        token["project"] = {
            "domain": {"id": caller.project_domain_id, "name": facts.project_domain_name},
            "id": caller.project_id,
            "name": caller.project_name,
        }
        token["is_domain"] = False
    if payload.application_credential_id:
        token["application_credential"] = {
            "id": payload.application_credential_id,
            "name": facts.application_credential_name,
            "restricted": facts.restricted,
        }
    return token


async def _token_reply(call: Call, facts: TokenFacts, token: str, status: HTTPStatus) -> Response:
    body = token_body(facts)
    if facts.payload.scope is not Scope.UNSCOPED and "nocatalog" not in call.request.query_params:
        project = facts.caller.project_id
        body["catalog"] = await call.identity.store.read(lambda conn: catalog(conn, call.server_url, project))
    return reply({"token": body}, status, {"X-Subject-Token": token})


async def _issue(call: Call) -> Response:
    """POST /v3/auth/tokens."""
    token, facts = await authenticate(call, await read_body(call.request))
    call.authenticated(facts)
    return await _token_reply(call, facts, token, HTTPStatus.CREATED)


def _service(caller: Caller, target: Target) -> bool:
    return "service" in caller.roles


async def _subject(call: Call, action: str, rule: policy.Rule) -> tuple[str, TokenFacts]:
    """The token that the request is about, if the caller may know it; 404 if it is not valid."""
    caller = await call.caller()
    token = call.request.headers.get("x-subject-token")
    if not token:
        raise errors.IdentityError(HTTPStatus.NOT_FOUND, "No token in the request")
    try:
        facts = await call.identity.validator.facts(token)
    except errors.IdentityError:
        raise errors.IdentityError(HTTPStatus.NOT_FOUND, "Failed to validate token") from None
    require(action, rule, caller, {"user_id": facts.user_id})
    return token, facts


async def _validate(call: Call) -> Response:
    """GET and HEAD /v3/auth/tokens."""
    rule = policy.any_of(policy.READ_ALL, _service, policy.owner)
    token, facts = await _subject(call, "validate_token", rule)
    return await _token_reply(call, facts, token, HTTPStatus.OK)


async def _revoke(call: Call) -> Response:
    """DELETE /v3/auth/tokens: the token is invalid from now on; those made from it live on, as in Keystone."""
    _, facts = await _subject(call, "revoke_token", policy.any_of(policy.admin, policy.owner))
    payload = facts.payload

    def write(tx: Transaction) -> None:
        # Whatever has expired needs no revocation any more.
        tx.execute(sa.delete(REVOCATION).where(REVOCATION.c.expires_at <= now_us()))
        if not tx.execute(sa.select(REVOCATION).where(REVOCATION.c.audit_id == payload.audit_id)).first():
            tx.execute(sa.insert(REVOCATION).values(audit_id=payload.audit_id, expires_at=payload.expires_at))

    await call.write(write)
    return no_content()


# ---------------------------------------------------------------- where a user can go


async def _reachable(call: Call, collection: Collection, user_id: str) -> Response:
    """The enabled projects or domains on which the user has a role."""

    def read(conn: sa.Connection) -> list[Values]:
        projects, domains, _ = targets_of(conn, user_id)
        ids = projects if collection is PROJECTS else domains
        table = collection.table
        statement = crud.filtered(collection, call.request.query_params.multi_items())
        rows = conn.execute(statement.where(table.c.id.in_(ids)).order_by(table.c.id)).mappings()
        enabled = [dict(row) for row in rows if row["enabled"]]
        return crud.bodies(call, collection, conn, enabled)

    return crud.page(call, collection.name, await call.identity.store.read(read))


async def _auth_projects(call: Call) -> Response:
    facts = await call.facts()
    if facts.payload.application_credential_id:
        # Such a token is good for its own project only.
        return await _only_project(call, facts.caller.project_id)
    return await _reachable(call, PROJECTS, facts.user_id)


async def _only_project(call: Call, project_id: str) -> Response:
    def read(conn: sa.Connection) -> list[Values]:
        rows = conn.execute(sa.select(PROJECT).where(PROJECT.c.id == project_id)).mappings()
        return crud.bodies(call, PROJECTS, conn, [dict(row) for row in rows])

    return crud.page(call, "projects", await call.identity.store.read(read))


async def _auth_domains(call: Call) -> Response:
    return await _reachable(call, DOMAINS, (await call.caller()).user_id)


async def _auth_system(call: Call) -> Response:
    user_id = (await call.caller()).user_id
    _, _, system = await call.identity.store.read(lambda conn: targets_of(conn, user_id))
    return crud.page(call, "system", [{"all": True}] if system else [])


async def _projects_of_user(call: Call) -> Response:
    caller = await call.caller()
    user_id = call.param("id")
    if user_id != caller.user_id:
        user = await call.identity.store.read(lambda conn: _find_user(conn, caller, user_id))
        require("list_user_projects", policy.READ_IN_DOMAIN, caller, user)
    return await _reachable(call, PROJECTS, user_id)


def _find_user(conn: sa.Connection, caller: Caller, user_id: str) -> Values:
    try:
        return crud.find(conn, USERS, user_id)
    except errors.IdentityError:
        # Whoever may not see all users shall not learn which exist.
        require("list_user_projects", policy.READ_ALL, caller, {})
        raise


def routes(identity: Identity) -> list[Route]:
    """Tokens, and what a caller can scope one to."""
    return [
        route(identity, "POST", "/v3/auth/tokens", _issue),
        route(identity, "GET", "/v3/auth/tokens", _validate),
        route(identity, "DELETE", "/v3/auth/tokens", _revoke),
        route(identity, "GET", "/v3/auth/projects", _auth_projects),
        route(identity, "GET", "/v3/auth/domains", _auth_domains),
        route(identity, "GET", "/v3/auth/system", _auth_system),
        route(identity, "GET", "/v3/users/{id}/projects", _projects_of_user),
    ]
