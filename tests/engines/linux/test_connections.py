"""The kernel tells of its connections in two ways: both tell the same, and what either names can be cut."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon.engines.linux import conntrack
from kaon.engines.linux.connections import connections, delete_by_destination, delete_of_address, parse
from kaon.engines.linux.conntrack import Connection
from kaon.engines.linux.libnftables import Nft
from kaon.engines.linux.namespaces import Namespace, Namespaces
from tests import sandbox

TRACKING = """
add table inet t
add chain inet t zones { type filter hook output priority -450; }
add rule inet t zones udp dport 53 ct zone set 7
add chain inet t tracked { type filter hook output priority 0; }
add rule inet t tracked ct state new accept
"""
GRE = (
    "ipv4     2 gre      47 179 timeout=180, stream_timeout=180 src=10.0.0.1 dst=10.0.0.2 srckey=0x0 dstkey=0x1f "
    "[UNREPLIED] src=10.0.0.2 dst=10.0.0.1 srckey=0x1f dstkey=0x0 mark=0 zone=3 use=2"
)
ACCOUNTED = (
    "ipv4     2 tcp      6 431999 ESTABLISHED src=10.0.0.1 dst=192.0.2.9 sport=40000 dport=443 packets=9 bytes=900 "
    "src=192.0.2.9 dst=203.0.113.4 sport=443 dport=40000 packets=7 bytes=700 [ASSURED] mark=0 use=1"
)


@pytest.fixture
def tracked() -> Iterator[Namespace]:
    """A namespace with a connection of each kind: UDP in two zones, TCP, ICMP, each over both families."""
    with sandbox.namespace("tracked"):
        namespaces = Namespaces()
        namespace = namespaces.get("tracked")
        nft = Nft(namespace)
        nft.run(TRACKING)
        with sandbox.inside("tracked"):
            talk(socket.AF_INET, "127.0.0.1", socket.IPPROTO_ICMP, b"\x08\x00\xf7\xfd\x00\x01\x00\x01")
            talk(socket.AF_INET6, "::1", socket.IPPROTO_ICMPV6, b"\x80\x00\x00\x00\x00\x01\x00\x01")
        yield namespace
        nft.close()
        namespaces.close()


def talk(family: int, address: str, icmp: int, echo: bytes) -> None:
    """A datagram to each of two ports, a TCP connection, and a ping."""
    for port in (53, 5353):
        with socket.socket(family, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"?", (address, port))
    with socket.create_server((address, 0), family=family) as server:
        socket.create_connection(server.getsockname()[:2]).close()
    with socket.socket(family, socket.SOCK_RAW, icmp) as ping:
        ping.sendto(echo, (address, 0))


def seen(found: Iterator[Connection]) -> set[tuple[object, ...]]:
    """Connections without their handles, in which ctnetlink has a number as well."""
    return {item[:-1] for item in found}


@pytest.mark.root
@pytest.mark.skipif(not Path("/proc/net/nf_conntrack").exists(), reason="a kernel without /proc/net/nf_conntrack")
def test_the_text_and_the_messages_tell_of_the_same_connections(tracked: Namespace) -> None:
    told = seen(connections(tracked))
    assert told == seen(conntrack.dump(tracked))
    assert {(item[0], item[2]) for item in told} == {(2, 1), (2, 6), (2, 17), (10, 58), (10, 6), (10, 17)}
    assert {item[6] for item in seen(connections(tracked, {7}))} == {53}, "of one zone, only its own"
    assert {item[0] for item in seen(connections(tracked, family=socket.AF_INET6))} == {10}


@pytest.mark.root
@pytest.mark.parametrize("refusal", [FileNotFoundError, PermissionError])
def test_without_the_text_the_messages_tell(
    tracked: Namespace, monkeypatch: pytest.MonkeyPatch, refusal: type[OSError]
) -> None:
    told = seen(connections(tracked))

    def refuse(path: str) -> None:
        raise refusal(path)

    monkeypatch.setattr("builtins.open", refuse)
    assert seen(connections(tracked)) == told


@pytest.mark.root
def test_each_kind_of_connection_can_be_cut_by_what_names_it(tracked: Namespace) -> None:
    before = seen(connections(tracked))
    for item in list(connections(tracked)):
        conntrack.delete(tracked, [item])
        before.discard(item[:-1])
        assert seen(conntrack.dump(tracked)) == before, "this one has gone, and no other"


@pytest.mark.root
def test_the_connections_of_an_address_are_cut_and_those_of_others_are_not(tracked: Namespace) -> None:
    assert delete_of_address(tracked, "::1") == 4
    assert {item.family for item in connections(tracked)} == {socket.AF_INET}


@pytest.mark.root
def test_connections_to_a_port_are_cut_unless_it_is_the_right_one_that_answers(tracked: Namespace) -> None:
    assert delete_by_destination(tracked, {"127.0.0.1 . 17 . 5353": "127.0.0.1", "127.0.0.1 . 6 . 53": ""}) == 0
    assert delete_by_destination(tracked, {"127.0.0.1 . 17 . 53-5352": "10.0.0.9"}) == 1
    assert delete_by_destination(tracked, {"127.0.0.1 . 17 . 5353-5399": ""}) == 1
    left = {(item.family, item.protocol) for item in connections(tracked)}
    assert left == {(socket.AF_INET, 1), (socket.AF_INET, 6), *((socket.AF_INET6, each) for each in (6, 17, 58))}


def test_lines_of_other_forms_are_read_as_well() -> None:
    gre = parse(GRE)
    assert gre is not None and (gre.protocol, gre.source_port, gre.destination_port, gre.zone) == (47, 0, 31, 3)
    counted = parse(ACCOUNTED)
    assert counted is not None
    assert (counted.destination_port, counted.zone) == (443, 0)
    assert counted.answered_to == socket.inet_aton("203.0.113.4"), "the address that SNAT gave it"
    assert parse("something else") is None
