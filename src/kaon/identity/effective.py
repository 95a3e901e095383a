"""Which roles hold where, after groups, inheritance and implication: plain reads of the assignment tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from kaon.identity.tables import ASSIGNMENT, IMPLIED_ROLE, MEMBERSHIP, PROJECT, ROLE
from kaon.identity.tokens import Scope

SYSTEM_TARGET = "all"


class RoleRef(NamedTuple):
    """A role as tokens and listings show it."""

    id: str
    name: str


def implications(conn: sa.Connection) -> dict[str, set[str]]:
    """Role id -> ids of the roles that it implies directly."""
    implied: dict[str, set[str]] = {}
    for prior, other in conn.execute(sa.select(IMPLIED_ROLE.c.prior_id, IMPLIED_ROLE.c.implied_id)):
        implied.setdefault(prior, set()).add(other)
    return implied


def closure(roles: Iterable[str], implied: Mapping[str, set[str]]) -> set[str]:
    """`roles` and all that they imply, directly or not."""
    found: set[str] = set()
    waiting = set(roles)
    while waiting:
        role = waiting.pop()
        found.add(role)
        waiting |= implied.get(role, set()) - found
    return found


def ancestors(conn: sa.Connection, project_id: str) -> list[str]:
    """The projects above `project_id`, the nearest first, then its domain."""
    above: list[str] = []
    current = project_id
    while True:
        parent = conn.execute(sa.select(PROJECT.c.parent_id).where(PROJECT.c.id == current)).scalar_one_or_none()
        if parent is None or parent in above:
            return above
        above.append(parent)
        current = parent


def acts_as(user_id: str) -> sa.ColumnElement[bool]:
    """The condition on assignments: given to the user, or to a group that the user is in."""
    groups = sa.select(MEMBERSHIP.c.group_id).where(MEMBERSHIP.c.user_id == user_id)
    return sa.or_(
        sa.and_(ASSIGNMENT.c.actor_kind == "user", ASSIGNMENT.c.actor_id == user_id),
        sa.and_(ASSIGNMENT.c.actor_kind == "group", ASSIGNMENT.c.actor_id.in_(groups)),
    )


def _holds_on(conn: sa.Connection, scope: Scope, scope_id: str) -> sa.ColumnElement[bool]:
    """The condition on assignments: effective on this scope."""
    if scope is Scope.SYSTEM:
        return ASSIGNMENT.c.target_kind == "system"
    kind = "project" if scope is Scope.PROJECT else "domain"
    here = sa.and_(
        ASSIGNMENT.c.target_kind == kind, ASSIGNMENT.c.target_id == scope_id, ASSIGNMENT.c.inherited.is_(sa.false())
    )
    if scope is not Scope.PROJECT:
        return here
    # An inherited assignment on a project above or on the domain; ids of the two are never equal.
    above = sa.and_(ASSIGNMENT.c.target_id.in_(ancestors(conn, scope_id)), ASSIGNMENT.c.inherited.is_(sa.true()))
    return sa.or_(here, above)


def roles_on(
    conn: sa.Connection, user_id: str, scope: Scope, scope_id: str, only: Iterable[str] | None = None
) -> tuple[RoleRef, ...]:
    """A user's global roles on a scope, by name. `only` limits them to those role ids and what they imply."""
    if scope is Scope.UNSCOPED:
        return ()
    statement = sa.select(ASSIGNMENT.c.role_id).where(acts_as(user_id), _holds_on(conn, scope, scope_id))
    implied = implications(conn)
    held = closure(conn.execute(statement).scalars(), implied)
    if only is not None:
        held &= closure(only, implied)
    if not held:
        return ()
    # Roles of a domain mean nothing outside identity: only what they imply is seen.
    named = conn.execute(sa.select(ROLE.c.id, ROLE.c.name).where(ROLE.c.id.in_(held), ROLE.c.domain_id == ""))
    return tuple(sorted((RoleRef(*row) for row in named), key=lambda role: role.name))


def targets_of(conn: sa.Connection, user_id: str) -> tuple[set[str], set[str], bool]:
    """Ids of the projects and domains on which the user has a role, and whether on the system as well."""
    rows = conn.execute(
        sa.select(ASSIGNMENT.c.target_kind, ASSIGNMENT.c.target_id, ASSIGNMENT.c.inherited).where(acts_as(user_id))
    ).all()
    projects = {target for kind, target, inherited in rows if kind == "project" and not inherited}
    domains = {target for kind, target, inherited in rows if kind == "domain" and not inherited}
    inherited_by: set[str] = set()
    pending = {target for _, target, inherited in rows if inherited}
    while pending:
        below = set(conn.execute(sa.select(PROJECT.c.id).where(PROJECT.c.parent_id.in_(pending))).scalars())
        pending = below - inherited_by
        inherited_by |= below
    return projects | inherited_by, domains, any(kind == "system" for kind, _, _ in rows)
