"""The engine of a host by its name in the settings; what is not used is not imported."""

from __future__ import annotations

import asyncio
from pathlib import Path

from kaon.agent.composed import ComposedEngine, Service
from kaon.agent.nova import Nova
from kaon.engines.base import Engine


def build(name: str, folder: Path, loop: asyncio.AbstractEventLoop | None, nova: Nova | None = None) -> Engine:
    """Make the engine on the thread that calls, which is to be the only one that uses it.

    `folder` is the agent's own. Without a loop there is nobody to serve metadata, as when all is removed; listeners
    end with the process that has them. Raises OSError where privileges are missing, ValueError for an unknown name.
    """
    if name == "fake":
        from kaon.engines.fake.engine import FakeEngine

        return FakeEngine()
    if name != "linux":
        raise ValueError(f"there is no engine {name!r}: use linux or fake")
    from kaon import privileges
    from kaon.agent.metadata import MetadataManager
    from kaon.engines.linux.dnsmasq import DnsmasqManager
    from kaon.engines.linux.engine import LinuxEngine

    services: list[Service] = [DnsmasqManager(folder / "dnsmasq", privileges.service_user(privileges.DHCP_USERS))]
    if loop is not None:
        services.append(MetadataManager(loop, nova))
    return ComposedEngine(LinuxEngine(), services)
