"""A server that agents on other hosts join, in one process with them: TLS over the loopback, a fake engine each."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from kaon.agent import control, enrol
from kaon.agent.main import AgentConfig, run
from kaon.agent.servers import Streams
from kaon.channel import FromAgent, FromServer, Refusal, receive_from_server, send
from kaon.joining import Token, fingerprint
from kaon.server import authority, membership
from kaon.server.remote import RemoteAgents
from tests.agent.cloud import Kernel, Server

OWN = "alpha"
"""The server's own host."""


@dataclass
class Site:
    """A server, its members and its address, which stays the same when it is started again."""

    folder: Path
    server: Server
    lifetime: timedelta = authority.HOST_LIFETIME
    address: tuple[str, int] = ("127.0.0.1", 0)
    remote: RemoteAgents | None = None

    @property
    def url(self) -> str:
        """Where agents find it."""
        return f"tls://{self.address[0]}:{self.address[1]}"

    async def start(self) -> None:
        await self.server.start()
        assert self.server.channel is not None
        listener = socket.create_server(self.address)
        self.address = listener.getsockname()
        self.remote = RemoteAgents(self.server.channel, self.folder, OWN, self.lifetime)
        await self.remote.listen(listener)

    async def stop(self) -> None:
        if self.remote is not None:
            self.remote.close()
            self.remote = None
        await self.server.stop()

    def token(self, host: str = "", seconds: float = 60.0) -> Token:
        """A new join token, as `kaon host token` makes it."""
        secret = membership.invite(self.folder, host, seconds)
        return Token(fingerprint(authority.open_authority(self.folder).pem), secret)

    @property
    def members(self) -> set[str]:
        """The hosts that have joined."""
        return {member.host for member in membership.members(self.folder)}


@dataclass
class Remote:
    """A host with a folder of its own, on which an agent may run."""

    site: Site
    name: str
    folder: Path
    kernel: Kernel = field(default_factory=Kernel)
    agent: asyncio.Task[None] | None = None

    @property
    def certificates(self) -> Path:
        return enrol.enrolment_folder(self.folder)

    async def join(self, token: Token | None = None) -> None:
        await enrol.join(self.certificates, self.site.url, self.name, token or self.site.token(self.name))

    async def connect(self) -> Streams:
        """A connection with this host's certificate."""
        return await enrol.remote_server(self.certificates).connect()

    async def start(self) -> None:
        ready = asyncio.Event()
        config = AgentConfig(self.name, enrol.remote_server(self.certificates), self.folder, "fake")
        self.agent = asyncio.create_task(run(config, lambda: self.kernel, ready.set))
        await ready.wait()

    async def stop(self) -> None:
        if self.agent is not None:
            self.agent.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.agent
            self.agent = None

    async def status(self) -> control.Status:
        return await control.status(self.folder / control.SOCKET)

    async def away(self, words: str) -> None:
        """Wait until the agent says of its server what contains these words."""
        async with asyncio.timeout(10):
            while words not in (await self.status()).away:
                await asyncio.sleep(0.005)

    @property
    def bridges(self) -> set[str]:
        return {row_id.key[1] for row_id in self.kernel.rows}


async def said(streams: Streams, message: FromAgent) -> FromServer | None:
    """What a server answers to a first word; None when it hangs up instead."""
    async with asyncio.timeout(5):
        try:
            await send(streams[1], message)
            return await receive_from_server(streams[0])
        except (asyncio.IncompleteReadError, OSError):
            return None
        finally:
            streams[1].close()


async def refusal(streams: Streams, message: FromAgent) -> str:
    """The reason for which a server refuses a first word; fails when it does not."""
    answer = await said(streams, message)
    assert isinstance(answer, Refusal), answer
    return answer.reason


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    """A server that runs; stopped in the end."""
    folder.mkdir()
    made = Site(folder / "members", Server(folder / "s"))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


@contextlib.asynccontextmanager
async def remote(where: Site, folder: Path, name: str = "beta") -> AsyncIterator[Remote]:
    """A host that has not joined; its agent is stopped in the end."""
    folder.mkdir()
    made = Remote(where, name, folder)
    try:
        yield made
    finally:
        await made.stop()
