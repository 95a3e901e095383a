"""GET /kaon/v1/history: pages of the journal, and the same as a stream of server-sent events; and how long it is kept.

https://html.spec.whatwg.org/multipage/server-sent-events.html. There is no queue to a reader: each one knows the number
that it has been sent, and asks for what follows it whenever its connection takes more. The newest entries are read from
the database once for all readers, and one that lags behind them reads pages of its own; so a slow reader costs a page
of memory, however much happens meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from itertools import takewhile

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from kaon.api import history
from kaon.api.app import base_url
from kaon.api.history import History
from kaon.api.http import Answer, Authenticate, endpoint
from kaon.api.policy import Policy
from kaon.caller import Caller
from kaon.resources import types
from kaon.resources.errors import ApiError, bad_request, forbidden
from kaon.store import journal
from kaon.store.engine import Store
from kaon.store.journal import Entry, Wanted

log = logging.getLogger("kaon.server.history")

PATH = "/kaon/v1/history"
HEARTBEAT = 15.0
"""Seconds without an entry after which a stream says that it lives, and looks whether its token still does."""
NEWEST = 500
"""Entries that are kept for all readers together."""
SENT = 100
"""Entries that a reader is sent at a time."""
FORGOTTEN = 500
"""Entries that are removed in one transaction, so that requests do not wait for long."""
BETWEEN = 600.0
"""Seconds from one removal of old entries to the next."""


class Feed:
    """The newest entries of the journal, for all who follow it."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.ended = False
        self._known = store.appended
        self._newest: deque[Entry] = deque()
        self._last = store.read_now(journal.last)
        self._after = self._last
        """All entries above this number are among the newest."""
        self._encoded: dict[tuple[int, Caller], bytes] = {}

    def end(self) -> None:
        """End every stream, as the server is about to stop."""
        self.ended = True
        self.store.wake()

    def behind(self, seq: int, wanted: Wanted) -> tuple[list[Entry], int]:
        """The next wanted entries behind a number, and the number up to which these are all that there are."""
        self._refresh()
        if seq >= self._after:
            fresh = list(takewhile(lambda entry: entry.seq > seq, reversed(self._newest)))[::-1]
            found = [entry for entry in fresh if wanted.holds(entry)][:SENT]
        else:
            found = self.store.read_now(lambda conn: journal.page(conn, wanted, SENT, history.number(conn, seq)))
        last = found[-1].seq if found else seq
        return found, last if len(found) == SENT else max(last, self._last)

    def _refresh(self) -> None:
        if self.store.appended is self._known:
            return
        self._known = self.store.appended
        fresh = self.store.read_now(lambda conn: journal.page(conn, Wanted(), NEWEST, before=None, after=self._last))
        if len(fresh) == NEWEST:  # there may be more: these are not the newest ones
            fresh = self.store.read_now(lambda conn: journal.page(conn, Wanted(), NEWEST))
            self._newest.clear()
            self._after = fresh[0].seq - 1
        for entry in fresh:
            self._newest.append(entry)
            self._last = entry.seq
        while len(self._newest) > NEWEST:
            self._after = self._newest.popleft().seq

    def events(self, shown: History, entries: list[Entry], caller: Caller) -> bytes:
        """Entries as this caller sees them, as events; encoded once for all connections of one caller."""
        who = msgspec.structs.replace(caller, request_id="")
        fresh = [entry for entry in entries if (entry.seq, who) not in self._encoded]
        if len(self._encoded) + len(fresh) > 4 * NEWEST:
            self._encoded.clear()
            fresh = entries
        if fresh:
            visible = self.store.read_now(lambda conn: dict(shown.shown(conn, fresh, caller)))
            for entry in fresh:
                row = visible.get(entry.seq)
                self._encoded[entry.seq, who] = b"" if row is None else b"id: %d\ndata: %s\n\n" % (entry.seq, row)
        return b"".join(self._encoded[entry.seq, who] for entry in entries)


async def _stream(
    feed: Feed, shown: History, wanted: Wanted, seq: int, caller: Caller, again: Callable[[], Awaitable[Caller]]
) -> AsyncIterator[bytes]:
    """The wanted entries behind `seq`, for ever. `again` asks once more who the reader is; ends where that raises."""
    yield b"retry: 1000\n\n"
    asked = time.monotonic()
    try:
        while not feed.ended:
            news = feed.store.appended
            entries, seq = feed.behind(seq, wanted)
            if entries:
                yield feed.events(shown, entries, caller)
            if len(entries) < SENT:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT):
                        await news.wait()
            if time.monotonic() - asked >= HEARTBEAT:
                caller, asked = await again(), time.monotonic()
                yield b": the journal is at %d\n\n" % seq
    except ApiError as error:
        # The reader comes again with the number of its last entry, and is told then.
        log.info("stream ended", extra={"user_id": caller.user_id, "reason": error.message})


def history_routes(
    feed: Feed, policy: Policy, authenticate: Authenticate, identity_url: str = "/identity"
) -> list[BaseRoute]:
    """The route of the history."""
    shown = History(policy)

    async def handle(request: Request, caller: Caller) -> Answer:
        pairs = request.query_params.multi_items()
        query = history.parse(pairs, caller)
        if "text/event-stream" not in request.headers.get("accept", ""):
            url = f"{base_url(request)}{PATH}"
            return Answer(200, await feed.store.read(lambda conn: history.page(conn, shown, url, pairs, query, caller)))
        if query.until is not None or "limit" in request.query_params:
            raise bad_request("A stream has no end: until and limit are for pages")
        seq = await feed.store.read(partial(_start, query.since, request.headers.get("last-event-id")))

        async def again() -> Caller:
            found = await authenticate(request.headers.get("x-auth-token", ""), caller.request_id)
            if history.parse(pairs, found).wanted != query.wanted:
                raise forbidden("The reader may not see all that was asked for any more")
            return found

        events = _stream(feed, shown, query.wanted, seq, caller, again)
        return Answer(200, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}, events=events)

    return [Route(PATH, endpoint(handle, authenticate, identity_url), methods=["GET"])]


def _start(since: history.Moment | None, last_event: str | None, conn: sa.Connection) -> int:
    """The number behind which a stream begins: what the reader has had already, else what it asks for, else now."""
    if last_event:
        since = types.natural(last_event)
        if since is None:
            raise bad_request(f"Last-Event-ID is '{last_event}': the number of an entry is needed")
    newest = journal.last(conn)
    start = history.number(conn, since)
    if start is None:
        return newest
    if start > newest:
        raise ApiError(
            410, "HistoryGone", f"There is no entry {start}, the newest is {newest}: this is another journal."
        )
    return start


async def forget(store: Store, days: int) -> None:
    """Remove entries that are older than so many days, a few at a time, as long as the server runs; 0 keeps all."""
    while days:
        try:
            await forget_before(store, time.time() - days * 86_400)
        except sa.exc.OperationalError as error:
            log.error("old entries not removed", extra={"reason": str(error.orig)})
        await asyncio.sleep(BETWEEN)


async def forget_before(store: Store, at: float) -> int:
    """Remove the entries from before a Unix time; how many went."""
    upto = store.read_now(partial(journal.number_at, at=at))
    gone = 0
    while more := await store.write(lambda tx: journal.forget(tx.conn, upto, FORGOTTEN)):
        gone += more
    if gone:
        log.info("old entries removed", extra={"entries": gone, "upto": upto})
    return gone
