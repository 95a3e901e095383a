"""From a token to its caller: decrypt, look up, remember.

A hit in memory costs about a microsecond. Nothing in memory outlives what could make it wrong: it ends with the token,
any change in this process that could matter empties it, and after `MAX_AGE` it is looked up again, for the sake of
other servers on the same database.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.identity import errors
from kaon.identity.context import TokenFacts
from kaon.identity.effective import roles_on
from kaon.identity.keys import KeyRing
from kaon.identity.tables import APPLICATION_CREDENTIAL, DOMAIN, PROJECT, REVOCATION, USER
from kaon.identity.tokens import MICROSECONDS, Payload, Scope, unseal
from kaon.store.engine import Store

MAX_AGE = 30.0
"""Seconds."""
MAX_ENTRIES = 20_000


def now_us() -> int:
    """The time in microseconds since the epoch, as payloads have it."""
    return time.time_ns() // 1000


class _Owner(NamedTuple):
    name: str
    domain_id: str
    domain_name: str


_USER_DOMAIN = DOMAIN.alias("user_domain")
_USER_QUERY = (
    sa.select(USER.c.name, USER.c.domain_id, _USER_DOMAIN.c.name, USER.c.valid_after, _USER_DOMAIN.c.valid_after)
    .join(_USER_DOMAIN, _USER_DOMAIN.c.id == USER.c.domain_id)
    .where(USER.c.id == sa.bindparam("id"), USER.c.enabled, _USER_DOMAIN.c.enabled)
)
_PROJECT_QUERY = (
    sa.select(PROJECT.c.name, PROJECT.c.domain_id, DOMAIN.c.name, PROJECT.c.valid_after, DOMAIN.c.valid_after)
    .join(DOMAIN, DOMAIN.c.id == PROJECT.c.domain_id)
    .where(PROJECT.c.id == sa.bindparam("id"), PROJECT.c.enabled, DOMAIN.c.enabled)
)
_DOMAIN_QUERY = sa.select(
    DOMAIN.c.name, DOMAIN.c.id, DOMAIN.c.name.label("same"), DOMAIN.c.valid_after, sa.literal(0)
).where(DOMAIN.c.id == sa.bindparam("id"), DOMAIN.c.enabled)


def _owner(conn: sa.Connection, query: sa.Select[Any], id: str, issued: int) -> _Owner | None:
    """An enabled user, project or domain that has not made earlier tokens invalid since `issued`."""
    row = conn.execute(query, {"id": id}).first()
    if row is None or issued < max(row[3], row[4]):
        return None
    return _Owner(row[0], row[1], row[2])


def resolve(conn: sa.Connection, payload: Payload) -> TokenFacts | None:
    """What a payload means now; None when it means nothing (any more): disabled, revoked, without roles, expired."""
    if payload.expires_at <= now_us():
        return None
    if conn.execute(sa.select(REVOCATION.c.audit_id).where(REVOCATION.c.audit_id == payload.audit_id)).first():
        return None
    user = _owner(conn, _USER_QUERY, payload.user_id, payload.issued_at)
    if user is None:
        return None
    only: list[str] | None = None
    credential = None
    if payload.application_credential_id:
        credential = conn.execute(
            sa.select(APPLICATION_CREDENTIAL).where(APPLICATION_CREDENTIAL.c.id == payload.application_credential_id)
        ).first()
        if credential is None or (credential.expires_at or payload.expires_at) <= now_us():
            return None
        if (payload.scope, payload.scope_id) != (Scope.PROJECT, credential.project_id):
            return None
        only = credential.role_ids
    roles = roles_on(conn, payload.user_id, payload.scope, payload.scope_id, only)
    if payload.scope is not Scope.UNSCOPED and not roles:
        return None
    project = domain = None
    if payload.scope is Scope.PROJECT:
        project = _owner(conn, _PROJECT_QUERY, payload.scope_id, payload.issued_at)
        if project is None:
            return None
    elif payload.scope is Scope.DOMAIN:
        domain = _owner(conn, _DOMAIN_QUERY, payload.scope_id, payload.issued_at)
        if domain is None:
            return None
    return TokenFacts(
        payload=payload,
        roles=roles,
        user_domain_name=user.domain_name,
        project_domain_name=project.domain_name if project else "",
        domain_name=domain.name if domain else "",
        application_credential_name=credential.name if credential else "",
        restricted=credential is not None and not credential.unrestricted,
        caller=Caller(
            user_id=payload.user_id,
            user_name=user.name,
            user_domain_id=user.domain_id,
            project_id=payload.scope_id if project else "",
            project_name=project.name if project else "",
            project_domain_id=project.domain_id if project else "",
            domain_id=payload.scope_id if domain else "",
            system=payload.scope is Scope.SYSTEM,
            roles=frozenset(role.name for role in roles),
        ),
    )


class _Entry(NamedTuple):
    facts: TokenFacts
    until: float


class LocalValidator:
    """Validates the tokens that this Keystone issued."""

    def __init__(self, store: Store, keys: KeyRing, max_age: float = MAX_AGE) -> None:
        self._store = store
        self._keys = keys
        self._max_age = max_age
        self._entries: dict[str, _Entry] = {}
        self._generation = 0

    async def validate(self, token: str) -> Caller:
        """The caller behind `token`; 401 otherwise."""
        return (await self.facts(token)).caller

    async def facts(self, token: str) -> TokenFacts:
        """All that is known of `token`; 401 if it is not a valid one."""
        entry = self._entries.get(token)
        if entry is not None and entry.until > time.time():
            return entry.facts
        payload = unseal(token, self._keys)
        if payload is None:
            raise errors.unauthorized()
        generation = self._generation
        facts = await self._store.read(lambda conn: resolve(conn, payload))
        if facts is None:
            self._entries.pop(token, None)
            raise errors.unauthorized()
        if generation == self._generation:  # else something changed while we looked, and this may be out of date
            self._remember(token, facts)
        return facts

    def _remember(self, token: str, facts: TokenFacts) -> None:
        self._entries.pop(token, None)
        until = min(facts.payload.expires_at / MICROSECONDS, time.time() + self._max_age)
        self._entries[token] = _Entry(facts, until)
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]

    def forget(self) -> None:
        """Look every token up again: called after each committed change that could make a remembered one wrong."""
        self._generation += 1
        self._entries.clear()
