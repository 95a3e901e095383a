"""What the converger does, told on rows in memory."""

from __future__ import annotations

import asyncio
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon.converge.loop import FIRST_RETRY, Converger, Report
from kaon.converge.worker import ConvergeWorker
from kaon.engines.fake.engine import FakeEngine
from kaon.rows import Bridge, Member, Row, Sysctl, row

NAMES = st.sampled_from(["a", "b", "c", "d", "e"])
ROWS = st.one_of(
    st.builds(lambda n, m: row(Bridge(mtu=m), "", n, origin=f"network/{n}"), NAMES, st.sampled_from([1450, 1500])),
    st.builds(lambda n, v: row(Sysctl(value=v), "", n), NAMES, st.sampled_from("01")),
    st.builds(lambda n, m: row(Member(master=m), n, n), NAMES, NAMES),
)
BRIDGE = row(Bridge(mtu=1500), "", "br-a", origin="network/a")


def index(rows: list[Row]) -> dict[object, Row]:
    return {item.id: item for item in rows}


@given(
    st.lists(ROWS),
    st.lists(ROWS),
    st.lists(st.tuples(st.sampled_from(["put", "delete", "damage", "lose", "pass", "audit"]), ROWS)),
)
def test_any_state_and_any_desire_end_equal_and_a_second_pass_does_nothing(
    actual: list[Row], desired: list[Row], steps: list[tuple[str, Row]]
) -> None:
    engine = FakeEngine(actual)
    converger = Converger(engine, clock=lambda: 0.0)
    want = index(desired)
    converger.take_snapshot(1, want.values())
    for seq, (what, item) in enumerate(steps, start=2):
        if what == "put":
            want[item.id] = item
            converger.take_delta(seq, put=[item])
        elif what == "delete":
            want.pop(item.id, None)
            converger.take_delta(seq, delete=[item.id])
        elif what == "damage":
            engine.damage(item.id, item)
        elif what == "lose":
            engine.damage(item.id, None)
        else:
            converger.converge(audit=what == "audit")
    report = converger.converge()
    assert {key: item.value for key, item in engine.rows.items()} == {key: item.value for key, item in want.items()}
    assert report.failed == ()
    writes = engine.writes
    again = converger.converge(audit=True)
    assert (again.applied, again.repaired, engine.writes) == (0, 0, writes)
    engine.close()


def test_a_restart_that_finds_everything_in_place_writes_nothing() -> None:
    engine = FakeEngine([BRIDGE])
    converger = Converger(engine)
    converger.take_snapshot(7, [BRIDGE])
    report = converger.converge()
    assert report == Report(seq=7, failed=(), applied=0, repaired=0)
    assert engine.writes == 0


def test_one_change_among_many_rows_costs_one_operation_and_no_reading() -> None:
    rows = [row(Bridge(mtu=1500), "", f"b{n}") for n in range(5000)]
    engine = FakeEngine(rows)
    converger = Converger(engine)
    converger.take_snapshot(1, rows)
    converger.converge()
    reads = engine.reads
    converger.take_delta(2, put=[row(Bridge(mtu=1450), "", "b7")])
    assert converger.converge().applied == 1
    assert (engine.writes, engine.reads) == (1, reads)


def test_damage_is_repaired_and_logged_with_the_api_id_while_an_intended_change_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = FakeEngine()
    converger = Converger(engine)
    with caplog.at_level(logging.INFO, "kaon.converge"):
        converger.take_snapshot(1, [BRIDGE])
        assert converger.converge().repaired == 0
        assert caplog.records == []
        engine.damage(BRIDGE.id, None)
        assert converger.converge().repaired == 1
    assert [(record.message, record.origin) for record in caplog.records] == [("repaired", "network/a")]
    assert engine.rows[BRIDGE.id] == BRIDGE


def test_damage_without_notice_is_found_by_the_audit() -> None:
    now = [0.0]
    engine = FakeEngine()
    converger = Converger(engine, audit_seconds=60, clock=lambda: now[0])
    converger.take_snapshot(1, [BRIDGE])
    converger.converge()
    engine.damage(BRIDGE.id, None, notice=False)
    assert converger.converge().repaired == 0
    now[0] = converger.wake_at()
    assert converger.converge().repaired == 1


def test_a_failed_row_keeps_its_reason_blocks_no_other_and_is_tried_again_later() -> None:
    now = [0.0]
    engine = FakeEngine()
    other = row(Bridge(mtu=1500), "", "br-b")
    engine.reasons[BRIDGE.id] = "the disk ate it"
    converger = Converger(engine, clock=lambda: now[0])
    converger.take_snapshot(1, [BRIDGE, other])
    report = converger.converge()
    assert [(failure.origin, failure.reason) for failure in report.failed] == [("network/a", "the disk ate it")]
    assert set(engine.rows) == {other.id}
    del engine.reasons[BRIDGE.id]
    assert converger.converge().failed == report.failed, "not before its time"
    now[0] = converger.wake_at()
    assert now[0] == FIRST_RETRY
    assert converger.converge().failed == ()
    assert BRIDGE.id in engine.rows


def test_a_failed_row_is_tried_at_once_when_what_is_desired_of_it_changes() -> None:
    engine = FakeEngine()
    engine.reasons[BRIDGE.id] = "no"
    converger = Converger(engine, clock=lambda: 0.0)
    converger.take_snapshot(1, [BRIDGE])
    converger.converge()
    engine.reasons.clear()
    converger.take_delta(2, put=[row(Bridge(mtu=1450), "", "br-a")])
    assert converger.converge().failed == ()


def test_rows_that_no_manager_knows_are_failures_with_a_reason() -> None:
    converger = Converger(FakeEngine(tables=["bridge"]))
    converger.take_snapshot(1, [row(Sysctl(value="1"), "", "x", origin="network/a")])
    (failure,) = converger.converge().failed
    assert "no manager for sysctl rows" in failure.reason
    assert failure.origin == "network/a"


async def test_the_worker_touches_nothing_before_the_first_snapshot_then_repairs_without_a_tick() -> None:
    engine = FakeEngine([BRIDGE])
    reports: asyncio.Queue[Report] = asyncio.Queue()
    worker = ConvergeWorker(lambda: engine, reports.put_nowait, audit_seconds=3600)
    engine.damage(BRIDGE.id, BRIDGE)
    assert await worker.call(lambda converger, engine: engine.writes) == 0
    worker.snapshot(1, [BRIDGE])
    assert (await asyncio.wait_for(reports.get(), 5)).seq == 1
    engine.damage(BRIDGE.id, None)
    while (await asyncio.wait_for(reports.get(), 5)).repaired != 1:
        pass
    assert BRIDGE.id in engine.rows
    worker.delta(2, delete=[BRIDGE.id])
    while (await asyncio.wait_for(reports.get(), 5)).seq != 2:
        pass
    assert engine.rows == {}
    await worker.stop()
