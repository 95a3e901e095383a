"""Local IPs: one address that leads, on every host, to an instance of that very host."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.access import visible
from kaon.resources.declare import REQUIRED, UNSET, Attribute, Extension, Resource, standard
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.ports import port
from kaon.resources.roles import ADMIN, PARENT_OWNER_MEMBER, PARENT_OWNER_READER, either
from kaon.resources.routers import router_port
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "network:local_ip"

# ---------------------------------------------------------------- local IPs


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Make an address local: that of a port, or a free one of a network, for which a port is made."""
    id, wanted = types.new_id(), body.get("local_ip_address")
    if body.get("local_port_id"):
        holder = _known_port(tx, body["local_port_id"], "local_ip")
        address = _address(holder, wanted)
    elif body.get("network_id"):
        holder = _take_address(tx, id, body["project_id"], body["network_id"], wanted)
        address = next(item["ip_address"] for item in holder["fixed_ips"] if wanted in (None, item["ip_address"]))
    else:
        raise bad_request(
            "Either Port ID or Network ID must be specified for Local IP create.", "LocalIPPortOrNetworkRequired"
        )
    values = {"local_port_id": holder["id"], "network_id": holder["network_id"], "local_ip_address": address}
    return records.insert(tx, LOCAL_IP, {**body, "id": id, **values})


def _known_port(tx: Transaction, id: str, asking: str) -> Record:
    """A port of the caller's; Neutron answers 400 for any other here."""
    try:
        return visible.port(tx, id)
    except ApiError:
        raise bad_request(f"Bad {asking} request: Port {id} not found.", "BadRequest") from None


def _address(holder: Record, wanted: str | None) -> str:
    """The address of a port that is meant: the one named, or its only one."""
    held: list[str] = [item["ip_address"] for item in holder["fixed_ips"]]
    if not held:
        raise bad_request(f"Specified Port {holder['id']} has no fixed IPs configured.", "LocalIPNoIP")
    if wanted is not None and wanted not in held:
        raise bad_request(
            f"Specified Port {holder['id']} does not have requested IP address: {wanted}.",
            "LocalIPRequestedIPNotFound",
        )
    if wanted is None and len(held) > 1:
        raise bad_request(
            f"Specified Port {holder['id']} has several IPs, should specify exact IP address to use for Local IP.",
            "LocalIPNoRequestedIP",
        )
    return wanted or held[0]


def _take_address(tx: Transaction, id: str, project_id: str, network_id: str, wanted: str | None) -> Record:
    """The port that keeps a local IP's address free of anybody else."""
    network = visible.network(tx, network_id)
    if not any(subnet["ip_version"] == 4 for subnet in router_port.on_network(tx, network["id"])):
        raise bad_request(f"Bad local_ip request: Network {network_id} does not contain any IPv4 subnet.", "BadRequest")
    values: dict[str, Any] = {
        "project_id": project_id,
        "network_id": network["id"],
        "device_id": id,
        "device_owner": OWNER,
    }
    if wanted is not None:
        values["fixed_ips"] = [{"ip_address": wanted}]
    return port.PORT.create(tx, port.PORT.with_defaults(values))


def update(tx: Transaction, local_ip: Record, body: dict[str, Any]) -> Record:
    """Store a changed name or description."""
    return records.update(tx, LOCAL_IP, local_ip, body)


def delete(tx: Transaction, local_ip: Record) -> None:
    """Make the address an ordinary one again; refused while instances are associated with it."""
    if records.by(tx.conn, ASSOCIATION, local_ip_id=local_ip["id"]):
        raise conflict("LocalIPInUse", f"Local IP {local_ip['id']} is still associated with one or more ports.")
    records.delete(tx, LOCAL_IP, local_ip)
    holder = records.find(tx.conn, port.PORT, local_ip["local_port_id"])
    if holder is not None and holder["device_owner"] == OWNER:
        port.remove(tx, holder)


# ---------------------------------------------------------------- associations


def _associate(tx: Transaction, body: dict[str, Any]) -> Record:
    local_ip = records.get(tx.conn, LOCAL_IP, body["local_ip_id"])
    instance = _known_port(tx, body["fixed_port_id"], "local_ip_port_association")
    fixed = _address(instance, body["fixed_ip"])
    if records.by(tx.conn, ASSOCIATION, local_ip_id=local_ip["id"], fixed_port_id=instance["id"]):
        raise conflict(
            "NeutronDbObjectDuplicateEntry",
            f"Local IP {local_ip['id']} is associated with port {instance['id']} already.",
        )
    address = local_ip["local_ip_address"]
    made = {**body, "id": types.new_id(), "fixed_ip": fixed, "local_ip_address": address}
    return records.insert(tx, ASSOCIATION, made)


def _change(tx: Transaction, association: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, ASSOCIATION, association, body)


def _dissociate(tx: Transaction, association: Record) -> None:
    records.delete(tx, ASSOCIATION, association)


_ID = types.or_null(types.UUID)

LOCAL_IP = Resource(
    name="local_ip",
    collection="local_ips",
    attributes=standard(
        Attribute("local_port_id", _ID, default=UNSET, post=True, index=True),
        Attribute("network_id", _ID, default=UNSET, post=True, index=True),
        Attribute("local_ip_address", types.nullable(types.IP_ADDRESS), default=UNSET, post=True, index=True),
        Attribute("ip_mode", types.one_of("translate", "passthrough"), default="translate", post=True),
        Attribute("description", types.text(255), default="", post=True, put=True),
        description=False,
        tags=False,
    ),
    create=create,
    update=update,
    delete=delete,
    not_found="LocalIPNotFound",
)

ASSOCIATION = Resource(
    name="local_ip_association",
    collection="local_ip_associations",
    document="port_association",
    documents="port_associations",
    attributes=standard(
        Attribute("local_ip_id", types.UUID, filter=False, sort=False, index=True),
        Attribute("local_ip_address", types.IP_ADDRESS),
        Attribute("fixed_port_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("fixed_ip", types.nullable(types.IP_ADDRESS), default=None, post=True),
        Attribute(
            "host",
            types.nullable(types.text(255)),
            details=("port", "fixed_port_id", "binding:host_id"),
            filter=False,
            sort=False,
        ),
        named=False,
        description=False,
        tags=False,
        stamped=False,
        identified=False,
        owner_shown=False,
    ),
    create=_associate,
    update=_change,
    delete=_dissociate,
    create_rule=either(ADMIN, PARENT_OWNER_MEMBER),
    get_rule=either(ADMIN, PARENT_OWNER_READER),
    delete_rule=either(ADMIN, PARENT_OWNER_MEMBER),
    not_found="LocalIPAssociationNotFound",
    path="port_associations",
    within=("local_ip", "local_ip_id"),
    member="fixed_port_id",
    methods=frozenset({"list", "show", "create", "delete"}),
    constraints=(sa.UniqueConstraint("local_ip_id", "fixed_port_id", name="uq_local_ip_associations_port"),),
)

RESOURCES = (LOCAL_IP, ASSOCIATION)

EXTENSIONS = (
    Extension(
        "local_ip",
        "Local IP",
        "Support Node Local Virtual IP",
        "2021-07-26T10:00:00-00:00",
        awaits="no local address is translated",
    ),
)
