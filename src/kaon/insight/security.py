"""What a port's security groups and its port security say of one packet, by the API's words alone."""

from __future__ import annotations

from typing import Any

from kaon.insight.answer import Change
from kaon.insight.graph import is_service, within
from kaon.insight.packet import CLIENT_PORT, ICMP, ICMPV6, UDP, WITH_PORTS, Packet
from kaon.ip_protocols import NUMBERS
from kaon.world.addresses import port_addresses, port_sources
from kaon.world.world import Record, World

_CONFIGURATION = {
    "egress": {(UDP, 68, 67), (UDP, 546, 547)},
    "ingress": {(UDP, 67, 68), (UDP, 547, 546)},
}
"""Protocol, source and destination port of what needs no rule: an instance asks for its address and is told."""
_SERVERS = {(UDP, 67, 68), (UDP, 547, 546)}
"""What only a DHCP server sends."""


def is_filtered(port: Record) -> bool:
    """Whether port security judges what a port sends and receives."""
    return bool(port.get("port_security_enabled", True)) and not is_service(port)


def groups(port: Record) -> list[str]:
    """The ids of a port's security groups."""
    return sorted(port.get("security_groups") or ())


def is_stateful(world: World, port: Record) -> bool:
    """Whether a port's groups let the answers of admitted connections pass; all of a port's groups are of one kind."""
    first = next(iter(groups(port)), "")
    return bool((world.get("security_group", first) or {}).get("stateful", True))


def may_send_from(port: Record, address: str) -> bool:
    """Whether a filtered port may send from an address with its own MAC address."""
    mac = port["mac_address"].lower()
    return any(source.mac == mac and within(address, source.address) for source in port_sources(port))


def plays_dhcp_server(packet: Packet) -> bool:
    """Whether a packet is one that only a DHCP server sends."""
    return (packet.protocol, packet.source_port, packet.port) in _SERVERS


def is_configuration(packet: Packet, direction: str) -> bool:
    """Whether a packet needs no rule because it asks for, or tells, an address."""
    return (packet.protocol, packet.source_port, packet.port) in _CONFIGURATION[direction]


def admitting_rule(world: World, group_ids: list[str], direction: str, packet: Packet) -> Record | None:
    """The rule of these groups that admits a packet, None when none does."""
    remote = packet.source if direction == "ingress" else packet.destination
    for group in group_ids:
        for rule in world.by("security_group_rule", "security_group_id", group):
            if rule["direction"] == direction and _fits(rule, packet) and _remote_fits(world, rule, remote):
                return rule
    return None


def _fits(rule: Record, packet: Packet) -> bool:
    """Whether a rule's ethertype, protocol and ports fit."""
    if (rule.get("ethertype") or "IPv4") != f"IPv{packet.version}":
        return False
    protocol = _number(rule.get("protocol"))
    if protocol == ICMP and packet.version == 6:
        protocol = ICMPV6
    if protocol == 0:
        return True
    low, high = rule.get("port_range_min"), rule.get("port_range_max")
    if protocol != packet.protocol or low is None:
        return protocol == packet.protocol
    if protocol in WITH_PORTS:
        return int(low) <= packet.port <= int(low if high is None else high)
    # Of ICMP these are type and code; echoes have code 0.
    return protocol not in (ICMP, ICMPV6) or (int(low) == packet.port and high in (None, 0, "0"))


def _number(protocol: object) -> int:
    """A rule's protocol, 0 for any."""
    text = str(protocol or "0").lower()
    return int(text) if text.isdecimal() else NUMBERS.get(text, 0)


def _remote_fits(world: World, rule: Record, remote: str) -> bool:
    if rule.get("remote_ip_prefix"):
        return within(remote, rule["remote_ip_prefix"])
    if rule.get("remote_address_group_id"):
        held = world.get("address_group", rule["remote_address_group_id"]) or {}
        return any(within(remote, each) for each in held.get("addresses") or ())
    if rule.get("remote_group_id"):
        return _is_member(world, rule["remote_group_id"], remote)
    return True


def _is_member(world: World, group: str, address: str) -> bool:
    if world.ids_by("port", "group_address", f"{group} {address}"):
        return True
    wide = world.by("port", "group_prefixes", group)
    return any(within(address, each) for port in wide for each in port_addresses(port))


def missing_rule(world: World, port: Record, direction: str, packet: Packet, *, answer: bool) -> tuple[Change, ...]:
    """The least that makes a port's groups admit a packet: a rule, and a group for it where the port has none.

    `answer`: the packet answers another, to a port that a client chose, so all of the ports are needed from which
    clients choose.
    """
    held = groups(port)
    changes = []
    if not held:
        group = _some_group(world, port)
        if group is None:
            return ()
        held = [group]
        changes.append(
            Change("update", "port", port["id"], {"security_groups": held}, f"give port {port['id']} the group {group}")
        )
        if admitting_rule(world, held, direction, packet) is not None:
            return tuple(changes)
    remote = packet.source if direction == "ingress" else packet.destination
    attributes: dict[str, Any] = {
        "security_group_id": held[0],
        "direction": direction,
        "ethertype": f"IPv{packet.version}",
        "protocol": {ICMP: "icmp", ICMPV6: "ipv6-icmp", 6: "tcp", 17: "udp"}.get(packet.protocol, str(packet.protocol)),
    }
    ports = ""
    if packet.protocol in WITH_PORTS:
        low, high = (1024, 65535) if answer and packet.port == CLIENT_PORT else (packet.port, packet.port)
        attributes |= {"port_range_min": low, "port_range_max": high}
        ports = f" port {low}" if low == high else f" ports {low} to {high}"
    attributes["remote_ip_prefix"] = f"{remote}/{128 if packet.version == 6 else 32}"
    side = "from" if direction == "ingress" else "to"
    text = f"add a rule to group {held[0]}: {direction} {attributes['protocol']}{ports} {side} {remote}"
    return (*changes, Change("create", "security_group_rule", "", attributes, text))


def _some_group(world: World, port: Record) -> str | None:
    """A group that a port of the project may have: its default one, else any."""
    own = [group for group in world.all("security_group") if group.get("project_id") == port.get("project_id")]
    own.sort(key=lambda group: (group.get("name") != "default", group["id"]))
    return own[0]["id"] if own else None
