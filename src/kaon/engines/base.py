"""What every engine can do: read the rows that exist, and apply operations that bring them nearer to the desired ones.

An engine is made of managers, each responsible for some tables; an engine has the same two methods as a manager, so
the converger needs to know nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from kaon.rows import Row, RowId


class Operation(NamedTuple):
    """One step: from `old` (None: does not exist) to `new` (None: must not exist). Never both None."""

    id: RowId
    old: Row | None
    new: Row | None


class Failed(NamedTuple):
    """An operation that did not succeed, and why, in a sentence for an administrator that names thing and way out."""

    id: RowId
    origin: str
    reason: str


class Manager(Protocol):
    """The owner of some tables. Blocking calls; the agent runs them on its engine thread."""

    tables: frozenset[str]

    def read(self) -> Iterable[Row]:
        """All rows of these tables that exist now and are ours, with the values that desired rows would have."""

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Make these operations happen, in an order of the manager's choosing; never raises for a single row."""
