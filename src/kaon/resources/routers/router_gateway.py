"""A router's gateways: its ports on external networks, and what may change of them while floating IPs need them.

The first gateway is the one that ``external_gateway_info`` tells of, as if there were no other.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources.access import visible
from kaon.resources.declare import named
from kaon.resources.errors import conflict
from kaon.resources.ports.port import PORT
from kaon.resources.ports.port import remove as remove_port
from kaon.resources.qos import addresses as qos_addresses
from kaon.resources.routers import ndp_proxy, router_port
from kaon.resources.routers.router_port import GATEWAY, refused
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def changed(tx: Transaction, router: Record, wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    """Make, move, change or remove a router's first gateway port; returns the new ``external_gateway_info``.

    Where the first of several goes, the next takes its place.
    """
    held = router["external_gateway_info"]
    gateways = ports(tx, router)
    first, others = (gateways[0] if gateways else None), gateways[1:]
    if not wanted:
        if first is not None:
            leave(tx, router, first)
        return told(others[0], held["enable_snat"]) if others else None
    network_id, addresses = wanted["network_id"], wanted.get("external_fixed_ips")
    if first is not None and first["network_id"] == network_id:
        port = changed_port(tx, first, addresses)
    else:
        port = enter(tx, router, network_id, addresses, first)
    return {**told(port, wanted.get("enable_snat", True)), **qos_addresses.of_gateway(tx, held, wanted)}


def told(port: Record, enable_snat: bool) -> dict[str, Any]:
    """What ``external_gateway_info`` tells of a gateway port."""
    return {
        "network_id": port["network_id"],
        "enable_snat": enable_snat,
        "external_fixed_ips": port["fixed_ips"],
    }


def ports(tx: Transaction, router: Record) -> list[Record]:
    """A router's gateway ports, the first one first."""
    places = {gateway["port_id"]: place for place, gateway in enumerate(router["gateways"] or ())}
    held = router_port.of(tx, router["id"], (GATEWAY,))
    return sorted(held, key=lambda port: (places.get(port["id"], len(places)), port["id"]))


def described(tx: Transaction, router: Record, info: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What a router's record says of all its gateway ports, beginning with the one that `info` tells of."""

    def is_first(port: Record) -> bool:
        return info is not None and told(port, info["enable_snat"]).items() <= info.items()

    held = sorted(ports(tx, router), key=is_first, reverse=True)
    return [
        {"port_id": port["id"], "network_id": port["network_id"], "external_fixed_ips": port["fixed_ips"]}
        for port in held
    ]


def changed_port(tx: Transaction, port: Record, addresses: list[dict[str, str]] | None) -> Record:
    """Give a gateway port other addresses, where some are asked for."""
    if not addresses:
        return port
    _demand_no_gateway_address(tx, port["network_id"], addresses)
    return PORT.update(tx, port, {"fixed_ips": addresses})


def enter(
    tx: Transaction,
    router: Record,
    network_id: str,
    addresses: list[dict[str, str]] | None,
    instead_of: Record | None = None,
) -> Record:
    """Make a gateway port on an external network, `instead_of` one that goes once nothing speaks against it."""
    network = _external(tx, network_id)
    leaving = instead_of["id"] if instead_of else ""
    if not any(port["network_id"] == network_id and port["id"] != leaving for port in ports(tx, router)):
        router_port.demand_apart(tx, router["id"], router_port.on_network(tx, network["id"]), leaving)
    _demand_no_gateway_address(tx, network["id"], addresses or [])
    if instead_of is not None:
        leave(tx, router, instead_of)
    values: dict[str, Any] = {
        # Nobody's port, so that a project sees only what it made; the external network's owner sees it.
        "project_id": "",
        "network_id": network["id"],
        "device_id": router["id"],
        "device_owner": GATEWAY,
    }
    if addresses:
        values["fixed_ips"] = addresses
    return PORT.create(tx, PORT.with_defaults(values))


def _external(tx: Transaction, network_id: str) -> Record:
    """An external network that the caller may use; 404 for what it may not see, 400 for what is not external."""
    network = visible.network(tx, network_id)
    if not visible.as_external(tx, network):
        raise refused(f"Network {network_id} is not an external network")
    return network


def _demand_no_gateway_address(tx: Transaction, network_id: str, addresses: list[dict[str, str]]) -> None:
    taken = {subnet["gateway_ip"] for subnet in router_port.on_network(tx, network_id)}
    for item in addresses:
        if item.get("ip_address") in taken:
            raise refused(f"External IP {item['ip_address']} is the same as the gateway IP")


def leave(tx: Transaction, router: Record, port: Record) -> None:
    """Remove a gateway port; refused while a floating IP is reached through it and through no other."""
    network_id = port["network_id"]
    alone = not any(other["network_id"] == network_id and other["id"] != port["id"] for other in ports(tx, router))
    floatingip = named("floatingip").table
    if (
        alone
        and tx.execute(
            sa.select(floatingip.c.id).where(
                floatingip.c.router_id == router["id"], floatingip.c.floating_network_id == network_id
            )
        ).first()
    ):
        raise conflict(
            "RouterExternalGatewayInUseByFloatingIp",
            f"Gateway cannot be updated for router {router['id']}, since a gateway to external network {network_id} "
            "is required by one or more floating IPs.",
        )
    if alone:
        ndp_proxy.demand_no_proxies(tx, router["id"])
    remove_port(tx, port)
