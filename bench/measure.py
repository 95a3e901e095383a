"""What measurements share: quantiles, CPU time and memory of processes, how disturbed the machine is."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

TICKS = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


class Machine(NamedTuple):
    """Where and under which load something was measured; `spin` is the ms that a fixed piece of work takes."""

    name: str
    cores: int
    kernel: str
    python: str
    load: float
    spin: float


def machine() -> Machine:
    """The machine as it is now."""
    cores, load = os.cpu_count() or 1, round(os.getloadavg()[0], 2)
    return Machine(platform.node(), cores, platform.release(), platform.python_version(), load, spin())


def spin() -> float:
    """Milliseconds of a fixed piece of work; on a quiet machine always the same."""
    begun, value = time.perf_counter(), 0
    for number in range(300_000):
        value ^= number * 7
    return round((time.perf_counter() - begun) * 1000, 1)


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` of the values do not exceed (nearest rank); 0 for no values."""
    ordered = sorted(values)
    return ordered[max(0, -int(-part * len(ordered) // 1) - 1)] if ordered else 0.0


def cpu_seconds(processes: Iterable[int]) -> float:
    """User and system time that these processes have used so far (proc(5): fields 14 and 15 of stat)."""
    ticks = 0
    for process in processes:
        fields = (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


class Memory(NamedTuple):
    """MB that processes have resident: `rss` in sum, `pss` with what they share counted once."""

    rss: float
    pss: float


def memory(processes: Iterable[int]) -> Memory:
    """The memory of these processes now (proc(5): smaps_rollup)."""
    kilobytes = {"Rss:": 0, "Pss:": 0}
    for process in processes:
        for line in (PROC / str(process) / "smaps_rollup").read_text().splitlines():
            name, *words = line.split()
            if name in kilobytes:
                kilobytes[name] += int(words[0])
    return Memory(*(round(kilobytes[name] * 1024 / 1e6, 1) for name in ("Rss:", "Pss:")))
