"""POST /v3/auth/tokens: who proves to be whom, by which methods, and what the token shall be good for.

Whatever is wrong with the proof, the answer is the same 401 after the same work.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import sqlalchemy as sa

from kaon.identity import errors
from kaon.identity.call import Call
from kaon.identity.context import TokenFacts
from kaon.identity.state import Identity
from kaon.identity.tables import APPLICATION_CREDENTIAL, DOMAIN, PROJECT, USER
from kaon.identity.tokens import METHODS, MICROSECONDS, Payload, Scope, new_audit_id, seal
from kaon.identity.validate import now_us, resolve


class _Domain(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class _User(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None
    password: str | None = None


class _Password(msgspec.Struct):
    user: _User


class _Token(msgspec.Struct):
    id: str


class _Credential(msgspec.Struct):
    secret: str
    id: str | None = None
    name: str | None = None
    user: _User | None = None


class _Proofs(msgspec.Struct):
    methods: list[str]
    password: _Password | None = None
    token: _Token | None = None
    application_credential: _Credential | None = None


class _Project(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    domain: _Domain | None = None


class _System(msgspec.Struct):
    all: bool = False


class _Scope(msgspec.Struct):
    project: _Project | None = None
    domain: _Domain | None = None
    system: _System | None = None
    unscoped: dict[str, object] | None = None


class _Auth(msgspec.Struct):
    identity: _Proofs
    scope: _Scope | Literal["unscoped"] | None = None


class _Request(msgspec.Struct):
    auth: _Auth


_DECODER = msgspec.json.Decoder(_Request)


class Proof(NamedTuple):
    """A user who has proved to be themselves by one method, and what their token inherits from that proof."""

    user_id: str
    method: str
    expires_at: int | None = None
    parent_audit_id: str = ""
    earlier_methods: tuple[str, ...] = ()
    credential_id: str = ""
    project_id: str = ""


def parse(data: bytes) -> _Auth:
    """The request's body; 400 with the JSON path of what is wrong."""
    try:
        return _DECODER.decode(data).auth
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.bad_request(f"Invalid request body: {error}") from None


# ---------------------------------------------------------------- finding by id, or by name and domain


def _in_domain(domain: _Domain | None, path: str) -> sa.ColumnElement[bool]:
    if domain is not None and domain.id is not None:
        return DOMAIN.c.id == domain.id
    if domain is not None and domain.name is not None:
        return DOMAIN.c.name == domain.name
    raise errors.bad_request(f"Invalid request body: a name needs a domain with `id` or `name` - at `$.{path}.domain`")


def _which(table: sa.Table, ref: _User | _Project, path: str) -> sa.ColumnElement[bool]:
    """The condition on `table` joined to its domain that names one row."""
    if ref.id is not None:
        return sa.and_(table.c.id == ref.id)
    if ref.name is not None:
        return sa.and_(table.c.name == ref.name, _in_domain(ref.domain, path))
    raise errors.bad_request(f"Invalid request body: expected `id` or `name` - at `$.{path}`")


def _who(user: _User | None) -> tuple[str, ...]:
    """What a request calls a user, as a key to count failures by: names differ from ids, and case from nothing."""
    if user is None:
        return ()
    if user.id is not None:
        return ("id", user.id)
    domain = user.domain or _Domain()
    return ((user.name or "").casefold(), domain.id or domain.name or "")


# ---------------------------------------------------------------- the methods


async def _by_password(call: Call, method: _Password) -> Proof:
    if method.user.password is None:
        raise errors.bad_request("Invalid request body: expected `password` - at `$.auth.identity.password.user`")
    which = _which(USER, method.user, "auth.identity.password.user")
    statement = (
        sa.select(USER.c.id, USER.c.password_hash, sa.and_(USER.c.enabled, DOMAIN.c.enabled))
        .join(DOMAIN, DOMAIN.c.id == USER.c.domain_id)
        .where(which)
    )
    key = ("user", *_who(method.user), call.source)
    row = await call.identity.store.read(lambda conn: conn.execute(statement).first())
    await _check_secret(call.identity, key, row[1] if row else None, method.user.password, bool(row and row[2]))
    assert row is not None  # nobody has no secret that could have matched
    return Proof(row[0], "password")


async def _check_secret(
    identity: Identity, key: tuple[str, ...], stored: str | None, given: str, allowed: bool
) -> None:
    """401 unless `given` is what was stored and its owner is `allowed`; the work is the same in every case."""
    identity.throttle.check(key)
    matches = await identity.passwords.check(stored, given, lambda: identity.throttle.check(key))
    if not (matches and allowed):
        identity.throttle.failed(key)
        raise errors.unauthorized()
    identity.throttle.succeeded(key)


async def _by_token(call: Call, method: _Token) -> Proof:
    payload = (await call.identity.validator.facts(method.id)).payload
    if payload.application_credential_id:
        raise errors.refused("Using a delegated token to create another token is not allowed.")
    return Proof(
        payload.user_id,
        "token",
        payload.expires_at,
        payload.parent_audit_id or payload.audit_id,
        payload.methods,
    )


async def _by_credential(call: Call, method: _Credential) -> Proof:
    credential = APPLICATION_CREDENTIAL
    if method.id is not None:
        which: sa.ColumnElement[bool] = credential.c.id == method.id
    elif method.name is not None and method.user is not None:
        user = _which(USER, method.user, "auth.identity.application_credential.user")
        which = sa.and_(credential.c.name == method.name, user)
    else:
        raise errors.bad_request(
            "Invalid request body: expected `id`, or `name` and `user` - at `$.auth.identity.application_credential`"
        )
    statement = (
        sa.select(credential, sa.and_(USER.c.enabled, DOMAIN.c.enabled).label("allowed"))
        .join(USER, USER.c.id == credential.c.user_id)
        .join(DOMAIN, DOMAIN.c.id == USER.c.domain_id)
        .where(which)
    )
    key = ("credential", method.id or method.name or "", *_who(method.user), call.source)
    row = await call.identity.store.read(lambda conn: conn.execute(statement).first())
    allowed = bool(row and row.allowed and (row.expires_at is None or row.expires_at > now_us()))
    await _check_secret(call.identity, key, row.secret_hash if row else None, method.secret, allowed)
    assert row is not None  # as above
    return Proof(row.user_id, "application_credential", row.expires_at, credential_id=row.id, project_id=row.project_id)


async def prove(call: Call, proofs: _Proofs) -> list[Proof]:
    """One proof for each method asked for, all of the same user."""
    if not proofs.methods:
        raise errors.bad_request("Invalid request body: expected at least one method - at `$.auth.identity.methods`")
    found = []
    for name in dict.fromkeys(proofs.methods):
        if name not in METHODS:
            raise errors.unauthorized("Attempted to authenticate with an unsupported method.")
        method = getattr(proofs, name)
        match method:
            case _Password():
                found.append(await _by_password(call, method))
            case _Token():
                found.append(await _by_token(call, method))
            case _Credential():
                found.append(await _by_credential(call, method))
            case _:
                raise errors.bad_request(f"Invalid request body: expected `{name}` - at `$.auth.identity`")
    if len({proof.user_id for proof in found}) != 1:
        raise errors.unauthorized()
    return found


# ---------------------------------------------------------------- the scope


def _find_scope(conn: sa.Connection, scope: _Scope) -> tuple[Scope, str]:
    """What the request names; 401 if there is no such thing, which the caller cannot tell from having no role on it."""
    named = [part for part in (scope.project, scope.domain, scope.system, scope.unscoped) if part is not None]
    if len(named) != 1:
        raise errors.bad_request(
            "Invalid request body: expected one of `project`, `domain`, `system`, `unscoped` - at `$.auth.scope`"
        )
    if scope.unscoped is not None:
        return Scope.UNSCOPED, ""
    if scope.system is not None:
        if not scope.system.all:
            raise errors.bad_request("Invalid request body: expected `true` - at `$.auth.scope.system.all`")
        return Scope.SYSTEM, ""
    if scope.project is not None:
        which = _which(PROJECT, scope.project, "auth.scope.project")
        statement = sa.select(PROJECT.c.id).join(DOMAIN, DOMAIN.c.id == PROJECT.c.domain_id).where(which)
        kind = Scope.PROJECT
    else:
        statement = sa.select(DOMAIN.c.id).where(_in_domain(scope.domain, "auth.scope"))
        kind = Scope.DOMAIN
    id = conn.execute(statement).scalar_one_or_none()
    if id is None:
        raise errors.unauthorized()
    return kind, id


def _resolved(conn: sa.Connection, payload: Payload, asked: _Scope | str | None, project_id: str) -> TokenFacts:
    """The token that is asked for, if the user may have it; 401 otherwise."""
    if isinstance(asked, _Scope):
        scope, scope_id = _find_scope(conn, asked)
    elif project_id:
        scope, scope_id = Scope.PROJECT, project_id
    elif asked is None and (default := _default_project(conn, payload.user_id)):
        # A default project that cannot be had (any more) is passed over, as in Keystone.
        facts = resolve(conn, msgspec.structs.replace(payload, scope=Scope.PROJECT, scope_id=default))
        if facts is not None:
            return facts
        scope, scope_id = Scope.UNSCOPED, ""
    else:
        scope, scope_id = Scope.UNSCOPED, ""
    facts = resolve(conn, msgspec.structs.replace(payload, scope=scope, scope_id=scope_id))
    if facts is None:
        raise errors.unauthorized()
    return facts


def _default_project(conn: sa.Connection, user_id: str) -> str | None:
    return conn.execute(sa.select(USER.c.default_project_id).where(USER.c.id == user_id)).scalar_one_or_none()


async def authenticate(call: Call, data: bytes) -> tuple[str, TokenFacts]:
    """A new token and what it stands for."""
    auth = parse(data)
    # Taken before the secret is looked at, so that a password changed meanwhile makes this token invalid.
    now = now_us()
    proofs = await prove(call, auth.identity)
    lifetime = (now // MICROSECONDS + call.identity.token_lifetime) * MICROSECONDS
    methods = {method for proof in proofs for method in (proof.method, *proof.earlier_methods)}
    payload = Payload(
        user_id=proofs[0].user_id,
        methods=tuple(method for method in METHODS if method in methods),
        issued_at=now,
        expires_at=min([lifetime, *(proof.expires_at for proof in proofs if proof.expires_at)]),
        audit_id=new_audit_id(),
        parent_audit_id=next((proof.parent_audit_id for proof in proofs if proof.parent_audit_id), ""),
        application_credential_id=next((proof.credential_id for proof in proofs if proof.credential_id), ""),
    )
    bound = next((proof.project_id for proof in proofs if proof.project_id), "")
    facts = await call.identity.store.read(lambda conn: _resolved(conn, payload, auth.scope, bound))
    return seal(facts.payload, call.identity.keys), facts
