"""The rows of one host with the order of their changes, so that what is new since any recent moment is known.

It is a source of the channel. Each row id is remembered once, with the sequence number of its last change; so what
is new since a sequence number costs the work of the rows that changed, however often they did.
"""

from __future__ import annotations

from collections.abc import Iterable

from kaon.rows import Row, RowId
from kaon.server.channel import Change

REMEMBERED = 100_000
"""Row ids whose last change is remembered; who has not heard since before the oldest of them gets a snapshot."""


class Backlog:
    """A host's rows as of `seq`, and what changed lately."""

    def __init__(self, seq: int, rows: Iterable[Row], *, remembered: int = REMEMBERED) -> None:
        self.seq = seq
        self._rows = {row.id: row for row in rows}
        self._changed: dict[RowId, int] = {}
        self._known_since = seq
        self._remembered = remembered

    def update(self, seq: int, put: Iterable[Row] = (), delete: Iterable[RowId] = ()) -> None:
        """Take in what changed up to `seq`; a call without rows only advances it."""
        for row_id in delete:
            self._rows.pop(row_id, None)
            self._changed.pop(row_id, None)
            self._changed[row_id] = seq
        for row in put:
            self._rows[row.id] = row
            self._changed.pop(row.id, None)
            self._changed[row.id] = seq
        self.seq = seq
        while len(self._changed) > self._remembered:
            oldest = next(iter(self._changed))
            self._known_since = self._changed.pop(oldest)

    def snapshot(self) -> tuple[int, Iterable[Row]]:
        """All rows, as of `seq`."""
        return self.seq, self._rows.values()

    def since(self, seq: int) -> Change | None:
        """What changed after `seq`, each row once; None where `seq` is too long ago, or in the future."""
        if not self._known_since <= seq <= self.seq:
            return None
        put: list[Row] = []
        delete: list[RowId] = []
        for row_id, changed in reversed(self._changed.items()):
            if changed <= seq:
                break
            row = self._rows.get(row_id)
            if row is None:
                delete.append(row_id)
            else:
                put.append(row)
        return Change(self.seq, put, delete)
