"""Security groups: nothing comes in that no rule admits, and what a rule admits passes at once."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

from tests import sandbox
from tests.packets.frames import ICMP, IP, UDP, Ether, ICMPv6EchoRequest, IPv6, Raw, arrives
from tests.packets.lab import Machine, Network, Project
from tests.sandbox import connects, ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

CIDRS = ("10.0.0.0/24", "fd00:1::/64")


@pytest.fixture
def network(project: Project) -> Network:
    return project.network(*CIDRS)


def packet(source: Machine, target: Machine, body: Any, version: int = 4) -> Any:
    """A frame from one machine to another one with this content."""
    frame = Ether(src=source.mac, dst=target.mac)
    if version == 4:
        return frame / IP(src=source.ipv4, dst=target.ipv4) / body
    return frame / IPv6(src=source.ipv6, dst=target.ipv6) / body


def protocol(source: Machine, target: Machine, number: int) -> Any:
    """A frame of an IP protocol that has no ports known to anybody here."""
    # Zeros are a valid GRE header (RFC 2784), and nothing in particular for others.
    return Ether(src=source.mac, dst=target.mac) / IP(src=source.ipv4, dst=target.ipv4, proto=number) / Raw(bytes(40))


def udp(source: Machine, target: Machine, port: int, version: int = 4) -> Any:
    """A datagram."""
    return packet(source, target, UDP(sport=5353, dport=port) / Raw(b"hello"), version)


def test_nothing_comes_in_by_default_and_answers_do(project: Project, network: Network) -> None:
    closed, open_one = project.machine(network, project.group()), project.machine(network, project.open())
    for to, back in ((closed.ipv4, open_one.ipv4), (closed.ipv6, open_one.ipv6)):
        assert not ping(open_one.netns, to, 0.3)
        with sandbox.listen(closed.netns, to, 8080), sandbox.listen(open_one.netns, back, 8080):
            assert not connects(open_one.netns, to, 8080, 0.3)
            # What the closed machine starts itself is answered.
            assert connects(closed.netns, back, 8080)
        assert ping(closed.netns, back)


def test_a_port_without_groups_neither_sends_nor_hears(project: Project, network: Network) -> None:
    mute, other = project.machine(network), project.machine(network, project.open())
    for target in other.addresses:
        assert not ping(mute.netns, target, 0.3)
    for target in mute.addresses:
        assert not ping(other.netns, target, 0.3)
    project.cloud.update("ports", mute.id, security_groups=[project.open()["id"]])
    assert ping(mute.netns, other.ipv4, 3)


def test_a_port_without_port_security_is_not_filtered(project: Project, network: Network) -> None:
    free = project.machine(network, port_security_enabled=False)
    other = project.machine(network, project.open())
    for target in free.addresses:
        assert ping(other.netns, target)
    # Not even its sources are judged.
    disguised = Ether(src="02:00:00:00:00:09", dst=other.mac) / IP(src="10.0.0.77", dst=other.ipv4) / ICMP()
    assert arrives(disguised, free, other)
    group = project.group()
    project.cloud.update("ports", free.id, port_security_enabled=True, security_groups=[group["id"]])
    until(lambda: not ping(other.netns, free.ipv4, 0.2), what="the filter is on")
    assert not arrives(disguised, free, other)


def test_a_rule_for_an_icmp_type_admits_that_type_and_code_only(project: Project, network: Network) -> None:
    group = project.group(
        {"protocol": "icmp", "port_range_min": 8, "port_range_max": 0},
        {"protocol": "icmp", "port_range_min": 13},
        {"protocol": "ipv6-icmp", "ethertype": "IPv6", "port_range_min": 128},
    )
    target, source = project.machine(network, group), project.machine(network, project.open())

    def passes(kind: int, code: int) -> bool:
        return arrives(packet(source, target, ICMP(type=kind, code=code, id=kind * 256 + code)), source, target)

    assert passes(8, 0)
    assert not passes(8, 1)
    assert passes(13, 0)
    assert passes(13, 5)
    assert not passes(17, 0)
    assert arrives(packet(source, target, ICMPv6EchoRequest(id=7), 6), source, target)
    assert not arrives(packet(source, target, ICMPv6EchoRequest(type=139, id=8), 6), source, target)


@pytest.mark.parametrize("version", [4, 6])
def test_a_rule_for_a_range_of_ports_ends_where_it_says(project: Project, network: Network, version: int) -> None:
    ethertype = f"IPv{version}"
    group = project.group(
        {"protocol": "tcp", "ethertype": ethertype, "port_range_min": 8000, "port_range_max": 8002},
        {"protocol": "udp", "ethertype": ethertype, "port_range_min": 53, "port_range_max": 53},
    )
    target, source = project.machine(network, group), project.machine(network, project.open())
    address = target.ipv4 if version == 4 else target.ipv6
    for port, expected in ((7999, False), (8000, True), (8002, True), (8003, False), (53, False)):
        with sandbox.listen(target.netns, address, port):
            assert connects(source.netns, address, port, 1.0 if expected else 0.3) is expected, port
    assert arrives(udp(source, target, 53, version), source, target)
    assert not arrives(udp(source, target, 54, version), source, target)
    assert not arrives(udp(source, target, 8000, version), source, target)
    # The other version of IP has no rule at all.
    assert not arrives(udp(source, target, 53, 10 - version), source, target)


@pytest.mark.parametrize(("name", "number"), [("gre", 47), ("vrrp", 112), ("99", 99)])
def test_a_rule_for_any_other_protocol_admits_that_one(
    project: Project, network: Network, name: str, number: int
) -> None:
    target = project.machine(network, project.group({"protocol": name}))
    source = project.machine(network, project.open())
    assert arrives(protocol(source, target, number), source, target)
    assert not arrives(protocol(source, target, 98), source, target)


def test_a_rule_for_sctp_ports_admits_these(project: Project, network: Network) -> None:
    target = project.machine(
        network, project.group({"protocol": "sctp", "port_range_min": 5000, "port_range_max": 5001})
    )
    source = project.machine(network, project.open())

    def initiation(port: int) -> Any:
        # RFC 9260, 3.3.2: common header with tag 0, then an INIT chunk. The checksum is for the receiver to judge.
        header = (4000).to_bytes(2) + port.to_bytes(2) + bytes(4) + bytes(4)
        chunk = bytes((1, 0, 0, 20)) + bytes((0, 0, 0, port & 255 or 1)) + bytes((0, 1, 0, 0, 0, 1, 0, 1)) + bytes(4)
        checksum = _crc32c(header + chunk).to_bytes(4, "little")
        body = Raw(header[:8] + checksum + chunk)
        return Ether(src=source.mac, dst=target.mac) / IP(src=source.ipv4, dst=target.ipv4, proto=132) / body

    assert arrives(initiation(5001), source, target)
    assert not arrives(initiation(5002), source, target)


def _crc32c(data: bytes) -> int:
    """The checksum of SCTP (RFC 9260, appendix A)."""
    crc = 0xFFFFFFFF
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_members_of_a_remote_group_are_admitted_as_they_come_and_go(project: Project, network: Network) -> None:
    friends, inner = project.group(), project.group()
    for ethertype, icmp in (("IPv4", "icmp"), ("IPv6", "ipv6-icmp")):
        project.rule(inner, ethertype=ethertype, protocol=icmp, remote_group_id=friends["id"])
    target = project.machine(network, inner)
    friend, stranger = project.machine(network, friends), project.machine(network, project.group())
    for address in target.addresses:
        assert ping(friend.netns, address)
        assert not ping(stranger.netns, address, 0.3)
    project.cloud.update("ports", stranger.id, security_groups=[friends["id"]])
    for address in target.addresses:
        assert ping(stranger.netns, address, 3)
    project.cloud.update("ports", friend.id, security_groups=[project.group()["id"]])
    for address in target.addresses:
        until(lambda address=address: not ping(friend.netns, address, 0.2), what="who left is out")  # type: ignore[misc]
    project.cloud.delete("ports", stranger.id)
    newcomer = project.machine(network, friends)
    for address in target.addresses:
        assert ping(newcomer.netns, address)


def test_a_rule_for_a_prefix_admits_from_there_only(project: Project, network: Network) -> None:
    near, far = "10.0.0.16/28", "fd00:1::ff00/120"
    group = project.group(
        {"remote_ip_prefix": near, "protocol": "icmp"},
        {"remote_ip_prefix": far, "ethertype": "IPv6", "protocol": "ipv6-icmp"},
    )
    target = project.machine(network, group)
    # Fixed addresses of any choice are for subnets without SLAAC, so IPv6 sources are allowed address pairs here.
    pairs = [{"ip_address": "fd00:1::ff01"}, {"ip_address": "fd00:1::fe01"}]
    inside = [{"subnet_id": network.subnets[0]["id"], "ip_address": "10.0.0.17"}]
    beside = [{"subnet_id": network.subnets[0]["id"], "ip_address": "10.0.0.33"}]
    one = project.machine(network, project.open(), fixed_ips=inside, allowed_address_pairs=pairs)
    two = project.machine(network, project.open(), fixed_ips=beside)
    assert ping(one.netns, target.ipv4)
    assert not ping(two.netns, target.ipv4, 0.3)
    for source, expected in (("fd00:1::ff01", True), ("fd00:1::fe01", False)):
        echo = Ether(src=one.mac, dst=target.mac) / IPv6(src=source, dst=target.ipv6) / ICMPv6EchoRequest(id=9)
        assert arrives(echo, one, target) is expected, source


def test_rules_of_one_ip_version_say_nothing_of_the_other(project: Project, network: Network) -> None:
    four = project.machine(network, project.group({"ethertype": "IPv4"}))
    six = project.machine(network, project.group({"ethertype": "IPv6"}))
    source = project.machine(network, project.open())
    assert ping(source.netns, four.ipv4)
    assert not ping(source.netns, four.ipv6, 0.3)
    assert not ping(source.netns, six.ipv4, 0.3)
    assert ping(source.netns, six.ipv6)


def test_without_egress_rules_nothing_leaves(project: Project, network: Network) -> None:
    quiet, other = project.group(egress=False), project.open()
    source, target = project.machine(network, quiet), project.machine(network, other)
    seen = target.capture()
    for address in target.addresses:
        assert not ping(source.netns, address, 0.3)
    assert not arrives(udp(source, target, 53), source, target)
    foreign = bytes.fromhex(source.mac.replace(":", ""))
    leaked = [frame for frame in seen.frames() if frame[6:12] == foreign]
    seen.close()
    assert [frame.hex() for frame in leaked if not _configures_addresses(frame)] == []
    project.rule(quiet, direction="egress", protocol="udp", port_range_min=53, port_range_max=53)
    until(lambda: arrives(udp(source, target, 53), source, target), what="the rule lets it out")
    assert not arrives(udp(source, target, 54), source, target)


def _configures_addresses(frame: bytes) -> bool:
    """ARP, neighbour discovery (ICMPv6 133 to 136), and multicast listener reports (behind a hop-by-hop header)."""
    return frame[12:14] == b"\x08\x06" or frame[20] == 0 or (frame[20] == 58 and frame[54] in (133, 135, 136))


def test_a_port_has_the_rules_of_all_of_its_groups(project: Project, network: Network) -> None:
    web = project.group({"protocol": "tcp", "port_range_min": 80, "port_range_max": 80})
    target, source = project.machine(network, web, project.pings()), project.machine(network, project.open())
    assert ping(source.netns, target.ipv4)
    with sandbox.listen(target.netns, target.ipv4, 80), sandbox.listen(target.netns, target.ipv4, 81):
        assert connects(source.netns, target.ipv4, 80)
        assert not connects(source.netns, target.ipv4, 81, 0.3)
        project.cloud.update("ports", target.id, security_groups=[web["id"]])
        until(lambda: not ping(source.netns, target.ipv4, 0.2), what="pings are refused")
        assert connects(source.netns, target.ipv4, 80)


def connected(source: Machine, target: Machine, address: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection that is established."""
    with closing(sandbox.listen(target.netns, address, port)) as listener:
        client = sandbox.connect(source.netns, address, port)
        return client, listener.accept()[0]


@pytest.mark.parametrize("version", [4, 6])
def test_the_end_of_a_rule_is_the_end_of_what_it_admitted(project: Project, network: Network, version: int) -> None:
    group = project.group()
    rules = [
        project.rule(group, ethertype=f"IPv{version}", protocol="tcp", port_range_min=port, port_range_max=port)
        for port in (80, 81)
    ]
    target, source = project.machine(network, group), project.machine(network, project.open())
    address = target.ipv4 if version == 4 else target.ipv6
    cut, kept = (connected(source, target, address, port) for port in (80, 81))
    assert sandbox.passes(*cut)
    assert sandbox.passes(*kept)
    project.cloud.delete("security_group_rules", rules[0]["id"])
    until(lambda: not sandbox.passes(*cut, 0.1), what="the connection is cut")
    # Not from the other side either.
    assert not sandbox.passes(cut[1], cut[0], 0.3)
    assert sandbox.passes(*kept)
    assert sandbox.passes(kept[1], kept[0])
    for end in (*cut, *kept):
        end.close()


def test_who_leaves_a_remote_group_loses_open_connections(project: Project, network: Network) -> None:
    friends, web = project.group(), project.group()
    project.rule(web, protocol="tcp", port_range_min=80, port_range_max=80, remote_group_id=friends["id"])
    target = project.machine(network, web)
    leaver, stayer = (project.machine(network, friends) for _ in range(2))
    cut, kept = (connected(each, target, target.ipv4, 80) for each in (leaver, stayer))
    project.cloud.update("ports", leaver.id, security_groups=[project.group()["id"]])
    until(lambda: not sandbox.passes(*cut, 0.1), what="the connection of who left is cut")
    assert sandbox.passes(*kept)
    for end in (*cut, *kept):
        end.close()


def test_another_group_on_a_port_takes_effect_at_once(project: Project, network: Network) -> None:
    before, after = (
        project.group({"protocol": "tcp", "port_range_min": port, "port_range_max": port}) for port in (80, 81)
    )
    target, source = project.machine(network, before), project.machine(network, project.open())
    pair = connected(source, target, target.ipv4, 80)
    with sandbox.listen(target.netns, target.ipv4, 81):
        assert not connects(source.netns, target.ipv4, 81, 0.3)
        project.cloud.update("ports", target.id, security_groups=[after["id"]])
        assert connects(source.netns, target.ipv4, 81, 3)
    until(lambda: not sandbox.passes(*pair, 0.1), what="the old group's connection is cut")
    for end in pair:
        end.close()
