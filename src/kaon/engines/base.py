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


class Scope(NamedTuple):
    """A part of what exists that can be read on its own: the rows of a table whose key begins with `netns`."""

    table: str
    netns: str

    def holds(self, row_id: RowId) -> bool:
        """Whether a row with this id belongs to the scope."""
        return row_id.table == self.table and row_id.key[0] == self.netns


class Fact(NamedTuple):
    """News about one row: it exists with this value now, or (None) it exists no more."""

    id: RowId
    row: Row | None


class Engine(Protocol):
    """What the converger drives: managers composed, read as a whole or in parts, and watched for outside changes.

    Kernel text is not source text, so desired and actual rows meet in a canonical form: `canonical` of a desired row
    equals the row that `read` yields exactly when nothing must be done. Operations carry desired rows as given.
    """

    tables: frozenset[str]

    @property
    def writes(self) -> int:
        """Changes made to what exists, ever: a restart that finds no difference leaves it at zero."""

    def canonical(self, row: Row) -> Row:
        """The form of a desired row in which it is compared with actual rows; its id may change form as well."""

    def canonical_id(self, row_id: RowId) -> RowId:
        """The same for an id alone."""

    def read(self, scopes: Sequence[Scope] | None = None) -> Iterable[Row]:
        """All rows that exist and are ours, or those of the given scopes."""

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Make these operations happen in dependency order; never raises for a single row."""

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """What changed since the last call, without waiting: facts, and scopes that must be read again."""

    def fileno(self) -> int:
        """A descriptor that is readable when `changes` has something to say; -1 when the engine never does."""

    def close(self) -> None:
        """Release descriptors; what exists stays."""
