"""Things that depend on each other, made and removed in parallel as orchestrators do it.

Each thing is made as soon as all that it needs is there, and removed as soon as nobody needs it any more. Nothing is
tried twice: whatever a server refuses ends the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, NamedTuple


class Step(NamedTuple):
    """How one thing is made and removed, and the names of those that it needs."""

    needs: frozenset[str]
    make: Callable[[], Any]
    remove: Callable[[], Any]


class Graph:
    """Declared steps by name, and what they have made."""

    def __init__(self, parallel: int) -> None:
        self.steps: dict[str, Step] = {}
        self.made: dict[str, Any] = {}
        self._parallel = parallel

    def add(self, name: str, needs: tuple[str, ...], make: Callable[[], Any], remove: Callable[[], Any]) -> None:
        """Declare one thing, after all that it needs."""
        unknown = [need for need in needs if need not in self.steps]
        assert not unknown, f"{name} needs {unknown}, which nobody has declared"
        self.steps[name] = Step(frozenset(needs), make, remove)

    def build(self) -> None:
        """Make everything."""

        def make(name: str) -> None:
            self.made[name] = self.steps[name].make()

        walk({name: set(step.needs) for name, step in self.steps.items()}, make, self._parallel)

    def destroy(self) -> None:
        """Remove everything."""
        users: dict[str, set[str]] = {name: set() for name in self.steps}
        for name, step in self.steps.items():
            for need in step.needs:
                users[need].add(name)
        walk(users, lambda name: self.steps[name].remove(), self._parallel)


def walk(after: Mapping[str, set[str]], do: Callable[[str], None], parallel: int) -> None:
    """Do everything, `parallel` at once, each after those that it has to come after."""
    waiting = {name: set(others) for name, others in after.items()}
    running: dict[Future[None], str] = {}
    with ThreadPoolExecutor(parallel) as pool:

        def start() -> None:
            for name in [name for name, others in waiting.items() if not others]:
                del waiting[name]
                running[pool.submit(do, name)] = name

        start()
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                name = running.pop(future)
                future.result()
                for others in waiting.values():
                    others.discard(name)
            start()
    assert not waiting, f"these wait for each other: {sorted(waiting)}"
