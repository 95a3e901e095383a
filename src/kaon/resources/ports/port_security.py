"""Who filters a port: its security groups, whether it is filtered at all, and its allowed address pairs."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.access.sharing import is_shared
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.ports.port_types import MAX_ADDRESS_PAIRS
from kaon.resources.security.security_group import SECURITY_GROUP, default_group, default_id
from kaon.store.journal import Record
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

PORT_GROUPS = sa.Table(
    "port_security_groups",
    metadata,
    sa.Column("port_id", sa.String(36), primary_key=True),
    sa.Column("security_group_id", sa.String(36), primary_key=True, index=True),
)
"""Repeats ``security_groups`` of ports, so that the ports of a group are found without reading them all."""

_JOIN = sa.insert(PORT_GROUPS)
_LEAVE = sa.delete(PORT_GROUPS).where(PORT_GROUPS.c.port_id == sa.bindparam("_port"))


def join(tx: Transaction, port_id: str, groups: Sequence[str]) -> None:
    """Note the groups of a new port."""
    for id in groups:
        tx.execute(_JOIN, {"port_id": port_id, "security_group_id": id})


def leave(tx: Transaction, port_id: str) -> None:
    """Forget the groups of a port."""
    tx.execute(_LEAVE, {"_port": port_id})


def _trusted(owner: str) -> bool:
    """Ports of the network itself (routers, DHCP) are never filtered."""
    return owner.startswith("network:")


def for_creation(tx: Transaction, body: dict[str, Any], network: Record) -> dict[str, Any]:
    """``port_security_enabled``, ``security_groups`` of a new port, with address pairs checked against them."""
    trusted = _trusted(body["device_owner"])
    enabled = not trusted and body.get("port_security_enabled", network["port_security_enabled"])
    demand_pairs(body["allowed_address_pairs"])
    if body["allowed_address_pairs"] and not enabled:
        raise _pairs_need_security()
    groups = body.get("security_groups")
    if groups and not enabled:
        raise _groups_need_security()
    if groups is None:
        project = body["project_id"]
        groups = [default_id(tx.conn, project) or default_group(tx, project)["id"]] if enabled else []
    else:
        _demand_groups(tx, groups)
    return {"port_security_enabled": enabled, "security_groups": groups}


def for_update(tx: Transaction, port: Record, body: dict[str, Any]) -> dict[str, Any]:
    """What an update changes in these attributes, checked."""
    after = {**port, **body}
    enabled, pairs, groups = (
        after[name] for name in ("port_security_enabled", "allowed_address_pairs", "security_groups")
    )
    if "allowed_address_pairs" in body:
        demand_pairs(pairs)
    if pairs and not enabled:
        raise _pairs_need_security()
    if groups and not enabled:
        raise _groups_need_security() if "security_groups" in body else _groups_remain()
    if "security_groups" in body:
        _demand_groups(tx, groups or [])
    return {"security_groups": groups or []}


def _demand_groups(tx: Transaction, ids: Sequence[str]) -> None:
    kinds = set()
    for id in ids:
        group = records.get(tx.conn, SECURITY_GROUP, id)
        caller = tx.caller
        if not caller.is_admin and group["project_id"] != caller.project_id and not is_shared(group, caller):
            raise records.missing(SECURITY_GROUP, id)
        kinds.add(group["stateful"])
    if len(kinds) > 1:
        raise conflict(
            "SecurityGroupConflict",
            "Error Cannot apply both stateful and stateless security groups on the same port at the same time while "
            "attempting the operation.",
        )


def demand_pairs(pairs: Sequence[dict[str, str]]) -> None:
    """Raise 400 for pairs that no port can have."""
    if len(pairs) > MAX_ADDRESS_PAIRS:
        raise bad_request(
            f"The number of allowed address pair exceeds the maximum {MAX_ADDRESS_PAIRS}.",
            "AllowedAddressPairExhausted",
        )
    seen: set[tuple[str | None, str]] = set()
    for pair in pairs:
        if "ip_address" not in pair:
            raise bad_request("AllowedAddressPair must contain ip_address", "AllowedAddressPairsMissingIP")
        key = pair.get("mac_address"), pair["ip_address"]
        if key in seen:
            raise bad_request(
                f"Request contains duplicate address pair: mac_address {key[0]} ip_address {key[1]}.",
                "DuplicateAddressPairInRequest",
            )
        seen.add(key)
        if ipaddress.ip_network(pair["ip_address"]).is_multicast:
            raise bad_request(f"'{pair['ip_address']}' cannot be a multicast IP address")


def _pairs_need_security() -> ApiError:
    return conflict(
        "AddressPairAndPortSecurityRequired",
        "Port Security must be enabled in order to have allowed address pairs on a port.",
    )


def _groups_need_security() -> ApiError:
    return bad_request(
        "Port security must be enabled and port must have an IP address in order to use security groups.",
        "PortSecurityAndIPRequiredForSecurityGroups",
    )


def _groups_remain() -> ApiError:
    return conflict(
        "PortSecurityPortHasSecurityGroup",
        "Port has security group associated. Cannot disable port security or IP address until security group is "
        "removed.",
    )
