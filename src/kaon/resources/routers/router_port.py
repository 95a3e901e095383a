"""The ports by which a router reaches networks, and the subnets behind them; what all rules of routers look at."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

from kaon.resources import records
from kaon.resources.errors import ApiError, bad_request
from kaon.resources.ports.port import PORT
from kaon.resources.subnets.ipam import ROUTER_INTERFACES
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

GATEWAY = "network:router_gateway"


def refused(message: str) -> ApiError:
    """400 as Neutron answers it for requests on routers."""
    return bad_request(f"Bad router request: {message}.", "BadRequest")


def of(tx: Transaction, router_id: str, owners: Iterable[str] = (*ROUTER_INTERFACES, GATEWAY)) -> list[Record]:
    """A router's ports: interfaces and gateway unless said otherwise."""
    column = PORT.table.c
    return records.select(tx.conn, PORT, column.device_id == router_id, column.device_owner.in_(list(owners)))


def subnets_of(tx: Transaction, ports: Iterable[Record]) -> list[Record]:
    """The subnets in which these ports have addresses."""
    ids = {item["subnet_id"] for port in ports for item in port["fixed_ips"]}
    return records.select(tx.conn, SUBNET, SUBNET.table.c.id.in_(sorted(ids))) if ids else []


def on_network(tx: Transaction, network_id: str) -> list[Record]:
    """All subnets of a network."""
    return records.select(tx.conn, SUBNET, SUBNET.table.c.network_id == network_id)


def demand_apart(tx: Transaction, router_id: str, added: list[Record], leaving: str = "") -> None:
    """Raise 400 when a router that gets these subnets would have one twice, or two that overlap.

    The whole external network counts, because a gateway's routes lead to all of its subnets. `leaving` is the id of a
    gateway port that is about to go.
    """
    ports = [port for port in of(tx, router_id) if port["id"] != leaving]
    held = {subnet["id"]: subnet for subnet in subnets_of(tx, ports)}
    for port in ports:
        if port["device_owner"] == GATEWAY:
            held.update({subnet["id"]: subnet for subnet in on_network(tx, port["network_id"])})
    for subnet in added:
        if subnet["id"] in held:
            raise refused(f"Router already has a port on subnet {subnet['id']}")
    for other in held.values():
        for subnet in added:
            if overlap(other, subnet):
                raise refused(
                    f"Cidr {subnet['cidr']} of subnet {subnet['id']} overlaps with cidr {other['cidr']} of subnet "
                    f"{other['id']}"
                )


def overlap(one: Record, other: Record) -> bool:
    """Whether two subnets share an address."""
    return one["ip_version"] == other["ip_version"] and _network(one["cidr"]).overlaps(_network(other["cidr"]))


@lru_cache(maxsize=1 << 12)
def _network(cidr: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """A subnet's prefix; parsed once, since a router's new interface is compared with all of its others."""
    return ipaddress.ip_network(cidr)
