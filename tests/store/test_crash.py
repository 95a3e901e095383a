"""SIGKILL at any instant: what was acknowledged is there, and nothing is there by half."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from kaon.resources import ranges, records, usage
from kaon.resources.catalog import first_starts
from kaon.resources.declare import named
from kaon.resources.networks.network import ZONES
from kaon.resources.segments.allocation import VNIS
from kaon.store import journal
from kaon.store.engine import Store
from kaon.store.migrate import open_store
from tests.store.writer_process import WRITERS

ROUNDS = 20


def _run_and_kill(path: Path, after: int) -> list[str]:
    """Let a process write until it has acknowledged `after` writes, kill it; all that it acknowledged."""
    command = [sys.executable, "-m", "tests.store.writer_process", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(after)]
        process.kill()
        # What had been written to the pipe before the kill was acknowledged too; a torn last line was not.
        rest = process.stdout.read()
        acknowledged += rest[: rest.rfind("\n") + 1].split()
    assert all(acknowledged), "the writer ended by itself"
    return acknowledged


def _agree(store: Store) -> set[str]:
    """Check that tables, journal, counters and pools tell one story; the ids of all networks."""
    network = named("network")

    def check(conn: sa.Connection) -> set[str]:
        held = {record["id"]: record for record in records.select(conn, network)}
        told: dict[str, journal.Record] = {}
        seq = 0
        while batch := journal.since(conn, seq):
            for change in batch:
                if change.kind == "network":
                    assert change.before is None and change.after is not None
                    told[change.id] = change.after
            seq = batch[-1].seq
        assert told == held
        assert usage.used(conn, "network", "red") == len(held)
        for pool, attribute, most in ((ZONES, "zone", 2**16 - 1), (VNIS, "provider:segmentation_id", 2**24 - 1)):
            taken = [record[attribute] for record in held.values()]
            assert len(set(taken)) == len(taken)
            assert sum(last - first + 1 for first, last in ranges.free(conn, pool)) == most - len(taken)
        assert conn.execute(sa.text("PRAGMA integrity_check")).scalar_one() == "ok"
        return set(held)

    return store.read_now(check)


@pytest.mark.slow
async def test_every_acknowledged_write_survives_sigkill(tmp_path: Path) -> None:
    path = tmp_path / "kaon.db"
    (await open_store(path, first_starts())).close()
    acknowledged: set[str] = set()
    chance = random.Random(2026)
    for killed in range(1, ROUNDS + 1):
        acknowledged.update(_run_and_kill(path, after=chance.randint(1, 40)))
        store = await open_store(path, first_starts())
        there = _agree(store)
        store.close()
        assert acknowledged <= there
        # What was durable when the process died before saying so may be there: one write of each writer.
        assert len(there - acknowledged) <= killed * WRITERS
    assert len(acknowledged) >= ROUNDS
