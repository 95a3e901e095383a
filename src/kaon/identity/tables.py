"""The tables of the embedded Keystone. Ids are 32 hex digits, except domain `default` and regions, which are named.

`valid_after` (microseconds since the epoch) on users, projects and domains makes every token issued before it invalid:
disabling, a new password. `extra` keeps the attributes that a client sent and Keystone does not know.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.store.schema import metadata

ID = sa.String(64)
NAME = sa.String(255)


def _references(table: str) -> sa.Column[str]:
    """A foreign key `<table>_id`; what hangs on the other row is removed by the rules, not by the database."""
    return sa.Column(f"{table}_id", ID, sa.ForeignKey(f"identity_{table}.id"), nullable=False, index=True)


def _common() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("description", sa.Text, nullable=False, default=""),
        sa.Column("extra", sa.JSON, nullable=False, default=dict),
    )


def _switch() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("enabled", sa.Boolean, nullable=False, default=True),
        sa.Column("valid_after", sa.BigInteger, nullable=False, default=0),
    )


DOMAIN = sa.Table(
    "identity_domain",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False, unique=True),
    *_switch(),
    *_common(),
)

PROJECT = sa.Table(
    "identity_project",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    _references("domain"),
    sa.Column("parent_id", ID, nullable=False, index=True),  # a project, or the domain at the top of its tree
    *_switch(),
    *_common(),
    sa.UniqueConstraint("domain_id", "name"),
)

PROJECT_TAG = sa.Table(
    "identity_project_tag",
    metadata,
    sa.Column("project_id", ID, sa.ForeignKey("identity_project.id"), primary_key=True),
    sa.Column("name", NAME, primary_key=True),
)

USER = sa.Table(
    "identity_user",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    _references("domain"),
    sa.Column("default_project_id", ID, index=True),
    sa.Column("password_hash", sa.String(255)),
    *_switch(),
    *_common(),
    sa.UniqueConstraint("domain_id", "name"),
)

GROUP = sa.Table(
    "identity_group",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    _references("domain"),
    *_common(),
    sa.UniqueConstraint("domain_id", "name"),
)

MEMBERSHIP = sa.Table(
    "identity_membership",
    metadata,
    sa.Column("group_id", ID, sa.ForeignKey("identity_group.id"), primary_key=True),
    sa.Column("user_id", ID, sa.ForeignKey("identity_user.id"), primary_key=True, index=True),
)

ROLE = sa.Table(
    "identity_role",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    sa.Column("domain_id", ID, nullable=False, default=""),  # empty for the global roles, so that uniqueness holds
    *_common(),
    sa.UniqueConstraint("domain_id", "name"),
)

IMPLIED_ROLE = sa.Table(
    "identity_implied_role",
    metadata,
    sa.Column("prior_id", ID, sa.ForeignKey("identity_role.id"), primary_key=True),
    sa.Column("implied_id", ID, sa.ForeignKey("identity_role.id"), primary_key=True),
)

ASSIGNMENT = sa.Table(
    "identity_assignment",
    metadata,
    sa.Column("actor_kind", sa.String(8), primary_key=True),  # user, group
    sa.Column("actor_id", ID, primary_key=True),
    sa.Column("target_kind", sa.String(8), primary_key=True),  # project, domain, system
    sa.Column("target_id", ID, primary_key=True),  # "all" for the system
    sa.Column("role_id", ID, sa.ForeignKey("identity_role.id"), primary_key=True),
    sa.Column("inherited", sa.Boolean, primary_key=True, default=False),  # holds on the projects below, not here
    sa.Index("ix_identity_assignment_target", "target_kind", "target_id"),
)

REGION = sa.Table(
    "identity_region",
    metadata,
    sa.Column("id", NAME, primary_key=True),
    sa.Column("parent_region_id", NAME, sa.ForeignKey("identity_region.id")),
    *_common(),
)

SERVICE = sa.Table(
    "identity_service",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("type", NAME, nullable=False),
    sa.Column("name", NAME, nullable=False, default=""),
    sa.Column("enabled", sa.Boolean, nullable=False, default=True),
    *_common(),
)

ENDPOINT = sa.Table(
    "identity_endpoint",
    metadata,
    sa.Column("id", ID, primary_key=True),
    _references("service"),
    sa.Column("region_id", NAME, sa.ForeignKey("identity_region.id"), index=True),
    sa.Column("interface", sa.String(8), nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("enabled", sa.Boolean, nullable=False, default=True),
    *_common(),
)

APPLICATION_CREDENTIAL = sa.Table(
    "identity_application_credential",
    metadata,
    sa.Column("id", ID, primary_key=True),
    sa.Column("name", NAME, nullable=False),
    _references("user"),
    _references("project"),
    sa.Column("secret_hash", sa.String(255), nullable=False),
    sa.Column("expires_at", sa.BigInteger),  # microseconds since the epoch
    sa.Column("unrestricted", sa.Boolean, nullable=False, default=False),
    sa.Column("role_ids", sa.JSON, nullable=False),
    *_common(),
    sa.UniqueConstraint("user_id", "name"),
)

REVOCATION = sa.Table(
    "identity_revocation",
    metadata,
    sa.Column("audit_id", sa.String(32), primary_key=True),
    sa.Column("expires_at", sa.BigInteger, nullable=False, index=True),
)
