"""The linux engine on a real kernel: what is made reads back equal, and damage is repaired."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon.converge.loop import Converger
from kaon.engines.base import Operation
from kaon.engines.linux.connections import connections
from kaon.engines.linux.engine import LinuxEngine
from kaon.engines.linux.namespaces import Namespaces
from kaon.rows import (
    Address,
    Bridge,
    Chain,
    ConntrackHelper,
    Element,
    Member,
    NeighbourProxy,
    Netns,
    Route,
    Row,
    Rule,
    Set,
    Sysctl,
    Tap,
    Veth,
    row,
)
from tests.sandbox import Capture, inside, make_namespace, remove_namespace

pytestmark = [pytest.mark.root, pytest.mark.slow]

TAPS = os.access("/dev/net/tun", os.R_OK | os.W_OK)
"""Whether taps can be made: an ordinary user can where the machine lets all open the device, as Debian does."""
ROUTER = "kaon-r1"
NFT = ("", "inet", "kaon")
ROWS = [
    row(Netns(), ROUTER, origin="router/r1"),
    row(Bridge(mtu=1450), "", "kbr1", origin="network/n1"),
    row(
        Veth(
            peer_netns="tenant",
            peer_name="eth0",
            peer_mac="02:00:00:00:00:01",
            mtu=1450,
            master="kbr1",
            peer_owned=False,
        ),
        "",
        "kp1",
        origin="port/p1",
    ),
    row(
        Veth(peer_netns=ROUTER, peer_name="qr1", peer_mac="02:00:00:00:00:02", mtu=1450, master="kbr1"),
        "",
        "kp2",
        origin="port/p2",
    ),
    *([row(Tap(mtu=1450, master="kbr1"), "", "ktap1", origin="port/p3")] if TAPS else []),
    row(Address(announce=True, exclusive=True), ROUTER, "qr1", "10.0.0.1/24", origin="port/p2"),
    row(Address(), ROUTER, "qr1", "FD00:0::1/64", origin="port/p2"),
    row(Route(via="10.0.0.254"), ROUTER, "0.0.0.0/0", origin="router/r1"),
    row(Route(via="fe80::1", dev="qr1"), ROUTER, "::/0", origin="router/r1"),
    row(Route(dev="qr1"), ROUTER, "192.0.2.0/24", origin="router/r1"),
    row(Route("10.0.0.9", more=("10.0.0.253", "10.0.0.8")), ROUTER, "198.51.101.0/24", origin="router/r1"),
    row(Route("fd00::0:9", more=("fd00::8",)), ROUTER, "2001:db8::/64", origin="router/r1"),
    row(NeighbourProxy(), ROUTER, "qr1", "fd00:1::9", origin="ndp_proxy/n1"),
    row(Sysctl(value="1"), ROUTER, "net/ipv4/ip_forward", origin="router/r1"),
    row(Sysctl(value="2"), ROUTER, "net/ipv4/conf/qr1/rp_filter", origin="port/p2"),
    row(Set(key_type="ifname . ether_addr . ipv4_addr", flags=("interval",)), *NFT, "allowed", origin="network/n1"),
    row(Set(key_type="ifname . inet_proto . inet_service", data_type="verdict", flags=("interval",)), *NFT, "dispatch"),
    row(Set(key_type="typeof iifname", data_type="mark"), *NFT, "zones"),
    row(Element(), *NFT, "allowed", '"kp1" . 02:00:00:00:00:01 . 10.0.0.5/32', origin="port/p1"),
    row(Element(), *NFT, "allowed", '"kp1" . 02:00:00:00:00:01 . 10.1.0.0/24', origin="port/p1"),
    row(Element(data="jump group"), *NFT, "dispatch", '"kp1" . tcp . 80-90', origin="port/p1"),
    row(Element(data="0x0000000b"), *NFT, "zones", '"kbr1"', origin="network/n1"),
    row(Set("ipv4_addr . inet_proto . inet_service", "ipv4_addr . inet_service", ("interval",)), *NFT, "forwarded"),
    row(Element("10.0.0.5 . 80", True), *NFT, "forwarded", "203.0.113.5 . tcp . 8000-8010", origin="port_forwarding/1"),
    row(ConntrackHelper("ftp", "tcp"), *NFT, "helper-1", origin="conntrack_helper/h1"),
    row(Chain(rules=(Rule('tcp dport 21 ct helper set "helper-1"'),)), *NFT, "helped", origin="conntrack_helper/h1"),
    row(
        Chain(
            hook="type filter hook forward priority filter; policy accept;",
            rules=(
                Rule("ct state established,related accept"),
                Rule("iifname . meta l4proto . th dport vmap @dispatch", "network/n1"),
                Rule('iifname "kp1" drop', "port/p1"),
            ),
        ),
        *NFT,
        "forward",
    ),
    row(
        Chain(rules=(Rule("tcp dport 80 accept", "security_group_rule/s1"),)), *NFT, "group", origin="security_group/g1"
    ),
    row(Chain(hook="type nat hook postrouting priority srcnat; policy accept;"), ROUTER, "ip", "kaon", "post"),
]
CHAIN = next(item for item in ROWS if item.id.key[-1] == "forward")


def sh(command: str, netns: str = "") -> str:
    """What an operator types, in a namespace."""
    with inside(netns) if netns else contextlib.nullcontext():
        done = subprocess.run(
            command.split("\0") if "\0" in command else command.split(), capture_output=True, text=True, check=True
        )
    return done.stdout


@pytest.fixture
def engine() -> Iterator[LinuxEngine]:
    make_namespace("tenant")
    made = LinuxEngine()
    try:
        yield made
    finally:
        cleaner = Converger(made)
        cleaner.take_snapshot(0, [])
        cleaner.converge(audit=True)
        made.close()
        remove_namespace("tenant")


@pytest.fixture
def built(engine: LinuxEngine) -> tuple[LinuxEngine, Converger]:
    converger = Converger(engine, audit_seconds=3600)
    converger.take_snapshot(1, ROWS)
    assert converger.converge().failed == ()
    return engine, converger


def settle(converger: Converger, seconds: float = 2.0) -> None:
    """Pass on the engine's notices alone until damage has been repaired and no more notices come for a while."""
    deadline = time.monotonic() + seconds
    repaired = 0
    while time.monotonic() < deadline:
        more = select.select([converger._engine.fileno()], [], [], 0.25)[0]
        if not more and repaired and not converger.delta.pending:
            return
        repaired += converger.converge().repaired
    raise AssertionError(f"nothing repaired within {seconds} s: {dict(converger.delta.pending)}")


def test_everything_is_made_reads_back_equal_and_a_second_pass_writes_nothing(
    built: tuple[LinuxEngine, Converger],
) -> None:
    engine, converger = built
    writes = engine.writes
    assert dict(converger.delta.pending) == {}
    report = converger.converge(audit=True)
    assert (report.applied, report.repaired, dict(converger.delta.pending)) == (0, 0, {})
    assert engine.writes == writes


def test_a_restarted_engine_finds_no_difference_and_writes_nothing(built: tuple[LinuxEngine, Converger]) -> None:
    fresh = LinuxEngine()
    converger = Converger(fresh)
    converger.take_snapshot(1, ROWS)
    report = converger.converge()
    assert report.failed == ()
    assert fresh.writes == 0
    assert report.repaired == 0
    fresh.close()


DAMAGE = {
    "bridge port deleted": ("ip link del kp1", ""),
    "bridge deleted": ("ip link del kbr1", ""),
    "port taken out of its bridge": ("ip link set kp1 nomaster", ""),
    "port set down": ("ip link set kp2 down", ""),
    "mtu changed": ("ip link set kbr1 mtu 1400", ""),
    "netfilter switched off on the bridge": ("ip link set kbr1 type bridge nf_call_iptables 0", ""),
    "tap deleted": ("ip link del ktap1", ""),
    "router port renamed": ("ip link set qr1 down name other", ROUTER),
    "router port set down": ("ip link set qr1 down", ROUTER),
    "router port moved to another MAC": ("ip link set qr1 address 02:00:00:00:00:99", ROUTER),
    "tenant deletes its interface": ("ip link del eth0", "tenant"),
    "address deleted": ("ip addr del 10.0.0.1/24 dev qr1", ROUTER),
    "foreign address added": ("ip addr add 10.9.9.9/32 dev qr1", ROUTER),
    "v6 address deleted": ("ip addr del fd00::1/64 dev qr1", ROUTER),
    "route deleted": ("ip route del default", ROUTER),
    "v6 route deleted": ("ip -6 route del default", ROUTER),
    "route changed": ("ip route replace default via 10.0.0.253", ROUTER),
    "foreign route added": ("ip route add 198.51.100.0/24 via 10.0.0.9", ROUTER),
    "namespace deleted": (f"ip netns del {ROUTER}", ""),
    "set emptied": ("nft flush set inet kaon allowed", ""),
    "element deleted": ('nft\0delete element inet kaon allowed { "kp1" . 02:00:00:00:00:01 . 10.0.0.5 }', ""),
    "foreign element added": ('nft\0add element inet kaon allowed { "kp9" . 02:00:00:00:00:01 . 10.0.0.5 }', ""),
    "chain emptied": ("nft flush chain inet kaon forward", ""),
    "rule inserted": ("nft insert rule inet kaon forward accept", ""),
    "table deleted": ("nft delete table inet kaon", ""),
    "everything in nft deleted": ("nft flush ruleset", ROUTER),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_repaired_on_notice(built: tuple[LinuxEngine, Converger], what: str) -> None:
    if what.startswith("tap") and not TAPS:
        pytest.skip("/dev/net/tun is not for this user")
    _, converger = built
    command, netns = DAMAGE[what]
    sh(command, netns)
    settle(converger)
    assert dict(converger.delta.pending) == {}
    fresh = LinuxEngine()
    again = Converger(fresh)
    again.take_snapshot(1, ROWS)
    assert again.converge().failed == ()
    assert fresh.writes == 0, "a fresh look agrees"
    fresh.close()


def test_a_set_deleted_by_hand_comes_back_with_its_elements(built: tuple[LinuxEngine, Converger]) -> None:
    _, converger = built
    sh("nft\0flush chain inet kaon forward; delete map inet kaon dispatch")
    settle(converger)
    # By its number: a bare machine has no /etc/protocols.
    assert '"kp1" . 6 . 80-90 : jump group' in sh("nft -n list map inet kaon dispatch")
    assert "vmap @dispatch" in sh("nft list chain inet kaon forward")


def test_what_an_element_led_is_cut_even_if_it_goes_at_the_start_of_an_agent(
    built: tuple[LinuxEngine, Converger],
) -> None:
    _, converger = built
    led = row(Element("10.0.0.5 . 80", True), *NFT, "forwarded", "127.0.0.1 . udp . 5353")
    converger.take_delta(2, [led])
    assert converger.converge().failed == ()
    namespaces = Namespaces()

    def ports() -> set[int]:
        found = connections(namespaces.get(""))
        return {item.destination_port for item in found if item.destination_port in (5353, 5354)}

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in (5353, 5354):
            sender.sendto(b"?", ("127.0.0.1", port))
    assert ports() == {5353, 5354}
    restarted = LinuxEngine(watch=False)
    fresh = Converger(restarted)
    fresh.take_snapshot(3, ROWS)
    assert fresh.converge().failed == ()
    restarted.close()
    assert ports() == {5354}
    namespaces.close()


def test_rows_removed_are_removed_and_nothing_of_ours_is_left(built: tuple[LinuxEngine, Converger]) -> None:
    _, converger = built
    converger.take_snapshot(2, [])
    report = converger.converge()
    assert report.failed == ()
    assert "kaon" not in sh("ip -o link") + sh("nft list ruleset")
    assert [path.name for path in Path("/run/netns").iterdir()] == ["tenant"]


def test_a_row_that_cannot_be_made_fails_with_a_reason_and_blocks_no_other(engine: LinuxEngine) -> None:
    bad: list[Row] = [
        row(Chain(rules=(Rule("tcp dport nonsense accept"),)), *NFT, "bad", origin="security_group/bad"),
        row(Element(), *NFT, "allowed", '"kp1" . not-a-mac . 10.0.0.9', origin="port/bad"),
        row(Veth("nobody", "eth0", "02:00:00:00:00:09", 1450, peer_owned=False), "", "kp9", origin="port/lost"),
        row(ConntrackHelper("nonesuch", "tcp"), *NFT, "helper-2", origin="conntrack_helper/bad"),
    ]
    converger = Converger(engine)
    converger.take_snapshot(1, ROWS + bad)
    report = converger.converge()
    reasons = {failure.origin: failure.reason for failure in report.failed}
    assert set(reasons) == {"security_group/bad", "port/bad", "port/lost", "conntrack_helper/bad"}
    assert "no conntrack helper nonesuch: load its module" in reasons["conntrack_helper/bad"]
    assert "network namespace nobody does not exist" in reasons["port/lost"]
    assert "nft chain inet kaon bad" in reasons["security_group/bad"]


@pytest.mark.parametrize("name", ["kernel/core_pattern", "net/../kernel/core_pattern"])
def test_settings_that_are_none_of_a_networks_are_refused(engine: LinuxEngine, name: str) -> None:
    before = Path("/proc/sys/kernel/core_pattern").read_text()
    wanted = row(Sysctl(value="|/bin/evil"), "", name, origin="router/r1")
    (failed,) = engine.apply([Operation(wanted.id, None, wanted)])
    assert name in failed.reason
    assert Path("/proc/sys/kernel/core_pattern").read_text() == before


def test_a_port_fails_until_its_namespace_appears(engine: LinuxEngine) -> None:
    now = [0.0]
    converger = Converger(engine, clock=lambda: now[0])
    converger.take_snapshot(1, [row(Veth("late", "eth0", "02:00:00:00:00:09", 1450, peer_owned=False), "", "kp9")])
    assert len(converger.converge().failed) == 1
    make_namespace("late")
    now[0] = converger.wake_at()
    assert converger.converge().failed == ()
    assert "02:00:00:00:00:09" in sh("ip -o link show eth0", "late")
    remove_namespace("late")


def test_a_namespace_that_its_tenant_removes_goes_and_its_port_fails_with_the_reason(
    built: tuple[LinuxEngine, Converger],
) -> None:
    engine, converger = built
    remove_namespace("tenant")
    deadline = time.monotonic() + 3
    failed: list[str] = []
    while not failed and time.monotonic() < deadline:
        select.select([engine.fileno()], [], [], 0.05)
        failed = [failure.reason for failure in converger.converge().failed]
    assert failed == ["veth kp1: network namespace tenant does not exist: make it with `ip netns add tenant`"]
    assert "kp1" not in sh("ip -o link"), "nothing of ours kept the namespace alive"


def test_changes_of_every_kind_are_applied_in_place(built: tuple[LinuxEngine, Converger]) -> None:
    engine, converger = built
    changed = [
        row(Bridge(mtu=1400), "", "kbr1"),
        row(Veth("tenant", "eth0", "02:00:00:00:00:0a", 1400, master="kbr1", peer_owned=False), "", "kp1"),
        row(Address(exclusive=False), ROUTER, "qr1", "10.0.0.1/24"),
        row(Route(via="10.0.0.253"), ROUTER, "0.0.0.0/0"),
        row(Route("10.0.0.9", more=("10.0.0.7",)), ROUTER, "198.51.101.0/24"),
        row(Route("fd00::7", more=("fd00::8",)), ROUTER, "2001:db8::/64"),
        row(ConntrackHelper("tftp", "udp"), *NFT, "helper-1"),
        row(Chain(rules=(Rule('udp dport 69 ct helper set "helper-1"'),)), *NFT, "helped"),
        row(Route(via="fe80::2", dev="qr1"), ROUTER, "::/0"),
        row(Element(data="12"), *NFT, "zones", '"kbr1"'),
        row(Element(data="drop"), *NFT, "dispatch", '"kp1" . 6 . 80-90'),
        row(Element("10.0.0.6 . 81", True), *NFT, "forwarded", "203.0.113.5 . 6 . 8000-8010"),
        row(Set(key_type="ifname . ether_addr . ipv4_addr . mark", flags=("interval",)), *NFT, "allowed"),
        row(Chain(hook="type filter hook forward priority 10; policy drop;", rules=(Rule("accept"),)), *NFT, "forward"),
    ]
    gone = [item.id for item in ROWS if item.id.table == "element" and item.id.key[3] == "allowed"]
    converger.take_delta(2, changed, gone)
    assert converger.converge().failed == ()
    writes = engine.writes
    assert converger.converge(audit=True).failed == ()
    assert engine.writes == writes
    assert "02:00:00:00:00:0a" in sh("ip -o link show eth0", "tenant")
    assert "mtu 1400" in sh("ip -o link show eth0", "tenant")


def test_a_chain_that_only_kernel_text_tells_apart_is_left_alone(built: tuple[LinuxEngine, Converger]) -> None:
    engine, converger = built
    same = Chain(hook="type filter hook forward priority 0; policy accept;", rules=CHAIN.value.rules)  # type: ignore[attr-defined]
    writes = engine.writes
    converger.take_delta(2, [Row(CHAIN.id, same)])
    converger.converge()
    assert engine.writes == writes


def test_what_is_not_ours_is_never_touched(engine: LinuxEngine) -> None:
    make_namespace("other")
    sh("ip link add foreign type bridge")
    sh("ip link add eth9 type veth peer name peer9")
    sh("ip addr add 192.0.2.1/24 dev foreign")
    sh("ip link set foreign up")
    sh("ip route add 203.0.113.0/24 dev foreign")
    sh("nft add table inet filter")
    before = [sh("ip -o link"), sh("ip addr show dev foreign"), sh("ip route"), sh("nft list table inet filter")]
    converger = Converger(engine)
    converger.take_snapshot(1, [row(Bridge(mtu=1500), "", "foreign", origin="network/x")])
    (failure,) = converger.converge().failed
    assert "not Kaon's" in failure.reason
    converger.take_snapshot(2, [])
    converger.converge(audit=True)
    after = [sh("ip -o link"), sh("ip addr show dev foreign"), sh("ip route"), sh("nft list table inet filter")]
    assert after == before
    assert Path("/run/netns/other").exists()
    sh("ip link del foreign")
    sh("ip link del eth9")
    sh("nft delete table inet filter")
    remove_namespace("other")


def test_an_interface_of_the_operators_joins_a_bridge_and_is_released(engine: LinuxEngine) -> None:
    sh("ip link add phys type veth peer name wire")
    bridge = row(Bridge(mtu=1500), "", "kbr2")
    member = row(Member(master="kbr2"), "", "phys", origin="network/ext")
    converger = Converger(engine)
    converger.take_snapshot(1, [bridge, member])
    assert converger.converge().failed == ()
    assert "master kbr2" in sh("ip -o link show phys")
    converger.take_delta(2, delete=[member.id])
    assert converger.converge().failed == ()
    assert "master" not in sh("ip -o link show phys")
    sh("ip link del phys")


def test_a_new_address_is_announced(built: tuple[LinuxEngine, Converger]) -> None:
    _, converger = built
    capture = Capture("tenant", "eth0")
    converger.take_delta(
        2,
        [
            row(Address(announce=True), ROUTER, "qr1", "10.0.0.77/32"),
            row(Address(announce=True), ROUTER, "qr1", "fd00::77/128"),
        ],
    )
    assert converger.converge().failed == ()
    frames = capture.frames()
    mac = bytes.fromhex("020000000002")
    assert any(frame[12:14] == b"\x08\x06" and frame[22:32] == mac + bytes([10, 0, 0, 77]) for frame in frames)
    assert any(
        frame[12:14] == b"\x86\xdd" and frame[54:55] == b"\x88" and frame[62:78].hex().endswith("0077")
        for frame in frames
    )
    capture.close()


def test_the_host_has_no_address_on_what_is_ours(built: tuple[LinuxEngine, Converger]) -> None:
    addresses = sh("ip -o addr")
    assert not any(name in addresses for name in ("kbr1", "kp1", "kp2", "ktap1"))
