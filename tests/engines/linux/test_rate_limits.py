"""Rate limits on a real kernel: what is made reads back equal, damage is repaired, removal leaves nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kaon.converge.loop import Converger
from kaon.engines.linux.engine import LinuxEngine
from kaon.rows import Bridge, RateLimit, Row, Veth, row
from tests.engines.linux.test_linux_engine import settle, sh
from tests.sandbox import make_namespace, remove_namespace

pytestmark = [pytest.mark.root, pytest.mark.slow]

BRIDGE = row(Bridge(mtu=1450), "", "kbr1", origin="network/n1")
PORT = row(Veth("tenant", "eth0", "02:00:00:00:00:01", 1450, "kbr1", peer_owned=False), "", "kp1", origin="port/p1")
EGRESS = row(RateLimit(125_000, 12_345, 80_000), "", "kp1", "egress", origin="port/p1")
INGRESS = row(RateLimit(2_500_000, 2_000_000, 200_000, via="kl1"), "", "kp1", "ingress", origin="port/p1")
ROWS = [BRIDGE, PORT, EGRESS, INGRESS]


@pytest.fixture
def engine() -> Iterator[LinuxEngine]:
    make_namespace("tenant")
    made = LinuxEngine()
    try:
        yield made
    finally:
        wanting(made, [])
        made.close()
        remove_namespace("tenant")


def wanting(engine: LinuxEngine, rows: list[Row]) -> Converger:
    """A converger that has seen to it that these rows are real, and no others."""
    converger = Converger(engine, audit_seconds=3600)
    converger.take_snapshot(1, rows)
    assert converger.converge(audit=True).failed == ()
    return converger


def qdiscs(device: str = "kp1") -> str:
    return sh(f"tc qdisc show dev {device}")


def test_limits_read_back_equal_and_a_restart_writes_nothing(engine: LinuxEngine) -> None:
    wanting(engine, ROWS)
    assert "tbf 6b61: root" in qdiscs() and "rate 1Mbit burst 13000b" in qdiscs()
    assert "rate 20Mbit" in qdiscs("kl1")
    before = engine.writes
    wanting(engine, ROWS)
    assert engine.writes == before
    again = LinuxEngine()
    wanting(again, ROWS)
    assert again.writes == 0
    again.close()


@pytest.mark.parametrize("kbps", [1, 64, 999, 10_000, 1_000_000, 40_000_000, 400_000_000])
@pytest.mark.parametrize("part", [10, 80, 100])
def test_every_rate_and_burst_reads_back_equal(engine: LinuxEngine, kbps: int, part: int) -> None:
    limit = RateLimit(kbps * 125, max(2000, kbps * 125 * part // 100), 100_000)
    converger = wanting(engine, [BRIDGE, PORT, row(limit, "", "kp1", "egress", origin="port/p1")])
    before = engine.writes
    converger.converge(audit=True)
    assert engine.writes == before


def test_a_changed_rate_changes_in_place(engine: LinuxEngine) -> None:
    wanting(engine, ROWS)
    number = sh("ip -o link show kl1").partition(":")[0]
    faster = [row(RateLimit(5_000_000, 2_000_000, 200_000, item.value.via), *item.id.key) for item in ROWS[2:]]  # type: ignore[attr-defined]
    wanting(engine, [BRIDGE, PORT, *faster])
    assert "rate 40Mbit" in qdiscs() and "rate 40Mbit" in qdiscs("kl1")
    assert sh("ip -o link show kl1").partition(":")[0] == number


def test_removed_limits_leave_the_link_as_it_was(engine: LinuxEngine) -> None:
    wanting(engine, [BRIDGE, PORT])
    before = qdiscs()
    converger = wanting(engine, ROWS)
    assert qdiscs() != before
    converger.take_snapshot(2, [BRIDGE, PORT])
    assert converger.converge().failed == ()
    assert qdiscs() == before and "kl1" not in sh("ip -o link")


def test_filters_of_others_stay(engine: LinuxEngine) -> None:
    converger = wanting(engine, ROWS)
    sh("tc filter add dev kp1 egress pref 7 protocol all u32 match u32 0 0 classid 1:1")
    converger.take_snapshot(2, [BRIDGE, PORT])
    assert converger.converge().failed == ()
    assert "pref 7" in sh("tc filter show dev kp1 egress")
    assert "mirred" not in sh("tc filter show dev kp1 ingress")


@pytest.mark.parametrize(
    "damage",
    [
        "tc qdisc del dev kp1 root",
        "tc qdisc replace dev kp1 root handle 6b61: tbf rate 9mbit burst 9k limit 90k",
        "tc qdisc del dev kp1 clsact",
        "tc filter del dev kp1 ingress",
        "tc qdisc del dev kl1 root",
        "ip link del kl1",
        "ip link set kl1 down",
        "ip link del kp1",
    ],
)
def test_damage_is_noticed_and_repaired(engine: LinuxEngine, damage: str) -> None:
    converger = wanting(engine, ROWS)
    sh(damage)
    settle(converger)
    assert "tbf 6b61: root" in qdiscs() and "rate 1Mbit" in qdiscs() and "clsact" in qdiscs()
    assert "tbf 6b61: root" in qdiscs("kl1") and "kl1" in sh("tc filter show dev kp1 ingress")
    fresh = LinuxEngine()
    wanting(fresh, ROWS)
    assert fresh.writes == 0, "a fresh look agrees"
    fresh.close()


def test_a_device_of_the_operators_is_left_alone(engine: LinuxEngine) -> None:
    sh("ip link add kl1 type ifb")
    try:
        converger = Converger(engine)
        converger.take_snapshot(1, ROWS)
        (failed,) = converger.converge().failed
        assert failed.origin == "port/p1" and "kl1 that is not Kaon's" in failed.reason
        assert "kl1" in sh("ip -o link")
    finally:
        sh("ip link del kl1")
