"""Address translation of a router: the outside sees its gateway address, or a floating address of the instance.

A floating IP is one element in each of two maps, so that a change of one touches no rule.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.l3 import ports_of
from kaon.compile.nft import base, chain, element, named_set
from kaon.compile.view import View
from kaon.rows import Address, Row, row
from kaon.world.world import Record


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
    yield named_set("inet", "inside", "ipv4_addr", "", "interval", netns=netns, origin=origin)
    for prefix in _prefixes(view, inside):
        yield element("inet", "inside", prefix, netns=netns, origin=origin)
    yield chain(
        "inet",
        "nat_prerouting",
        "dnat ip to ip daddr map @floating_to_fixed",
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


def floatingip_rows(view: View, floatingip_id: str) -> Iterator[Row]:
    """The address of an associated floating IP on its router's gateway interface, and its two map elements."""
    floatingip = view.get("floatingip", floatingip_id)
    if floatingip is None or not floatingip.get("router_id") or not floatingip.get("fixed_ip_address"):
        return
    router = facts.router_here(view, floatingip["router_id"])
    if router is None or not facts.is_up(router):
        return
    _, gateway = ports_of(view, router["id"])
    if gateway is None:
        return
    origin = f"floatingip/{floatingip_id}"
    netns = names.router_netns(router["id"])
    floating, fixed = floatingip["floating_ip_address"], floatingip["fixed_ip_address"]
    address = Address(announce=True, exclusive=True)
    yield row(address, netns, names.router_device(gateway), f"{floating}/32", origin=origin)
    yield element("inet", "floating_to_fixed", floating, fixed, netns=netns, origin=origin)
    yield element("inet", "fixed_to_floating", fixed, floating, netns=netns, origin=origin)
