"""The agent's process as `kaon up` starts it: its order, its engine, and its life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

from kaon import launch as orders
from kaon import log as logs
from kaon import privileges
from kaon.agent.main import AgentConfig, run_until_signal
from kaon.engines.base import Engine
from kaon.engines.fake.engine import FakeEngine


def _linux(folder: Path) -> Engine:
    # The kernel engine loads libnftables, which a host with another engine need not have.
    from kaon.engines.linux.dnsmasq import Dnsmasq
    from kaon.engines.linux.engine import LinuxEngine

    return LinuxEngine((Dnsmasq(folder / "dnsmasq"),))


def engine_maker(name: str, folder: Path) -> Callable[[], Engine]:
    """What makes the engine of this name, on the thread that it will work on."""
    return partial(_linux, folder) if name == "linux" else FakeEngine


def main() -> None:
    """Entry point of `python -m kaon.agent.process`."""
    launch = orders.receive()
    settings, folder = launch.settings, Path(launch.folder)
    logs.setup(settings.log.format, settings.log.level)
    privileges.die_with_parent(launch.parent)
    config = AgentConfig(settings.host, Path(launch.agent_socket), folder, settings.engine)
    asyncio.run(run_until_signal(config, engine_maker(settings.engine, folder), partial(orders.announce_ready, launch)))


if __name__ == "__main__":
    main()
