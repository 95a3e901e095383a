"""Application credentials: a user's delegate in one project, with a secret of its own and some of the user's roles."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import crud, errors, policy, times
from kaon.identity.call import Call, no_content, reply, route
from kaon.identity.context import TokenFacts
from kaon.identity.effective import RoleRef
from kaon.identity.passwords import MAX_PASSWORD
from kaon.identity.policy import require
from kaon.identity.resource import DESCRIPTION, NAME, Attribute, Values, check
from kaon.identity.state import Identity
from kaon.identity.tables import APPLICATION_CREDENTIAL, ROLE
from kaon.identity.users import USERS
from kaon.identity.validate import now_us
from kaon.store.transaction import Transaction

KIND = "application_credential"
_READ = policy.any_of(policy.READ_ALL, policy.owner)


def _invalid(detail: str) -> errors.IdentityError:
    return errors.bad_request(f"Invalid application credential: {detail}")


def _roles_asked(facts: TokenFacts, asked: Any) -> list[str]:
    """Ids of the roles for the credential: those asked for, by id or name, or all of the token's."""
    if asked is None:
        return [role.id for role in facts.roles]
    if not isinstance(asked, list):
        raise errors.bad_request(f"Invalid input for field '{KIND}/roles': it must be an array")
    return [_role_asked(facts.roles, item) for item in asked]


def _role_asked(held: Sequence[RoleRef], item: Any) -> str:
    for role in held:
        if isinstance(item, dict) and (
            item.get("id") == role.id or ("id" not in item and item.get("name") == role.name)
        ):
            return role.id
    raise _invalid(f"{item!r:.100} is none of the roles that your token has on the project")


def _expiry(text: Any) -> int | None:
    if text is None:
        return None
    try:
        moment = times.read(text)
    except (TypeError, ValueError, OverflowError):
        raise errors.bad_request(f"Invalid input for field '{KIND}/expires_at': {text!r:.100} is no time") from None
    if moment <= now_us():
        raise errors.bad_request("The 'expires_at' must not be before now.")
    return moment


def _may_manage(facts: TokenFacts) -> None:
    """403 for a token made from a restricted credential: it must not make others to outlive itself."""
    if facts.restricted:
        raise errors.refused("A restricted application credential cannot manage application credentials.")


async def _create(call: Call) -> Response:
    facts = await call.facts()
    user_id = call.param("user_id")
    require(f"create_{KIND}", policy.owner, facts.caller, {"user_id": user_id})
    _may_manage(facts)
    body = await call.body(KIND)
    if not facts.caller.project_id:
        raise _invalid("it needs a token that is scoped to a project")
    if body.get("access_rules"):
        raise _invalid("access rules cannot be enforced by the services of this cloud; limit its roles instead")
    if "name" not in body:
        raise errors.bad_request(f"'name' is a required property of '{KIND}'")
    secret = body.get("secret")
    if secret is None:
        secret = secrets.token_urlsafe(48)
    check(KIND, Attribute("secret", longest=MAX_PASSWORD, shortest=1), secret)
    values: Values = {
        "id": uuid.uuid4().hex,
        "name": check(KIND, NAME, body["name"]),
        "user_id": user_id,
        "project_id": facts.caller.project_id,
        "description": check(KIND, DESCRIPTION, body.get("description")),
        "unrestricted": check(KIND, Attribute("unrestricted", bool), body.get("unrestricted", False)),
        "expires_at": _expiry(body.get("expires_at")),
        "role_ids": _roles_asked(facts, body.get("roles")),
        "secret_hash": await call.identity.passwords.hash(secret),
        "extra": {},
    }

    def write(tx: Transaction) -> Values:
        try:
            tx.execute(sa.insert(APPLICATION_CREDENTIAL).values(values))
        except sa.exc.IntegrityError:
            raise errors.conflict(KIND, f"Duplicate entry found with name {values['name']}") from None
        return _bodies(call, tx.conn, [values])[0]

    return reply({KIND: {**await call.write(write), "secret": secret}}, HTTPStatus.CREATED)


def _bodies(call: Call, conn: sa.Connection, rows: Sequence[Values]) -> list[Values]:
    roles = {
        id: {"id": id, "name": name, "domain_id": None} for id, name in conn.execute(sa.select(ROLE.c.id, ROLE.c.name))
    }
    return [
        {
            **{name: row[name] for name in ("id", "name", "description", "user_id", "project_id", "unrestricted")},
            "system": None,
            "expires_at": None if row["expires_at"] is None else times.write(row["expires_at"]),
            "roles": [roles[id] for id in row["role_ids"] if id in roles],
            "links": {"self": f"{call.base}/users/{row['user_id']}/application_credentials/{row['id']}"},
        }
        for row in rows
    ]


async def _list(call: Call) -> Response:
    caller = await call.caller()
    user_id = call.param("user_id")
    require(f"list_{KIND}s", _READ, caller, {"user_id": user_id})
    statement = sa.select(APPLICATION_CREDENTIAL).where(APPLICATION_CREDENTIAL.c.user_id == user_id)
    if name := call.request.query_params.get("name"):
        statement = statement.where(APPLICATION_CREDENTIAL.c.name == name)

    def read(conn: sa.Connection) -> list[Values]:
        crud.find(conn, USERS, user_id)
        rows = conn.execute(statement.order_by(APPLICATION_CREDENTIAL.c.id)).mappings()
        return _bodies(call, conn, [dict(row) for row in rows])

    return crud.page(call, "application_credentials", await call.identity.store.read(read))


def _find(conn: sa.Connection, call: Call) -> Values:
    id = call.param("id")
    mine = sa.and_(APPLICATION_CREDENTIAL.c.id == id, APPLICATION_CREDENTIAL.c.user_id == call.param("user_id"))
    row = conn.execute(sa.select(APPLICATION_CREDENTIAL).where(mine)).mappings().first()
    if row is None:
        raise errors.not_found("Application Credential", id)
    return dict(row)


async def _show(call: Call) -> Response:
    caller = await call.caller()
    require(f"get_{KIND}", _READ, caller, {"user_id": call.param("user_id")})
    return reply({KIND: await call.identity.store.read(lambda conn: _bodies(call, conn, [_find(conn, call)])[0])})


async def _delete(call: Call) -> Response:
    facts = await call.facts()
    rule = policy.any_of(policy.admin, policy.owner)
    require(f"delete_{KIND}", rule, facts.caller, {"user_id": call.param("user_id")})
    _may_manage(facts)

    def write(tx: Transaction) -> None:
        row = _find(tx.conn, call)
        tx.execute(sa.delete(APPLICATION_CREDENTIAL).where(APPLICATION_CREDENTIAL.c.id == row["id"]))

    await call.write(write)
    return no_content()


def routes(identity: Identity) -> list[Route]:
    """A user's application credentials."""
    many = "/v3/users/{user_id}/application_credentials"
    return [
        route(identity, "POST", many, _create),
        route(identity, "GET", many, _list),
        route(identity, "GET", many + "/{id}", _show),
        route(identity, "DELETE", many + "/{id}", _delete),
    ]
