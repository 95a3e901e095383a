"""The converger for an asyncio process: its blocking work runs on one thread, the engine's, and nowhere else.

What arrives (snapshots, differences, calls) wakes the thread at once through an eventfd; so do the engine's notices of
outside changes, retries and audits. There is no tick.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import select
import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from kaon.converge.loop import Converger, Report
from kaon.engines.base import Engine
from kaon.rows import Row, RowId

log = logging.getLogger("kaon.converge")
T = TypeVar("T")


class ConvergeWorker:
    """Runs a Converger on a thread of its own and reports every pass to `on_report` on the event loop.

    `make_engine` is called on that thread, since an engine's sockets belong to the namespaces its thread enters.
    Make and stop it inside a running event loop.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        on_report: Callable[[Report], None],
        *,
        audit_seconds: float = 60.0,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._make_engine = make_engine
        self._on_report = on_report
        self._audit_seconds = audit_seconds
        self._work: queue.SimpleQueue[Callable[[Converger, Engine], None] | None] = queue.SimpleQueue()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.stopped: asyncio.Future[None] = self._loop.create_future()
        """Done when the thread has ended; holds the exception that ended it, if one did."""
        self._thread = threading.Thread(target=self._run, name="kaon-engine", daemon=True)
        self._thread.start()

    def snapshot(self, seq: int, rows: Iterable[Row]) -> None:
        """Desire exactly these rows; see Converger.take_snapshot."""
        taken = list(rows)
        self._put(lambda converger, _: converger.take_snapshot(seq, taken))

    def delta(self, seq: int, put: Iterable[Row] = (), delete: Iterable[RowId] = ()) -> None:
        """Change what is desired; see Converger.take_delta."""
        puts, deletes = list(put), list(delete)
        self._put(lambda converger, _: converger.take_delta(seq, puts, deletes))

    async def call(self, fn: Callable[[Converger, Engine], T]) -> T:
        """Run a function on the engine thread, between passes, and return its result or raise what it raised."""
        future: asyncio.Future[T] = self._loop.create_future()

        def run(converger: Converger, engine: Engine) -> None:
            try:
                result = fn(converger, engine)
            except BaseException as error:
                self._loop.call_soon_threadsafe(_fail, future, error)
            else:
                self._loop.call_soon_threadsafe(_resolve, future, result)

        self._put(run)
        return await future

    async def stop(self) -> None:
        """End the thread after the pass in progress; what exists stays as it is."""
        self._work.put(None)
        os.eventfd_write(self._wake, 1)
        await asyncio.wait([self.stopped])

    def _put(self, work: Callable[[Converger, Engine], None]) -> None:
        self._work.put(work)
        os.eventfd_write(self._wake, 1)

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            engine = self._make_engine()
            try:
                self._serve(engine, Converger(engine, audit_seconds=self._audit_seconds))
            finally:
                engine.close()
        except BaseException as raised:
            error = raised
            log.exception("engine thread ended")
        if error is None:
            self._loop.call_soon_threadsafe(_resolve, self.stopped, None)
        else:
            self._loop.call_soon_threadsafe(_fail, self.stopped, error)

    def _serve(self, engine: Engine, converger: Converger) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if engine.fileno() >= 0:
            poll.register(engine.fileno(), select.POLLIN)
        asked = False
        while True:
            wait = max(0.0, converger.wake_at() - time.monotonic()) if asked else None
            # Rounded up to a whole millisecond, so that a retry is due when the poll returns for it.
            poll.poll(None if wait is None else int(wait * 1000) + 1)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            while True:
                try:
                    work = self._work.get_nowait()
                except queue.Empty:
                    break
                if work is None:
                    return
                work(converger, engine)
                asked = asked or converger.seq >= 0
            if not asked:
                # Before the first snapshot nothing is known to be unwanted, so nothing may be touched.
                engine.changes()
                continue
            report = converger.converge()
            self._loop.call_soon_threadsafe(self._on_report, report)


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
