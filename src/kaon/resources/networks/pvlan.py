"""Private VLANs: who of a network's ports may speak with whom (RFC 5517).

On a network with it a promiscuous port speaks with all, an isolated one with promiscuous ones only, and those of a
community also among themselves.
"""

from __future__ import annotations

import re
from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, named
from kaon.resources.errors import bad_request
from kaon.resources.roles import ADMIN_OR_MEMBER, ADMIN_OR_READER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

ISOLATED, PROMISCUOUS, COMMUNITY = "isolated", "promiscuous", "community"

_NAME = re.compile(r"[a-zA-Z_.][a-zA-Z_.0-9]{0,231}")


def _community(value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ValueError(f"'{value}' is not a valid name of a community")
    return value


_COMMUNITY = types.Type(_community, types.text(232).column, {"type": "string", "pattern": f"^{_NAME.pattern}$"})

NETWORK_ATTRIBUTE = Attribute(
    "pvlan",
    types.BOOLEAN,
    default=False,
    post=True,
    put=True,
    post_rule=ADMIN_OR_MEMBER,
    put_rule=ADMIN_OR_MEMBER,
    get_rule=ADMIN_OR_READER,
    alias="pvlan",
)

PORT_ATTRIBUTES = tuple(
    Attribute(
        name,
        types.nullable(kind),
        default=None,
        post=True,
        put=True,
        post_rule=ADMIN_OR_MEMBER,
        put_rule=ADMIN_OR_MEMBER,
        get_rule=ADMIN_OR_READER,
        filter=name == "pvlan_type",
        alias="pvlan",
    )
    for name, kind in (
        ("pvlan_type", types.one_of(ISOLATED, PROMISCUOUS, COMMUNITY)),
        ("pvlan_community", _COMMUNITY),
    )
)


def demand_network(network: Record) -> None:
    """Raise 400 for a network that is to have it and does not filter its ports."""
    if network["pvlan"] and not network["port_security_enabled"]:
        raise bad_request(
            f"Port security is disabled on network {network.get('id', 'new')}, cannot enable PVLAN.",
            "PVLANNetworkPortSecurityDisabled",
        )


def network_changed(tx: Transaction, before: Record, after: Record) -> None:
    """Give a network's ports their parts when it is switched on, and take them away when it is switched off."""
    if bool(before["pvlan"]) == bool(after["pvlan"]):
        return
    port = named("port")
    for item in records.by(tx.conn, port, network_id=after["id"]):
        records.update(tx, port, item, of_port(after, item, {}) if after["pvlan"] else _NONE)


def port_changed(tx: Transaction, port: Record, body: dict[str, Any]) -> dict[str, Any]:
    """What an update changes of a port's attributes, checked."""
    if not body.keys() & {*_NONE, "port_security_enabled"}:
        return {}
    network = records.get(tx.conn, named("network"), port["network_id"])
    return of_port(network, {**port, **{name: body[name] for name in ("port_security_enabled",) if name in body}}, body)


_NONE = {"pvlan_type": None, "pvlan_community": None}


def of_port(network: Record, port: Record, body: dict[str, Any]) -> dict[str, Any]:
    """What a port's attributes become, checked: `body` is what is asked for, `port` what it was before."""
    kind, community = body.get("pvlan_type", port.get("pvlan_type")), body.get("pvlan_community")
    if not network["pvlan"]:
        if (kind or community) and port.get("pvlan_type") is None:
            raise bad_request(f"PVLAN is not enabled on network {network['id']}.", "PVLANNotEnabledOnNetwork")
        return _NONE
    if not port["port_security_enabled"] and not port["device_owner"].startswith("network:"):
        raise bad_request(
            f"Port security is disabled for port {port['id']}, cannot set PVLAN.", "PVLANPortSecurityDisabled"
        )
    kind = kind or PROMISCUOUS
    if kind != COMMUNITY:
        if community:
            raise bad_request(
                f'PVLAN community name cannot be set if port type is not "community" for this port: {port["id"]}.',
                "PVLANCannotSetCommunityName",
            )
        return {"pvlan_type": kind, "pvlan_community": None}
    community = community or port.get("pvlan_community")
    if not community:
        raise bad_request(
            f'Community name is required for ports with PVLAN type "community": {port["id"]}.',
            "PVLANCommunityNameRequired",
        )
    return {"pvlan_type": kind, "pvlan_community": community}


EXTENSIONS = (
    Extension(
        "pvlan",
        "Private VLAN",
        "The Private VLAN semantics extension.",
        "2026-02-03T10:00:00-00:00",
        awaits="ports of a private VLAN are not kept apart",
    ),
)
