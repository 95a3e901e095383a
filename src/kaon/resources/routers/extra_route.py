"""Extra routes of a router: prefixes that it reaches through a next hop in one of its subnets."""

from __future__ import annotations

import ipaddress
from typing import Any

from kaon.resources import types
from kaon.resources.errors import ApiError, bad_request
from kaon.resources.routers import router_port
from kaon.store.transaction import Transaction

MAX_ROUTES = 30

ROUTES = types.list_of(
    types.object_of({"destination": types.CIDR, "nexthop": types.IP_ADDRESS}, required=("destination", "nexthop")),
    null_is_empty=True,
)

Routes = list[dict[str, str]]


def joined(held: Routes, added: Routes) -> Routes:
    """The held routes and those of `added` that are not among them."""
    return [*held, *(route for route in added if route not in held)]


def without(held: Routes, removed: Routes) -> Routes:
    """The held routes less those of `removed`; what is not there stays away."""
    return [route for route in held if route not in removed]


def _invalid(routes: Any, reason: str) -> ApiError:
    return bad_request(f"Invalid format for routes: {routes}, {reason}", "InvalidRoutes")


def demand_valid(tx: Transaction, router_id: str, routes: Routes) -> None:
    """Raise 400 for too many routes, or for a next hop that is not a neighbour of the router."""
    if len(routes) > MAX_ROUTES:
        raise bad_request(
            f"Unable to complete operation for {router_id}. The number of routes exceeds the maximum {MAX_ROUTES}.",
            "RoutesExhausted",
        )
    if not routes:
        return
    ports = router_port.of(tx, router_id)
    own = {item["ip_address"] for port in ports for item in port["fixed_ips"]}
    prefixes = [ipaddress.ip_network(subnet["cidr"]) for subnet in router_port.subnets_of(tx, ports)]
    for route in routes:
        hop = ipaddress.ip_address(route["nexthop"])
        if not any(hop in prefix for prefix in prefixes):
            raise _invalid(routes, "the nexthop is not connected with router")
        if route["nexthop"] in own:
            raise _invalid(routes, "the nexthop is used by router")
        if ipaddress.ip_network(route["destination"]).version != hop.version:
            raise _invalid(routes, "destination and nexthop are of different IP versions")
