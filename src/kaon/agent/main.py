"""The agent's process: one event loop that listens to the server, and one thread on which the engine works.

It ends without touching what exists: traffic goes on, and the next agent finds everything in place.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kaon import launch as orders
from kaon import log as logs
from kaon import privileges
from kaon.agent import answer
from kaon.agent.control import SOCKET
from kaon.agent.engine import build
from kaon.agent.link import Link
from kaon.agent.nova import Nova
from kaon.agent.saved import SavedRows
from kaon.agent.servers import Server, local_server
from kaon.config import Settings, listen_address
from kaon.converge.loop import Converger, Report
from kaon.converge.worker import ConvergeWorker
from kaon.engines.base import Engine

log = logging.getLogger("kaon.agent")

ROWS = "rows"
"""Name of the file with the rows held, in the agent's folder."""
CLEANUP_PATIENCE = 5.0
"""Seconds for which a cleanup tries again what fails."""


@dataclass(slots=True, frozen=True)
class AgentConfig:
    """What an agent must know: its host's name, its server, its own folder (mode 0700), its engine's name.

    `audit_seconds` is the time between full reads that look for damage nobody gave notice of. `local_ip` is the address
    at which other hosts reach this one; "" lets the agent find out. `physical_networks` are those that it reaches.
    """

    host: str
    server: Server
    folder: Path
    engine: str = "linux"
    local_ip: str = ""
    physical_networks: Mapping[str, str] = field(default_factory=dict)
    audit_seconds: float = 60.0


async def run(config: AgentConfig, make_engine: Callable[[], Engine], ready: Callable[[], None] = lambda: None) -> None:
    """Be the agent until cancelled or the engine's thread ends; `ready` is called when attach requests are heard.

    `make_engine` is called on the engine's thread. Raises what ended that thread.
    """
    link: Link | None = None

    def reported(report: Report) -> None:
        if link is not None:
            link.reported(report)

    worker = ConvergeWorker(make_engine, reported, audit_seconds=config.audit_seconds)
    saved = SavedRows(config.folder / ROWS)
    link = Link(config.host, config.engine, config.server, worker, saved, config.local_ip, config.physical_networks)
    control = await answer.listen(config.folder / SOCKET, link)
    following: asyncio.Task[None] | None = None
    try:
        link.load()
        following = asyncio.create_task(link.run())
        ready()
        await asyncio.wait([worker.stopped, following], return_when=asyncio.FIRST_COMPLETED)
        for ended in (worker.stopped, following):
            if ended.done():
                ended.result()
    finally:
        control.close()
        (config.folder / SOCKET).unlink(missing_ok=True)
        if following is not None:
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following
        await worker.stop()
        saved.close()


async def run_until_signal(
    config: AgentConfig, make_engine: Callable[[], Engine], ready: Callable[[], None] = lambda: None
) -> None:
    """Be the agent until SIGTERM or SIGINT."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await run(config, make_engine, ready)
    log.info("stopped", extra={"host": config.host})


def main() -> None:
    """Be this host's agent, as `kaon up` orders it, until SIGTERM or the end of the supervisor."""
    launch = orders.receive()
    privileges.die_with_parent(launch.parent)
    orders.return_large_blocks()
    settings = launch.settings
    logs.setup(settings.log.format, settings.log.level)
    folder = Path(launch.folder or Path(settings.data) / "agent")
    nova = Nova(settings.nova.metadata_url, settings.nova.metadata_secret) if settings.nova.metadata_url else None
    server, renewing = _server(launch, folder)
    config = AgentConfig(
        settings.host,
        server,
        folder,
        settings.engine,
        local_ip=_local_ip(settings),
        physical_networks=settings.physical_networks,
    )

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        renewals = asyncio.create_task(renewing()) if renewing is not None else None
        await run_until_signal(
            config, lambda: build(config.engine, folder, loop, nova), lambda: orders.announce_ready(launch)
        )
        if renewals is not None:
            renewals.cancel()

    asyncio.run(serve())


def _server(launch: orders.Launch, folder: Path) -> tuple[Server, Callable[[], Coroutine[Any, Any, None]] | None]:
    """The server to follow, and what keeps the certificate for it new."""
    if launch.agent_socket:
        return local_server(Path(launch.agent_socket)), None
    from kaon.agent import enrol

    certificates = enrol.enrolment_folder(folder)
    return enrol.remote_server(certificates), lambda: enrol.keep_renewed(certificates)


def _local_ip(settings: Settings) -> str:
    """Where other hosts reach this one, as the operator says: by naming it, or by having agents come to it."""
    if settings.local_ip or not settings.agent_listen:
        return settings.local_ip
    address = ipaddress.ip_address(listen_address(settings.agent_listen)[0])
    return "" if address.is_unspecified or address.is_loopback else str(address)


def cleanup(engine: str, folder: Path) -> list[str]:
    """Remove all that Kaon made on this host, and only that; no agent may run. Returns what could not be removed.

    `engine` is its name, `folder` the agent's.
    """
    return remove_all(build(engine, folder, None), folder)


def remove_all(engine: Engine, folder: Path) -> list[str]:
    """The same with a given engine, which is closed in the end."""
    try:
        converger = Converger(engine)
        converger.take_snapshot(0, ())
        report = converger.converge()
        deadline = time.monotonic() + CLEANUP_PATIENCE
        while report.failed and time.monotonic() < deadline:
            # What something else still holds (a tenant's open tap) may be let go a moment later.
            time.sleep(max(0.0, converger.wake_at() - time.monotonic()))
            report = converger.converge()
    finally:
        engine.close()
    SavedRows(folder / ROWS).forget()
    return [f"{' '.join((failure.id.table, *failure.id.key))}: {failure.reason}" for failure in report.failed]
