"""Security groups on bridges.

nft's bridge family sees ports but no connections; the inet family sees connections, of bridged packets too, but only
the bridge as interface. So the bridge family marks a packet with the policy of the port it came from, the inet family
judges at prerouting whether that policy lets it out; then the bridge family marks it with the policy of the port it is
about to leave by, and the inet family judges at forward whether that policy lets it in. Each network has a conntrack
zone, so that addresses may collide between networks.

A policy is the set of a port's groups; its chains jump to the chains of its groups, and each rule is in one chain
however many ports there are. Members of remote groups are elements of sets. A policy of stateless groups is asked
before connections are. A packet of a Kaon bridge without a mark is
from no known port and is dropped.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.antispoof import collapse
from kaon.compile.nft import base, chain, element, named_set
from kaon.compile.protocols import canonical_rule, nft_matches
from kaon.compile.view import View
from kaon.rows import AclGroup, AclPort, Row, Rule, row
from kaon.world.addresses import is_prefix, link_local, port_addresses, version
from kaon.world.world import Record

DIRECTIONS = ("egress", "ingress")

# Address configuration that no group needs to allow, as in Neutron; the source filter has seen to it that an instance
# plays neither DHCP server nor router. ICMPv6: MLD 130-132 and 143, router solicitation 133, advertisement 134,
# neighbour solicitation and advertisement 135 and 136.
BASICS = {
    "egress": ("udp sport 68 udp dport 67 accept", "udp sport 546 udp dport 547 accept"),
    "ingress": ("udp sport 67 udp dport 68 accept", "udp sport 547 udp dport 546 accept"),
}
BASIC_ICMPV6 = {
    "egress": "icmpv6 type { 130, 131, 132, 133, 135, 136, 143 } accept",
    "ingress": "icmpv6 type { 130, 131, 132, 134, 135, 136 } accept",
}


def host_rows() -> Iterator[Row]:
    """The sets and chains that every host has."""
    yield named_set("bridge", "port_marks", "ifname", "mark")
    yield named_set("bridge", "blocked", "ifname")
    yield chain(
        "bridge",
        "forward",
        "oifname @blocked drop",
        f"meta mark {names.mark(facts.TUNNELLED)} jump from_tunnel",
        # A frame to a bridge port that is none of Kaon's must not pass under the mark of its source.
        "iifname @filtered meta mark set 0x00000000",
        "meta mark set oifname map @port_marks",
        f"meta mark {names.mark(facts.TUNNELLED)} jump to_tunnel",
        hook=base("forward", -200),
    )
    # The host itself is no neighbour on a tenant's network: without this it would answer ARP for its own addresses
    # there. The lookup holds for Kaon's ports only, the mark is of no consequence.
    yield chain("bridge", "input", "meta mark set iifname map @port_marks drop", hook=base("input", -200))
    yield named_set("inet", "bridges", "ifname")
    yield named_set("inet", "zones", "typeof iifname", "ct zone")
    # Before defragmentation (-400), which keeps fragments of different zones apart.
    yield chain("inet", "zone", "ct zone set iifname map @zones", hook=base("prerouting", -450))
    yield chain("inet", "prerouting", "iifname @bridges goto egress", hook=base("prerouting", -150))
    yield chain(
        "inet",
        "forward",
        "iifname @bridges oifname @bridges goto ingress",
        "iifname @bridges drop",
        hook=base("forward", 0),
    )
    yield chain("inet", "input", "iifname @bridges drop", hook=base("input", 0))
    for direction in DIRECTIONS:
        yield named_set("inet", f"{direction}_policies", "mark", "verdict")
        yield named_set("inet", f"{direction}_stateless", "mark", "verdict")
        yield chain("inet", f"{direction}_basics", *BASICS[direction], BASIC_ICMPV6[direction])
        yield chain("inet", f"{direction}_closed", f"jump {direction}_basics", "drop")
        yield chain(
            "inet",
            direction,
            "meta mark vmap { "
            f"0x00000000 : drop, {names.mark(facts.TRUSTED)} : accept, "
            f"{names.mark(facts.TUNNELLED)} : accept, "
            f"{names.mark(facts.CLOSED)} : goto {direction}_closed }}",
            # Who keeps no state judges every packet by itself, replies too.
            f"meta mark vmap @{direction}_stateless",
            "ct state vmap { established : accept, related : accept, invalid : drop }",
            # A connection that was cut for want of permission must not come back by its other side's next segment.
            "tcp flags & (fin | syn | rst | ack) != syn drop",
            f"jump {direction}_basics",
            f"meta mark vmap @{direction}_policies",
            "drop",
        )


def policy_rows(view: View, policy: str) -> Iterator[Row]:
    """The chains of a policy that an attached port has."""
    if not policy or not view.any("attachment", "host_policy", f"{view.config.host} {policy}"):
        return
    mark = names.mark(view.fact(facts.policy_mark, policy))
    groups = policy.split(",")
    # A port's groups are of one kind, the API sees to that.
    stateful = (view.get("security_group", groups[0]) or {}).get("stateful", True)
    for direction in DIRECTIONS:
        name = f"{direction}-{mark}"
        jumps = [Rule(f"jump {direction}-{group}", f"security_group/{group}") for group in groups]
        if stateful:
            yield chain("inet", name, *jumps, "drop")
            yield element("inet", f"{direction}_policies", mark, f"goto {name}")
        else:
            yield chain("inet", name, f"jump {direction}_basics", *jumps, "drop")
            yield element("inet", f"{direction}_stateless", mark, f"goto {name}")


def group_rows(view: View, group_id: str) -> Iterator[Row]:
    """The chains and the connection policy of a group that an attached port uses; the sets of a remote group."""
    origin = f"security_group/{group_id}"
    if view.fact(facts.remote_group_here, group_id):
        for number in (4, 6):
            yield named_set("inet", f"members{number}-{group_id}", f"ipv{number}_addr", origin=origin)
            yield named_set("inet", f"prefixes{number}-{group_id}", f"ipv{number}_addr", "", "interval", origin=origin)
    if not view.fact(facts.group_here, group_id):
        return
    canonical = [
        canonical_rule(each)
        for rule in view.by("security_group_rule", "security_group_id", group_id)
        for each in _without_address_group(view, rule)
    ]
    for direction in DIRECTIONS:
        texts = [
            Rule(text, f"security_group_rule/{rule.id}")
            for rule in canonical
            if rule.direction == direction
            for text in nft_matches(
                rule, bool(rule.remote_group) and view.any("port", "group_prefixes", rule.remote_group)
            )
        ]
        yield chain("inet", f"{direction}-{group_id}", *texts, origin=origin)
    yield row(AclGroup(tuple(canonical)), group_id, origin=origin)


def _without_address_group(view: View, rule: Record) -> list[Record]:
    """A rule that names an address group, as one rule for each of the group's prefixes of its kind."""
    named = rule.get("remote_address_group_id")
    if not named:
        return [rule]
    prefixes = (view.get("address_group", named) or {}).get("addresses") or ()
    wanted = 6 if rule["ethertype"] == "IPv6" else 4
    return [{**rule, "remote_ip_prefix": prefix} for prefix in prefixes if version(prefix) == wanted]


def member_rows(view: View, group_address: str) -> Iterator[Row]:
    """The address of a member of a remote group; several members may share it, so it is a scope of its own."""
    group, address = group_address.split(" ")
    if is_prefix(address) or not view.fact(facts.remote_group_here, group):
        return
    ports = view.ids("port", "group_address", group_address)
    if ports:
        yield element("inet", f"members{version(address)}-{group}", address, origin=f"port/{ports[0]}")


def prefix_rows(view: View, group_id: str) -> Iterator[Row]:
    """The prefixes among the addresses of a remote group's members, without overlaps: an interval set refuses them."""
    if not view.fact(facts.remote_group_here, group_id):
        return
    ports = view.by("port", "group_prefixes", group_id)
    prefixes = {prefix for port in ports for prefix in port_addresses(port) if is_prefix(prefix)}
    for number in (4, 6):
        for prefix in collapse(sorted(prefix for prefix in prefixes if version(prefix) == number)):
            yield element("inet", f"prefixes{number}-{group_id}", prefix, origin=f"security_group/{group_id}")


def port_rows(view: View, port: Record, local: bool) -> Iterator[Row]:
    """Who a filtered port is when an established connection is judged again."""
    network = view.fact(facts.network_terms, port["network_id"])
    groups = tuple(sorted(port.get("security_groups") or ()))
    if network is None or not (local or any(view.fact(facts.remote_group_here, group) for group in groups)):
        return
    addresses = port_addresses(port)
    if local:
        addresses.append(link_local(port["mac_address"].lower()))
    prefixes = tuple(str(ipaddress.ip_network(address)) for address in addresses)
    yield row(AclPort(network.zone, prefixes, groups, local), port["id"], origin=f"port/{port['id']}")
