"""An engine that keeps rows in memory: for tests, dry runs, and simulating clouds of a size that nobody owns.

It counts operations, fails the rows it is told to fail, and can be damaged behind the converger's back.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from kaon.engines.base import Fact, Failed, Operation, Scope
from kaon.rows import TABLES, Row, RowId


class FakeEngine:
    """Rows in memory. `reasons` maps ids to why applying them fails; `writes` counts rows changed."""

    def __init__(self, rows: Iterable[Row] = (), tables: Iterable[str] = TABLES) -> None:
        self.tables = frozenset(tables)
        self.rows = {row.id: row for row in rows}
        self.reasons: dict[RowId, str] = {}
        self.writes = 0
        self.reads = 0
        self.applied: list[Operation] = []
        self._facts: list[Fact] = []
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def damage(self, row_id: RowId, row: Row | None, *, notice: bool = True) -> None:
        """Change a row from outside, with a notice as a kernel gives it, or without."""
        if row is None:
            self.rows.pop(row_id, None)
        else:
            self.rows[row_id] = row
        if notice:
            self._facts.append(Fact(row_id, row))
            os.eventfd_write(self._event, 1)

    def canonical(self, row: Row) -> Row:
        """Rows in memory are in canonical form as they are."""
        return row

    def canonical_id(self, row_id: RowId) -> RowId:
        """Ids as well."""
        return row_id

    def read(self, scopes: Sequence[Scope] | None = None) -> Iterable[Row]:
        """The rows held, all or those of the scopes."""
        self.reads += 1
        if scopes is None:
            return list(self.rows.values())
        return [row for row in self.rows.values() if any(scope.holds(row.id) for scope in scopes)]

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Put and remove rows, but for those told to fail."""
        failed = []
        for operation in operations:
            reason = self.reasons.get(operation.id)
            row = operation.new or operation.old
            if reason is not None:
                failed.append(Failed(operation.id, row.origin if row else "", reason))
                continue
            self.applied.append(operation)
            self.writes += 1
            if operation.new is None:
                self.rows.pop(operation.id, None)
            else:
                self.rows[operation.id] = operation.new
        return failed

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """The damage of which notice was given."""
        facts, self._facts = self._facts, []
        if facts:
            os.eventfd_read(self._event)
        return facts, set()

    def fileno(self) -> int:
        """Readable after damage with notice."""
        return self._event

    def close(self) -> None:
        """Release the descriptor; rows stay."""
        os.close(self._event)
