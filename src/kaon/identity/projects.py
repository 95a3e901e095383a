"""Projects: what tenants work in. They nest below each other and carry tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.identity import errors, policy
from kaon.identity.effective import ancestors
from kaon.identity.ownership import forget_target, take_domain_of_token
from kaon.identity.policy import Policy
from kaon.identity.resource import (
    DESCRIPTION,
    DOMAIN_ID,
    ENABLED,
    NAME,
    Attribute,
    Collection,
    Values,
    expire_tokens,
    named_must_exist,
)
from kaon.identity.tables import APPLICATION_CREDENTIAL, DOMAIN, PROJECT, PROJECT_TAG, USER
from kaon.store.transaction import Transaction

MAX_TAGS = 80
MAX_DEPTH = 5
"""Levels of projects below a domain, as in Keystone."""


def _defaults(caller: Caller, values: Values) -> None:
    if values.pop("is_domain", False):
        raise errors.bad_request("Projects that act as domains are made by POST /v3/domains")
    take_domain_of_token(caller, values)
    values["parent_id"] = values["parent_id"] or values["domain_id"]


def _admit(tx: Transaction, before: Values | None, values: Values) -> None:
    check_tags(values.get("tags", []))
    expire_tokens(before, values, tx.now)
    if before is not None:
        return
    named_must_exist(tx, DOMAIN, "domain", values["domain_id"])
    if values["parent_id"] != values["domain_id"]:
        parent = named_must_exist(tx, PROJECT, "project", values["parent_id"])
        if parent["domain_id"] != values["domain_id"]:
            raise errors.bad_request("A project must be in the domain of its parent")
        if not parent["enabled"]:
            raise errors.refused(f"Cannot create a project below {parent['id']}, which is disabled")
        if len(ancestors(tx.conn, parent["id"])) >= MAX_DEPTH:
            raise errors.refused(f"Max hierarchy depth reached for {parent['id']} branch.")


def check_tags(tags: Sequence[Any]) -> None:
    """400 unless these can be a project's tags."""
    if len(tags) > MAX_TAGS or len(set(map(str, tags))) != len(tags):
        raise errors.bad_request(f"Invalid input for field 'project/tags': at most {MAX_TAGS}, all different")
    for tag in tags:
        if not isinstance(tag, str) or not 0 < len(tag) <= 255 or "," in tag or "/" in tag or "\0" in tag:
            raise errors.bad_request(
                f"Invalid input for field 'project/tags': {tag!r:.100} is not a string of 1 to 255 characters "
                "without ',' and '/'"
            )


def _saved(tx: Transaction, values: Values) -> None:
    if "tags" in values:
        tx.execute(sa.delete(PROJECT_TAG).where(PROJECT_TAG.c.project_id == values["id"]))
        if values["tags"]:
            rows = [{"project_id": values["id"], "name": tag} for tag in values["tags"]]
            tx.execute(sa.insert(PROJECT_TAG), rows)


def _removed(tx: Transaction, row: Values) -> None:
    if tx.execute(sa.select(PROJECT.c.id).where(PROJECT.c.parent_id == row["id"])).first():
        raise errors.refused(f"Cannot delete project {row['id']}: there are projects below it; delete these first.")
    forget_target(tx, "project", row["id"])
    for table in (PROJECT_TAG, APPLICATION_CREDENTIAL):
        tx.execute(sa.delete(table).where(table.c.project_id == row["id"]))
    tx.execute(sa.update(USER).where(USER.c.default_project_id == row["id"]).values(default_project_id=None))


def _decorate(conn: sa.Connection, bodies: Sequence[Values]) -> None:
    tags: dict[str, list[str]] = {body["id"]: [] for body in bodies}
    statement = sa.select(PROJECT_TAG.c.project_id, PROJECT_TAG.c.name).order_by(PROJECT_TAG.c.name)
    if len(tags) <= 100:
        statement = statement.where(PROJECT_TAG.c.project_id.in_(tags))
    for project_id, name in conn.execute(statement):
        if project_id in tags:
            tags[project_id].append(name)
    for body in bodies:
        body.update(tags=tags[body["id"]], is_domain=False, options={})


def _narrow(statement: sa.Select[Any], query: Sequence[tuple[str, str]]) -> sa.Select[Any]:
    for key, value in query:
        given = value.split(",")
        any_ = PROJECT.c.id.in_(sa.select(PROJECT_TAG.c.project_id).where(PROJECT_TAG.c.name.in_(given)))
        every = sa.and_(
            *(PROJECT.c.id.in_(sa.select(PROJECT_TAG.c.project_id).where(PROJECT_TAG.c.name == tag)) for tag in given)
        )
        match key:
            case "tags":
                statement = statement.where(every)
            case "tags-any":
                statement = statement.where(any_)
            case "not-tags":
                statement = statement.where(sa.not_(every))
            case "not-tags-any":
                statement = statement.where(sa.not_(any_))
            case "is_domain" if value.lower() not in ("false", "0"):
                statement = statement.where(sa.false())  # domains are listed under /v3/domains
    return statement


PROJECTS = Collection(
    name="projects",
    kind="project",
    table=PROJECT,
    attributes=(
        NAME,
        DESCRIPTION,
        ENABLED,
        DOMAIN_ID,
        Attribute("parent_id", nullable=True, longest=64, filter=True, fixed=True),
        Attribute("is_domain", bool, False, fixed=True, stored=False),
        Attribute("tags", list, stored=False, default=[]),
        Attribute("options", dict, stored=False, default={}),
    ),
    policy=Policy(
        show=policy.any_of(policy.READ_IN_DOMAIN, policy.own_project),
        list=policy.READ_IN_DOMAIN,
        create=policy.MANAGE_IN_DOMAIN,
        update=policy.MANAGE_IN_DOMAIN,
        delete=policy.MANAGE_IN_DOMAIN,
    ),
    duplicate="it is not permitted to have two projects with either the same name or same id in the same domain: "
    "name is {name}, project id {id}",
    defaults=_defaults,
    admit=_admit,
    saved=_saved,
    removed=_removed,
    decorate=_decorate,
    narrow=_narrow,
)
