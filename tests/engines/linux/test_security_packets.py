"""Stateful security on two bridges with the same addresses, told in rows and decided by packets."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from kaon.converge.loop import Converger
from kaon.engines.linux.connections import connections
from kaon.engines.linux.engine import LinuxEngine
from kaon.engines.linux.namespaces import Namespaces
from kaon.rows import (
    AclGroup,
    AclPort,
    AclRule,
    Address,
    Bridge,
    Chain,
    Element,
    Netns,
    Row,
    Rule,
    Set,
    Sysctl,
    Veth,
    row,
)
from tests.sandbox import connect, connects, listen, namespace, passes, ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

HOSTS = ("a1", "a2", "b1", "b2")
NETS = {"a": 11, "b": 12}
SSH = AclRule("ssh", "ingress", 4, 6, 22, 22)
WEB = AclRule("web", "ingress", 4, 6, 80, 80)
ANY_OUT = AclRule("out", "egress", 4)
SG = ("", "inet", "kaon")


def network() -> Iterator[Row]:
    """Two networks, two ports each; the second port of each admits what the chain `in` says."""
    yield row(Sysctl(value="0"), "", "net/netfilter/nf_conntrack_tcp_loose")
    for net, zone in NETS.items():
        yield row(Bridge(mtu=1500), "", f"kbr{net}", origin=f"network/{net}")
        yield row(Element(data=str(zone)), *SG, "zones", f'"kbr{net}"')
        for n in (1, 2):
            mac = f"02:00:00:00:0{zone - 10}:0{n}"
            link = Veth(f"{net}{n}", "eth0", mac, 1500, master=f"kbr{net}", peer_owned=False)
            yield row(link, "", f"kp{net}{n}", origin=f"port/{net}{n}")
            groups = ("servers",) if n == 2 else ("clients",)
            yield row(AclPort(zone, (f"10.3.0.{n}/32",), groups), f"port-{net}{n}")
            yield row(Element(data=str(n)), "", "bridge", "kaon", "marks", f'"kp{net}{n}"')
    yield row(AclGroup((ANY_OUT,)), "clients")
    yield row(Set("ifname", "mark"), "", "bridge", "kaon", "marks")
    mark = Rule("meta mark set iifname map @marks")
    yield row(Chain("type filter hook prerouting priority -300;", (mark,)), "", "bridge", "kaon", "marking")
    yield row(Set("typeof iifname", "ct zone"), *SG, "zones")
    yield row(
        Chain("type filter hook prerouting priority raw;", (Rule("ct zone set iifname map @zones"),)), *SG, "zone"
    )
    rules = (
        Rule("ct state established,related accept"),
        Rule("ct state invalid drop"),
        Rule("icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept"),
        Rule("meta mark 1 accept", "port/clients"),
        Rule("meta mark 2 ip protocol icmp drop"),
    )
    yield row(Chain("type filter hook forward priority 0; policy drop;", rules), *SG, "forward")


def admit(*rules: AclRule) -> list[Row]:
    """What servers admit: in the filter, and as policy."""
    texts = tuple(
        Rule(f"meta mark 1 tcp dport {rule.port_min} accept", f"security_group_rule/{rule.id}") for rule in rules
    )
    forward = next(item for item in network() if item.id.key[-1] == "forward")
    assert isinstance(forward.value, Chain)
    head = tuple(rule for rule in forward.value.rules if not rule.text.startswith("meta mark 1 accept"))
    ping = Rule("meta mark 1 ip protocol icmp accept")
    chain = Chain(forward.value.hook, (*head, ping, *texts))
    return [Row(forward.id, chain), row(AclGroup((ANY_OUT, *rules)), "servers")]


@pytest.fixture
def net() -> Iterator[Converger]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(namespace(*HOSTS))
        engine = LinuxEngine()
        converger = Converger(engine)
        try:
            converger.take_snapshot(1, network())
            assert converger.converge().failed == ()
            for host in HOSTS:
                address(host, f"10.3.0.{host[1]}/24", f"fd03::{host[1]}/64")
            yield converger
        finally:
            converger.take_snapshot(2, [])
            converger.converge(audit=True)
            engine.close()


def address(host: str, *cidrs: str) -> None:
    """Give an instance its addresses, from inside, as its own operator would."""
    import subprocess

    from tests.sandbox import inside

    with inside(host):
        for cidr in cidrs:
            subprocess.run(["ip", "addr", "add", cidr, "dev", "eth0", *(["nodad"] if ":" in cidr else [])], check=True)


def test_in_two_zones_with_the_same_addresses_the_client_reaches_the_server_and_not_the_other_way(
    net: Converger,
) -> None:
    for name in NETS:
        assert ping(f"{name}1", "10.3.0.2", 3)
        assert ping(f"{name}1", "fd03::2", 3)
        assert not ping(f"{name}2", "10.3.0.1", 0.5)
        assert not ping(f"{name}2", "fd03::1", 0.5)
    zones = {item.zone for item in connections(Namespaces().get(""))}
    assert zones >= set(NETS.values())


def test_a_revoked_connection_is_cut_while_one_that_another_rule_admits_survives(net: Converger) -> None:
    net.take_delta(3, admit(SSH, WEB))
    assert net.converge().failed == ()
    streams = {}
    for port in (22, 80):
        server = listen("a2", "10.3.0.2", port)
        client = connect("a1", "10.3.0.2", port)
        streams[port] = client, server.accept()[0], server
        assert passes(client, streams[port][1])
    other_server = listen("b2", "10.3.0.2", 80)
    other = connect("b1", "10.3.0.2", 80)
    other_end = other_server.accept()[0]

    net.take_delta(4, admit(SSH))
    assert net.converge().failed == ()
    assert passes(streams[22][0], streams[22][1]), "still admitted"
    assert not passes(streams[80][0], streams[80][1], 0.6), "cut"
    assert not passes(streams[80][1], streams[80][0], 0.6), "in both directions"
    assert not passes(other, other_end, 0.4), "the same rule held in the other zone"

    net.take_delta(5, admit(SSH, WEB))
    assert net.converge().failed == ()
    until(lambda: connects("a1", "10.3.0.2", 80), 3, "a new connection is admitted at once")
    for client, end, server in [*streams.values(), (other, other_end, other_server)]:
        client.close()
        end.close()
        server.close()


def test_a_change_that_takes_nothing_away_cuts_nothing(net: Converger) -> None:
    net.take_delta(3, admit(SSH))
    assert net.converge().failed == ()
    server = listen("a2", "10.3.0.2", 22)
    client = connect("a1", "10.3.0.2", 22)
    end = server.accept()[0]
    net.take_delta(4, admit(SSH, WEB))
    assert net.converge().failed == ()
    assert passes(client, end)
    fresh = LinuxEngine()
    restarted = Converger(fresh)
    restarted.take_snapshot(4, net.delta.desired.values())
    assert restarted.converge().failed == ()
    assert fresh.writes == 0
    assert passes(client, end), "a restarted agent cuts nothing that policy admits"
    fresh.close()
    for one in (client, end, server):
        one.close()


def test_connections_of_an_exclusive_address_end_when_it_goes() -> None:
    engine = LinuxEngine()
    with namespace("outside"):
        converger = Converger(engine)
        floating = row(
            Address(announce=True, exclusive=True), "kaon-r9", "qg", "198.51.100.7/32", origin="floatingip/f"
        )
        rows = [
            row(Netns(), "kaon-r9"),
            row(Bridge(mtu=1500), "", "kbrx"),
            row(Veth("outside", "eth0", "02:00:00:00:09:01", 1500, master="kbrx", peer_owned=False), "", "kx1"),
            row(Veth("kaon-r9", "qg", "02:00:00:00:09:02", 1500, master="kbrx"), "", "kx2"),
            row(Address(), "kaon-r9", "qg", "198.51.100.1/24"),
            row(
                Chain("type filter hook input priority 0;", (Rule("ct state new accept"),)),
                "kaon-r9",
                "ip",
                "kaon",
                "track",
            ),
            floating,
        ]
        converger.take_snapshot(1, rows)
        assert converger.converge().failed == ()
        address("outside", "198.51.100.9/24")
        server = listen("kaon-r9", "0.0.0.0", 80)
        streams = [(connect("outside", f"198.51.100.{n}", 80), server.accept()[0]) for n in (1, 7)]
        names = Namespaces()

        def tracked() -> set[bytes]:
            return {item.destination for item in connections(names.get("kaon-r9")) if item.protocol == 6}

        assert tracked() == {bytes([198, 51, 100, 1]), bytes([198, 51, 100, 7])}
        converger.take_delta(2, delete=[floating.id])
        assert converger.converge().failed == ()
        assert tracked() == {bytes([198, 51, 100, 1])}
        assert passes(*streams[0])
        for one in (*streams[0], *streams[1], server):
            one.close()
        names.close()
        converger.take_snapshot(3, [])
        assert converger.converge().failed == ()
    engine.close()
