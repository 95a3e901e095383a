"""Whether policy still admits an established connection: a pure function of the acl rows and the connection.

A connection is judged at the ports of this host that it touches, where the packet filter judged its first packet: the
egress rules of a local source, the ingress rules of a local destination. Rules admit, nothing denies, so one rule
that fits is enough.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kaon.engines.linux.conntrack import Connection
from kaon.rows import AclGroup, AclPort, AclRule

_ETHERTYPE = {2: 4, 10: 6}
_ICMP = frozenset({1, 58})
_BASICS = frozenset({(17, 68, 67), (17, 67, 68), (17, 546, 547), (17, 547, 546)})
"""DHCP and DHCPv6 between an instance and its network's server: the packet filter lets them pass without a rule."""
_WITH_PORTS = frozenset({6, 17, 33, 132, 136})
Prefix = tuple[int, int, int]
"""An address family (AF_INET, AF_INET6), the network as an integer, and how many bits it leaves to hosts."""


@dataclass(slots=True)
class Policy:
    """The acl rows, indexed by what a connection shows: addresses."""

    groups: dict[str, AclGroup]
    ports: dict[str, AclPort]
    _local: dict[tuple[int, int, bytes], list[str]]
    _members: dict[str, Counter[bytes]]
    _wide_members: dict[str, Counter[Prefix]]
    _wide: dict[int, list[tuple[Prefix, str]]]
    _filtered_by: dict[str, set[str]]
    """Group -> local ports that are in it."""

    @classmethod
    def of(cls, groups: Mapping[str, AclGroup], ports: Mapping[str, AclPort]) -> Policy:
        """Index acl rows by group and port id."""
        policy = cls(dict(groups), {}, {}, {}, {}, {}, {})
        for port_id, port in ports.items():
            policy.put_port(port_id, port)
        return policy

    def put_port(self, port_id: str, port: AclPort | None) -> None:
        """Take a port's row in place of the one before, None: no such port any more. Costs its addresses, not all."""
        before = self.ports.pop(port_id, None)
        if before is not None:
            self._index(port_id, before, -1)
        if port is not None:
            self.ports[port_id] = port
            self._index(port_id, port, 1)

    def _index(self, port_id: str, port: AclPort, step: int) -> None:
        for group in port.groups if port.local else ():
            filtered = self._filtered_by.setdefault(group, set())
            filtered.add(port_id) if step > 0 else filtered.discard(port_id)
        for text in port.addresses:
            prefix = _parse(text)
            family, network, host_bits = prefix
            packed = network.to_bytes(4 if family == 2 else 16, "big") if host_bits == 0 else b""
            for group in port.groups:
                if packed:
                    self._members.setdefault(group, Counter())[packed] += step
                else:
                    self._wide_members.setdefault(group, Counter())[prefix] += step
            if not port.local:
                continue
            if packed:
                owners = self._local.setdefault((port.zone, family, packed), [])
                owners.append(port_id) if step > 0 else owners.remove(port_id)
            else:
                wide = self._wide.setdefault(port.zone, [])
                wide.append((prefix, port_id)) if step > 0 else wide.remove((prefix, port_id))

    def local_ports(self, family: int, zone: int, address: bytes) -> list[str]:
        """Ids of the filtered ports of this host that use an address in a zone."""
        found = self._local.get((zone, family, address))
        if found:
            return found
        return [port_id for prefix, port_id in self._wide.get(zone, ()) if _inside(prefix, family, address)]

    def admits(self, connection: Connection) -> bool:
        """Whether every local port that the connection touches still lets it be."""
        if (connection.protocol, connection.source_port, connection.destination_port) in _BASICS:
            return True
        family, zone = connection.family, connection.zone
        for direction, here, there in (
            ("egress", connection.source, connection.destination),
            ("ingress", connection.destination, connection.source),
        ):
            owners = self.local_ports(family, zone, here)
            if owners and not any(self._port_admits(owner, direction, there, connection) for owner in owners):
                return False
        return True

    def _port_admits(self, port_id: str, direction: str, remote: bytes, connection: Connection) -> bool:
        return any(
            rule.direction == direction and rule_fits(rule, connection) and self._remote_fits(rule, connection, remote)
            for group in self.ports[port_id].groups
            if group in self.groups
            for rule in self.groups[group].rules
        )

    def _remote_fits(self, rule: AclRule, connection: Connection, remote: bytes) -> bool:
        if rule.remote_cidr and not _inside(_parse(rule.remote_cidr), connection.family, remote):
            return False
        if not rule.remote_group:
            return True
        if self._members.get(rule.remote_group, _NOBODY)[remote] > 0:
            return True
        wide: Mapping[Prefix, int] = self._wide_members.get(rule.remote_group, {})
        return any(count > 0 and _inside(prefix, connection.family, remote) for prefix, count in wide.items())

    def affected(self, port_ids: Iterable[str], group_ids: Iterable[str], member_of: Iterable[str]) -> set[str]:
        """Local ports whose connections a change may concern.

        The change: of ports, of groups' rules, and of who is a member of the groups `member_of`. It concerns the
        ports themselves, those in the groups, and those in groups with a rule that names one of `member_of`.
        """
        changed, groups, members = set(port_ids), set(group_ids), set(member_of)
        for group_id, group in self.groups.items():
            if any(rule.remote_group in members for rule in group.rules):
                groups.add(group_id)
        found = {port_id for port_id in changed if port_id in self.ports and self.ports[port_id].local}
        return found.union(*(self._filtered_by.get(group, ()) for group in groups))


def rule_fits(rule: AclRule, connection: Connection) -> bool:
    """Whether a rule's ethertype, protocol and ports fit the connection, the remote side left aside."""
    if rule.ethertype != _ETHERTYPE[connection.family]:
        return False
    if rule.protocol < 0:
        return True
    # Either number means the ICMP of the rule's ethertype.
    if connection.protocol != rule.protocol and not (connection.protocol in _ICMP and rule.protocol in _ICMP):
        return False
    if connection.protocol in _ICMP:
        return rule.port_min in (-1, connection.source_port) and rule.port_max in (-1, connection.destination_port)
    if connection.protocol in _WITH_PORTS and rule.port_min >= 0:
        last = rule.port_max if rule.port_max >= 0 else rule.port_min
        return rule.port_min <= connection.destination_port <= last
    return True


_NOBODY: Counter[bytes] = Counter()
_parsed: dict[str, Prefix] = {}


def _parse(prefix: str) -> Prefix:
    found = _parsed.get(prefix)
    if found is None:
        network = ipaddress.ip_network(prefix, strict=False)
        host_bits = network.max_prefixlen - network.prefixlen
        if len(_parsed) > 1 << 16:
            _parsed.clear()
        family = 2 if network.version == 4 else 10
        found = _parsed[prefix] = (family, int(network.network_address) >> host_bits, host_bits)
    return found


def _inside(prefix: Prefix, family: int, address: bytes) -> bool:
    return prefix[0] == family and int.from_bytes(address, "big") >> prefix[2] == prefix[1]
