"""Users: who authenticates. Passwords are kept as argon2id hashes and never shown."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from starlette.responses import Response

from kaon.identity import errors, policy
from kaon.identity.call import Call, no_content
from kaon.identity.ownership import forget_actor, take_domain_of_token
from kaon.identity.passwords import MAX_PASSWORD
from kaon.identity.policy import Policy
from kaon.identity.resource import (
    DESCRIPTION,
    DOMAIN_ID,
    ENABLED,
    NAME,
    Attribute,
    Collection,
    Values,
    check,
    expire_tokens,
    must_exist,
)
from kaon.identity.state import Identity
from kaon.identity.tables import APPLICATION_CREDENTIAL, DOMAIN, MEMBERSHIP, USER
from kaon.store.transaction import Transaction

PASSWORD = Attribute("password", nullable=True, longest=MAX_PASSWORD, hidden=True, stored=False)


async def _prepare(identity: Identity, values: Values) -> None:
    if "password" in values:
        password = values.pop("password")
        values["password_hash"] = None if password is None else await identity.passwords.hash(password)


def _admit(tx: Transaction, before: Values | None, values: Values) -> None:
    expire_tokens(before, values, tx.now)
    if before is None:
        must_exist(tx, DOMAIN, "domain", values["domain_id"])
    elif "password_hash" in values:
        values["valid_after"] = int(tx.now * 1_000_000)
    if values.get("default_project_id") == (before or values)["domain_id"]:
        raise errors.bad_request("A user's default project cannot be a domain")


def _removed(tx: Transaction, row: Values) -> None:
    forget_actor(tx, "user", row["id"])
    for table in (MEMBERSHIP, APPLICATION_CREDENTIAL):
        tx.execute(sa.delete(table).where(table.c.user_id == row["id"]))


def _decorate(conn: sa.Connection, bodies: Sequence[Values]) -> None:
    for body in bodies:
        body.update(password_expires_at=None, options={})
        if body["default_project_id"] is None:
            del body["default_project_id"]


USERS = Collection(
    name="users",
    kind="user",
    table=USER,
    attributes=(
        NAME,
        DESCRIPTION,
        ENABLED,
        DOMAIN_ID,
        PASSWORD,
        Attribute("default_project_id", nullable=True, longest=64, filter=True),
        Attribute("options", dict, stored=False, default={}),
    ),
    policy=Policy(
        show=policy.any_of(policy.READ_IN_DOMAIN, policy.own_user),
        list=policy.READ_IN_DOMAIN,
        create=policy.MANAGE_IN_DOMAIN,
        update=policy.MANAGE_IN_DOMAIN,
        delete=policy.MANAGE_IN_DOMAIN,
    ),
    defaults=take_domain_of_token,
    prepare=_prepare,
    admit=_admit,
    removed=_removed,
    decorate=_decorate,
)


async def change_password(call: Call) -> Response:
    """POST /v3/users/{id}/password: whoever knows the old password sets a new one; no token is needed."""
    identity, id = call.identity, call.param("id")
    body = await call.body("user")
    text = Attribute("original_password", longest=MAX_PASSWORD)
    original = check("user", text, body.get("original_password"))
    password = check("user", text._replace(name="password", shortest=1), body.get("password"))
    user = await identity.store.read(
        lambda conn: conn.execute(
            sa.select(USER.c.password_hash, USER.c.enabled, DOMAIN.c.enabled)
            .join(DOMAIN, DOMAIN.c.id == USER.c.domain_id)
            .where(USER.c.id == id)
        ).first()
    )
    key = ("user", "id", id, call.source)  # as at POST /v3/auth/tokens, so that both count together
    known = await identity.passwords.check(user[0] if user else None, original, lambda: identity.throttle.check(key))
    if user is None or not known or not (user[1] and user[2]):
        identity.throttle.failed(key)
        raise errors.unauthorized()
    identity.throttle.succeeded(key)
    hashed = await identity.passwords.hash(password)

    def write(tx: Transaction) -> None:
        values = {"password_hash": hashed, "valid_after": int(tx.now * 1_000_000)}
        tx.execute(sa.update(USER).where(USER.c.id == id).values(values))

    await call.write(write)
    return no_content()
