"""Routed networks: each subnet is on one segment, and a port's host decides which of them give it addresses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import Extension, named
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.segments.segment import SEGMENT, of_network
from kaon.resources.subnets import addressing
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

ROUTED_OWNER = "network:routed"
"""Service type of subnets whose addresses are routed to a network as a whole: they are on no segment."""


# ---------------------------------------------------------------- subnets


def demand_segment(tx: Transaction, subnet: Record, siblings: Sequence[Record]) -> None:
    """Raise unless a new subnet may be on its segment, or on none, beside the network's others."""
    network_id, segment_id = subnet["network_id"], subnet["segment_id"]
    held = {item["segment_id"] for item in (*siblings, subnet) if ROUTED_OWNER not in item["service_types"]}
    if None in held and len(held) > 1:
        raise _not_all_associated(network_id)
    if segment_id is not None:
        _demand_of_network(tx, segment_id, network_id)


def demand_association(tx: Transaction, subnet: Record, segment_id: str | None, siblings: Sequence[Record]) -> None:
    """Raise unless a subnet that is there may be put on a segment: it is alone, on none yet, and so is the segment."""
    network_id = subnet["network_id"]
    if any(ROUTED_OWNER not in item["service_types"] for item in siblings):
        raise _not_all_associated(network_id)
    if subnet["segment_id"] is not None:
        raise bad_request(
            "A subnet that is already associated with a segment cannot have its segment association changed.",
            "SubnetSegmentAssociationChangeNotAllowed",
        )
    if len(of_network(tx, network_id)) > 1:
        raise bad_request(
            f"The network '{network_id}' has multiple segments, it is only possible to associate an existing subnet "
            "with a segment on networks with a single segment.",
            "NoUpdateSubnetWhenMultipleSegmentsOnNetwork",
        )
    if segment_id is not None:
        _demand_of_network(tx, segment_id, network_id)


def _not_all_associated(network_id: str) -> ApiError:
    return bad_request(
        f"All of the subnets on network '{network_id}' must either all be associated with segments or all not "
        "associated with any segment.",
        "SubnetsNotAllAssociatedWithSegments",
    )


def _demand_of_network(tx: Transaction, segment_id: str, network_id: str) -> None:
    segment = records.get(tx.conn, SEGMENT, segment_id)
    if segment["network_id"] != network_id:
        raise bad_request(
            f"The subnet's network id, '{network_id}', doesn't match the network_id of segment '{segment_id}'",
            "NetworkIdsDontMatch",
        )


# ---------------------------------------------------------------- hosts


def _reached(tx: Transaction, host: str, segment_ids: set[str]) -> set[str]:
    """Those of the segments that a host reaches: tunnels go everywhere, physical networks where an agent maps them."""
    agent = named("agent").table.c
    mapped: set[str] = set()
    for configurations in tx.execute(sa.select(agent.configurations).where(agent.host == host)).scalars():
        for name in ("bridge_mappings", "interface_mappings"):
            mapped.update((configurations or {}).get(name) or ())
    found = records.select(tx.conn, SEGMENT, SEGMENT.table.c.id.in_(sorted(segment_ids)))
    return {item["id"] for item in found if not item["physical_network"] or item["physical_network"] in mapped}


class Choice(NamedTuple):
    """The subnets from which a port may have addresses; `deferred` when a host must be known first."""

    subnets: list[Record]
    deferred: bool = False


def choose(tx: Transaction, subnets: list[Record], owner: str, host: str, wanted: Sequence[dict[str, Any]]) -> Choice:
    """The subnets that serve a port on a host (empty: not known yet) that asks for these addresses.

    The network's own ports (routers, DHCP) are wherever they are needed. Raises 409 for a host that reaches none of the
    segments, 400 for addresses from several.
    """
    on_segments = {item["segment_id"] for item in subnets if item["segment_id"]}
    if not on_segments or owner.startswith("network:"):
        return Choice(subnets)
    if host:
        reached = _reached(tx, host, on_segments)
        if not reached:
            raise conflict(
                "HostNotConnectedToAnySegment",
                f"Host {host} is not connected to any segments on routed provider network "
                f"'{subnets[0]['network_id']}'.  It should be connected to one.",
            )
        return Choice([item for item in subnets if item["segment_id"] in (None, *reached)])
    if not wanted:
        unbound = [item for item in subnets if item["segment_id"] is None]
        return Choice(unbound, deferred=not unbound)
    named_segments = {item["segment_id"] for wish in wanted if (item := _subnet_of(wish, subnets)) is not None}
    if len(named_segments) > 1:
        raise bad_request("Cannot allocate addresses from different segments.", "FixedIpsSubnetsNotOnSameSegment")
    return Choice([item for item in subnets if item["segment_id"] in named_segments] if named_segments else subnets)


def _subnet_of(wish: dict[str, Any], subnets: Sequence[Record]) -> Record | None:
    if "subnet_id" in wish:
        return next((item for item in subnets if item["id"] == wish["subnet_id"]), None)
    address = wish.get("ip_address")
    for item in subnets if address else ():
        if addressing.usable(addressing.network(item["cidr"]), str(address), anycast=True):
            return item
    return None


def serves(tx: Transaction, subnet: Record, siblings: Sequence[Record], port: Record) -> bool:
    """Whether a port that is there already is where a new subnet of its network is."""
    segment_id, host = subnet["segment_id"], port["binding:host_id"]
    if segment_id is None or port["device_owner"].startswith("network:"):
        return True
    beside = {item["id"] for item in siblings if item["segment_id"] == segment_id}
    if any(item["subnet_id"] in beside for item in port["fixed_ips"]):
        return True
    return bool(host) and bool(_reached(tx, host, {segment_id}))


def demand_usable(tx: Transaction, port: Record, subnets: list[Record], host: str) -> None:
    """Raise 409 when a port's addresses do not work on the host to which it is bound."""
    served = {item["id"] for item in choose(tx, subnets, port["device_owner"], host, ()).subnets}
    if any(item["subnet_id"] not in served for item in port["fixed_ips"]):
        raise conflict(
            "HostNotCompatibleWithFixedIps",
            f"Host {host} is not connected to a segment where the existing fixed_ips on port {port['id']} will "
            "function given the routed network topology.",
        )


EXTENSIONS = (
    Extension(
        "segments-peer-subnet-host-routes",
        "Segments peer-subnet host routes",
        "Add host routes to subnets on a routed network (segments)",
        "2018-06-12T10:00:00-00:00",
    ),
    Extension(
        "l2_adjacency", "L2 Adjacency", "Display L2 Adjacency for Neutron Networks.", "2016-04-12T16:00:00-00:00"
    ),
)
