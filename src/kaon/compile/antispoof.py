"""A filtered port speaks only as itself: MAC, IP, ARP and neighbour discovery, and never as a DHCP server or router.

Judged in nft's bridge family before anything else sees the frame. Every port costs a few elements of hashed sets and no
rule, so that the cost of a packet and of a change is flat in the number of ports. Allowed address pairs that are
prefixes live in interval sets of their own, so that the common case stays a hash lookup.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

from kaon.compile import names
from kaon.compile.nft import base, chain, element, named_set
from kaon.rows import Row
from kaon.world.addresses import Source, is_prefix, port_sources, version
from kaon.world.world import Record

# The target of a neighbour solicitation or advertisement lies 8 bytes into the ICMPv6 message (RFC 4861, 4.3 and 4.4).
_ND_TARGET = "@th,64,128"


def host_rows() -> Iterator[Row]:
    """The sets and chains that every host has."""
    yield named_set("bridge", "filtered", "ifname")
    yield named_set("bridge", "source_mac", "ifname . ether_addr")
    for number in ("4", "6"):
        yield named_set("bridge", f"source_ip{number}", f"ifname . ether_addr . ipv{number}_addr")
        yield named_set("bridge", f"source_prefix{number}", f"ifname . ether_addr . ipv{number}_addr", "", "interval")
    yield named_set("bridge", "nd_target", f"typeof iifname . {_ND_TARGET}")
    yield named_set("bridge", "nd_target_prefix", f"typeof iifname . {_ND_TARGET}", "", "interval")
    yield chain(
        "bridge",
        "source",
        "ether type vmap { ip : goto source_ip, ip6 : goto source_ip6, arp : goto source_arp }",
        "drop",
    )
    yield chain(
        "bridge",
        "source_ip",
        "udp sport 67 udp dport 68 drop",
        "iifname . ether saddr . ip saddr @source_ip4 accept",
        "iifname . ether saddr . ip saddr @source_prefix4 accept",
        # A DHCP client has no address yet (RFC 2131, 4.1).
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 iifname . ether saddr @source_mac accept",
        "drop",
    )
    yield chain(
        "bridge",
        "source_ip6",
        "icmpv6 type { nd-router-advert, nd-redirect } drop",
        "udp sport 547 udp dport 546 drop",
        "icmpv6 type nd-neighbor-advert jump nd_target",
        "iifname . ether saddr . ip6 saddr @source_ip6 accept",
        "iifname . ether saddr . ip6 saddr @source_prefix6 accept",
        # Duplicate address detection and the reports before it have no source address yet (RFC 4862, RFC 3810). Who
        # asks for another's address so would keep its owner from taking it.
        "ip6 saddr :: icmpv6 type nd-neighbor-solicit jump nd_target",
        "ip6 saddr :: icmpv6 type { nd-neighbor-solicit, mld2-listener-report } "
        "iifname . ether saddr @source_mac accept",
        "drop",
    )
    yield chain(
        "bridge",
        "nd_target",
        f"iifname . {_ND_TARGET} @nd_target return",
        f"iifname . {_ND_TARGET} @nd_target_prefix return",
        "drop",
    )
    yield chain(
        "bridge",
        "source_arp",
        "iifname . arp saddr ether != @source_mac drop",
        "iifname . ether saddr . arp saddr ip @source_ip4 accept",
        "iifname . ether saddr . arp saddr ip @source_prefix4 accept",
        # An address probe (RFC 5227) has no sender address; a probe for another's would keep its owner from taking it.
        "arp saddr ip 0.0.0.0 iifname . ether saddr . arp daddr ip @source_ip4 accept",
        "arp saddr ip 0.0.0.0 iifname . ether saddr . arp daddr ip @source_prefix4 accept",
        "drop",
    )
    yield chain(
        "bridge",
        "prerouting",
        "iifname @blocked drop",
        "meta mark set iifname map @port_marks",
        "iifname @filtered goto source",
        hook=base("prerouting", -300),
    )


def port_rows(port: Record, device: str) -> Iterator[Row]:
    """What a filtered port may send from."""
    origin = f"port/{port['id']}"
    name = names.quoted(device)
    sources = port_sources(port)
    yield element("bridge", "filtered", name, origin=origin)
    for mac in dict.fromkeys(source.mac for source in sources):
        yield element("bridge", "source_mac", (name, mac), origin=origin)
    for mac, address in (source for source in sources if not is_prefix(source.address)):
        yield element("bridge", f"source_ip{version(address)}", (name, mac, address), origin=origin)
    for mac, prefix in _disjoint(sources):
        yield element("bridge", f"source_prefix{version(prefix)}", (name, mac, prefix), origin=origin)
    targets = {source.address for source in sources if version(source.address) == 6}
    for target in sorted(target for target in targets if not is_prefix(target)):
        yield element("bridge", "nd_target", (name, f"0x{int(ipaddress.IPv6Address(target)):032x}"), origin=origin)
    for prefix in collapse(target for target in targets if is_prefix(target)):
        network = ipaddress.IPv6Network(prefix)
        first, last = int(network.network_address), int(network.broadcast_address)
        yield element("bridge", "nd_target_prefix", (name, f"0x{first:032x}-0x{last:032x}"), origin=origin)


def _disjoint(sources: Iterable[Source]) -> Iterator[tuple[str, str]]:
    """The prefixes of each MAC address without overlaps: an interval set refuses them."""
    prefixes: dict[tuple[str, int], list[str]] = {}
    for mac, address in sources:
        if is_prefix(address):
            prefixes.setdefault((mac, version(address)), []).append(address)
    for (mac, _), of_mac in prefixes.items():
        for prefix in collapse(of_mac):
            yield mac, prefix


def collapse(prefixes: Iterable[str]) -> list[str]:
    """The fewest disjoint prefixes of one IP version that cover the same addresses, in order."""
    networks = [ipaddress.ip_network(prefix) for prefix in prefixes]
    if networks and networks[0].version == 4:
        four = (network for network in networks if isinstance(network, ipaddress.IPv4Network))
        return [str(network) for network in ipaddress.collapse_addresses(four)]
    six = (network for network in networks if isinstance(network, ipaddress.IPv6Network))
    return [str(network) for network in ipaddress.collapse_addresses(six)]
