"""Security-group rules in canonical form and as nft text."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.compile.protocols import canonical_rule, nft_matches
from kaon.ip_protocols import NUMBERS


def texts(with_prefixes: bool = False, **attributes: Any) -> list[str]:
    rule = {"id": "r", "direction": "ingress", "ethertype": "IPv4", **attributes}
    return list(nft_matches(canonical_rule(rule), with_prefixes))


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({}, "meta nfproto ipv4 accept"),
        ({"ethertype": "IPv6", "protocol": "tcp"}, "meta nfproto ipv6 meta l4proto 6 accept"),
        ({"protocol": "any"}, "meta nfproto ipv4 accept"),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}, "meta nfproto ipv4 tcp dport 80 accept"),
        ({"protocol": "17", "port_range_min": 1, "port_range_max": 9}, "meta nfproto ipv4 udp dport 1-9 accept"),
        ({"protocol": "sctp", "port_range_min": 5, "port_range_max": 5}, "meta nfproto ipv4 sctp dport 5 accept"),
        ({"protocol": 112}, "meta nfproto ipv4 meta l4proto 112 accept"),
        ({"protocol": "gre"}, "meta nfproto ipv4 meta l4proto 47 accept"),
        ({"protocol": "icmp"}, "meta nfproto ipv4 meta l4proto 1 accept"),
        ({"protocol": "icmp", "port_range_min": 8}, "meta nfproto ipv4 icmp type 8 accept"),
        (
            {"protocol": "icmp", "port_range_min": 3, "port_range_max": 0},
            "meta nfproto ipv4 icmp type 3 icmp code 0 accept",
        ),
        (
            {"ethertype": "IPv6", "protocol": "icmp", "port_range_min": 128},
            "meta nfproto ipv6 icmpv6 type 128 accept",
        ),
        ({"remote_ip_prefix": "0.0.0.0/0"}, "meta nfproto ipv4 accept"),
        ({"remote_ip_prefix": "192.0.2.7/24", "direction": "egress"}, "ip daddr 192.0.2.0/24 accept"),
        ({"remote_ip_prefix": "192.0.2.7"}, "ip saddr 192.0.2.7 accept"),
        ({"ethertype": "IPv6", "remote_ip_prefix": "FD00::/8"}, "ip6 saddr fd00::/8 accept"),
        ({"remote_group_id": "g", "protocol": "udp"}, "ip saddr @members4-g meta l4proto 17 accept"),
    ],
)
def test_a_rule_is_one_nft_rule(attributes: dict[str, Any], text: str) -> None:
    assert texts(**attributes) == [text]


def test_a_remote_group_with_prefixes_is_looked_up_in_both_sets() -> None:
    assert texts(with_prefixes=True, remote_group_id="g") == [
        "ip saddr @members4-g accept",
        "ip saddr @prefixes4-g accept",
    ]


def test_icmp_type_and_code_travel_in_the_ports_of_the_canonical_form() -> None:
    rule = canonical_rule(
        {"id": "r", "direction": "egress", "ethertype": "IPv4", "protocol": "icmp", "port_range_min": 8}
    )
    assert (rule.protocol, rule.port_min, rule.port_max) == (1, 8, -1)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(ValueError, match="protocol 'quark'"):
        canonical_rule({"id": "r", "direction": "ingress", "ethertype": "IPv4", "protocol": "quark"})


@pytest.mark.parametrize("name", sorted(NUMBERS))
def test_every_protocol_that_the_api_takes_compiles(name: str) -> None:
    (text,) = texts(protocol=name, ethertype="IPv6")
    assert text == "meta nfproto ipv6 accept" if not NUMBERS[name] else "meta l4proto" in text
