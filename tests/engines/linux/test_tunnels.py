"""VXLAN devices, forwarding entries and neighbours on a real kernel: they read back equal, and damage is repaired."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from kaon.converge.loop import Converger
from kaon.engines.linux.engine import LinuxEngine
from kaon.rows import Address, Bridge, Fdb, Neigh, Netns, Row, Veth, Vxlan, row
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

FLOOD = "00:00:00:00:00:00"
NEAR, FAR = "fa:16:3e:00:00:01", "fa:16:3e:00:00:02"
HOST = "kaon-host"
ROWS = [
    row(Netns(), HOST),
    row(Bridge(mtu=1450), HOST, "kbr1", origin="network/n1"),
    row(Veth(HOST, "under1", "02:00:00:00:00:02", 1500), HOST, "under0"),
    row(Address(), HOST, "under0", "192.0.2.1/24"),
    row(Vxlan(vni=77, local="192.0.2.1", mtu=1450, master="kbr1"), HOST, "kv1", origin="network/n1"),
    row(Fdb(bridged=False), HOST, "kv1", FLOOD, "192.0.2.2", origin="network/n1"),
    row(Fdb(bridged=False), HOST, "kv1", FLOOD, "192.0.2.3", origin="network/n1"),
    row(Fdb(), HOST, "kv1", NEAR, "192.0.2.2", origin="port/p1"),
    row(Fdb(), HOST, "kv1", FAR, "192.0.2.3", origin="port/p2"),
    row(Neigh(NEAR), HOST, "kbr1", "10.0.0.5", origin="port/p1"),
    row(Neigh(NEAR), HOST, "under0", "fd00::5", origin="port/p1"),
]


def sh(command: str) -> str:
    return subprocess.run(
        ["ip", "netns", "exec", HOST, *command.split()], capture_output=True, text=True, check=True
    ).stdout


@pytest.fixture
def built() -> Iterator[tuple[LinuxEngine, Converger]]:
    engine = LinuxEngine()
    converger = Converger(engine, audit_seconds=3600)
    try:
        converger.take_snapshot(1, ROWS)
        assert converger.converge().failed == ()
        yield engine, converger
    finally:
        converger.take_snapshot(2, [])
        converger.converge(audit=True)
        engine.close()


def repaired(converger: Converger) -> None:
    """The engine's notices alone lead back to what is desired."""
    done = 0

    def settled() -> bool:
        nonlocal done
        done += converger.converge().repaired
        return bool(done) and not converger.delta.pending

    until(settled, what="the damage to be repaired")


def change(converger: Converger, rows: list[Row]) -> None:
    converger.take_snapshot(2, rows)
    assert converger.converge().failed == ()
    assert dict(converger.delta.pending) == {}


def test_what_is_made_reads_back_equal_and_nothing_is_written_twice(built: tuple[LinuxEngine, Converger]) -> None:
    engine, converger = built
    assert dict(converger.delta.pending) == {}
    writes = engine.writes
    report = converger.converge(audit=True)
    assert (report.applied, report.repaired, dict(converger.delta.pending)) == (0, 0, {})
    assert engine.writes == writes
    restarted = LinuxEngine()
    try:
        again = Converger(restarted)
        again.take_snapshot(1, ROWS)
        report = again.converge()
        assert (report.applied, report.failed, restarted.writes) == (0, (), 0)
    finally:
        restarted.close()


def test_the_kernel_has_the_device_as_the_row_says(built: tuple[LinuxEngine, Converger]) -> None:
    text = sh("ip -d link show kv1")
    for part in ("mtu 1450", "vxlan id 77 local 192.0.2.1", "dstport 4789 nolearning", "learning off", "master kbr1"):
        assert part in text, text
    entries = sh("bridge fdb show dev kv1").splitlines()
    assert any(line.startswith(f"{NEAR} dst 192.0.2.2 self") for line in entries), entries
    assert any(NEAR in line and "master kbr1" in line and "static" in line for line in entries), entries
    assert sum(line.startswith(FLOOD) for line in entries) == 2


@pytest.mark.parametrize(
    "damage",
    [
        f"bridge fdb del {NEAR} dev kv1 dst 192.0.2.2 self",
        f"bridge fdb del {NEAR} dev kv1 master",
        f"bridge fdb replace {NEAR} dev kv1 dst 192.0.2.9 self",
        f"bridge fdb del {FLOOD} dev kv1 dst 192.0.2.3 self",
        f"bridge fdb append {FLOOD} dev kv1 dst 192.0.2.9 self",
        "bridge fdb add 02:00:00:00:00:99 dev kv1 dst 192.0.2.9 self permanent",
        "bridge fdb add 02:00:00:00:00:99 dev kv1 master static",
        "ip neigh del 10.0.0.5 dev kbr1",
        f"ip neigh replace 10.0.0.5 dev kbr1 lladdr {FAR} nud permanent",
        f"ip neigh add 10.0.0.9 dev kbr1 lladdr {FAR} nud permanent",
        "ip neigh del fd00::5 dev under0",
        "ip link set kv1 nomaster",
        "ip link set kv1 type bridge_slave learning on",
        "ip link set kv1 down",
        "ip link del kv1",
        "ip link del kbr1",
    ],
)
def test_damage_is_noticed_and_repaired(built: tuple[LinuxEngine, Converger], damage: str) -> None:
    _, converger = built
    sh(damage)
    repaired(converger)
    report = converger.converge(audit=True)
    assert (report.applied, report.repaired, report.failed) == (0, 0, ())


def test_a_member_that_moves_is_reached_on_its_new_host_alone(built: tuple[LinuxEngine, Converger]) -> None:
    _, converger = built
    moved = [item for item in ROWS if item.id.key[2:] != (NEAR, "192.0.2.2")]
    change(converger, [*moved, row(Fdb(), HOST, "kv1", NEAR, "192.0.2.3", origin="port/p1")])
    assert converger.converge(audit=True).repaired == 0
    assert "192.0.2.3" in sh("bridge fdb show dev kv1").partition(f"{NEAR} dst ")[2].splitlines()[0]


def test_entries_that_are_not_desired_go_and_others_stay(built: tuple[LinuxEngine, Converger]) -> None:
    engine, converger = built
    change(converger, [item for item in ROWS if item.origin != "port/p1"])
    assert NEAR not in sh("bridge fdb show dev kv1") and "10.0.0.5" not in sh("ip neigh show dev kbr1")
    assert FAR in sh("bridge fdb show dev kv1")
    change(converger, [item for item in ROWS if item.value.table not in ("vxlan", "fdb")])
    assert "kv1" not in sh("ip -o link show")


def test_what_a_bridge_learns_elsewhere_is_no_news(built: tuple[LinuxEngine, Converger]) -> None:
    engine, converger = built
    converger.converge()
    sh("bridge fdb add 02:00:00:00:00:77 dev kbr1 self local")
    sh("ip neigh add 192.0.2.50 dev under0 lladdr 02:00:00:00:00:50 nud stale")
    facts, scopes = engine.changes()
    assert (facts, scopes) == ([], set())


def test_a_tunnel_from_an_address_of_ipv6(built: tuple[LinuxEngine, Converger]) -> None:
    _, converger = built
    six = row(Vxlan(vni=78, local="2001:db8::1", mtu=1450, master="kbr1"), HOST, "kv6")
    change(converger, [*ROWS, six, row(Fdb(bridged=False), HOST, "kv6", FLOOD, "2001:db8::2")])
    assert converger.converge(audit=True).repaired == 0
