"""What carries a network: which identifiers of which type are free, and how large a packet may be there."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import defaults, ranges
from kaon.resources.declare import named
from kaon.resources.errors import conflict, invalid
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

VNIS = "vxlan"
"""Pool of VXLAN network identifiers."""
VXLAN_OVERHEAD = 50
"""Bytes of outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348)."""

TYPES = ("flat", "geneve", "gre", "local", "vlan", "vxlan")


def first_start(tx: Transaction) -> None:
    """Fill the pool of identifiers of tunnels, once in the life of a database."""
    ranges.fill(tx, VNIS, [(1, 2**24 - 1)])


def reserve(tx: Transaction, body: dict[str, Any]) -> dict[str, Any]:
    """What carries a new network: the client's choice checked, or VXLAN with the next free identifier."""
    kind, physical, number = (
        body.get("provider:network_type"),
        body.get("provider:physical_network"),
        body.get("provider:segmentation_id"),
    )
    if kind is None:
        if physical is not None or number is not None:
            raise invalid("network_type required")
        kind = "vxlan"
    if kind in ("flat", "vlan") and not physical:
        raise invalid(f"physical_network required for {kind} provider network")
    if kind not in ("flat", "vlan") and physical:
        raise invalid(f"provider:physical_network specified for {kind} network")
    if kind in ("flat", "local") and number is not None:
        raise invalid(f"provider:segmentation_id specified for {kind} network")
    if kind in ("vxlan", "geneve", "gre"):
        if number is None:
            number = ranges.take_lowest(tx, VNIS)
            if number is None:
                raise conflict("NoNetworkAvailable", "Unable to create the network. No tenant network is available.")
        elif not 1 <= number < 2**24:
            raise invalid(f"segmentation_id out of range (1 through {2**24 - 1})")
        elif not ranges.take(tx, VNIS, number):
            raise conflict("TunnelIdInUse", f"Unable to create the network. The tunnel ID {number} is in use.")
    if kind in ("flat", "vlan"):
        number = _physical_segment(tx, kind, str(physical), number)
    return {
        "provider:network_type": kind,
        "provider:physical_network": physical,
        "provider:segmentation_id": number,
    }


def _physical_segment(tx: Transaction, kind: str, physical: str, vlan: int | None) -> int | None:
    table = named("network").table
    used = set(
        tx.execute(
            sa.select(table.c["provider:segmentation_id"]).where(
                table.c["provider:physical_network"] == physical, table.c["provider:network_type"] == kind
            )
        ).scalars()
    )
    if kind == "flat":
        if used:
            raise conflict(
                "FlatNetworkInUse",
                f"Unable to create the flat network. Physical network {physical} is in use.",
            )
        return None
    if vlan is None:
        vlan = next((number for number in range(1, 4095) if number not in used), None)
        if vlan is None:
            raise conflict("NoNetworkAvailable", f"No VLAN is free on physical network {physical}.")
    if not 1 <= vlan <= 4094:
        raise invalid("segmentation_id out of range (1 through 4094)")
    if vlan in used:
        raise conflict(
            "VlanIdInUse",
            f"Unable to create the network. The VLAN {vlan} on physical network {physical} is in use.",
        )
    return vlan


def largest_mtu(kind: str) -> int:
    """Bytes that a packet of this kind of network may have: the physical MTU less the tunnel's headers."""
    return defaults.physical_mtu() - (VXLAN_OVERHEAD if kind in ("vxlan", "geneve", "gre") else 0)


def checked_mtu(kind: str, mtu: int | None) -> int:
    """The wanted size of packets, or the largest; raises 400 for one that does not fit."""
    most = largest_mtu(kind)
    if mtu and mtu > most:
        raise invalid(f"Requested MTU is too big, maximum is {most}")
    return mtu or most


def release(tx: Transaction, network: Record) -> None:
    """Give back what a network that goes away was carried by."""
    if network["provider:network_type"] in ("vxlan", "geneve", "gre"):
        ranges.give_back(tx, VNIS, network["provider:segmentation_id"])
