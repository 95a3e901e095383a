"""The port of a network's DHCP server: it exists while somebody in the network can ask it for an address."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.ipam import ROUTER_INTERFACES
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OWNER = "network:dhcp"


def ensure(tx: Transaction, network_id: str) -> None:
    """Make, change or remove the DHCP port so that it has an address in each subnet that DHCP serves."""
    port, subnet = named("port"), named("subnet")
    held = records.by(tx.conn, port, network_id=network_id, device_owner=OWNER)
    served = records.by(tx.conn, subnet, network_id=network_id, enable_dhcp=True)
    if not served or not _asked_for(tx, network_id):
        for item in held:
            port.delete(tx, item)
        return
    wanted = [{"subnet_id": item["id"]} for item in served]
    if held:
        if {ip["subnet_id"] for ip in held[0]["fixed_ips"]} != {item["id"] for item in served}:
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


def _asked_for(tx: Transaction, network_id: str) -> bool:
    """Whether an instance is attached to the network or a router has an interface in it."""
    port, attachment = named("port").table.c, named("attachment").table.c
    for statement in (
        sa.select(attachment.id).where(attachment.network_id == network_id),
        sa.select(port.id).where(port.network_id == network_id, port.device_owner.in_(ROUTER_INTERFACES)),
    ):
        if tx.execute(statement.limit(1)).first() is not None:
            return True
    return False
