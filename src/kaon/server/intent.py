"""The whole intent as a world for questions about it, as of the moment of the question.

It is loaded when the first question comes; each later one reads what has been journalled since. So whoever has just
written something is answered with it, and a cloud in which nobody asks pays nothing.
"""

from __future__ import annotations

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.catalog import resources
from kaon.store import journal
from kaon.store.engine import Store
from kaon.world.world import Change, World

MANY = 1000
"""Entries of the journal beyond which reading all records anew is the shorter way."""


class Intent:
    """A world that is as new as the journal whenever it is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._world: World | None = None
        self._seq = 0

    def world(self) -> World:
        """The world as of now. It changes at the next call: who keeps it sees what comes."""
        return self._store.read_now(self._as_of)

    def _as_of(self, conn: sa.Connection) -> World:
        last = journal.last(conn)
        # The journal may have forgotten what a world that is far behind would need.
        if self._world is None or not 0 <= last - self._seq <= MANY or self._seq < journal.first(conn) - 1:
            loaded = records.load_all(conn, resources())
            self._world = World(Change(kind, record["id"], None, record, last) for kind, record in loaded)
        else:
            for change in journal.since(conn, self._seq, MANY):
                self._world.apply(Change(change.kind, change.id, change.before, change.after, change.seq))
        self._seq = last
        return self._world
