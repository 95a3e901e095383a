"""Quality of service: what the rules of a policy make of the traffic of a port, a floating IP or a gateway.

A port's bandwidth is shaped: what is too much waits in a queue at the port (rows `rate_limit`), since TCP does badly
where it is dropped instead. Packet rates and marks are nft rules, in a chain of the port's own that is found by the
interface. Floating IPs and gateways share an interface, so theirs are rules for addresses: what is too much is dropped.

Directions are the API's: egress is what an instance sends, ingress what it is sent. At the bridge port, which is the
other end of the wire, the first comes in and the second leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kaon.compile import facts, names
from kaon.compile.l3 import ports_of
from kaon.compile.nft import base, chain, element, named_set
from kaon.compile.view import View
from kaon.rows import RateLimit, Row, Rule, row
from kaon.world.world import Record

SUPPORTED = ("bandwidth_limit", "dscp_marking", "packet_rate_limit")
"""The types of rules that rows are made of; the guarantees are for the placement of instances alone."""

OCTETS = 125
"""Bytes in a kilobit."""
_PAUSE = 0.8
"""Seconds of the rate that may go at once where a rule does not say how much, as in Neutron."""
_WAIT = 0.05
"""Seconds that a packet may wait in a queue that is full."""
_TIMER = 0.001
"""Seconds that a queue may be late: a burst that lasts for less would keep it from its rate."""
_SEGMENT = 65536
"""Bytes of the biggest packet that a sender leaves to the network to cut; a queue holds one at least."""
_U32 = 0xFFFFFFFF
_MOST_BYTES = 18_000_000_000
"""Bytes a second, with a burst, the most that nft can count."""
_MOST_PACKETS = 1_000_000_000
"""Packets a second, the most that nft tells from no limit."""

_API = {"egress": "ingress", "ingress": "egress"}
"""Direction at the bridge port -> direction in the API."""


def host_rows(view: View) -> Iterator[Row]:
    """The maps and chains of a host on which some port follows a policy; others' packets are not held up by them."""
    if not (view.any("attachment", "limited_host", view.config.host) or view.any("port", "limited_service", "any")):
        return
    yield named_set("bridge", "qos_egress", "ifname", "verdict")
    yield named_set("bridge", "qos_ingress", "ifname", "verdict")
    # After the source filter (-300), so that forged frames use nothing up; after what security groups drop at forward.
    yield chain("bridge", "qos_prerouting", "iifname vmap @qos_egress", hook=base("prerouting", -290))
    yield chain("bridge", "qos_forward", "oifname vmap @qos_ingress", hook=base("forward", 10))


def rules_of(view: View, policy_id: str | None) -> list[dict[str, Any]]:
    """The rules of a policy that something follows; none without one."""
    policy = view.get("qos_policy", policy_id) if policy_id else None
    return list(policy["rules"]) if policy is not None else []


def port_policy(port: Record) -> str | None:
    """The policy that a port follows: its own, else its network's, which is no matter of Kaon's own ports."""
    own: str | None = port.get("qos_policy_id")
    inherited: str | None = None if facts.is_service(port) else port.get("qos_network_policy_id")
    return own or inherited


def port_rows(view: View, port: Record, device: str) -> Iterator[Row]:
    """What becomes of a port's traffic at its bridge port."""
    rules = rules_of(view, port_policy(port))
    network = view.fact(facts.network_terms, port["network_id"])
    if not rules or network is None:
        return
    origin = f"port/{port['id']}"
    for direction, asked in _API.items():
        rule = _bandwidth(rules, asked)
        if rule is not None:
            via = names.shaper(port) if direction == "ingress" else ""
            yield row(_bucket(rule, network.mtu, via), names.HOST, device, direction, origin=origin)
    for asked in _API:
        texts = [*_packet_limits(rules, asked), *(_marks(rules) if asked == "egress" else ())]
        if texts:
            name = f"qos-{asked}-{port['id']}"
            yield chain("bridge", name, *texts, origin=origin)
            yield element("bridge", f"qos_{asked}", names.quoted(device), f"goto {name}", origin=origin)


def _bandwidth(rules: list[dict[str, Any]], direction: str) -> dict[str, Any] | None:
    """The bandwidth limit of a direction; one of nothing is none."""
    found = (rule for rule in rules if rule["type"] == "bandwidth_limit" and rule["direction"] == direction)
    return next((rule for rule in found if rule["max_kbps"]), None)


def _burst(rule: dict[str, Any]) -> int:
    """The bytes that a bandwidth limit lets go at once."""
    return int(rule["max_burst_kbps"] or rule["max_kbps"] * _PAUSE) * OCTETS


def _bucket(rule: dict[str, Any], mtu: int, via: str) -> RateLimit:
    rate = rule["max_kbps"] * OCTETS
    frame = mtu + 18
    burst = max(_burst(rule), 2 * frame, int(rate * _TIMER))
    queue = max(int(rate * _WAIT), min(burst, _SEGMENT) + 10 * frame)
    return RateLimit(rate, min(burst, _U32), min(queue, _U32), via)


def _packet_limits(rules: list[dict[str, Any]], direction: str) -> Iterator[Rule]:
    for rule in rules:
        if rule["type"] == "packet_rate_limit" and rule["direction"] == direction and rule["max_kpps"]:
            rate = min(rule["max_kpps"] * 1000, _MOST_PACKETS)
            burst = min(int(rule["max_burst_kpps"] * 1000 or rate * _PAUSE), _U32)
            yield Rule(f"limit rate over {rate}/second burst {burst} packets drop", _origin(rule))


def _marks(rules: list[dict[str, Any]]) -> Iterator[Rule]:
    for rule in rules:
        if rule["type"] == "dscp_marking":
            for family in ("ip", "ip6"):
                yield Rule(f"{family} dscp set 0x{rule['dscp_mark']:02x}", _origin(rule))


def _origin(rule: dict[str, Any]) -> str:
    return f"qos_{rule['type']}_rule/{rule['id']}"


# ---------------------------------------------------------------- addresses outside


def gateway_policy(view: View, router_id: str) -> str | None:
    """The policy that a router's gateway follows."""
    found: str | None = ((view.get("router", router_id) or {}).get("external_gateway_info") or {}).get("qos_policy_id")
    return found


def _is_limited(view: View, router_id: str) -> bool:
    """Whether a router's gateway, or one of its floating IPs, follows a policy."""
    return bool(view.fact(gateway_policy, router_id)) or view.any("floatingip", "limited_router", router_id)


def router_rows(view: View, router_id: str) -> Iterator[Row]:
    """The chains through which all goes that comes and leaves by a gateway of which something is limited."""
    router = facts.router_here(view, router_id)
    gateway = None if router is None else ports_of(view, router_id)[1]
    if gateway is None or not _is_limited(view, router_id):
        return
    origin = f"router/{router_id}"
    netns = names.router_netns(router_id)
    outside = names.quoted(names.router_device(gateway))
    rules = rules_of(view, view.fact(gateway_policy, router_id))
    # Where an address is one of outside: after it has been translated to that, and before it is translated back.
    for direction, match, address, hook in (
        ("egress", "oifname", "saddr", base("postrouting", 150)),
        ("ingress", "iifname", "daddr", base("prerouting", -150)),
    ):
        yield named_set("inet", f"qos_{direction}", "ipv4_addr", "verdict", netns=netns, origin=origin)
        texts: list[Rule | str] = [f"{match} != {outside} return", f"ip {address} vmap @qos_{direction}"]
        yield chain(
            "inet", f"qos_{direction}", *texts, *_limits(rules, direction), hook=hook, netns=netns, origin=origin
        )


def floatingip_rows(view: View, floatingip_id: str) -> Iterator[Row]:
    """What limits an associated floating IP; its traffic is no part of its gateway's."""
    floatingip = view.get("floatingip", floatingip_id)
    router_id = (floatingip or {}).get("router_id")
    if floatingip is None or not router_id or facts.router_here(view, router_id) is None:
        return
    if not view.fact(facts.gateway_port, router_id):
        return
    rules = rules_of(view, floatingip.get("qos_policy_id"))
    of_gateway = bool(view.fact(gateway_policy, router_id))
    origin = f"floatingip/{floatingip_id}"
    netns = names.router_netns(router_id)
    address = floatingip["floating_ip_address"]
    for direction in ("egress", "ingress"):
        limits = list(_limits(rules, direction))
        if limits:
            name = f"qos-{direction}-{floatingip_id}"
            yield chain("inet", name, *limits, "accept", netns=netns, origin=origin)
            yield element("inet", f"qos_{direction}", address, f"goto {name}", netns=netns, origin=origin)
        elif of_gateway:
            yield element("inet", f"qos_{direction}", address, "accept", netns=netns, origin=origin)


def _limits(rules: list[dict[str, Any]], direction: str) -> Iterator[Rule]:
    rule = _bandwidth(rules, direction)
    if rule is not None:
        # The kernel lets a second's worth go at once, and the burst on top of it.
        rate = min(rule["max_kbps"] * OCTETS, _MOST_BYTES)
        more = min(max(_burst(rule), _SEGMENT) - rate, _U32, _MOST_BYTES - rate)
        burst = f" burst {more} bytes" if more > 0 else ""
        yield Rule(f"limit rate over {rate} bytes/second{burst} drop", _origin(rule))
    yield from _packet_limits(rules, direction)
