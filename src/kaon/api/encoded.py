"""Encoded rows of one resource, kept for the lists that follow; the oldest go when there is no more room."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

View = tuple[frozenset[str], tuple[Any, ...]]
"""What makes one caller's picture of a row differ from another's: hidden attributes and derived values."""

ROOM = 192 * 2**20
"""Bytes that the rows of one resource may take: a hundred thousand ports, and as many again that are smaller."""
OVERHEAD = 400
"""Bytes that Python needs for an entry besides its row."""


class EncodedRows:
    """Rows by id and view, each valid for one revision. What was kept first goes first, so that a list of more than
    there is room for finds the part that is left."""

    __slots__ = ("_room", "_rows", "size")

    def __init__(self, room: int = ROOM) -> None:
        self._rows: OrderedDict[tuple[str, View], tuple[int, bytes]] = OrderedDict()
        self._room = room
        self.size = 0

    def get(self, id: str, revision: int, view: View) -> bytes | None:
        """The row at this revision, if it is kept."""
        found = self._rows.get((id, view))
        return found[1] if found is not None and found[0] == revision else None

    def keep(self, id: str, revision: int, view: View, row: bytes) -> None:
        """Keep a row, in the place of an older revision of it."""
        before = self._rows.pop((id, view), None)
        self._rows[id, view] = revision, row
        self.size += OVERHEAD + len(row) if before is None else len(row) - len(before[1])
        while self.size > self._room:
            _, (_, oldest) = self._rows.popitem(last=False)
            self.size -= OVERHEAD + len(oldest)
