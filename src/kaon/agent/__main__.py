"""The agent as a process: `python -m kaon.agent`, started by `kaon up`."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

from kaon import launch as orders
from kaon import log as logs
from kaon import privileges
from kaon.agent.engine import build
from kaon.agent.main import AgentConfig, run_until_signal
from kaon.agent.nova import Nova
from kaon.launch import Launch


async def _be_agent(launch: Launch) -> None:
    settings, folder = launch.settings, Path(launch.folder)
    nova = Nova(settings.nova.metadata_url, settings.nova.metadata_secret) if settings.nova.metadata_url else None
    config = AgentConfig(settings.host, Path(launch.agent_socket), folder, settings.engine)
    make_engine = partial(build, settings.engine, folder, asyncio.get_running_loop(), nova)
    await run_until_signal(config, make_engine, partial(orders.announce_ready, launch))


def main() -> None:
    """Be this host's agent until SIGTERM, or until the supervisor ends."""
    launch = orders.receive()
    logs.setup(launch.settings.log.format, launch.settings.log.level)
    privileges.die_with_parent(launch.parent)
    asyncio.run(_be_agent(launch))


if __name__ == "__main__":
    main()
