"""The figures of the benchmark: what counts as reached, and what is said of it."""

from __future__ import annotations

import io
import os

import pytest
from bench.figures import Figure, table, times
from bench.measure import machine, memory, quantile
from bench.probes import echo_request
from rich.console import Console


@pytest.mark.parametrize(
    ("figure", "held"),
    [
        (Figure("get port", 0.9, "ms", reach=1.0), True),
        (Figure("get port", 1.1, "ms", reach=1.0), False),
        (Figure("create port, 8 at once", 510.0, "/s", reach=500.0), True),
        (Figure("create port, 8 at once", 490.0, "/s", reach=500.0), False),
        (Figure("kernel writes", 0.0, "", reach=0.0), True),
        (Figure("delete port", 2.0, "ms"), None),
    ],
)
def test_times_are_reached_from_above_and_rates_from_below(figure: Figure, held: bool | None) -> None:
    assert figure.held is held


def test_a_line_of_times_is_their_median_and_their_99th_percentile() -> None:
    assert times("attach", [float(n) for n in range(1, 101)], 60.0) == Figure("attach", 50.0, "ms", 99.0, reach=60.0)
    assert quantile([], 0.5) == 0.0


def test_the_table_names_machine_and_load_and_says_what_is_missed() -> None:
    where = machine()
    out = Console(file=io.StringIO(), width=160)
    out.print(table([Figure("get port", 1.1, "ms", reach=1.0, note="why")], where, 3.5))
    assert isinstance(out.file, io.StringIO)
    text = out.file.getvalue()
    assert where.name in text
    assert "3.5 after" in text
    assert all(word in text for word in ("get port", "1.1 ms", "1 ms", "no", "why"))


def test_memory_counts_what_processes_share_once_in_one_of_its_figures() -> None:
    found = memory([os.getpid()])
    assert 0 < found.pss <= found.rss


def test_a_ping_carries_the_checksum_of_rfc_792() -> None:
    packet = echo_request(0xBEEF)
    total = sum(int.from_bytes(packet[at : at + 2], "big") for at in range(0, len(packet), 2))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF
