"""Bindings of a port to hosts: one is active, the others are made beforehand so that an instance can move there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Action, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.port_binding import held
from kaon.resources.port_binding.attributes import PROFILE, UNBOUND, VNIC_TYPES
from kaon.resources.port_extensions import trusted
from kaon.resources.ports.port import PORT
from kaon.resources.roles import ADMIN_OR_SERVICE, SERVICE
from kaon.resources.types import Type
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

UNPLUGGED = {"vif_type": UNBOUND["binding:vif_type"], "vif_details": UNBOUND["binding:vif_details"]}


def demand_moving(port: Record) -> None:
    """Raise 400 for a port of something that does not move between hosts."""
    if not held.may_have_several(port):
        raise bad_request(
            f"Bad port request: Invalid port {port['id']}. Operation only valid on compute and shared filesystem "
            "ports.",
            "BadRequest",
        )


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Bind a port to one more host. A port has an active binding from the beginning, so this one is inactive."""
    port = records.get(tx.conn, PORT, body["port_id"])
    demand_moving(port)
    if body["host"] in held.of(tx, port["id"]):
        raise _exists(port["id"], body["host"])
    values = {**body, "id": types.new_id(), "status": held.INACTIVE, **UNPLUGGED}
    return records.insert(tx, PORT_BINDING, values)


def _exists(port_id: str, host: str) -> ApiError:
    return conflict("PortBindingAlreadyExists", f"Binding for port {port_id} on host {host} already exists.")


def update(tx: Transaction, binding: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; those of the active binding are the port's."""
    port = records.get(tx.conn, PORT, binding["port_id"])
    host = str(body.get("host", binding["host"]))
    if host != binding["host"] and host in held.of(tx, port["id"]):
        raise _exists(port["id"], host)
    if binding["status"] != held.ACTIVE:
        return records.update(tx, PORT_BINDING, binding, body)
    names = {"host": "binding:host_id", "vnic_type": "binding:vnic_type", "profile": "binding:profile"}
    PORT.update(tx, port, {names[name]: value for name, value in body.items()})
    return held.of(tx, port["id"])[host]


def delete(tx: Transaction, binding: Record) -> None:
    """Unbind a port from a host; refused while an agent has attached the port there."""
    if binding["status"] != held.ACTIVE:
        records.delete(tx, PORT_BINDING, binding)
        return
    port = records.get(tx.conn, PORT, binding["port_id"])
    PORT.update(tx, port, {"binding:host_id": ""})


def _activate(tx: Transaction, binding: Record, _body: dict[str, Any]) -> dict[str, Any]:
    """Move a port to the host of another of its bindings.

    It is no longer attached on the host that it leaves, which keeps an inactive binding; the agent of the other host
    attaches it. A client gets the binding with nothing around it.
    """
    port = records.get(tx.conn, PORT, binding["port_id"])
    if binding["status"] == held.ACTIVE:
        raise conflict(
            "PortBindingAlreadyActive",
            f"Binding for port {port['id']} on host {binding['host']} is already active.",
        )
    _leave(tx, port)
    released = records.update(tx, PORT, port, {"binding:vif_type": UNPLUGGED["vif_type"], "binding:vif_details": {}})
    moved = {
        "binding:host_id": binding["host"],
        "binding:vnic_type": binding["vnic_type"],
        "binding:profile": trusted.profile(port["trusted"], binding["profile"]),
    }
    PORT.update(tx, released, moved)
    after = held.of(tx, port["id"])[binding["host"]]
    return {attribute.name: after[attribute.name] for attribute in PORT_BINDING.attributes if not attribute.internal}


def _leave(tx: Transaction, port: Record) -> None:
    """Make the active binding an inactive one, and end what the agent of its host attached."""
    place = records.find(tx.conn, named("attachment"), port["id"])
    if place is not None:
        records.delete(tx, named("attachment"), place)
    active = held.of(tx, port["id"]).get(port["binding:host_id"])
    if active is not None:
        records.update(tx, PORT_BINDING, active, {"status": held.INACTIVE, **UNPLUGGED})


def _host(value: Any) -> Any:
    host = types.text(255).parse(value)
    if not host:
        raise ValueError("'' is not the name of a host")
    return host


_HOST = Type(_host, sa.String(255), {"type": "string", "minLength": 1, "maxLength": 255})

_ATTRIBUTES = standard(
    Attribute("port_id", types.UUID, internal=True, index=True),
    Attribute("project_id", types.text(255), post=True, shown=False, filter=False, sort=False),
    Attribute("host", _HOST, default=REQUIRED, post=True, put=True),
    Attribute("vif_type", types.text(64)),
    Attribute("vif_details", types.MAPPING, filter=False, sort=False),
    Attribute("vnic_type", types.one_of(*VNIC_TYPES), default="normal", post=True, put=True),
    Attribute("profile", PROFILE, default={}, post=True, put=True, filter=False, sort=False),
    Attribute("status", types.text(16)),
    named=False,
    owned=False,
    tags=False,
    description=False,
    stamped=False,
)

PORT_BINDING = Resource(
    name="port_binding",
    collection="port_bindings",
    attributes=tuple(replace(item, internal=True) if item.name == "id" else item for item in _ATTRIBUTES),
    create=create,
    update=update,
    delete=delete,
    create_rule=SERVICE,
    get_rule=ADMIN_OR_SERVICE,
    update_rule=ADMIN_OR_SERVICE,
    delete_rule=SERVICE,
    actions=(Action("activate", _activate, SERVICE),),
    within=("port", "port_id"),
    fits=demand_moving,
    member="host",
    document="binding",
    documents="bindings",
    path="bindings",
    constraints=(sa.UniqueConstraint("port_id", "host", name="uq_port_bindings_host"),),
)

RESOURCES = (PORT_BINDING,)

EXTENSIONS = (
    Extension(
        "binding-extended",
        "Port Bindings Extended",
        "Expose port bindings of a virtual port to external application",
        "2017-07-17T10:00:00-00:00",
        awaits="the instance's new host wires its port when it attaches it, not before",
    ),
)
