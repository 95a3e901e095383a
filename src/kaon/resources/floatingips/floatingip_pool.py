"""Floating IP pools: the IPv4 subnets of external networks that a project may take floating IPs from."""

from __future__ import annotations

from typing import Any

from kaon.caller import Caller
from kaon.resources import records
from kaon.resources.declare import Ask, Call, Extension
from kaon.resources.errors import bad_request
from kaon.resources.networks.network import NETWORK
from kaon.resources.networks.network_access import EXTERNAL, accessible
from kaon.resources.roles import ADMIN_OR_READER
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def _pool(subnet: Record, caller: Caller) -> dict[str, Any]:
    return {
        "subnet_id": subnet["id"],
        "subnet_name": subnet["name"],
        "network_id": subnet["network_id"],
        "cidr": subnet["cidr"],
        "project_id": caller.project_id,
        "tenant_id": caller.project_id,
    }


def _index(tx: Transaction, ask: Ask) -> dict[str, Any]:
    column, caller = SUBNET.table.c, tx.caller
    where = [column.ip_version == 4, column["router:external"]]
    if not caller.is_admin:
        network = NETWORK.table.c
        own = NETWORK.table.select().with_only_columns(network.id).where(network.project_id == caller.project_id)
        where.append(column.network_id.in_(accessible(caller, EXTERNAL)) | column.network_id.in_(own))
    pools = [_pool(subnet, caller) for subnet in records.select(tx.conn, SUBNET, *where)]
    fields: set[str] = set()
    for name, value in ask.pairs:
        if name == "fields":
            fields.update(part for part in value.split(",") if part)
        elif pools and name not in pools[0]:
            raise bad_request(f"{[name]} is invalid attribute for filtering")
        else:
            pools = [pool for pool in pools if pool[name] == value]
    return {
        "floatingip_pools": [
            {name: value for name, value in pool.items() if not fields or name in fields} for pool in pools
        ]
    }


CALLS = (Call("GET", "floatingip-pools", _index, "get_floatingip_pool", ADMIN_OR_READER),)

EXTENSIONS = (
    Extension(
        "floatingip-pools",
        "Floating IP Pools Extension",
        "Provides a floating IP pools API.",
        "2018-03-21T10:00:00-00:00",
    ),
)
