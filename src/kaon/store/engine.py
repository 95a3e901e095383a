"""The store: one writer thread that shares durable commits between waiting requests, and snapshot reads.

A commit costs one sync of the disk whatever it holds, so requests that wait while one is being written share it:
all but the first run in a savepoint of their own, so that one that fails undoes only itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from kaon.caller import INTERNAL, Caller
from kaon.store import journal, sqlite
from kaon.store.journal import Change
from kaon.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger("kaon.store")

MAX_BATCH = 64
"""Requests that may share one commit."""
FOLLOWED = 1000
"""Changes that a follower of the journal is given at a time."""


class _Job(NamedTuple):
    fn: Callable[[Transaction], Any]
    caller: Caller
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


_Done = tuple[_Job, Any, BaseException | None]
"""A request that has been run, with its result or what it raised."""


def _tell(loop: asyncio.AbstractEventLoop, fn: Callable[..., object], *arguments: Any) -> None:
    """Call `fn` on the loop of who asked; one that has closed meanwhile has nobody left who waits."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(fn, *arguments)


class Store:
    """Durable intent on one database. Make it with `Store(path)`, end it with `close()`."""

    def __init__(self, path: Path) -> None:
        self._writing, self._reading = sqlite.engines(path)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self.appended = asyncio.Event()
        """Set when the journal has grown, and replaced by a new one: who takes it before reading misses nothing."""
        self._read_lock = threading.Lock()
        self.commits = 0
        self._thread = threading.Thread(target=self._write_forever, name="kaon-writer", daemon=True)
        self._thread.start()

    @property
    def engine(self) -> sa.Engine:
        """The writing engine, for migrations before the first request."""
        return self._writing

    async def write(self, fn: Callable[[Transaction], T], caller: Caller = INTERNAL) -> T:
        """Run `fn` in a transaction and return its result once the commit is durable.

        Whatever `fn` raises undoes its own statements and is raised here; a commit that fails (a full disk, for
        example) raises the database's error to every request that shared it.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(fn, caller, loop, future))
        return await future

    async def read(self, fn: Callable[[sa.Connection], T]) -> T:
        """Run `fn` on one consistent snapshot of committed rows."""
        return self.read_now(fn)

    def read_now(self, fn: Callable[[sa.Connection], T]) -> T:
        """`read` for synchronous callers. SQLite answers from memory, so this is quicker than a thread would be."""
        with self._read_lock, self._reading.connect() as conn, conn.begin():
            return fn(conn)

    async def follow(self, seq: int) -> AsyncIterator[list[Change]]:
        """Yield the journal after `seq` in batches, for ever: what is there at once, then what comes as it comes."""
        while True:
            news = self.appended
            changes = await self.read(partial(journal.since, seq=seq, most=FOLLOWED))
            if changes:
                seq = changes[-1].seq
                yield changes
            if len(changes) < FOLLOWED:
                await news.wait()

    def wake(self) -> None:
        """Wake who follows the journal: it has grown, or there is something else to look after."""
        news, self.appended = self.appended, asyncio.Event()
        news.set()

    def close(self) -> None:
        """Finish the writes that wait, then close the database."""
        self._jobs.put(None)
        self._thread.join()
        self._writing.dispose()
        self._reading.dispose()

    def _wake(self, done: list[_Done], appended: bool) -> None:
        """On the loop: wake who follows the journal, and who waits for these requests."""
        if appended:
            self.wake()
        for job, result, error in done:
            if job.future.done():
                continue
            if error is not None:
                job.future.set_exception(error)
            else:
                job.future.set_result(result)

    # ------------------------------------------------------------ the writer thread

    def _write_forever(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not self._write_batch(job):
                return

    def _write_batch(self, first: _Job) -> bool:
        """Write `first` and whatever waits behind it in one commit; false when asked to stop."""
        taken: list[_Job] = []
        done: list[_Done] = []
        running = True
        appended = False
        job: _Job | None = first
        try:
            with self._writing.connect() as conn, conn.begin() as whole:
                while job is not None:
                    taken.append(job)
                    # While a request is alone in its commit, it can be undone by undoing all of it.
                    result, error, seq = self._run(conn, job, conn.begin_nested() if done else whole)
                    done.append((job, result, error))
                    appended = appended or seq > 0
                    job = None
                    if whole.is_active and len(done) < MAX_BATCH:
                        try:
                            job = self._jobs.get_nowait()
                            running = job is not None
                        except queue.Empty:
                            pass
            self.commits += 1
        except sa.exc.DBAPIError as error:
            taken = taken or [first]
            log.error("commit_failed", extra={"requests": len(taken), "reason": str(error.orig)})
            done = [(failed, None, error) for failed in taken]
            appended = False
        # Waking a loop costs as much as several statements do: once for all of the commit, not once for each.
        for loop in {job.loop for job, _, _ in done}:
            _tell(loop, self._wake, [item for item in done if item[0].loop is loop], appended)
        return running

    @staticmethod
    def _run(conn: sa.Connection, job: _Job, part: sa.Transaction) -> tuple[Any, BaseException | None, int]:
        """Run one request, and undo `part`, which is its own, when it fails."""
        try:
            tx = Transaction(conn, job.caller)
            result = job.fn(tx)
            seq = tx.journal()
            if isinstance(part, sa.NestedTransaction):
                part.commit()
        except Exception as error:  # it belongs to the request that asked, where it is raised again
            # Where the database has given up the whole transaction (https://sqlite.org/lang_transaction.html, a disk
            # that fills up under a big one), this raises, and so fails every request of the commit.
            if part.is_active:
                part.rollback()
            return None, error, 0
        return result, None, seq
