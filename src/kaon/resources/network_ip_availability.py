"""How many addresses of each network there are, and how many are in use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from kaon.resources import addressing, ipam, records
from kaon.resources.declare import Ask, Call, Extension
from kaon.resources.errors import bad_request
from kaon.resources.network import NETWORK
from kaon.resources.roles import ADMIN_OR_SERVICE
from kaon.resources.subnet import SUBNET
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


def _of_network(network: Record, subnets: Sequence[Record], used: Mapping[str, int]) -> dict[str, Any]:
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
            }
            for subnet in subnets
        ],
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
    return [
        _of_network(network, by_network[network["id"]], used)
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
        "network-ip-availability",
        "Network IP Availability",
        "Provides IP availability data for each network and subnet.",
        "2015-09-24T00:00:00-00:00",
    ),
)
