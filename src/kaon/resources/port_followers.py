"""What routers and floating IPs say of a port's addresses, kept right when the addresses change."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.errors import bad_request
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

GATEWAY = "network:router_gateway"


def demand_kept(tx: Transaction, port: Record, fixed_ips: Sequence[dict[str, str]]) -> None:
    """Raise 400 when a port would lose an address to which a floating IP leads."""
    floatingip = named("floatingip").table
    kept = {item["ip_address"] for item in fixed_ips}
    led = tx.execute(sa.select(floatingip.c.fixed_ip_address).where(floatingip.c.port_id == port["id"])).scalars()
    if not kept.issuperset(led):
        raise bad_request(
            f"Bad port request: Cannot update the fixed_ips of the port {port['id']}, because its original fixed_ip "
            "has been associated to a floating ip.",
            "BadRequest",
        )


def give_gateways(tx: Transaction, subnet: Record) -> None:
    """Give routers' gateways an address in a new subnet, where they have none of its IP version yet."""
    port = named("port")
    for item in records.by(tx.conn, port, network_id=subnet["network_id"], device_owner=GATEWAY):
        versions = {6 if ":" in held["ip_address"] else 4 for held in item["fixed_ips"]}
        if subnet["ip_version"] not in versions:
            port.update(tx, item, {"fixed_ips": [*item["fixed_ips"], {"subnet_id": subnet["id"]}]})


def follow(tx: Transaction, port: Record) -> None:
    """A router's ``external_gateways`` repeat the addresses of its gateway ports, its info those of the first."""
    if port["device_owner"] != GATEWAY:
        return
    router = records.find(tx.conn, named("router"), port["device_id"])
    if router is not None and router["external_gateway_info"]:
        gateways = [
            {**item, "external_fixed_ips": port["fixed_ips"]} if item["port_id"] == port["id"] else item
            for item in router["external_gateways"]
        ]
        info = {**router["external_gateway_info"], "external_fixed_ips": gateways[0]["external_fixed_ips"]}
        records.update(tx, named("router"), router, {"external_gateway_info": info, "external_gateways": gateways})
