"""What is measured, what is to be reached, and the one table that shows both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from rich.table import Table

from bench.measure import Machine, quantile


class Figure(NamedTuple):
    """One line of the table: a value (the median, where there are several), its 99th percentile, and what is reached.

    `cpu_ms` is what the server's process used for one request. `note` says what a reader cannot guess.
    """

    name: str
    value: float
    unit: str
    p99: float | None = None
    cpu_ms: float | None = None
    reach: float | None = None
    note: str = ""

    @property
    def held(self) -> bool | None:
        """Whether the bound holds; None where there is none. A rate is to be at least, all else at most the bound."""
        if self.reach is None:
            return None
        return self.value >= self.reach if self.unit == "/s" else self.value <= self.reach


def times(
    name: str, milliseconds: Sequence[float], reach: float | None = None, cpu_ms: float | None = None, note: str = ""
) -> Figure:
    """The line of something that was timed several times."""
    median, worst = quantile(milliseconds, 0.5), quantile(milliseconds, 0.99)
    return Figure(name, round(median, 2), "ms", round(worst, 2), cpu_ms, reach, note)


def table(figures: Iterable[Figure], where: Machine, load_after: float) -> Table:
    """The figures for people."""
    found = Table(
        title=f"Kaon on {where.name}: {where.cores} cores, Linux {where.kernel}, Python {where.python}, "
        f"load {where.load} before and {load_after} after, spin {where.spin} ms",
        title_justify="left",
    )
    found.add_column("", no_wrap=True)
    for name in ("measured", "p99", "CPU", "reach", "met"):
        found.add_column(name, justify="right", no_wrap=True)
    found.add_column("", overflow="fold")
    for figure in figures:
        found.add_row(
            figure.name,
            f"{figure.value:g} {figure.unit}",
            "" if figure.p99 is None else f"{figure.p99:g} {figure.unit}",
            "" if figure.cpu_ms is None else f"{figure.cpu_ms:g} ms",
            "" if figure.reach is None else f"{figure.reach:g} {figure.unit}",
            {True: "yes", False: "no", None: ""}[figure.held],
            figure.note,
            style="red" if figure.held is False else "",
        )
    return found
