"""Host routes between the subnets of a routed network: what is on another segment is reached by the own gateway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.subnets.addressing import Network, network
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

Route = dict[str, str]


def with_peers(subnet: Record, others: Iterable[Record], gone: Sequence[Route] = ()) -> list[Route]:
    """A subnet's host routes, with one to each subnet on another segment that none of them covers, and without `gone`.

    What has no segment or no gateway has its routes as they are.
    """
    found: list[Route] = [route for route in subnet["host_routes"] if route not in gone]
    if subnet["segment_id"] is None or subnet["gateway_ip"] is None:
        return found
    for other in others:
        if other["segment_id"] == subnet["segment_id"] or other["ip_version"] != subnet["ip_version"]:
            continue
        prefix = network(other["cidr"])
        if not any(_covers(network(route["destination"]), prefix) for route in found):
            found.append({"destination": other["cidr"], "nexthop": subnet["gateway_ip"]})
    return found


def _covers(wider: Network, prefix: Network) -> bool:
    same = wider.version == prefix.version and wider.prefixlen <= prefix.prefixlen
    return same and prefix.network_address in wider


def by_gateway(subnet: Record, others: Iterable[Record]) -> list[Route]:
    """The routes that `with_peers` makes: by the subnet's gateway to each of the others."""
    if subnet["gateway_ip"] is None:
        return []
    return [{"destination": other["cidr"], "nexthop": subnet["gateway_ip"]} for other in others]


def tell_peers(tx: Transaction, subnet: Record, left: bool = False) -> None:
    """Give the other subnets of a routed network a route to a new one; `left`: take that to a deleted one away."""
    if subnet["segment_id"] is None:
        return
    resource = named("subnet")
    every = records.by(tx.conn, resource, network_id=subnet["network_id"])
    for item in every:
        others = [other for other in every if other["id"] != item["id"]]
        gone = by_gateway(item, [subnet]) if left else []
        records.update(tx, resource, item, {"host_routes": with_peers(item, others, gone)})
