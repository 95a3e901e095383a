"""What an operator sets for the whole cloud, and the rules of resources go by where a project has nothing of its own.

It is the same for every request of a process, so it is set once when the server starts, not handed through each rule.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from kaon.resources.declare import Resource


class SegmentRange(NamedTuple):
    """Identifiers of a type of segment, on a physical network for VLANs; both ends belong to the range."""

    network_type: str
    physical_network: str
    minimum: int
    maximum: int


class Defaults(NamedTuple):
    """`mtu`: bytes that the physical networks carry. `domain`: of the names of ports. `quotas`: limits by the
    resource's name, -1 for none; a resource that is not named has its declared limit. `physical_networks`: what hosts
    map them to, ``bridge:NAME`` or ``interface:NAME``. `segment_ranges`: identifiers
    that are given to networks that name none."""

    mtu: int = 1500
    domain: str = "openstacklocal"
    quotas: Mapping[str, int] = MappingProxyType({})
    physical_networks: Mapping[str, str] = MappingProxyType({})
    segment_ranges: tuple[SegmentRange, ...] = (SegmentRange("vxlan", "", 1, 2**16 - 1),)


_in_force = Defaults()


def use(defaults: Defaults) -> None:
    """Set what is in force in this process."""
    global _in_force
    _in_force = defaults


def physical_mtu() -> int:
    """Bytes that a packet on the physical networks may have."""
    return _in_force.mtu


def domain() -> str:
    """The DNS domain of the names of ports."""
    return _in_force.domain


def mappings(physical_networks: Mapping[str, str] | None = None) -> dict[str, dict[str, str]]:
    """The physical networks that a host reaches (None: as the server's), as Neutron's agents tell them."""
    found: dict[str, dict[str, str]] = {}
    for name, where in (_in_force.physical_networks if physical_networks is None else physical_networks).items():
        kind, _, device = where.partition(":")
        found.setdefault(f"{kind}_mappings", {})[name] = device
    return found


def segment_ranges() -> tuple[SegmentRange, ...]:
    """The identifiers that are given to networks that name none."""
    return _in_force.segment_ranges


def quota(resource: Resource) -> int:
    """The limit of a project that has none of its own; -1 means none."""
    declared = -1 if resource.quota is None else resource.quota
    return _in_force.quotas.get(resource.name, declared)
