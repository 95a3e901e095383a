"""Logs: whose accepted and dropped connections are to be written down, by security group and by port."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.access.sharing import is_shared
from kaon.resources.declare import REQUIRED, Ask, Attribute, Call, Extension, Resource, named, standard
from kaon.resources.errors import bad_request, conflict, not_found
from kaon.resources.roles import ADMIN_OR_MANAGER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

LOGGABLE = ("security_group",)
EVENTS = ("ACCEPT", "DROP", "ALL")


def _create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a log: of one group, of one port, of a group on a port, or of everything that the project has."""
    if body["resource_type"] not in LOGGABLE:
        raise bad_request(f"Invalid log resource_type: {body['resource_type']}.", "InvalidLogResourceType")
    group_id, port_id = body["resource_id"], body["target_id"]
    if group_id:
        _demand_group(tx, group_id)
    port = _port(tx, port_id) if port_id else None
    if group_id and port is not None and group_id not in port["security_groups"]:
        raise bad_request(
            f"Invalid resource constraint between resource (security_group {group_id}) and target resource "
            f"(port {port_id}).",
            "InvalidResourceConstraint",
        )
    return records.insert(tx, LOG, {**body, "id": types.new_id()})


def _demand_group(tx: Transaction, id: str) -> None:
    group = records.find(tx.conn, named("security_group"), id)
    own = group is not None and (tx.caller.is_admin or group["project_id"] == tx.caller.project_id)
    if group is None or not (own or is_shared(group, tx.caller)):
        raise not_found("ResourceNotFound", f"Resource {id} could not be found.")


def _port(tx: Transaction, id: str) -> Record:
    port = records.find(tx.conn, named("port"), id)
    if port is None or not (tx.caller.is_admin or port["project_id"] == tx.caller.project_id):
        raise not_found("TargetResourceNotFound", f"Target resource {id} could not be found.")
    if port["binding:vnic_type"] != "normal":
        # What a device switches by itself never passes the rules that could log it.
        raise conflict("LoggingTypeNotSupported", f"Logging type security_group is not supported on port {id}.")
    return port


def _update(tx: Transaction, log: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, LOG, log, body)


def _delete(tx: Transaction, log: Record) -> None:
    records.delete(tx, LOG, log)


def forget(tx: Transaction, **of: str) -> None:
    """Remove the logs of a group (`resource_id`) or of a port (`target_id`) that goes away."""
    for log in records.by(tx.conn, LOG, **of):
        records.delete(tx, LOG, log)


def _loggable(_tx: Transaction, _ask: Ask) -> dict[str, Any]:
    return {"loggable_resources": [{"type": kind} for kind in LOGGABLE]}


LOG = Resource(
    name="log",
    collection="logs",
    attributes=standard(
        Attribute("resource_type", types.text(255), default=REQUIRED, post=True),
        Attribute("resource_id", types.nullable(types.UUID), default=None, post=True, index=True),
        Attribute("event", types.one_of(*EVENTS), default="ALL", post=True, sort=False),
        Attribute("target_id", types.nullable(types.UUID), default=None, post=True, index=True),
        Attribute("enabled", types.BOOLEAN, default=True, post=True, put=True),
        tags=False,
    ),
    create=_create,
    update=_update,
    delete=_delete,
    create_rule=ADMIN_OR_MANAGER,
    get_rule=ADMIN_OR_MANAGER,
    update_rule=ADMIN_OR_MANAGER,
    delete_rule=ADMIN_OR_MANAGER,
    not_found="LogResourceNotFound",
    path="log/logs",
)

RESOURCES = (LOG,)

CALLS = (Call("GET", "log/loggable-resources", _loggable, "get_loggable_resource", ADMIN_OR_MANAGER),)

EXTENSIONS = (
    Extension(
        "logging",
        "Logging API Extension",
        "Provides a logging API for resources such as security group and firewall.",
        "2017-01-01T10:00:00-00:00",
        awaits="no packet is logged",
    ),
)
