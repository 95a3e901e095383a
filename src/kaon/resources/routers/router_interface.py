"""Interfaces of routers: ports that hold a subnet's gateway address, added and removed by subnet or by port."""

from __future__ import annotations

import ipaddress
from typing import Any

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.access import visible
from kaon.resources.declare import named
from kaon.resources.errors import bad_request, conflict, not_found
from kaon.resources.networks.network import NETWORK
from kaon.resources.ports import dhcp_port
from kaon.resources.ports.port import PORT
from kaon.resources.ports.port import remove as remove_port
from kaon.resources.routers import ndp_proxy, router_port
from kaon.resources.routers.router_port import refused
from kaon.resources.subnets import ipam
from kaon.resources.subnets.ipam import ROUTER_INTERFACES
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "network:router_interface"


def of(tx: Transaction, router_id: str) -> list[Record]:
    """A router's interfaces, without its gateway."""
    return router_port.of(tx, router_id, ROUTER_INTERFACES)


def _answer(router: Record, port: Record, subnets: list[str]) -> dict[str, Any]:
    return {
        "id": router["id"],
        "project_id": router["project_id"],
        "tenant_id": router["project_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": subnets[-1],
        "subnet_ids": subnets,
        "tags": router["tags"],
    }


# ---------------------------------------------------------------- adding


def add(tx: Transaction, router: Record, body: dict[str, Any]) -> dict[str, Any]:
    """Join a subnet to a router through a new port, or through a port that a client made for it."""
    if not body:
        raise refused("Either subnet_id or port_id must be specified")
    if len(body) > 1:
        raise refused("Cannot specify both subnet-id and port-id")
    if "subnet_id" in body:
        subnet = _visible_subnet(tx, body["subnet_id"])
        return _answer(router, _add_subnet(tx, router, subnet), [subnet["id"]])
    port = _add_port(tx, router, body["port_id"])
    return _answer(router, port, [item["subnet_id"] for item in port["fixed_ips"]])


def _visible_subnet(tx: Transaction, id: str) -> Record:
    """A subnet that the caller may join: its own, or one on a network opened to its very project.

    On a network that is open to all, a project joins by a port of its own, so that it takes no gateway address there.
    """
    subnet = records.get(tx.conn, SUBNET, id)
    project = tx.caller.project_id
    if tx.caller.is_admin or subnet["project_id"] == project:
        return subnet
    network = records.get(tx.conn, NETWORK, subnet["network_id"])
    if network["project_id"] != project and not {"*", project} & {*network["shared_with"], *network["external_to"]}:
        raise records.missing(SUBNET, id)
    if project not in network["shared_with"]:
        raise refused(f"Cannot add interface to router because subnet {id} is not owned by project making the request")
    return subnet


def _demand_advertised_here(subnet: Record) -> None:
    if subnet["ip_version"] == 6 and subnet["ipv6_address_mode"] and not subnet["ipv6_ra_mode"]:
        raise refused(
            f"IPv6 subnet {subnet['id']} configured to receive RAs from an external router cannot be added to Neutron "
            "Router"
        )


def _add_subnet(tx: Transaction, router: Record, subnet: Record) -> Record:
    if not subnet["gateway_ip"]:
        raise refused("Subnet for router interface must have a gateway IP")
    _demand_advertised_here(subnet)
    router_port.demand_apart(tx, router["id"], [subnet])
    address = {"subnet_id": subnet["id"], "ip_address": subnet["gateway_ip"]}
    shared = _ipv6_port(tx, router["id"], subnet["network_id"]) if subnet["ip_version"] == 6 else None
    if shared is not None:
        return PORT.update(tx, shared, {"fixed_ips": [*shared["fixed_ips"], address]})
    return PORT.create(
        tx,
        PORT.with_defaults(
            {
                "project_id": router["project_id"],
                "network_id": subnet["network_id"],
                "fixed_ips": [address],
                "device_id": router["id"],
                "device_owner": OWNER,
            }
        ),
    )


def _ipv6_port(tx: Transaction, router_id: str, network_id: str) -> Record | None:
    """The interface on a network that holds its IPv6 prefixes: all of them share one port."""
    return next(
        (
            port
            for port in of(tx, router_id)
            if port["network_id"] == network_id and any(":" in item["ip_address"] for item in port["fixed_ips"])
        ),
        None,
    )


def _add_port(tx: Transaction, router: Record, id: str) -> Record:
    port = visible.port(tx, id)
    if port["device_id"]:
        raise conflict(
            "PortInUse",
            f"Unable to complete operation on port {id} for network {port['network_id']}. Port already has an "
            f"attached device {port['device_id']}.",
        )
    if not port["fixed_ips"]:
        raise refused("Router port must have at least one fixed IP")
    subnets = router_port.subnets_of(tx, [port])
    for subnet in subnets:
        _demand_advertised_here(subnet)
    if sum(":" not in item["ip_address"] for item in port["fixed_ips"]) > 1:
        raise refused("Cannot have multiple IPv4 subnets on router port")
    router_port.demand_apart(tx, router["id"], subnets)
    other = _ipv6_port(tx, router["id"], port["network_id"])
    if other is not None and any(subnet["ip_version"] == 6 for subnet in subnets):
        raise refused(
            f"Router already contains IPv6 port {other['id']} belonging to network id {port['network_id']}. Only one "
            "IPv6 port from the same network subnet can be connected to a router"
        )
    after = PORT.update(
        tx,
        port,
        {
            "device_id": router["id"],
            "device_owner": OWNER,
            "allowed_address_pairs": [],
            "port_security_enabled": False,
            "security_groups": [],
        },
    )
    dhcp_port.ensure(tx, port["network_id"])
    return after


# ---------------------------------------------------------------- removing


def remove(tx: Transaction, router: Record, body: dict[str, Any]) -> dict[str, Any]:
    """Take a subnet or a port from a router; refused while floating IPs or routes need it."""
    if not body:
        raise refused("Either subnet_id or port_id must be specified")
    if "port_id" in body:
        return _remove_port(tx, router, body["port_id"], body.get("subnet_id"))
    subnet_id = body["subnet_id"]
    subnet = records.get(tx.conn, SUBNET, subnet_id)
    port = next(
        (port for port in of(tx, router["id"]) if any(item["subnet_id"] == subnet_id for item in port["fixed_ips"])),
        None,
    )
    if port is None:
        raise not_found(
            "RouterInterfaceNotFoundForSubnet", f"Router {router['id']} has no interface on subnet {subnet_id}"
        )
    _demand_unused(tx, router, subnet)
    rest = [item for item in port["fixed_ips"] if item["subnet_id"] != subnet_id]
    if rest:
        PORT.update(tx, port, {"fixed_ips": rest})
    else:
        remove_port(tx, port)
    return _answer(router, port, [subnet_id])


def _remove_port(tx: Transaction, router: Record, port_id: str, subnet_id: str | None) -> dict[str, Any]:
    port = records.find(tx.conn, PORT, port_id)
    if port is None or port["device_id"] != router["id"] or port["device_owner"] not in ipam.ROUTER_INTERFACES:
        raise not_found(
            "RouterInterfaceNotFound", f"Router {router['id']} does not have an interface with id {port_id}"
        )
    ids = [item["subnet_id"] for item in port["fixed_ips"]]
    if subnet_id is not None and subnet_id not in ids:
        raise bad_request(
            f"Subnet on port {port_id} does not match the requested subnet {subnet_id}.", "SubnetMismatchForPort"
        )
    for subnet in router_port.subnets_of(tx, [port]):
        _demand_unused(tx, router, subnet)
    remove_port(tx, port)
    return _answer(router, port, ids)


def _demand_unused(tx: Transaction, router: Record, subnet: Record) -> None:
    prefix = ipaddress.ip_network(subnet["cidr"])
    where = f"Router interface for subnet {subnet['id']} on router {router['id']} cannot be deleted, as it is required"
    if _floating_ip_leads_to(tx, router["id"], subnet["id"]):
        raise conflict("RouterInterfaceInUseByFloatingIP", f"{where} by one or more floating IPs.")
    ndp_proxy.demand_subnet_unused(tx, router["id"], subnet["id"])
    for route in router["routes"]:
        if ipaddress.ip_address(route["nexthop"]) in prefix:
            raise conflict("RouterInterfaceInUseByRoute", f"{where} by one or more routes.")


def _floating_ip_leads_to(tx: Transaction, router_id: str, subnet_id: str) -> bool:
    """Whether a floating IP of a router leads to an address in a subnet, or one of its forwarded ports does."""
    floatingip, forwarding = named("floatingip").table.c, named("port_forwarding").table.c
    port = PORT.table.c
    here = (floatingip.router_id == router_id,)
    whole = sa.select(floatingip.fixed_ip_address, port.fixed_ips).where(*here, port.id == floatingip.port_id)
    parts = sa.select(forwarding.internal_ip_address, port.fixed_ips).where(
        *here, forwarding.floatingip_id == floatingip.id, port.id == forwarding.internal_port_id
    )
    return any(
        {"subnet_id": subnet_id, "ip_address": address} in fixed_ips
        for statement in (whole, parts)
        for address, fixed_ips in tx.execute(statement)
    )
