"""Telling the demo: each step with its evidence and its time, for people as it happens and for machines at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(slots=True)
class Step:
    """One step of the demo: what it claims, what was seen, whether it held."""

    name: str
    title: str
    ok: bool = True
    seconds: float = 0.0
    evidence: list[str] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Narrator:
    """Prints steps as they happen (unless `quiet`) and keeps them for the end."""

    console: Console
    quiet: bool = False
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[Step]:
        """Run one step: its time is taken, and an error in it is its evidence."""
        step = Step(name, title)
        self.steps.append(step)
        self._print(Text(f"\n{len(self.steps)}. {title}", style="bold"))
        started = time.monotonic()
        try:
            yield step
        except Exception as error:  # whatever went wrong, the step has not held, and the demo tells why
            step.ok = False
            self.see(step, f"{type(error).__name__}: {error}", False)
        step.seconds = round(time.monotonic() - started, 3)
        mark = Text("   held" if step.ok else "   DID NOT HOLD", style="green" if step.ok else "bold red")
        self._print(mark + Text(f" in {step.seconds:.2f} s", style="dim"))

    def see(self, step: Step, words: str, ok: bool | None = None) -> bool:
        """Show a piece of evidence; `ok` False makes the step fail, None is only a remark."""
        if ok is False:
            step.ok = False
        mark = {True: "✓", False: "✗", None: "·"}[ok]
        style = {True: "green", False: "bold red", None: "dim"}[ok]
        step.evidence.append(f"{mark} {words}")
        for index, line in enumerate(words.splitlines() or [""]):
            self._print(Text(f"   {mark if index == 0 else ' '} ", style=style) + Text(line))
        return ok is not False

    def timed(self, step: Step, what: str, seconds: float) -> None:
        """Keep a measured time for the table at the end."""
        step.times[what] = round(seconds, 4)

    @property
    def ok(self) -> bool:
        """Whether every step held."""
        return all(step.ok for step in self.steps)

    def table(self) -> Table:
        """What was timed."""
        table = Table(title="What was timed")
        table.add_column("step")
        table.add_column("what")
        table.add_column("time", justify="right")
        for step in self.steps:
            table.add_row(step.name, "whole step", f"{step.seconds:.2f} s")
            for what, seconds in step.times.items():
                table.add_row("", what, f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s")
        return table

    def as_json(self) -> dict[str, Any]:
        """One object with a boolean and a time for each step."""
        return {
            "ok": self.ok,
            "steps": {
                step.name: {"ok": step.ok, "seconds": step.seconds, "evidence": step.evidence, "times": step.times}
                for step in self.steps
            },
        }

    def _print(self, text: Text) -> None:
        if not self.quiet:
            self.console.print(text)
