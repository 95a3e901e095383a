"""One request's transaction: statements, who asks, and the journal rows that its changes append."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from kaon.caller import INTERNAL, Caller
from kaon.store import journal
from kaon.store.journal import Record


class Transaction:
    """What a rule function gets: `execute` for statements, `changed` for the journal, `caller` for who asks."""

    __slots__ = ("_entries", "_seq", "caller", "conn", "now")

    def __init__(self, conn: sa.Connection, caller: Caller = INTERNAL) -> None:
        self.conn = conn
        self.caller = caller
        self.now = time.time()
        self._entries: list[dict[str, Any]] = []
        self._seq = 0

    def execute(
        self, statement: sa.Executable, parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> sa.CursorResult[*tuple[Any, ...]]:
        """Run one statement (or one for each of several parameter sets) inside this transaction."""
        return self.conn.execute(statement, parameters)

    def changed(self, kind: str, id: str, before: Record | None, after: Record | None, owner: str = "") -> None:
        """Note a change to intent; it is journalled when the transaction's function has returned.

        `owner` is the project to which the changed thing belongs, "" for none.
        """
        self._entries.append(
            {
                "at": self.now,
                "request_id": self.caller.request_id,
                "user_id": self.caller.user_id,
                "user_name": self.caller.user_name,
                "project_id": self.caller.project_id,
                "owner_id": owner,
                "kind": kind,
                "resource_id": id,
                "before": before,
                "after": after,
            }
        )

    def journal(self) -> int:
        """Append the noted changes to the journal; this transaction's last sequence number, 0 when it has none."""
        if self._entries:
            entries, self._entries = self._entries, []
            self._seq = journal.append(self.conn, entries)
        return self._seq
