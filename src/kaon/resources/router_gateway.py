"""A router's gateway: its port on an external network, and what may change of it while floating IPs need it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import ndp_proxy, router_port, visible
from kaon.resources.declare import named
from kaon.resources.errors import conflict
from kaon.resources.port import PORT
from kaon.resources.port import remove as remove_port
from kaon.resources.qos import addresses as qos_addresses
from kaon.resources.router_port import GATEWAY, refused
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def changed(tx: Transaction, router: Record, wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    """Make, move, change or remove a router's gateway port; returns the new ``external_gateway_info``."""
    held = router["external_gateway_info"]
    if not wanted:
        if held:
            _leave(tx, router, held["network_id"])
        return None
    network_id, addresses = wanted["network_id"], wanted.get("external_fixed_ips")
    if held and held["network_id"] == network_id:
        port = router_port.of(tx, router["id"], (GATEWAY,))[0]
        if addresses:
            _demand_no_gateway_address(tx, network_id, addresses)
            port = PORT.update(tx, port, {"fixed_ips": addresses})
    else:
        port = _enter(tx, router, network_id, addresses)
    return {
        "network_id": network_id,
        "enable_snat": wanted.get("enable_snat", True),
        "external_fixed_ips": port["fixed_ips"],
        **qos_addresses.of_gateway(tx, held, wanted),
    }


def _enter(tx: Transaction, router: Record, network_id: str, addresses: list[dict[str, str]] | None) -> Record:
    network = _external(tx, network_id)
    held = router["external_gateway_info"]
    router_port.demand_apart(
        tx, router["id"], router_port.on_network(tx, network["id"]), held["network_id"] if held else ""
    )
    _demand_no_gateway_address(tx, network["id"], addresses or [])
    if held:
        _leave(tx, router, held["network_id"])
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


def _leave(tx: Transaction, router: Record, network_id: str) -> None:
    """Remove the gateway port; refused while a floating IP is reached through it."""
    floatingip = named("floatingip").table
    if tx.execute(
        sa.select(floatingip.c.id).where(
            floatingip.c.router_id == router["id"], floatingip.c.floating_network_id == network_id
        )
    ).first():
        raise conflict(
            "RouterExternalGatewayInUseByFloatingIp",
            f"Gateway cannot be updated for router {router['id']}, since a gateway to external network {network_id} "
            "is required by one or more floating IPs.",
        )
    ndp_proxy.demand_no_proxies(tx, router["id"])
    for port in router_port.of(tx, router["id"], (GATEWAY,)):
        remove_port(tx, port)
