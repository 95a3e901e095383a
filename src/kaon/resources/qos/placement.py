"""What a port asks of the Placement service: the guarantees of its QoS policy as resources and traits.

Placement's API and os-resource-classes and os-traits are the sources of the names. Nova reads a port's request when it
places an instance, and notes in the port's binding profile which provider gave each group of resources.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from kaon.resources.errors import conflict
from kaon.store.journal import Record

_BANDWIDTH = {"ingress": "NET_BW_IGR_KILOBIT_PER_SEC", "egress": "NET_BW_EGR_KILOBIT_PER_SEC"}
_PACKETS = {
    "ingress": "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
    "egress": "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "any": "NET_PACKET_RATE_KILOPACKET_PER_SEC",
}
_TUNNELLED = "CUSTOM_NETWORK_TUNNEL_PROVIDER"

GUARANTEES = frozenset({"minimum_bandwidth", "minimum_packet_rate"})
"""Types of rules whose amounts Placement keeps account of."""


def _trait(text: str) -> str:
    return "CUSTOM_" + re.sub(r"[^A-Z0-9_]", "_", text.upper())


def request(port_id: str, vnic_type: str, network: Record, policy: Record | None) -> dict[str, Any] | None:
    """A port's ``resource_request``; None when its policy guarantees nothing."""
    # Placement knows of one way to a network, so the first segment counts.
    first = (network["segments"] or [network])[0]
    physical, vnic = first["provider:physical_network"], _trait(f"VNIC_TYPE_{vnic_type}")
    way = _trait(f"PHYSNET_{physical}") if physical else _TUNNELLED
    groups = []
    for kind, amount, classes, traits in (
        ("minimum_bandwidth", "min_kbps", _BANDWIDTH, [way, vnic]),
        ("minimum_packet_rate", "min_kpps", _PACKETS, [vnic]),
    ):
        rules = [rule for rule in (policy["rules"] if policy else ()) if rule["type"] == kind]
        if rules:
            groups.append(
                {
                    # Stable for the same port and rules, so that an allocation can be found again.
                    "id": str(uuid.uuid5(uuid.UUID(port_id), ":".join(rule["id"] for rule in rules))),
                    "required": traits,
                    "resources": {classes[rule["direction"]]: rule[amount] for rule in rules},
                }
            )
    return {"request_groups": groups, "same_subtree": [group["id"] for group in groups]} if groups else None


def is_placed(port: Record) -> bool:
    """Whether the port belongs to an instance, whose resources have been placed."""
    return str(port["device_owner"]).startswith("compute:")


def moved_allocation(port: Record, wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    """The binding profile after a port's request becomes `wanted`; None when it stays as it is.

    Raises 409 when an instance's port would need other amounts than those that Placement allocated: nothing here could
    tell Placement. The same amounts under other rules only change the names of their groups.
    """
    allocation, held = port["binding:profile"].get("allocation"), port["resource_request"]
    if not is_placed(port) or not isinstance(allocation, dict) or not held or held == wanted:
        return None  # A profile holds whatever a client has put there.
    groups = {frozenset(group["resources"].items()): group["id"] for group in (wanted or {}).get("request_groups", ())}
    moved = {}
    for group in held["request_groups"]:
        if group["id"] not in allocation:
            continue
        new = groups.get(frozenset(group["resources"].items()))
        if new is None:
            raise conflict(
                "QosPlacementAllocationUpdateConflict",
                f"Updating placement allocation {group['resources']} for consumer {port['device_id']} failed: what an "
                f"instance was given cannot change while it has port {port['id']}. Detach the port first, or choose a "
                "QoS policy that guarantees the same.",
            )
        moved[new] = allocation[group["id"]]
    return {**port["binding:profile"], "allocation": moved}
