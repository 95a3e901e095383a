"""A server's channel and an agent on a fake engine in one process, for stories about what passes between them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from kaon.agent.main import AgentConfig, run
from kaon.agent.servers import local_server
from kaon.channel import Attachment, Failure, Hello
from kaon.engines.fake.engine import FakeEngine
from kaon.rows import Bridge, Row, row
from kaon.server.backlog import Backlog
from kaon.server.channel import Agent, Channel, Handlers, Refused, Source


def bridge(name: str, mtu: int = 1500) -> Row:
    return row(Bridge(mtu=mtu), "", name, origin=f"network/{name}")


async def until(predicate: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the event loop run until the predicate holds."""
    async with asyncio.timeout(seconds):
        while not predicate():
            await asyncio.sleep(0.002)


@dataclass
class Server:
    """The intent of one host, and the channel that tells it."""

    path: Path
    epoch: str = "epoch-1"
    backlog: Backlog = field(default_factory=lambda: Backlog(1, []))
    reports: list[tuple[str, int, tuple[Failure, ...]]] = field(default_factory=list)
    heard: list[Agent] = field(default_factory=list)
    channel: Channel | None = None

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self.path))
        listener.listen()
        handlers = Handlers(self._source, self._attach, self._detach, self._report, self.heard.append)
        self.channel = Channel(self.epoch, handlers)
        await self.channel.listen(listener)

    async def stop(self) -> None:
        if self.channel is not None:
            await self.channel.close()
            self.channel = None

    def put(self, *rows: Row) -> int:
        self.backlog.update(self.backlog.seq + 1, rows)
        return self._changed()

    def delete(self, *rows: Row) -> int:
        self.backlog.update(self.backlog.seq + 1, delete=[item.id for item in rows])
        return self._changed()

    def _changed(self) -> int:
        if self.channel is not None:
            self.channel.changed()
        return self.backlog.seq

    async def _source(self, hello: Hello) -> Source:
        return self.backlog

    async def _attach(self, host: str, attachment: Attachment) -> tuple[int, dict[str, object]]:
        if attachment.port_id == "unknown":
            raise Refused("port unknown: there is no such port")
        name = attachment.port_id
        seq = self.put(row(Bridge(mtu=1500), "", name, origin=f"port/{name}"))
        return seq, {"id": name, "network_id": "n1", "binding:host_id": host}

    async def _detach(self, host: str, port_id: str) -> int:
        return self.delete(bridge(port_id))

    def _report(self, host: str, seq: int, failed: tuple[Failure, ...]) -> None:
        self.reports.append((host, seq, failed))


class Kernel(FakeEngine):
    """What exists outlives the engine that works on it."""

    def close(self) -> None:
        pass


@dataclass
class Host:
    """A host with an agent that can be stopped and started; what exists on it stays."""

    folder: Path
    server: Path
    kernel: Kernel = field(default_factory=Kernel)
    agent: asyncio.Task[None] | None = None

    async def start(self) -> None:
        ready = asyncio.Event()
        config = AgentConfig("host-1", local_server(self.server), self.folder, "fake")
        self.agent = asyncio.create_task(run(config, lambda: self.kernel, ready.set))
        await ready.wait()

    async def stop(self) -> None:
        if self.agent is not None:
            self.agent.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.agent
            self.agent = None

    @property
    def bridges(self) -> dict[str, int]:
        return {row_id.key[1]: item.value.mtu for row_id, item in self.kernel.rows.items()}  # type: ignore[attr-defined]


@contextlib.asynccontextmanager
async def cloud(tmp_path: Path) -> AsyncIterator[tuple[Server, Host]]:
    """A server that has not been started yet and a host without an agent; both are stopped in the end."""
    folder = tmp_path / "agent"
    folder.mkdir(mode=0o700)
    server = Server(tmp_path / "s")
    host = Host(folder, tmp_path / "s")
    try:
        yield server, host
    finally:
        await host.stop()
        await server.stop()
