"""Whether new security groups are stateful where nobody says: chosen by project, and by the operator for all."""

from __future__ import annotations

from typing import Any

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, Resource, standard
from kaon.resources.errors import conflict
from kaon.resources.roles import ADMIN_OR_MANAGER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def is_stateful(tx: Transaction, project_id: str) -> bool:
    """Whether a new group of a project is stateful unless told: by its own choice, else the operator's, else yes."""
    column = DEFAULT_STATEFULNESS.table.c
    chosen = {
        item["project_id"]: item["stateful"]
        for item in records.select(
            tx.conn, DEFAULT_STATEFULNESS, (column.project_id == project_id) | column.project_id.is_(None)
        )
    }
    return bool(chosen.get(project_id, chosen.get(None, True)))


def _create(tx: Transaction, body: dict[str, Any]) -> Record:
    project_id = body["project_id"]
    column = DEFAULT_STATEFULNESS.table.c.project_id
    same = column.is_(None) if project_id is None else column == project_id
    if records.select(tx.conn, DEFAULT_STATEFULNESS, same):
        raise conflict(
            "SecurityGroupDefaultStatefulnessAlreadyExists",
            "A security group default statefulness setting already exists for project "
            f"'{project_id or 'system-wide'}'.",
        )
    return records.insert(tx, DEFAULT_STATEFULNESS, {**body, "id": types.new_id()})


def _update(tx: Transaction, choice: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, DEFAULT_STATEFULNESS, choice, body)


def _delete(tx: Transaction, choice: Record) -> None:
    records.delete(tx, DEFAULT_STATEFULNESS, choice)


def _tenant(record: Record, _caller: Caller) -> str | None:
    project_id: str | None = record["project_id"]
    return project_id


DEFAULT_STATEFULNESS = Resource(
    name="security_groups_default_statefulness",
    collection="security_groups_default_statefulness",
    attributes=standard(
        Attribute("project_id", types.nullable(types.text(255)), post=True, index=True),
        Attribute("tenant_id", types.nullable(types.text(255)), derived=_tenant),
        Attribute("stateful", types.BOOLEAN, default=True, post=True, put=True),
        named=False,
        owned=False,
        tags=False,
        description=False,
        stamped=False,
    ),
    create=_create,
    update=_update,
    delete=_delete,
    create_rule=ADMIN_OR_MANAGER,
    update_rule=ADMIN_OR_MANAGER,
    delete_rule=ADMIN_OR_MANAGER,
    not_found="SecurityGroupDefaultStatefulnessNotFound",
)

RESOURCES = (DEFAULT_STATEFULNESS,)

EXTENSIONS = (
    Extension(
        "security-groups-default-statefulness",
        "Security Groups Default Statefulness",
        "Allows configuring the default value of the 'stateful' attribute for new security groups, on a per-project "
        "or system-wide basis",
        "2026-04-13T00:00:00-00:00",
    ),
)
