"""Attachments: where a port appears on a host. Agents make them; clients see only the port's binding."""

from __future__ import annotations

from typing import Any, Protocol

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Resource, standard
from kaon.resources.errors import bad_request, conflict
from kaon.resources.port_binding import held as bindings
from kaon.resources.port_binding.attributes import UNBOUND
from kaon.resources.ports import dhcp_port, port_addresses
from kaon.resources.ports.port import PORT
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "compute:kaon"
"""Device owner of a port that an agent attached and nobody else claims."""


class Place(Protocol):
    """What an agent says of an attachment (`kaon.channel.Attachment`)."""

    @property
    def port_id(self) -> str: ...
    @property
    def netns(self) -> str: ...
    @property
    def ifname(self) -> str: ...
    @property
    def tap(self) -> str: ...
    @property
    def instance_id(self) -> str: ...
    @property
    def hostname(self) -> str: ...
    @property
    def user_data(self) -> str: ...


def attach(tx: Transaction, host: str, place: Place) -> Record:
    """Bind a port to a host and return it; 404 for no such port, 409 when another host has it."""
    port = records.get(tx.conn, PORT, place.port_id)
    if bool(place.netns) == bool(place.tap):
        raise bad_request(f"Port {port['id']} needs either a network namespace or a tap device to appear in")
    if port["device_owner"].startswith("network:"):
        raise conflict(
            "UnsupportedPortDeviceOwner",
            f"Port {port['id']} belongs to the network itself ({port['device_owner']}) and cannot be attached.",
        )
    if port["subport_of"]:
        raise conflict(
            "PortInUseAsSubPort",
            f"Port {port['id']} is a sub-port of trunk {port['subport_of']}: it is reached through the trunk's parent "
            "port. Attach that one, or remove this one from the trunk first.",
        )
    if port["binding:host_id"] not in ("", host):
        raise conflict(
            "PortBound",
            f"Unable to attach port {port['id']} on host {host}: it is bound to host {port['binding:host_id']}. "
            "Detach it there first.",
        )
    before = records.find(tx.conn, ATTACHMENT, port["id"])
    values = {
        "id": port["id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "host": host,
        "netns": place.netns,
        "ifname": place.ifname if place.netns else "",
        "tap": place.tap,
        "instance_id": place.instance_id or port["device_id"] or port["id"],
        "hostname": place.hostname,
        "user_data": place.user_data,
    }
    if before is None:
        records.insert(tx, ATTACHMENT, values)
    else:
        records.update(tx, ATTACHMENT, before, values)
    bound = records.update(
        tx,
        PORT,
        port,
        {
            **port_addresses.on_host(tx, port, host, port["mac_address"]),
            "binding:host_id": host,
            "binding:vif_type": "tap",
            "binding:vif_details": {"port_filter": True, "connectivity": "l2"},
            "device_owner": port["device_owner"] or OWNER,
            "device_id": port["device_id"] or values["instance_id"],
        },
    )
    bindings.follow(tx, bound)
    if before is None:
        dhcp_port.ensure(tx, port["network_id"])
    return bound


def detach(tx: Transaction, host: str, port_id: str) -> None:
    """Release a port from a host; 409 when it is not attached there."""
    place = records.find(tx.conn, ATTACHMENT, port_id)
    if place is None or place["host"] != host:
        raise conflict("PortNotBound", f"Port {port_id} is not attached on host {host}; nothing was changed.")
    records.delete(tx, ATTACHMENT, place)
    port = records.get(tx.conn, PORT, port_id)
    changes: dict[str, Any] = dict(UNBOUND)
    if port["device_owner"] == OWNER:
        changes |= {"device_owner": "", "device_id": ""}
    bindings.follow(tx, records.update(tx, PORT, port, changes))
    dhcp_port.ensure(tx, port["network_id"])


def _create(tx: Transaction, body: dict[str, Any]) -> Record:
    return records.insert(tx, ATTACHMENT, body)


def _update(tx: Transaction, place: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, ATTACHMENT, place, body)


def _delete(tx: Transaction, place: Record) -> None:
    detach(tx, place["host"], place["port_id"])


ATTACHMENT = Resource(
    name="attachment",
    collection="attachments",
    attributes=standard(
        Attribute("port_id", types.UUID),
        Attribute("network_id", types.UUID, index=True),
        Attribute("host", types.text(255), index=True),
        Attribute("netns", types.text(255)),
        Attribute("ifname", types.text(15)),
        Attribute("tap", types.text(15)),
        Attribute("instance_id", types.text(255)),
        Attribute("hostname", types.text(255)),
        Attribute("user_data", types.text(2**20), internal=True),
        named=False,
        owned=False,
        tags=False,
        description=False,
    ),
    create=_create,
    update=_update,
    delete=_delete,
    create_rule=ADMIN,
    get_rule=ADMIN,
    update_rule=ADMIN,
    delete_rule=ADMIN,
    methods=frozenset(),
)

RESOURCES = (ATTACHMENT,)
