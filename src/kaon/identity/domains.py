"""Domains: each holds its own users, groups and projects. The domain `default` always exists."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from kaon.identity import errors, policy
from kaon.identity.crud import remove
from kaon.identity.groups import GROUPS
from kaon.identity.ownership import DEFAULT_ID, forget_target
from kaon.identity.policy import Policy
from kaon.identity.projects import PROJECTS
from kaon.identity.resource import DESCRIPTION, ENABLED, NAME, Collection, Values, expire_tokens
from kaon.identity.roles import ROLES
from kaon.identity.tables import DOMAIN, GROUP, PROJECT, ROLE, USER
from kaon.identity.users import USERS
from kaon.store.transaction import Transaction


def _admit(tx: Transaction, before: Values | None, values: Values) -> None:
    if before is not None and before["id"] == DEFAULT_ID and values.get("enabled") is False:
        raise errors.refused("The default domain cannot be disabled: it holds the administrators.")
    expire_tokens(before, values, tx.now)


def _removed(tx: Transaction, row: Values) -> None:
    if row["enabled"]:
        raise errors.refused("Cannot delete a domain that is enabled, please disable it first.")
    for collection, table in ((USERS, USER), (GROUPS, GROUP), (ROLES, ROLE)):
        for owned in tx.execute(sa.select(table).where(table.c.domain_id == row["id"])).mappings().all():
            remove(tx, collection, dict(owned))
    # Leaves first: a project with others below it is never deleted.
    while (
        leaves := tx.execute(
            sa.select(PROJECT).where(
                PROJECT.c.domain_id == row["id"], PROJECT.c.id.not_in(sa.select(PROJECT.alias().c.parent_id))
            )
        )
        .mappings()
        .all()
    ):
        for project in leaves:
            remove(tx, PROJECTS, dict(project))
    forget_target(tx, "domain", row["id"])


def _decorate(conn: sa.Connection, bodies: Sequence[Values]) -> None:
    for body in bodies:
        body.update(tags=[], options={})


DOMAINS = Collection(
    name="domains",
    kind="domain",
    table=DOMAIN,
    attributes=(NAME, DESCRIPTION, ENABLED),
    policy=Policy(show=policy.any_of(policy.READ_ALL, policy.own_domain)),
    duplicate="it is not permitted to have two projects acting as domains with the same name: {name}",
    admit=_admit,
    decorate=_decorate,
    removed=_removed,
)
