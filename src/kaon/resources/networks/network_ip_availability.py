"""How many addresses of each network there are, and how many are in use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from kaon.resources import ranges, records
from kaon.resources.declare import Ask, Call, Extension
from kaon.resources.errors import bad_request
from kaon.resources.networks.network import NETWORK
from kaon.resources.roles import ADMIN_OR_SERVICE
from kaon.resources.subnets import addressing, ipam
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

_COLUMNS = {"network_id": "id", "network_name": "name", "project_id": "project_id", "tenant_id": "project_id"}
"""Filters, and the network's attributes behind them."""
_IP_VERSION = "ip_version"


def _total(subnet: Record) -> int:
    """How many addresses a subnet's pools hold; without pools, how many its prefix does."""
    spans = ipam.pool_ranges(subnet) or [addressing.bounds(addressing.network(subnet["cidr"]))]
    return sum(last - first + 1 for first, last in spans)


def _number(value: int) -> int | msgspec.Raw:
    """IPv6 networks may hold more addresses than 64 bits count."""
    return value if value < 2**63 else msgspec.Raw(str(value).encode())


class _Use(NamedTuple):
    """Of a subnet: how many of its addresses are in use, and how many in its allocation pools are free."""

    used: int = 0
    free: int = 0


_DETAILS = ("total_ips_in_subnet", "total_ips_in_allocation_pool", "used_ips_in_subnet", "used_ips_in_allocation_pool")


def _details(subnet: Record, use: _Use) -> tuple[int, ...]:
    """How many addresses the prefix and its pools hold, and how many of each are in use."""
    first, last = addressing.bounds(addressing.network(subnet["cidr"]))
    ends = 2 if subnet["ip_version"] == 4 else 0
    pooled = sum(last - first + 1 for first, last in ipam.pool_ranges(subnet))
    return max(last - first + 1 - ends, 0), pooled, use.used, pooled - use.free


def _shown(details: Iterable[int]) -> dict[str, Any]:
    return {name: _number(value) for name, value in zip(_DETAILS, details, strict=True)}


def _of_network(network: Record, subnets: Sequence[Record], uses: Mapping[str, _Use]) -> dict[str, Any]:
    details = [_details(subnet, uses.get(subnet["id"], _Use())) for subnet in subnets]
    used = {id: use.used for id, use in uses.items()}
    return {
        "network_id": network["id"],
        "network_name": network["name"],
        "project_id": network["project_id"],
        "tenant_id": network["project_id"],
        "total_ips": _number(sum(_total(subnet) for subnet in subnets)),
        "used_ips": sum(used.get(subnet["id"], 0) for subnet in subnets),
        "subnet_ip_availability": [
            {
                "subnet_id": subnet["id"],
                "subnet_name": subnet["name"],
                "cidr": subnet["cidr"],
                "ip_version": subnet["ip_version"],
                "total_ips": _number(_total(subnet)),
                "used_ips": used.get(subnet["id"], 0),
                "ip_availability_details": _shown(figures),
            }
            for subnet, figures in zip(subnets, details, strict=True)
        ],
        "ip_availability_details": _shown(map(sum, zip([0] * len(_DETAILS), *details, strict=True))),
    }


def _availabilities(tx: Transaction, networks: Sequence[Record], versions: set[str]) -> list[dict[str, Any]]:
    column, held = SUBNET.table.c, ipam.ALLOCATIONS.c
    ids = [network["id"] for network in networks]
    by_network: dict[str, list[Record]] = {id: [] for id in ids}
    for subnet in records.select(tx.conn, SUBNET, column.network_id.in_(ids)):
        if not versions or str(subnet["ip_version"]) in versions:
            by_network[subnet["network_id"]].append(subnet)
    counted = sa.select(held.subnet_id, sa.func.count()).where(held.network_id.in_(ids)).group_by(held.subnet_id)
    used: dict[str, int] = dict(tuple(row) for row in tx.execute(counted))
    shown = [subnet["id"] for subnets in by_network.values() for subnet in subnets]
    free = ranges.sizes(tx.conn, [ipam.pool(id) for id in shown])
    uses = {id: _Use(used.get(id, 0), free.get(ipam.pool(id), 0)) for id in shown}
    return [
        _of_network(network, by_network[network["id"]], uses)
        for network in networks
        if by_network[network["id"]] or not versions
    ]


def _chosen(availability: dict[str, Any], ask: Ask) -> dict[str, Any]:
    fields = {part for name, value in ask.pairs if name == "fields" for part in value.split(",") if part}
    return {name: value for name, value in availability.items() if not fields or name in fields}


def _index(tx: Transaction, ask: Ask) -> dict[str, Any]:
    wanted: dict[str, set[str]] = {}
    for name, value in ask.pairs:
        if name in _COLUMNS or name == _IP_VERSION:
            wanted.setdefault(name, set()).add(value)
        elif name != "fields":
            raise bad_request(f"{[name]} is invalid attribute for filtering")
    versions = wanted.pop(_IP_VERSION, set())
    where = [NETWORK.table.c[_COLUMNS[name]].in_(values) for name, values in wanted.items()]
    found = _availabilities(tx, records.select(tx.conn, NETWORK, *where), versions)
    return {"network_ip_availabilities": [_chosen(item, ask) for item in found]}


def _show(tx: Transaction, ask: Ask) -> dict[str, Any]:
    network = records.get(tx.conn, NETWORK, ask.params["network_id"])
    (found,) = _availabilities(tx, [network], set())
    return {"network_ip_availability": _chosen(found, ask)}


_RULE = "get_network_ip_availability"

CALLS = (
    Call("GET", "network-ip-availabilities", _index, _RULE, ADMIN_OR_SERVICE),
    Call("GET", "network-ip-availabilities/{network_id}", _show, _RULE, ADMIN_OR_SERVICE),
)

EXTENSIONS = (
    Extension(
        "network-ip-availability-details",
        "Network IP Availability Details Extension",
        "Add ip_availability_details attribute to network-ip-availabilities resource.",
        "2025-10-31T00:00:00-00:00",
    ),
    Extension(
        "network-ip-availability",
        "Network IP Availability",
        "Provides IP availability data for each network and subnet.",
        "2015-09-24T00:00:00-00:00",
    ),
)
