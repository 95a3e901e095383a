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
from kaon.engines.linux.dnsmasq import DnsmasqManager
from kaon.engines.linux.engine import LinuxEngine


def engine_maker(settings: Settings, folder: Path) -> Callable[[], Engine]:
    """What makes the engine that the settings name; its services keep their files in `folder`."""
    if settings.engine == "fake":
        return FakeEngine
    return lambda: LinuxEngine([DnsmasqManager(folder / "dnsmasq")])


def main() -> None:
    """Be this host's agent until SIGTERM, or until the supervisor ends."""
    launch = orders.receive()
    settings = launch.settings
    logs.setup(settings.log.format, settings.log.level)
    privileges.die_with_parent(launch.parent)
    folder = Path(launch.folder)
    config = AgentConfig(settings.host, Path(launch.agent_socket), folder, settings.engine)
    asyncio.run(run_until_signal(config, engine_maker(settings, folder), lambda: orders.announce_ready(launch)))


if __name__ == "__main__":
    main()
