"""Trunks: a parent port whose device reaches several networks, each through a sub-port by its VLAN tag."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Action, Attribute, Extension, Resource, standard
from kaon.resources.errors import ApiError, conflict, not_found
from kaon.resources.roles import ADMIN_OR_MEMBER, ADMIN_OR_READER
from kaon.resources.trunk import details, sub_ports
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Make a port the parent of a trunk, with the sub-ports named."""
    parent = sub_ports.plugged(tx, body["port_id"])
    sub_ports.demand_in_no_trunk(parent.port)
    if parent.port["binding:host_id"]:
        raise sub_ports.parent_in_use(body["port_id"])
    wanted = sub_ports.checked(tx, body["sub_ports"], parent)
    _demand_distinct(wanted, body["port_id"])
    values = {**body, "id": types.new_id(), "status": "DOWN", "sub_ports": wanted}
    trunk = records.insert(tx, TRUNK, values)
    for item in wanted:
        details.join(tx, trunk["id"], item["port_id"])
    details.write(tx, trunk)
    return trunk


def update(tx: Transaction, trunk: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; the sub-ports change by actions of their own."""
    return records.update(tx, TRUNK, trunk, body)


def delete(tx: Transaction, trunk: Record) -> None:
    """Remove a trunk; its ports stay. Refused while it is disabled, or its parent bound to a host."""
    _demand_enabled(trunk)
    parent = sub_ports.plugged(tx, trunk["port_id"]).port
    if parent["binding:host_id"]:
        raise conflict("TrunkInUse", f"Trunk {trunk['id']} is currently in use.")
    details.clear(tx, trunk)
    records.delete(tx, TRUNK, trunk)


def _demand_enabled(trunk: Record) -> None:
    if not trunk["admin_state_up"]:
        raise conflict("TrunkDisabled", f"Trunk {trunk['id']} is currently disabled.")


def _demand_distinct(items: list[sub_ports.SubPort], trunk_id: str) -> None:
    seen = set()
    for item in items:
        key = item["segmentation_type"], item["segmentation_id"]
        if key in seen:
            raise conflict(
                "DuplicateSubPort",
                f"segmentation_type {key[0]} and segmentation_id {key[1]} already in use on trunk {trunk_id}.",
            )
        seen.add(key)


# ---------------------------------------------------------------- actions


def _add(tx: Transaction, trunk: Record, body: dict[str, Any]) -> dict[str, Any]:
    parent = sub_ports.plugged(tx, trunk["port_id"])
    added = sub_ports.checked(tx, body["sub_ports"], parent)
    _demand_enabled(trunk)
    after = [*trunk["sub_ports"], *added]
    _demand_distinct(after, trunk["id"])
    for item in added:
        details.join(tx, trunk["id"], item["port_id"])
    return _stored(tx, trunk, after)


def _remove(tx: Transaction, trunk: Record, body: dict[str, Any]) -> dict[str, Any]:
    _demand_enabled(trunk)
    held = {item["port_id"]: item for item in trunk["sub_ports"]}
    for item in body["sub_ports"]:
        if held.pop(item["port_id"], None) is None:
            raise _no_sub_port(trunk, item["port_id"])
        details.leave(tx, item["port_id"])
    return _stored(tx, trunk, list(held.values()))


def _no_sub_port(trunk: Record, port_id: str) -> ApiError:
    return not_found("SubPortNotFound", f"SubPort {port_id} on trunk {trunk['id']} could not be found.")


def _stored(tx: Transaction, trunk: Record, items: list[sub_ports.SubPort]) -> dict[str, Any]:
    """Store a trunk's sub-ports. A client of these actions gets the trunk with nothing around it."""
    after = records.update(tx, TRUNK, trunk, {"sub_ports": items})
    if after is not trunk:
        details.write(tx, after)
    return {**{name: after[name] for name in TRUNK.names}, "tenant_id": after["project_id"]}


def _list(_tx: Transaction, trunk: Record, _body: dict[str, Any]) -> dict[str, Any]:
    return {"sub_ports": trunk["sub_ports"]}


TRUNK = Resource(
    name="trunk",
    collection="trunks",
    attributes=standard(
        Attribute("port_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("admin_state_up", types.BOOLEAN, default=True, post=True, put=True),
        Attribute("status", types.text(16)),
        Attribute("sub_ports", sub_ports.SUB_PORTS, default=[], post=True, filter=False, sort=False),
    ),
    create=create,
    update=update,
    delete=delete,
    actions=(
        Action("add_subports", _add, ADMIN_OR_MEMBER, sub_ports.BODY),
        Action("remove_subports", _remove, ADMIN_OR_MEMBER, sub_ports.BODY),
        Action("get_subports", _list, ADMIN_OR_READER, method="GET"),
    ),
    quota=-1,
)

RESOURCES = (TRUNK,)

EXTENSIONS = (
    Extension(
        "trunk",
        "Trunk Extension",
        "Provides support for trunk ports",
        "2016-01-01T10:00:00-00:00",
        awaits="no tagged frame reaches a sub-port; trunks say DOWN",
    ),
)
