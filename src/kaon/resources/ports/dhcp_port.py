"""The port of a network's DHCP server: it exists while somebody in the network can ask it for an address."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from kaon.resources import ranges, records
from kaon.resources.declare import named
from kaon.resources.hosts import agent_placement
from kaon.resources.subnets import ipam
from kaon.resources.subnets.ipam import ROUTER_INTERFACES
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "network:dhcp"


def ensure(tx: Transaction, network_id: str) -> None:
    """Make, change or remove the DHCP port so that it has an address in each subnet that DHCP serves.

    A subnet whose addresses are all in use goes without until one is free: tenants may use every one of them.
    """
    port, subnet = named("port"), named("subnet")
    held = records.by(tx.conn, port, network_id=network_id, device_owner=OWNER)
    own = {ip["subnet_id"] for item in held for ip in item["fixed_ips"]}
    served = [
        item
        for item in records.by(tx.conn, subnet, network_id=network_id, enable_dhcp=True)
        if item["id"] in own or not ranges.is_empty(tx, ipam.pool(item["id"]))
    ]
    if not served or not _asked_for(tx, network_id):
        for item in held:
            port.delete(tx, item)
        return
    wanted = [{"subnet_id": item["id"]} for item in served]
    if held:
        if own != {item["id"] for item in served}:
            port.update(tx, held[0], {"fixed_ips": wanted})
        return
    network: Record = records.get(tx.conn, named("network"), network_id)
    port.create(
        tx,
        port.with_defaults(
            {
                "project_id": network["project_id"],
                "network_id": network_id,
                "device_owner": OWNER,
                "device_id": f"dhcp-{network_id}",
                "fixed_ips": wanted,
            }
        ),
    )


def is_waiting(tx: Transaction, fixed_ips: Iterable[ipam.FixedIp]) -> bool:
    """Whether DHCP may lack an address in a subnet of these, so that `ensure` is due once they are given back."""
    return any(ranges.is_empty(tx, ipam.pool(ip["subnet_id"])) for ip in fixed_ips)


def _asked_for(tx: Transaction, network_id: str) -> bool:
    """Whether an instance is attached to the network, a router has an interface in it, or an agent shall serve it."""
    port, attachment = named("port").table.c, named("attachment").table.c
    for statement in (
        sa.select(attachment.id).where(attachment.network_id == network_id),
        sa.select(port.id).where(port.network_id == network_id, port.device_owner.in_(ROUTER_INTERFACES)),
    ):
        if tx.execute(statement.limit(1)).first() is not None:
            return True
    return agent_placement.is_given(tx, network_id)
