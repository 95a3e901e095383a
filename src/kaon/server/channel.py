"""The server's side of the channel: every agent follows the rows of its host, and says what has become of them.

There is no queue to an agent. Each connection remembers the sequence number that it has sent, and asks its source of
rows what is new since then whenever the peer's buffer has room; so an agent that is slow gets one merged difference,
or a snapshot, instead of all that happened meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import msgspec

from kaon.channel import (
    Ack,
    Attach,
    Attachment,
    Delta,
    Detach,
    Failure,
    FromAgent,
    FromServer,
    Heartbeat,
    Hello,
    Refusal,
    Reply,
    Snapshot,
    receive_from_agent,
    send,
    to_wire,
)
from kaon.rows import Row, RowId

log = logging.getLogger("kaon.server.channel")

ALIVE = 4.5
"""Seconds after the last word of an agent for which it counts as alive; agents say something every 1.5 seconds."""
HELLO_PATIENCE = 10.0
"""Seconds that a peer may take to say Hello."""


class Refused(Exception):
    """What an agent asks for cannot be done; the message tells the person there why, and the way out."""


Introduction = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable["Hello | None"]]
"""How a peer makes itself known: its Hello, or None when all that it wanted is done. May raise Refused."""


class Change(NamedTuple):
    """What turns a host's rows of an earlier sequence number into those of `seq`."""

    seq: int
    put: Iterable[Row]
    delete: Iterable[RowId]


class Source(Protocol):
    """The desired rows of one host. Both calls are quick and are made on the event loop."""

    def snapshot(self) -> tuple[int, Iterable[Row]]:
        """All rows, and the sequence number as of which they are."""

    def since(self, seq: int) -> Change | None:
        """What changed after `seq`, merged; None where that is not known any more, or not yet."""


class Handlers(NamedTuple):
    """What the channel asks of the rest of the server.

    `source` yields the rows of a host for its agent, who has just said Hello; it may raise Refused. `attach` and
    `detach` store the intent, and return the sequence number whose convergence completes it (attach: and the port);
    they raise Refused.
    `report` hears (host, seq, failures) of every acknowledgement, `heard` of every word that an agent says.
    """

    source: Callable[[Hello], Awaitable[Source]]
    attach: Callable[[str, Attachment], Awaitable[tuple[int, dict[str, object]]]]
    detach: Callable[[str, str], Awaitable[int]]
    report: Callable[[str, int, tuple[Failure, ...]], None]
    heard: Callable[[Agent], None]


@dataclass(slots=True)
class Agent:
    """What is known of a host's agent. `heard` is on the monotonic clock, `started` and `seen` are Unix times."""

    host: str
    engine: str = ""
    version: str = ""
    local_ip: str = ""
    physical_networks: dict[str, str] = field(default_factory=dict)
    heard: float = 0.0
    started: float = 0.0
    seen: float = 0.0
    acked: int = 0
    failed: tuple[Failure, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def alive(self) -> bool:
        """Whether it has said something lately."""
        return self.heard > 0 and time.monotonic() - self.heard <= ALIVE


@dataclass(slots=True)
class _Connection:
    writer: asyncio.StreamWriter
    news: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


async def _hello(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> Hello:
    first = await receive_from_agent(reader)
    if not isinstance(first, Hello) or not first.host:
        raise ConnectionError(f"an agent says Hello with its host first, not {type(first).__name__}")
    return first


def _address(writer: asyncio.StreamWriter) -> str:
    """Where a peer is, for the log."""
    found = writer.get_extra_info("peername")
    return str(found[0]) if isinstance(found, tuple) else ""


class Channel:
    """Serves any number of agents, one a host; the newest connection of a host replaces an older one.

    `epoch` names the journal from which sequence numbers come, and the run of the server that made rows of it.
    """

    def __init__(self, epoch: str, handlers: Handlers) -> None:
        self._epoch = epoch
        self._handlers = handlers
        self._connections: dict[str, _Connection] = {}
        self._streams: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        self.agents: dict[str, Agent] = {}

    async def listen(self, listener: socket.socket) -> None:
        """Accept agents on a listening unix socket: whoever may open it speaks for the host that it says."""
        self._server = await asyncio.start_unix_server(self._serve_local, sock=listener)

    async def close(self) -> None:
        """Stop accepting, and close every connection."""
        if self._server is not None:
            self._server.close()
        for writer in self._streams:
            writer.close()
        if self._streams:
            await asyncio.wait(list(self._streams.values()))

    def changed(self, host: str = "") -> None:
        """Tell that the source of a host (of every host) has something new."""
        for connection in self._connections.values() if not host else filter(None, [self._connections.get(host)]):
            connection.news.set()

    def disconnect(self, host: str) -> None:
        """Hang up on a host's agent, if it is connected."""
        if host in self._connections:
            self._connections[host].writer.close()

    async def _serve_local(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.serve(reader, writer, _hello)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, introduce: Introduction) -> None:
        """Speak with one agent over any byte stream until it ends; `introduce` tells whose agent it is."""
        host = ""
        connection = _Connection(writer)
        task = asyncio.current_task()
        assert task is not None
        self._streams[writer] = task
        try:
            async with asyncio.timeout(HELLO_PATIENCE):
                hello = await introduce(reader, writer)
            if hello is None:
                return
            host = hello.host
            self._welcome(hello, connection)
            # Before anything else is heard: an acknowledgement is about rows that the source has.
            source = await self._handlers.source(hello)
            self._spawn(connection, self._feed(hello, connection, source))
            while True:
                self._hear(host, connection, await receive_from_agent(reader))
        except (asyncio.IncompleteReadError, ConnectionResetError, BrokenPipeError):
            log.info("agent disconnected", extra={"host": host})
        except Refused as error:
            log.warning("agent refused", extra={"peer": _address(writer), "reason": str(error)})
            with contextlib.suppress(ConnectionError):
                await send(writer, Refusal(str(error)))
        except (OSError, msgspec.MsgspecError, TimeoutError) as error:
            log.warning("agent dropped", extra={"host": host, "reason": str(error) or type(error).__name__})
        finally:
            del self._streams[writer]
            if self._connections.get(host) is connection:
                del self._connections[host]
            for work in connection.tasks:
                work.cancel()
            writer.close()

    def _welcome(self, hello: Hello, connection: _Connection) -> None:
        older = self._connections.get(hello.host)
        if older is not None:
            log.warning("agent replaced by a newer connection of the same host", extra={"host": hello.host})
            older.writer.close()
        self._connections[hello.host] = connection
        agent = self.agents.setdefault(hello.host, Agent(hello.host))
        agent.engine, agent.version, agent.started = hello.engine, hello.version, time.time()
        agent.local_ip, agent.physical_networks = hello.local_ip, hello.physical_networks
        agent.failed = ()
        self._heard(agent)
        log.info("agent connected", extra={"host": hello.host, "engine": hello.engine, "resume": hello.resume})

    def _hear(self, host: str, connection: _Connection, message: FromAgent) -> None:
        agent = self.agents[host]
        self._heard(agent)
        match message:
            case Ack(seq, failed):
                agent.acked, agent.failed = seq, failed
                self._handlers.report(host, seq, failed)
            case Heartbeat(figures):
                agent.figures = figures
            case Attach(request, attachment):
                self._spawn(connection, self._attach(host, connection, request, attachment))
            case Detach(request, port_id):
                self._spawn(connection, self._detach(host, connection, request, port_id))
            case Hello():
                raise ConnectionError("Hello is said once")

    def _heard(self, agent: Agent) -> None:
        agent.heard, agent.seen = time.monotonic(), time.time()
        self._handlers.heard(agent)

    def _spawn(self, connection: _Connection, work: Awaitable[None]) -> None:
        async def run() -> None:
            # A peer that has gone is noticed by the reading side, which ends the connection.
            with contextlib.suppress(ConnectionError):
                try:
                    await work
                except BaseException:
                    connection.writer.close()
                    raise

        task = asyncio.create_task(run())
        connection.tasks.add(task)
        task.add_done_callback(connection.tasks.discard)

    async def _feed(self, hello: Hello, connection: _Connection, source: Source) -> None:
        sent = hello.resume if hello.epoch == self._epoch and hello.resume > 0 else -1
        first = True
        while True:
            connection.news.clear()
            message = self._news(source, sent, first)
            first = False
            if message is None:
                await connection.news.wait()
                continue
            await send(connection.writer, message)
            sent = message.seq

    def _news(self, source: Source, sent: int, first: bool) -> Snapshot | Delta | None:
        """The next message after `sent`; the first one of a connection is sent even when it is empty."""
        change = source.since(sent) if sent >= 0 else None
        if change is None:
            seq, rows = source.snapshot()
            return Snapshot(seq, self._epoch, tuple(map(to_wire, rows)))
        if change.seq == sent and not first:
            return None
        return Delta(change.seq, tuple(map(to_wire, change.put)), tuple(change.delete))

    async def _attach(self, host: str, connection: _Connection, request: int, attachment: Attachment) -> None:
        try:
            seq, port = await self._handlers.attach(host, attachment)
        except Refused as error:
            await self._reply(connection, Reply(request, error=str(error)))
        else:
            await self._reply(connection, Reply(request, seq=seq, port=port))

    async def _detach(self, host: str, connection: _Connection, request: int, port_id: str) -> None:
        try:
            seq = await self._handlers.detach(host, port_id)
        except Refused as error:
            await self._reply(connection, Reply(request, error=str(error)))
        else:
            await self._reply(connection, Reply(request, seq=seq))

    @staticmethod
    async def _reply(connection: _Connection, reply: FromServer) -> None:
        await send(connection.writer, reply)
