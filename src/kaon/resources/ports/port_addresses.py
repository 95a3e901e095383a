"""The MAC and IP addresses of a port: what a new one gets, and what changes when a client asks for others."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.errors import bad_request, conflict
from kaon.resources.segments import routed
from kaon.resources.subnets import ipam
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


@cache
def _holder_of_mac() -> sa.Select[tuple[str]]:
    table = named("port").table
    return sa.select(table.c.id).where(
        table.c.network_id == sa.bindparam("_network"), table.c.mac_address == sa.bindparam("_mac")
    )


IMMEDIATE, DEFERRED, NO_ALLOCATION = "immediate", "deferred", "none"
"""How a port comes to its addresses, as ``ip_allocation`` tells it."""


def _mac_in_use(tx: Transaction, network_id: str, mac: str) -> bool:
    return tx.execute(_holder_of_mac(), {"_network": network_id, "_mac": mac}).first() is not None


def mac_address(tx: Transaction, network_id: str, wanted: str | None) -> str:
    """The wanted address if it is free in the network, or a random one of Kaon's own."""
    if wanted is not None:
        if _mac_in_use(tx, network_id, wanted):
            raise conflict(
                "MacAddressInUse",
                f"Unable to complete operation for network {network_id}. The mac address {wanted} is in use.",
            )
        return wanted
    while True:
        mac = "fa:16:3e:" + secrets.token_bytes(3).hex(":")
        if not _mac_in_use(tx, network_id, mac):
            return mac


def subnets_of(tx: Transaction, network_id: str) -> list[Record]:
    """All subnets of a network."""
    return records.by(tx.conn, SUBNET, network_id=network_id)


class Addresses(NamedTuple):
    """What a port got, and how the API calls that: at once, none at all, or only when its host is known."""

    fixed_ips: list[ipam.FixedIp]
    ip_allocation: str


def first(
    tx: Transaction, id: str, network_id: str, owner: str, mac: str, wanted: list[ipam.FixedIp] | None, host: str
) -> Addresses:
    """Allocate what a new port asks for, or one address of each kind, and those that hosts form themselves."""
    if wanted == []:
        return Addresses([], NO_ALLOCATION)
    every = ipam.eligible(subnets_of(tx, network_id), network_id, owner)
    subnets, deferred = routed.choose(tx, every, owner, host, wanted or ())
    if deferred:
        return Addresses([], DEFERRED)
    chosen = ipam.by_default(subnets) if wanted is None else ipam.requested(wanted, subnets, network_id, mac, owner)
    held = {(wish.subnets[0]["id"], wish.address) for wish in chosen}
    added = [wish for wish in ipam.automatic(subnets, mac, owner) if (wish.subnets[0]["id"], wish.address) not in held]
    return Addresses(ipam.allocate(tx, id, [*chosen, *added]), IMMEDIATE)


def on_host(tx: Transaction, port: Record, host: str, mac: str) -> dict[str, Any]:
    """What changes of a port's addresses when it is bound to a host: deferred ones are given to it now.

    Raises 409 for addresses that do not work there.
    """
    if not host or host == port["binding:host_id"]:
        return {}
    subnets = subnets_of(tx, port["network_id"])
    if port["ip_allocation"] == DEFERRED and not port["fixed_ips"]:
        return first(tx, port["id"], port["network_id"], port["device_owner"], mac, None, host)._asdict()
    routed.demand_usable(tx, port, subnets, host)
    return {}


def changed(
    tx: Transaction, port: Record, wanted: list[ipam.FixedIp] | None, mac: str, host: str
) -> list[ipam.FixedIp]:
    """Release and allocate what differs; an address that stays is never given up in between."""
    network_id, owner = port["network_id"], port["device_owner"]
    every = subnets_of(tx, network_id)
    by_id = {item["id"]: item for item in every}
    held = port["fixed_ips"]
    asked = held if wanted is None else wanted
    subnets = routed.choose(tx, ipam.eligible(every, network_id, owner), owner, host, asked).subnets
    keep, add = ipam.difference(held, asked, by_id, owner, mac != port["mac_address"])
    _demand_not_a_routers(tx, port, [item for item in held if item not in keep] + add, by_id)
    ipam.release(tx, [item for item in held if item not in keep], by_id)
    wishes = ipam.requested(add, subnets, network_id, mac, owner)
    handled = [item["subnet_id"] for item in keep] + [wish.subnets[0]["id"] for wish in wishes]
    wishes += ipam.automatic(subnets, mac, owner, handled)
    return [*keep, *ipam.allocate(tx, port["id"], wishes)]


def _demand_not_a_routers(
    tx: Transaction, port: Record, changed: list[ipam.FixedIp], subnets: Mapping[str, Record]
) -> None:
    """A router's IPv4 addresses change by its own API only."""
    if port["device_owner"] not in ipam.ROUTER_INTERFACES:
        return
    if records.find(tx.conn, named("router"), port["device_id"]) is None:
        return
    for item in changed:
        subnet = subnets.get(item.get("subnet_id", ""))
        if "." in item.get("ip_address", "") or (subnet is not None and subnet["ip_version"] == 4):
            raise bad_request(f"Bad ports request: IP updates for port {port['id']} are not allowed.", "BadRequest")
