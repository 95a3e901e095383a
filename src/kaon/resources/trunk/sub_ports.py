"""Sub-ports of a trunk: how a client names them, and which ports may become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.access import visible
from kaon.resources.errors import ApiError, conflict, invalid
from kaon.resources.networks.network import NETWORK
from kaon.resources.types import Type
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

INHERIT = "inherit"
"""The segmentation of the sub-port's own network."""
VLAN = "vlan"
VLAN_TAGS = range(1, 4095)
NAMES = ("port_id", "segmentation_type", "segmentation_id")

SubPort = dict[str, Any]


def _sub_ports(value: Any) -> list[SubPort]:
    """Each port once, each segmentation once; what they may be is for `checked` to say."""
    if not isinstance(value, list):
        raise ValueError(f"Invalid data format for subports: '{value}' is not a list")
    items = [_sub_port(item) for item in value]
    ports = [item["port_id"] for item in items]
    for id in ports:
        if ports.count(id) > 1:
            raise ValueError(f"Non unique UUID for subport: '{id}'")
    _demand_distinct_segmentations(items)
    return items


def _sub_port(value: Any) -> SubPort:
    if not isinstance(value, dict):
        raise ValueError(f"Invalid data format for subport: '{value}' is not a dict")
    if "port_id" not in value:
        raise ValueError("A valid port UUID must be specified")
    item = {"port_id": types.UUID.parse(value["port_id"])}
    kind, number = value.get("segmentation_type"), value.get("segmentation_id")
    if kind == INHERIT:
        return {**item, "segmentation_type": INHERIT}
    if kind is None and number is None:
        return item
    if not isinstance(kind, str) or not kind or number is None:
        raise ValueError(
            f"Invalid subport details '{value}': missing segmentation information. Must specify both segmentation_id "
            "and segmentation_type"
        )
    return {**item, "segmentation_type": kind, "segmentation_id": types.integer().parse(number)}


def _demand_distinct_segmentations(items: Sequence[SubPort]) -> None:
    seen = set()
    for item in items:
        if "segmentation_id" not in item:
            continue
        key = item["segmentation_type"], item["segmentation_id"]
        if key in seen:
            raise ValueError(f"Segmentation ID '{key[1]}' for '{item['port_id']}' is not unique")
        seen.add(key)


_SCHEMA: types.Schema = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {
            "port_id": types.UUID.schema,
            "segmentation_type": {"type": "string"},
            "segmentation_id": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
        "required": ["port_id"],
    },
}
SUB_PORTS = Type(_sub_ports, sa.JSON(), _SCHEMA, structured=True)


def _body(value: Any) -> dict[str, Any]:
    """The body of add_subports and remove_subports."""
    if not isinstance(value, dict) or "sub_ports" not in value:
        raise invalid("a list of sub_ports is needed")
    try:
        return {"sub_ports": _sub_ports(value["sub_ports"])}
    except ValueError as error:
        raise invalid(str(error)) from None


BODY = Type(_body, sa.JSON(), {"type": "object", "properties": {"sub_ports": _SCHEMA}, "required": ["sub_ports"]})


# ---------------------------------------------------------------- which ports may become one


class Plugged(NamedTuple):
    """A port and the network that it is on."""

    port: Record
    network: Record


def plugged(tx: Transaction, id: str) -> Plugged:
    """A port that the caller may use; 404 for what is another's."""
    port = visible.port(tx, id)
    return Plugged(port, records.get(tx.conn, NETWORK, port["network_id"]))


def demand_in_no_trunk(port: Record) -> None:
    """Raise 409 for a port that is a sub-port or a parent already."""
    if port["subport_of"]:
        raise conflict("TrunkPortInUse", f"Port {port['id']} is in use by another trunk.")
    if port["trunk_details"]:
        raise parent_in_use(port["id"])


def parent_in_use(id: str) -> ApiError:
    """409 for a port that cannot be a parent."""
    return conflict("ParentPortInUse", f"Port {id} is currently in use and is not eligible for use as a parent port.")


def checked(tx: Transaction, wanted: Sequence[SubPort], parent: Plugged) -> list[SubPort]:
    """Sub-ports as they are stored, each with its segmentation; raises for a port that cannot be one."""
    found = []
    for item in wanted:
        if item["port_id"] == parent.port["id"]:
            raise parent_in_use(item["port_id"])
        if item.get("segmentation_type") != INHERIT:
            _demand_segmentation(item)
        sub_port = plugged(tx, item["port_id"])
        settled = _inherited(item, sub_port.network) if item["segmentation_type"] == INHERIT else item
        _demand_segmentation(settled)
        _demand_fits(sub_port, parent)
        demand_in_no_trunk(sub_port.port)
        _demand_not_in_use(sub_port.port)
        found.append({name: settled[name] for name in NAMES})
    return found


def _inherited(item: SubPort, network: Record) -> SubPort:
    return {
        "port_id": item["port_id"],
        "segmentation_type": network["provider:network_type"],
        "segmentation_id": network["provider:segmentation_id"],
    }


def _demand_segmentation(item: SubPort) -> None:
    if "segmentation_type" not in item:
        raise invalid(
            f"Invalid subport details '{item}': missing segmentation information. Must specify both segmentation_id "
            "and segmentation_type"
        )
    if item["segmentation_type"] != VLAN:
        raise invalid(f"Unknown segmentation_type '{item['segmentation_type']}'")
    if item["segmentation_id"] not in VLAN_TAGS:
        raise invalid(f"Segmentation ID '{item['segmentation_id']}' is not in range")


def _demand_fits(sub_port: Plugged, parent: Plugged) -> None:
    """The parent's device carries a sub-port's packets, so its network's must not be larger."""
    if sub_port.network["mtu"] > parent.network["mtu"]:
        raise conflict(
            "SubPortMtuGreaterThanTrunkPortMtu",
            f"MTU {sub_port.network['mtu']} of subport {sub_port.port['id']} cannot be greater than MTU "
            f"{parent.network['mtu']} of trunk {parent.port['id']}.",
        )


def _demand_not_in_use(port: Record) -> None:
    """A port that a device, a router or the network itself has is no sub-port."""
    if port["device_id"]:
        raise conflict(
            "PortInUse",
            f"Unable to complete operation on port {port['id']} for network {port['network_id']}. Port already has an "
            f"attached device {port['device_id']}.",
        )
