"""Address translation of a router: the outside sees its gateway address, or a floating address of the instance.

A floating IP is one element in each of two maps, a forwarding of its ports an element of another, so that a change of
one touches no rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from kaon.compile import facts, names
from kaon.compile.l3 import ports_of
from kaon.compile.nft import base, chain, element, named_set
from kaon.compile.view import View
from kaon.rows import Address, Row, row
from kaon.world.world import Record

TO_ADDRESS, TO_PORT = "forwarded_to_address", "forwarded_to_port"
"""Maps of forwarded ports: to the same ports of an address, and to one port of an address."""
_FORWARDED = "meta l4proto { tcp, udp, dccp, sctp } dnat ip to ip daddr . meta l4proto . th dport map"
_OUTER = "ipv4_addr . inet_proto . inet_service"


class Place(NamedTuple):
    """Where a floating IP is: its router's namespace, and the gateway interface in it."""

    netns: str
    device: str


def router_rows(view: View, router_id: str) -> Iterator[Row]:
    """The chains of a router's nft table, and the maps that its floating IPs are elements of."""
    router = facts.router_here(view, router_id)
    if router is None:
        return
    origin = f"router/{router_id}"
    netns = names.router_netns(router_id)
    # The dnsmasq that advertises the router would answer DHCPv6 too; that is the network's DHCP server's part.
    yield chain("inet", "input", "udp dport 547 drop", hook=base("input", 0), netns=netns, origin=origin)
    inside, gateway = ports_of(view, router_id)
    if gateway is None:
        return
    outside = names.quoted(names.router_device(gateway))
    source_nat = (router.get("external_gateway_info") or {}).get("enable_snat", True)
    yield named_set("inet", "floating_to_fixed", "ipv4_addr", "ipv4_addr", netns=netns, origin=origin)
    yield named_set("inet", "fixed_to_floating", "ipv4_addr", "ipv4_addr", netns=netns, origin=origin)
    yield named_set("inet", TO_ADDRESS, _OUTER, "ipv4_addr", "interval", netns=netns, origin=origin)
    yield named_set("inet", TO_PORT, _OUTER, "ipv4_addr . inet_service", "interval", netns=netns, origin=origin)
    yield named_set("inet", "inside", "ipv4_addr", "", "interval", netns=netns, origin=origin)
    for prefix in _prefixes(view, inside):
        yield element("inet", "inside", prefix, netns=netns, origin=origin)
    yield chain(
        "inet",
        "nat_prerouting",
        "dnat ip to ip daddr map @floating_to_fixed",
        f"{_FORWARDED} @{TO_ADDRESS}",
        f"{_FORWARDED} @{TO_PORT}",
        hook=base("prerouting", -100, "nat"),
        netns=netns,
        origin=origin,
    )
    if source_nat:
        # Private addresses are reached by floating IPs only, whatever route a neighbour outside has set.
        yield chain(
            "inet",
            "forward",
            "ct state established,related accept",
            # An echo like one that came by the floating IP gets another identifier, so that answers can be told apart,
            # and that counts as a translation of its destination, too.
            f"iifname {outside} ct original ip daddr @inside drop",
            f"iifname {outside} meta nfproto ipv4 ct status & dnat != dnat drop",
            hook=base("forward", 0),
            netns=netns,
            origin=origin,
        )
    rules = [
        f"oifname {outside} snat ip to ip saddr map @fixed_to_floating",
        # From inside to a floating IP: the answer must come back this way, even from the same subnet.
        f"oifname != {outside} ct status & dnat == dnat ip saddr @inside snat ip to ip saddr map @fixed_to_floating",
    ]
    address = next((ip["ip_address"] for ip in gateway.get("fixed_ips") or () if ":" not in ip["ip_address"]), None)
    if address is not None:
        rules.append(f"oifname != {outside} ct status & dnat == dnat ip saddr @inside snat ip to {address}")
        if source_nat:
            rules.append(f"oifname {outside} ct status & dnat != dnat ip saddr != {address} snat ip to {address}")
    yield chain("inet", "nat_postrouting", *rules, hook=base("postrouting", 100, "nat"), netns=netns, origin=origin)


def _prefixes(view: View, inside: list[Record]) -> list[str]:
    """The IPv4 prefixes of a router's inside subnets; the API sees to it that they do not overlap."""
    subnets = [view.get("subnet", ip["subnet_id"]) for port in inside for ip in port.get("fixed_ips") or ()]
    cidrs = {str(subnet["cidr"]) for subnet in subnets if subnet is not None and ":" not in subnet["cidr"]}
    return [str(prefix) for prefix in sorted(ipaddress.IPv4Network(cidr) for cidr in cidrs)]


def place_of(view: View, floatingip: Record) -> Place | None:
    """Where a floating IP that leads anywhere is; None when its router is not on this host, or not up."""
    router = facts.router_here(view, floatingip["router_id"]) if floatingip.get("router_id") else None
    if router is None or not facts.is_up(router):
        return None
    _, gateway = ports_of(view, router["id"])
    return None if gateway is None else Place(names.router_netns(router["id"]), names.router_device(gateway))


def floatingip_rows(view: View, floatingip_id: str) -> Iterator[Row]:
    """The address of a floating IP on its router's gateway interface, and its two map elements.

    One that has a router and no fixed address leads there by some of its ports only (kaon.compile.port_forwarding).
    """
    floatingip = view.get("floatingip", floatingip_id)
    place = place_of(view, floatingip) if floatingip is not None else None
    if floatingip is None or place is None:
        return
    origin = f"floatingip/{floatingip_id}"
    floating, fixed = floatingip["floating_ip_address"], floatingip.get("fixed_ip_address")
    address = Address(announce=True, exclusive=True)
    yield row(address, place.netns, place.device, f"{floating}/32", origin=origin)
    if fixed:
        yield element("inet", "floating_to_fixed", floating, fixed, netns=place.netns, origin=origin)
        yield element("inet", "fixed_to_floating", fixed, floating, netns=place.netns, origin=origin)
