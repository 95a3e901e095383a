"""Floating IPs: addresses of an external network that lead to a port behind a router."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.access import visible
from kaon.resources.declare import REQUIRED, UNSET, Attribute, Extension, Resource, named, standard
from kaon.resources.dns import dns
from kaon.resources.errors import ApiError, bad_request, conflict, not_found
from kaon.resources.ports.port import PORT
from kaon.resources.ports.port import remove as remove_port
from kaon.resources.qos import addresses as qos_addresses
from kaon.resources.roles import ADMIN_OR_MANAGER, ADMIN_OR_MEMBER
from kaon.resources.routers import router_port
from kaon.resources.subnets import ipam
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "network:floatingip"


def _refused(message: str) -> ApiError:
    return bad_request(f"Bad floatingip request: {message}.", "BadRequest")


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Take an address of an external network, and lead it to a port when one is named."""
    dns.demand_both(body)
    qos_addresses.demand_usable(tx, None, body)
    network = _external(tx, body["floating_network_id"])
    id = types.new_id()
    port = _take_address(tx, network, id, body.get("subnet_id"), body.get("floating_ip_address"))
    floatingip = {
        **body,
        "id": id,
        "floating_ip_address": next(item["ip_address"] for item in port["fixed_ips"] if ":" not in item["ip_address"]),
        "floating_port_id": port["id"],
    }
    return records.insert(tx, FLOATINGIP, {**floatingip, **_association(tx, floatingip, body)})


def _external(tx: Transaction, id: str) -> Record:
    network = visible.network(tx, id)
    if not visible.as_external(tx, network):
        raise _refused(f"Network {id} is not a valid external network")
    return network


def _take_address(tx: Transaction, network: Record, id: str, subnet_id: str | None, address: str | None) -> Record:
    """The port that holds the floating address: nobody's, so that projects do not see it."""
    subnets = [subnet for subnet in router_port.on_network(tx, network["id"]) if subnet["ip_version"] == 4]
    if not subnets:
        raise _refused(f"Network {network['id']} does not contain any IPv4 subnet")
    if address is not None and ":" in address:
        raise bad_request(f"IP address {address} is not a valid IP for the specified network.", "InvalidIpForNetwork")
    if subnet_id is not None:
        records.get(tx.conn, SUBNET, subnet_id)
    wanted = {"subnet_id": subnet_id, "ip_address": address}
    wished = {name: value for name, value in wanted.items() if value is not None}
    choices = [wished] if wished else [{"subnet_id": subnet["id"]} for subnet in subnets]
    for choice in choices:
        values = {
            "project_id": "",
            "network_id": network["id"],
            "device_id": id,
            "device_owner": OWNER,
            "fixed_ips": [choice],
        }
        try:
            port = PORT.create(tx, PORT.with_defaults(values))
        except ApiError as error:
            # The next subnet of the network may have an address left.
            if error.type != "IpAddressGenerationFailure" or wished:
                raise
        else:
            return port
    raise bad_request(
        f"Unable to find any IP address on external network {network['id']}.", "ExternalIpAddressExhausted"
    )


# ---------------------------------------------------------------- association


def _association(tx: Transaction, floatingip: Record, body: dict[str, Any]) -> dict[str, Any]:
    """What a request makes of the association: port, fixed address, router and status."""
    port_id, wanted = body.get("port_id"), body.get("fixed_ip_address")
    if not port_id:
        for name in ("fixed_ip_address", "router_id"):
            if body.get(name):
                raise _refused(f"{name} cannot be specified without a port_id")
        return {"port_id": None, "fixed_ip_address": None, "router_id": None, "status": "DOWN"}
    port = _own_port(tx, floatingip, port_id)
    _demand_not_forwarded(tx, port)
    fixed = _fixed_ip(port, wanted)
    router_id = _router(tx, floatingip["floating_network_id"], port, fixed["subnet_id"], body.get("router_id"))
    _demand_not_associated(tx, floatingip, port_id, fixed["ip_address"])
    return {
        "port_id": port_id,
        "fixed_ip_address": fixed["ip_address"],
        "router_id": router_id,
        "status": "ACTIVE",
    }


def _own_port(tx: Transaction, floatingip: Record, id: str) -> Record:
    port = visible.port(tx, id)
    if not tx.caller.is_admin and port["project_id"] != floatingip["project_id"]:
        raise _refused(
            f"Cannot process floating IP association with Port {id}, since that port is owned by a different project"
        )
    if port["device_owner"] in ipam.ROUTER_OWNERS or port["device_owner"] == "network:dhcp":
        raise _refused(f"Port {id} is unable to be assigned a floating IP")
    return port


def _fixed_ip(port: Record, wanted: str | None) -> dict[str, str]:
    addresses: list[dict[str, str]] = [item for item in port["fixed_ips"] if ":" not in item["ip_address"]]
    if wanted is not None:
        if ":" in wanted:
            raise _refused(f"Cannot process floating IP association with {wanted}, since that is not an IPv4 address")
        found = next((item for item in addresses if item["ip_address"] == wanted), None)
        if found is None:
            raise _refused(f"Port {port['id']} does not have fixed ip {wanted}")
        return found
    if not addresses:
        raise _refused(f"Cannot add floating IP to port {port['id']} that has no fixed IPv4 addresses")
    if len(addresses) > 1:
        raise _refused(
            f"Port {port['id']} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when "
            "assigning a floating IP"
        )
    return addresses[0]


def _router(tx: Transaction, network_id: str, port: Record, subnet_id: str, wanted: str | None) -> str:
    """The router that translates: the one that a client names, which routes of its own may reach, or one between."""
    if wanted is not None:
        router = visible.router(tx, wanted)
        if not any(leg["network_id"] == network_id for leg in router_port.of(tx, wanted, (router_port.GATEWAY,))):
            raise conflict("Conflict", f"Router {router['id']} has no external gateway on network {network_id}")
        return wanted
    found = router_between(tx, port, subnet_id, network_id)
    if found is None:
        raise not_found(
            "ExternalGatewayForFloatingIPNotFound",
            f"External network {network_id} is not reachable from subnet {subnet_id}.  Therefore, cannot associate "
            f"Port {port['id']} with a Floating IP.",
        )
    return found


def router_between(tx: Transaction, port: Record, subnet_id: str, network_id: str) -> str | None:
    """The router between a subnet and the external network; the subnet's own gateway where there are several."""
    leg, gateway, held = PORT.table.alias("leg"), PORT.table.alias("gateway"), ipam.ALLOCATIONS
    rows = tx.execute(
        sa.select(leg.c.device_id, held.c.ip)
        .join(held, held.c.port_id == leg.c.id)
        .join(gateway, gateway.c.device_id == leg.c.device_id)
        .where(
            held.c.subnet_id == subnet_id,
            leg.c.network_id == port["network_id"],
            leg.c.device_owner.in_(ipam.ROUTER_INTERFACES),
            gateway.c.network_id == network_id,
            gateway.c.device_owner == router_port.GATEWAY,
        )
        .order_by(leg.c.device_id)
    ).all()
    if not rows:
        return None
    own = records.get(tx.conn, SUBNET, subnet_id)["gateway_ip"]
    return str(next((router for router, address in rows if address == own), rows[0][0]))


def _demand_not_associated(tx: Transaction, floatingip: Record, port_id: str, address: str) -> None:
    column = FLOATINGIP.table.c
    other = tx.execute(
        sa.select(column.id).where(
            column.port_id == port_id,
            column.fixed_ip_address == address,
            column.floating_network_id == floatingip["floating_network_id"],
            column.id != floatingip["id"],
        )
    ).first()
    if other is not None:
        raise conflict(
            "FloatingIPPortAlreadyAssociated",
            f"Cannot associate floating IP {floatingip['floating_ip_address']} ({floatingip['id']}) with port "
            f"{port_id} using fixed IP {address}, as that fixed IP already has a floating IP on external network "
            f"{floatingip['floating_network_id']}.",
        )


def _demand_not_forwarded(tx: Transaction, port: Record) -> None:
    """Raise 400 when port forwardings on a distributed router lead to a port already."""
    forwarding = next(iter(records.by(tx.conn, named("port_forwarding"), internal_port_id=port["id"])), None)
    if forwarding is None:
        return
    router_id = records.get(tx.conn, FLOATINGIP, forwarding["floatingip_id"])["router_id"]
    if records.get(tx.conn, named("router"), router_id)["distributed"]:
        raise bad_request(
            f"Cannot associate floating IP to port {port['id']} because it already has a Port Forwarding binding.",
            "PortHasPortForwarding",
        )


def update(tx: Transaction, floatingip: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes: associate, move or release.

    A body without ``port_id`` keeps the association, but an empty one ends it: once there was nothing else to change.
    One whose ports are forwarded stays on its router.
    """
    qos_addresses.demand_usable(tx, floatingip, body)
    changes = {name: value for name, value in body.items() if name not in ("port_id", "fixed_ip_address", "router_id")}
    moves = not body or "port_id" in body or any(body.get(name) for name in ("fixed_ip_address", "router_id"))
    if moves:
        association = _association(tx, floatingip, {"port_id": floatingip["port_id"], **body} if body else {})
        forwarded = floatingip["router_id"] is not None and floatingip["port_id"] is None
        if forwarded and association["port_id"]:
            raise _forwarded(floatingip)
        if not forwarded:
            changes.update(association)
    return records.update(tx, FLOATINGIP, floatingip, changes)


def _forwarded(floatingip: Record) -> ApiError:
    return conflict("FipInUseByPortForwarding", f"Floating IP {floatingip['id']} in use by Port Forwarding resources.")


def delete(tx: Transaction, floatingip: Record) -> None:
    """Give the address back; refused while its ports are forwarded."""
    if records.by(tx.conn, named("port_forwarding"), floatingip_id=floatingip["id"]):
        raise _forwarded(floatingip)
    records.delete(tx, FLOATINGIP, floatingip)
    port = records.find(tx.conn, PORT, floatingip["floating_port_id"])
    if port is not None:
        remove_port(tx, port)


_DETAILS = ("name", "network_id", "mac_address", "admin_state_up", "status", "device_id", "device_owner")

FLOATINGIP = Resource(
    name="floatingip",
    collection="floatingips",
    attributes=standard(
        Attribute(
            "floating_ip_address",
            types.nullable(types.IP_ADDRESS),
            default=UNSET,
            post=True,
            post_rule=ADMIN_OR_MANAGER,
            index=True,
        ),
        Attribute("floating_network_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("subnet_id", types.nullable(types.UUID), default=UNSET, post=True, shown=False, filter=False),
        Attribute("port_id", types.nullable(types.UUID), default=None, post=True, put=True, index=True),
        Attribute("fixed_ip_address", types.nullable(types.IP_ADDRESS), default=None, post=True, put=True, index=True),
        Attribute(
            "router_id",
            types.nullable(types.UUID),
            default=None,
            post=True,
            put=True,
            post_rule=ADMIN_OR_MEMBER,
            put_rule=ADMIN_OR_MEMBER,
            index=True,
        ),
        Attribute("dns_name", dns.NAME, default="", post=True, filter=False, sort=False, alias="dns-integration"),
        Attribute("dns_domain", dns.DOMAIN, default="", post=True, filter=False, sort=False, alias="dns-integration"),
        Attribute("status", types.text(16)),
        Attribute(
            "port_details",
            types.nullable(types.MAPPING),
            details=("port", "port_id", _DETAILS),
            filter=False,
            sort=False,
            alias="fip-port-details",
        ),
        qos_addresses.FLOATINGIP_ATTRIBUTE,
        Attribute(
            "port_forwardings",
            types.list_of(types.MAPPING),
            children=("port_forwarding", "floatingip_id"),
            child_names=(
                "id",
                "internal_ip_address",
                "protocol",
                "internal_port",
                "external_port",
                "internal_port_id",
            ),
            filter=False,
            sort=False,
            alias="expose-port-forwarding-in-fip",
        ),
        Attribute("floating_port_id", types.UUID, internal=True),
        named=False,
    ),
    create=create,
    update=update,
    delete=delete,
    quota=50,
    not_found="FloatingIPNotFound",
    bulk=False,
)

RESOURCES = (FLOATINGIP,)

EXTENSIONS = (
    Extension(
        "floatingip-autodelete-internal",
        "Autodelete floating IPs of internal networks",
        "Autodelete unused floating IPs of networks being turned to router:external=False",
        "2019-01-24T00:00:00-00:00",
    ),
    Extension(
        "floating-ip-router-writable",
        "Floating IP Router (writable)",
        "Provides a writable router_id attribute for a floating IP resource.",
        "2026-08-05T00:00:00-00:00",
    ),
    Extension(
        "fip-port-details",
        "Floating IP Port Details Extension",
        "Add port_details attribute to Floating IP resource",
        "2018-04-09T10:00:00-00:00",
    ),
)
