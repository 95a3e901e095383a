"""Availability zones: where networks and routers may be asked to live. There is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from kaon.resources import types
from kaon.resources.declare import Ask, Attribute, Call, Extension, named
from kaon.resources.errors import bad_request, not_found
from kaon.store.transaction import Transaction

ZONE = "default"

_SERVED_BY = {"network": "DHCP agent", "router": "L3 agent"}
"""What lives in zones -> the type of agent that serves it there."""
_NAMES = frozenset({"name", "resource", "state"})


def attributes(kind: str) -> tuple[Attribute, Attribute]:
    """What something that lives in zones says of them: where its owner wants it, and where it is."""
    alias, names = f"{kind}_availability_zone", types.list_of(types.text(255))
    return (
        Attribute("availability_zone_hints", names, default=[], post=True, filter=False, sort=False, alias=alias),
        Attribute("availability_zones", names, filter=False, sort=False, alias=alias),
    )


def demand(hints: Sequence[str]) -> None:
    """Raise 404 for a hint at a zone that is not there."""
    for hint in hints:
        if hint != ZONE:
            raise not_found("AvailabilityZoneNotFound", f"AvailabilityZone {hint} could not be found.")


def _zones(tx: Transaction) -> list[dict[str, str]]:
    """The zone as each kind of resource finds it: available while an agent that serves the kind is up."""
    column = named("agent").table.c
    found = []
    for resource, kind in _SERVED_BY.items():
        states = set(tx.execute(sa.select(column.admin_state_up).where(column.agent_type == kind)).scalars())
        # Where no agent has reported yet, nothing speaks against it.
        found.append({"name": ZONE, "resource": resource, "state": "unavailable" if states == {False} else "available"})
    return found


def _index(tx: Transaction, ask: Ask) -> dict[str, Any]:
    fields: set[str] = set()
    wanted: dict[str, set[str]] = {}
    for name, value in ask.pairs:
        if name == "fields":
            fields.update(part for part in value.split(",") if part)
        elif name in _NAMES:
            wanted.setdefault(name, set()).add(value)
        else:
            raise bad_request(f"{[name]} is invalid attribute for filtering")
    found = [zone for zone in _zones(tx) if all(zone[name] in values for name, values in wanted.items())]
    return {
        "availability_zones": [
            {name: value for name, value in zone.items() if not fields or name in fields} for zone in found
        ]
    }


CALLS = (Call("GET", "availability_zones", _index, "get_availability_zone", "role:reader"),)

EXTENSIONS = (
    Extension(
        "availability_zone", "Availability Zone", "The availability zone extension.", "2015-01-01T10:00:00-00:00"
    ),
    Extension(
        "availability_zone_filter",
        "Availability Zone Filter Extension",
        "Add filter parameters to AvailabilityZone resource",
        "2018-06-22T10:00:00-00:00",
    ),
    Extension(
        "network_availability_zone",
        "Network Availability Zone",
        "Availability zone support for network.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "router_availability_zone",
        "Router Availability Zone",
        "Availability zone support for router.",
        "2015-01-01T10:00:00-00:00",
    ),
)
