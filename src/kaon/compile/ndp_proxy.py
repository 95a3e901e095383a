"""NDP proxies: a router's gateway answers for inside IPv6 addresses, and from outside those alone are reached."""

from __future__ import annotations

from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.l3 import ports_of
from kaon.compile.nft import base, chain, element, named_set
from kaon.compile.view import View
from kaon.rows import NeighbourProxy, Row, Sysctl, row
from kaon.world.world import Record


def router_rows(view: View, router_id: str) -> Iterator[Row]:
    """What lets a router be a proxy, and keeps what it is no proxy for from being reached, if it may have proxies."""
    router, gateway = _proxying(view, router_id)
    if router is None or gateway is None:
        return
    netns, device, origin = names.router_netns(router_id), names.router_device(gateway), f"router/{router_id}"
    # Answers at once: the delay by chance is for proxies that compete with each other (RFC 4861, 7.2.8).
    for name, value in ((f"conf/{device}/proxy_ndp", "1"), (f"neigh/{device}/proxy_delay", "0")):
        yield row(Sysctl(value), netns, f"net/ipv6/{name}", origin=origin)
    yield named_set("inet", "proxied", "ipv6_addr", netns=netns, origin=origin)
    yield named_set("inet", "inside6", "ipv6_addr", "", "interval", netns=netns, origin=origin)
    inside, _ = ports_of(view, router_id)
    subnets = [view.get("subnet", ip["subnet_id"]) for port in inside for ip in port.get("fixed_ips") or ()]
    for cidr in sorted({subnet["cidr"] for subnet in subnets if subnet is not None and ":" in subnet["cidr"]}):
        yield element("inet", "inside6", cidr, netns=netns, origin=origin)
    # The answers to what was asked from inside go on. By the direction and not the state, so that what is proxied no
    # more is reached no more, by old connections either.
    rule = f"iifname {names.quoted(device)} ip6 daddr @inside6 ip6 daddr != @proxied ct direction original drop"
    yield chain("inet", "ndp_proxy", rule, hook=base("forward", 0), netns=netns, origin=origin)


def proxy_rows(view: View, proxy_id: str) -> Iterator[Row]:
    """The address for which a router's gateway answers."""
    proxy = view.get("ndp_proxy", proxy_id)
    router, gateway = _proxying(view, proxy["router_id"]) if proxy is not None else (None, None)
    if proxy is None or router is None or gateway is None or not facts.is_up(router):
        return
    netns, address, origin = names.router_netns(router["id"]), proxy["ip_address"], f"ndp_proxy/{proxy_id}"
    yield row(NeighbourProxy(), netns, names.router_device(gateway), address, origin=origin)
    yield element("inet", "proxied", address, netns=netns, origin=origin)


def _proxying(view: View, router_id: str) -> tuple[Record | None, Record | None]:
    """A router on this host that may have proxies, and its gateway port."""
    router = facts.router_here(view, router_id)
    if router is None or not router.get("enable_ndp_proxy"):
        return None, None
    return router, ports_of(view, router_id)[1]
