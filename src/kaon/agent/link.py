"""The agent's side of the channel: follow the host's rows, and tell the server what has become of them.

A server that is away changes nothing: the rows held stay desired, and damage is repaired. The link comes back by
itself and resumes where it was.
"""

from __future__ import annotations

import asyncio
import logging
import random
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from kaon import __version__
from kaon.agent.saved import SavedRows
from kaon.agent.servers import Server, Streams, explain, local_ip
from kaon.channel import (
    Ack,
    Attach,
    Attachment,
    Delta,
    Detach,
    Failure,
    Heartbeat,
    Hello,
    Refusal,
    Reply,
    Snapshot,
    from_wire,
    receive_from_server,
    send,
)
from kaon.converge.loop import Report
from kaon.converge.worker import ConvergeWorker
from kaon.joining import JoinError
from kaon.rows import RowId

log = logging.getLogger("kaon.agent.link")

HEARTBEAT = 1.5
"""Seconds between signs of life; the server calls an agent down after 4.5 seconds without any."""
FIRST_DELAY = 0.05
LONGEST_DELAY = 2.0
"""Seconds between attempts to reach a server that is away: the first, doubling up to the longest."""
REFUSED_DELAY = 10.0
"""Seconds between attempts to be heard by a server that refuses this agent."""


class NoServer(Exception):
    """The server cannot be asked now; the message says why, and the way out."""


class _Refused(Exception):
    """The server does not serve this agent, and says why."""


@dataclass(slots=True)
class _Waiter:
    seq: int
    done: Callable[[Report], bool]
    future: asyncio.Future[Report]


@dataclass(slots=True)
class Link:
    """One agent's link. `seq` and `epoch` are of the rows held; `connected` tells whether a server is there.

    `local_ip` is what the agent tells others to send tunnelled packets to; "" lets it find out. `away` says why there
    is no server, "" while there is one.
    """

    host: str
    engine: str
    server: Server
    worker: ConvergeWorker
    saved: SavedRows
    local_ip: str = ""
    physical_networks: Mapping[str, str] = field(default_factory=dict)
    away: str = ""
    seq: int = 0
    epoch: str = ""
    report: Report | None = None
    repaired: int = 0
    _writer: asyncio.StreamWriter | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _requests: dict[int, asyncio.Future[Reply]] = field(default_factory=dict)
    _request: int = 0
    _waiters: list[_Waiter] = field(default_factory=list)
    _stale: bool = False
    _tasks: set[asyncio.Task[object]] = field(default_factory=set)

    @property
    def connected(self) -> bool:
        """Whether a server listens to this agent now."""
        return self._writer is not None

    def load(self) -> None:
        """Desire what was saved, before any server is heard."""
        held = self.saved.load()
        if not held.epoch:
            return
        try:
            rows = [from_wire(row) for row in held.rows.values()]
        except msgspec.ValidationError as error:
            log.warning("saved rows are of another version", extra={"reason": str(error)})
            return
        self.seq, self.epoch = held.seq, held.epoch
        self.worker.snapshot(held.seq, rows)
        log.info("saved rows taken", extra={"rows": len(rows), "seq": held.seq})

    async def run(self) -> None:
        """Keep a connection to the server; returns only by cancellation."""
        delay = FIRST_DELAY
        while True:
            reason, again = "", LONGEST_DELAY
            try:
                # A connection that a message came through was a good one: the next attempt is soon.
                if await self._follow(await self.server.connect()):
                    delay = FIRST_DELAY
            except (_Refused, JoinError) as error:
                reason, again = str(error), REFUSED_DELAY
                delay = again
            except OSError as error:
                reason = explain(self.server.name, error)
            except msgspec.MsgspecError as error:
                reason = str(error)
            reason = reason or "it hung up"
            if reason != self.away:
                self.away = reason
                log.warning("server is away", extra={"server": self.server.name, "reason": reason})
            await asyncio.sleep(delay * random.uniform(0.75, 1.25))
            delay = min(delay * 2, again)

    async def attach(self, attachment: Attachment) -> Reply:
        """Ask the server to bind a port here; raises NoServer."""
        return await self._ask(lambda number: Attach(number, attachment))

    async def detach(self, port_id: str) -> Reply:
        """Ask the server to release a port from here; raises NoServer."""
        return await self._ask(lambda number: Detach(number, port_id))

    async def converged(self, seq: int, done: Callable[[Report], bool]) -> Report:
        """The first report as of `seq` or later for which `done` holds."""
        if self.report is not None and self.report.seq >= seq and done(self.report):
            return self.report
        waiter = _Waiter(seq, done, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            return await waiter.future
        finally:
            self._waiters.remove(waiter)

    def reported(self, report: Report) -> None:
        """Take in what a pass of the converger has achieved."""
        self.repaired += report.repaired
        if self._stale:
            return
        self.report = report
        self._news.set()
        for waiter in self._waiters:
            if report.seq >= waiter.seq and not waiter.future.done() and waiter.done(report):
                waiter.future.set_result(report)

    async def _ask(self, message: Callable[[int], Attach | Detach]) -> Reply:
        if self._writer is None:
            reason = self.away or f"{self.server.name} has not answered yet"
            raise NoServer(f"the server does not hear this agent: {reason}; if it is stopped, start it by `kaon up`")
        self._request += 1
        number = self._request
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._requests[number] = future
        try:
            await send(self._writer, message(number))
            return await future
        except OSError as error:
            raise NoServer(f"the server went away before it answered ({error}): try again") from error
        finally:
            del self._requests[number]

    async def _follow(self, streams: Streams) -> bool:
        """Speak with a server until it ends; whether it said anything."""
        reader, writer = streams
        heard = asyncio.Event()
        telling = [asyncio.create_task(self._acknowledge(writer, heard)), asyncio.create_task(self._beat(writer))]
        try:
            where = self.local_ip or local_ip(writer)
            reached = dict(self.physical_networks)
            await send(writer, Hello(self.host, self.engine, __version__, self.seq, self.epoch, where, reached))
            while True:
                self._take(await receive_from_server(reader))
                # Its first word tells that it serves this agent; a request before that could be lost.
                self._writer, self.away = writer, ""
                heard.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for task in telling:
                task.cancel()
            self._ended()
            writer.close()
        return heard.is_set()

    def _take(self, message: Snapshot | Delta | Reply | Refusal) -> None:
        match message:
            case Refusal(reason):
                raise _Refused(reason)
            case Snapshot(seq, epoch, wire_rows):
                rows = [from_wire(row) for row in wire_rows]
                try:
                    self.saved.snapshot(message)
                except OSError as error:
                    self.saved.forget()
                    log.warning("rows not saved", extra={"reason": str(error)})
                other = epoch != self.epoch or seq < self.seq
                self.seq, self.epoch = seq, epoch
                self.worker.snapshot(seq, rows)
                if other:
                    self._disregard_until_taken()
                log.info("snapshot taken", extra={"rows": len(rows), "seq": seq})
            case Delta(seq, put, delete):
                rows = [from_wire(row) for row in put]
                self.saved.delta(message)
                self.seq = seq
                self.worker.delta(seq, rows, [RowId(*row_id) for row_id in delete])
            case Reply():
                future = self._requests.get(message.request)
                if future is not None and not future.done():
                    future.set_result(message)

    def _disregard_until_taken(self) -> None:
        """Reports on their way count in another journal: they are of no account until the snapshot is taken."""
        self._stale, self.report = True, None
        loop = asyncio.get_running_loop()
        # Scheduled from the engine's thread, so after every report of before and before every one of after.
        taken = asyncio.create_task(
            self.worker.call(lambda _converger, _engine: loop.call_soon_threadsafe(self._regard))
        )
        self._tasks.add(taken)
        taken.add_done_callback(self._tasks.discard)

    def _regard(self) -> None:
        self._stale = False

    async def _acknowledge(self, writer: asyncio.StreamWriter, heard: asyncio.Event) -> None:
        # Until the server has said which journal it has, a sequence number may mean something else to it.
        await heard.wait()
        told: Ack | None = None
        while True:
            if self.report is not None and self.report.seq >= 0:
                failed = (Failure(f.id.table, f.id.key, f.origin, f.reason) for f in self.report.failed)
                ack = Ack(self.report.seq, tuple(failed))
                if ack != told:
                    await _tell(writer, ack)
                    told = ack
            await self._news.wait()
            self._news.clear()

    async def _beat(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT)
            await _tell(writer, Heartbeat(self.figures()))

    def figures(self) -> dict[str, float]:
        """What /metrics and the agents API show of this agent; sizes in bytes, times in seconds."""
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "seq": self.seq,
            "converged_seq": self.report.seq if self.report else -1,
            "failed_rows": len(self.report.failed) if self.report else 0,
            "repaired_rows_total": self.repaired,
            "kernel_writes_total": self.report.writes if self.report else 0,
            "resident_memory_peak_bytes": usage.ru_maxrss * 1024,
            "cpu_seconds_total": usage.ru_utime + usage.ru_stime,
        }

    def _ended(self) -> None:
        self._writer = None
        for future in self._requests.values():
            if not future.done():
                future.set_exception(ConnectionResetError("connection closed"))


async def _tell(writer: asyncio.StreamWriter, message: Ack | Heartbeat) -> None:
    try:
        await send(writer, message)
    except ConnectionError:
        # The reading side notices as well, and decides; a stuck reader is woken by the close.
        writer.close()
