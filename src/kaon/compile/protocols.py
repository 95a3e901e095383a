"""Security-group rules in canonical form, and as nft text."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kaon.ip_protocols import NUMBERS
from kaon.rows import AclRule
from kaon.world.world import Record

_WITH_PORTS = {6: "tcp", 17: "udp", 33: "dccp", 132: "sctp", 136: "udplite"}


def canonical_rule(rule: Record) -> AclRule:
    """A security-group rule with numbers for names; raises ValueError for a protocol that is neither."""
    ethertype = 6 if str(rule.get("ethertype") or "IPv4").lower() == "ipv6" else 4
    protocol = _number(rule.get("protocol"), ethertype)
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    if protocol in (1, 58):
        ports = (-1 if low is None else int(low), -1 if high is None else int(high))
    elif protocol in _WITH_PORTS and low is not None:
        ports = (int(low), int(low if high is None else high))
    else:
        ports = (-1, -1)
    prefix = rule.get("remote_ip_prefix") or ""
    if prefix:
        network = ipaddress.ip_network(prefix, strict=False)
        prefix = str(network) if network.prefixlen else ""
    return AclRule(
        rule["id"], rule["direction"], ethertype, protocol, *ports, prefix, rule.get("remote_group_id") or ""
    )


def _number(protocol: object, ethertype: int) -> int:
    text = str(protocol or "any").lower()
    number = int(text) if text.isdecimal() else NUMBERS.get(text, 0 if text == "any" else None)
    if number is None:
        raise ValueError(f"security group rule has protocol {protocol!r}: use a number or one of {sorted(NUMBERS)}")
    if number == 0:
        return -1
    # ICMP in an IPv6 rule has always meant ICMPv6.
    return 58 if number == 1 and ethertype == 6 else number


def nft_matches(rule: AclRule, with_prefixes: bool) -> Iterator[str]:
    """The nft rules (match and verdict) for a rule; two when its remote group has prefixes as members."""
    protocol = "".join(f" {part}" for part in _protocol(rule))
    family = "ip6" if rule.ethertype == 6 else "ip"
    side = "saddr" if rule.direction == "ingress" else "daddr"
    if rule.remote_group:
        yield f"{family} {side} @members{rule.ethertype}-{rule.remote_group}{protocol} accept"
        if with_prefixes:
            yield f"{family} {side} @prefixes{rule.ethertype}-{rule.remote_group}{protocol} accept"
    elif rule.remote_cidr:
        address, _, length = rule.remote_cidr.partition("/")
        single = int(length) == (128 if rule.ethertype == 6 else 32)
        yield f"{family} {side} {address if single else rule.remote_cidr}{protocol} accept"
    else:
        yield f"meta nfproto ipv{rule.ethertype}{protocol} accept"


def _protocol(rule: AclRule) -> Iterator[str]:
    if rule.protocol < 0:
        return
    low, high = rule.port_min, rule.port_max
    if rule.protocol in (1, 58) and low >= 0:
        name = "icmp" if rule.protocol == 1 else "icmpv6"
        yield f"{name} type {low}"
        if high >= 0:
            yield f"{name} code {high}"
    elif rule.protocol in _WITH_PORTS and low >= 0:
        yield f"{_WITH_PORTS[rule.protocol]} dport {low if low == high else f'{low}-{high}'}"
    else:
        yield f"meta l4proto {rule.protocol}"
