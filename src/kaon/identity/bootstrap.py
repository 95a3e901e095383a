"""The rows that every start makes sure of: who administers the cloud, and where its services are."""

from __future__ import annotations

import uuid
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from kaon.identity.catalog import INTERFACES, PUBLIC_URL
from kaon.identity.effective import SYSTEM_TARGET
from kaon.identity.ownership import DEFAULT_ID
from kaon.identity.state import Identity
from kaon.identity.tables import (
    ASSIGNMENT,
    DOMAIN,
    ENDPOINT,
    IMPLIED_ROLE,
    PROJECT,
    REGION,
    ROLE,
    SERVICE,
    USER,
)
from kaon.store.transaction import Transaction

ADMIN = "admin"
IMPLYING = (ADMIN, "manager", "member", "reader")
"""Each role implies the next."""
SERVICES = (("identity", "keystone", f"{PUBLIC_URL}/identity"), ("network", "neutron", PUBLIC_URL))
"""Type, name and URL."""


async def bootstrap(
    identity: Identity, first_password: str, admin_password: str = "", region: str = "RegionOne"
) -> bool:
    """Make domain Default, project and user admin, the roles, grants and catalog, as far as they are not there.

    `first_password` is what the user admin gets when it is made, so that a password changed since survives a restart.
    `admin_password`, where given, is the operator's word and is set at every start. Returns whether the user was made.
    """
    stored = await identity.store.read(
        lambda conn: conn.execute(
            sa.select(USER.c.password_hash).where(USER.c.name == ADMIN, USER.c.domain_id == DEFAULT_ID)
        ).first()
    )
    hashed = None
    if stored is None:
        hashed = await identity.passwords.hash(admin_password or first_password)
    elif admin_password and not await identity.passwords.check(stored[0], admin_password):
        hashed = await identity.passwords.hash(admin_password)
    made = await identity.store.write(lambda tx: _bootstrap(tx, hashed, region))
    identity.validator.forget()
    return made


def _ensure(tx: Transaction, table: sa.Table, key: dict[str, Any], **others: Any) -> tuple[str, bool]:
    """The id of the row that `key` identifies, and whether it had to be made."""
    wanted = sa.and_(*(table.c[name] == value for name, value in key.items()))
    found = tx.execute(sa.select(table.c.id).where(wanted)).scalar_one_or_none()
    if found is not None:
        return str(found), False
    values = {"id": uuid.uuid4().hex, **key, **others}
    tx.execute(sa.insert(table).values(values))
    return str(values["id"]), True


def _bootstrap(tx: Transaction, password_hash: str | None, region: str) -> bool:
    _ensure(tx, DOMAIN, {"id": DEFAULT_ID}, name="Default", description="The default domain")
    project, _ = _ensure(
        tx,
        PROJECT,
        {"name": ADMIN, "domain_id": DEFAULT_ID},
        parent_id=DEFAULT_ID,
        description="Bootstrap project for initializing the cloud.",
    )
    user, made = _ensure(tx, USER, {"name": ADMIN, "domain_id": DEFAULT_ID}, password_hash=password_hash)
    if password_hash is not None and not made:
        changed = {"password_hash": password_hash, "valid_after": int(tx.now * 1_000_000)}
        tx.execute(sa.update(USER).where(USER.c.id == user).values(changed))
    roles = {name: _ensure(tx, ROLE, {"name": name, "domain_id": ""})[0] for name in (*IMPLYING, "service")}
    for prior, implied in pairwise(IMPLYING):
        _ensure_row(tx, IMPLIED_ROLE, {"prior_id": roles[prior], "implied_id": roles[implied]})
    for kind, target in (("project", project), ("system", SYSTEM_TARGET)):
        assignment = {
            "actor_kind": "user",
            "actor_id": user,
            "target_kind": kind,
            "target_id": target,
            "role_id": roles[ADMIN],
            "inherited": False,
        }
        _ensure_row(tx, ASSIGNMENT, assignment)
    _ensure(tx, REGION, {"id": region})
    for type_, name, url in SERVICES:
        service, _ = _ensure(tx, SERVICE, {"type": type_}, name=name)
        for interface in INTERFACES:
            key = {"service_id": service, "interface": interface, "region_id": region}
            _ensure(tx, ENDPOINT, key, url=url)
    return made


def _ensure_row(tx: Transaction, table: sa.Table, values: dict[str, Any]) -> None:
    wanted = sa.and_(*(table.c[name] == value for name, value in values.items()))
    if tx.execute(sa.select(sa.literal(1)).select_from(table).where(wanted)).first() is None:
        tx.execute(sa.insert(table).values(values))
