"""The agent as a process: `python -m kaon.agent`, started by `kaon up`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from kaon import launch as orders
from kaon import log as logs
from kaon import privileges
from kaon.agent.main import AgentConfig, run_until_signal
from kaon.config import Settings
from kaon.engines.base import Engine
from kaon.engines.fake.engine import FakeEngine


def engine_maker(settings: Settings) -> Callable[[], Engine]:
    """What makes the engine that the settings name."""
    return FakeEngine


def main() -> None:
    """Be this host's agent until SIGTERM, or until the supervisor ends."""
    launch = orders.receive()
    settings = launch.settings
    logs.setup(settings.log.format, settings.log.level)
    privileges.die_with_parent(launch.parent)
    config = AgentConfig(settings.host, Path(launch.agent_socket), Path(launch.folder), settings.engine)
    asyncio.run(run_until_signal(config, engine_maker(settings), lambda: orders.announce_ready(launch)))


if __name__ == "__main__":
    main()
