"""Deleting a network with all that is on it: ``DELETE /v2.0/networks/{id}?cascade=true``.

It is one transaction: where something must stay, everything does, and the error names it.
"""

from __future__ import annotations

from collections.abc import Sequence

from kaon.resources import records
from kaon.resources.declare import Extension, named
from kaon.resources.ports.port_followers import GATEWAY
from kaon.resources.subnets.ipam import ROUTER_INTERFACES
from kaon.resources.trunk import details as trunk_details
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def delete(tx: Transaction, held: Record) -> None:
    """Remove a network's ports with their trunks and sub-ports, take it from its routers, and remove it."""
    network, port, router = named("network"), named("port"), named("router")
    ports = records.by(tx.conn, port, network_id=held["id"])
    _remove_trunks(tx, [item["id"] for item in ports])
    for item in ports:
        if not item["device_owner"].startswith("network:"):
            port.delete(tx, records.get(tx.conn, port, item["id"]))
    for item in ports:
        joined = records.find(tx.conn, router, item["device_id"])
        if joined is not None and item["device_owner"] in ROUTER_INTERFACES:
            router.action("remove_router_interface").run(tx, joined, {"port_id": item["id"]})
        elif joined is not None and item["device_owner"] == GATEWAY:
            router.update(tx, joined, {"external_gateway_info": None})
    network.delete(tx, records.get(tx.conn, network, held["id"]))


def _remove_trunks(tx: Transaction, port_ids: Sequence[str]) -> None:
    """Remove the trunks whose parents are among these ports, with their sub-ports, and take these from other trunks."""
    port, trunk = named("port"), named("trunk")
    for id in port_ids:
        for item in records.by(tx.conn, trunk, port_id=id):
            trunk_details.clear(tx, item)
            records.delete(tx, trunk, item)
            for sub_port in item["sub_ports"]:
                if sub_port["port_id"] not in port_ids:
                    port.delete(tx, records.get(tx.conn, port, sub_port["port_id"]))
    for id in port_ids:
        trunk_id = records.get(tx.conn, port, id)["subport_of"]
        if trunk_id:
            item = records.get(tx.conn, trunk, trunk_id)
            trunk.action("remove_subports").run(tx, item, {"sub_ports": [{"port_id": id}]})


EXTENSIONS = (
    Extension(
        "network-cascade-delete",
        "Network Cascade Deletion Extension",
        "Allows for cascade deletion of networks and all associated ports.",
        "2022-05-25T10:00:00-00:00",
    ),
)
