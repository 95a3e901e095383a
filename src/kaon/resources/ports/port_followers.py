"""What leads to a port's addresses, kept right when the addresses change and when the port goes."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.errors import bad_request, conflict
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

GATEWAY = "network:router_gateway"


def _demand_not_local(tx: Transaction, port: Record) -> None:
    """Raise 409 when a local IP has its address from a port that is to be removed."""
    if records.by(tx.conn, named("local_ip"), local_port_id=port["id"]):
        raise conflict(
            "ServicePortInUse",
            f"Port {port['id']} cannot be deleted: still referenced by Local IPs.",
        )


def demand_kept(tx: Transaction, port: Record, fixed_ips: Sequence[dict[str, str]]) -> None:
    """Raise 400 when a port would lose an address to which a floating IP leads, or that a local IP has from it."""
    floatingip, local_ip = named("floatingip").table, named("local_ip")
    kept = {item["ip_address"] for item in fixed_ips}
    led = tx.execute(sa.select(floatingip.c.fixed_ip_address).where(floatingip.c.port_id == port["id"])).scalars()
    if not kept.issuperset(led):
        raise bad_request(
            f"Bad port request: Cannot update the fixed_ips of the port {port['id']}, because its original fixed_ip "
            "has been associated to a floating ip.",
            "BadRequest",
        )
    if not kept.issuperset(
        item["local_ip_address"] for item in records.by(tx.conn, local_ip, local_port_id=port["id"])
    ):
        raise bad_request(
            f"Bad port request: Cannot update the fixed_ips of the port {port['id']}, because a local IP has its "
            "address from it.",
            "BadRequest",
        )


def give_gateways(tx: Transaction, subnet: Record) -> None:
    """Give routers' gateways an address in a new subnet, where they have none of its IP version yet."""
    port = named("port")
    for item in records.by(tx.conn, port, network_id=subnet["network_id"], device_owner=GATEWAY):
        versions = {6 if ":" in held["ip_address"] else 4 for held in item["fixed_ips"]}
        if subnet["ip_version"] not in versions:
            port.update(tx, item, {"fixed_ips": [*item["fixed_ips"], {"subnet_id": subnet["id"]}]})


def follow(tx: Transaction, port: Record) -> Record:
    """Let what leads to addresses that a port no longer has go; returns the port, of which that counts a revision."""
    _follow_gateway(tx, port)
    kept = {item["ip_address"] for item in port["fixed_ips"]}
    return _let_go(tx, port, kept)


def leave(tx: Transaction, port: Record) -> Record:
    """Let all that leads to a port go, which is about to be removed; returns the port as it then is.

    Raises 409 while a local IP has its address from it.
    """
    _demand_not_local(tx, port)
    floatingip = named("floatingip")
    for item in records.by(tx.conn, floatingip, port_id=port["id"]):
        floatingip.update(tx, item, {"port_id": None})
    return _let_go(tx, port, set())


_LEADING = (
    ("port_forwarding", "internal_port_id", "internal_ip_address"),
    ("ndp_proxy", "port_id", "ip_address"),
    ("local_ip_association", "fixed_port_id", "fixed_ip"),
)
"""What leads to one address of a port: (resource, its attribute that holds the port's id, that of the address)."""


def _let_go(tx: Transaction, port: Record, kept: Collection[str]) -> Record:
    gone = False
    for kind, port_id, address in _LEADING:
        resource = named(kind)
        for item in records.by(tx.conn, resource, **{port_id: port["id"]}):
            if item[address] not in kept:
                resource.delete(tx, item)
                gone = True
    return records.get(tx.conn, named("port"), port["id"]) if gone else port


def _follow_gateway(tx: Transaction, port: Record) -> None:
    """A router repeats the addresses of its gateway ports, its ``external_gateway_info`` those of the first."""
    if port["device_owner"] != GATEWAY:
        return
    router = records.find(tx.conn, named("router"), port["device_id"])
    if router is not None and router["external_gateway_info"]:
        gateways = [
            {**item, "external_fixed_ips": port["fixed_ips"]} if item["port_id"] == port["id"] else item
            for item in router["gateways"] or ()
        ]
        info = dict(router["external_gateway_info"])
        if not gateways or gateways[0]["port_id"] == port["id"]:
            info["external_fixed_ips"] = port["fixed_ips"]
        changes = {"external_gateway_info": info, "gateways": gateways or router["gateways"]}
        records.update(tx, named("router"), router, changes)
