"""Domains own users, groups and projects; assignments hang on both of their ends."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.identity.resource import Values
from kaon.identity.tables import ASSIGNMENT
from kaon.store.transaction import Transaction

DEFAULT_ID = "default"


def take_domain_of_token(caller: Caller, values: Values) -> None:
    """Where a request names no domain, Keystone takes the one of the token's scope."""
    values["domain_id"] = values.get("domain_id") or caller.domain_id or caller.project_domain_id or DEFAULT_ID


def forget_target(tx: Transaction, kind: str, id: str) -> None:
    """Delete the role assignments on a project or domain."""
    tx.execute(sa.delete(ASSIGNMENT).where(ASSIGNMENT.c.target_kind == kind, ASSIGNMENT.c.target_id == id))


def forget_actor(tx: Transaction, kind: str, id: str) -> None:
    """Delete the role assignments of a user or group."""
    tx.execute(sa.delete(ASSIGNMENT).where(ASSIGNMENT.c.actor_kind == kind, ASSIGNMENT.c.actor_id == id))
