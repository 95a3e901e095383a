"""What agents say of themselves reaches the agents API."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from kaon.server import census
from kaon.server.channel import Agent
from tests.api.cloud import Cloud


async def shown(cloud: Cloud) -> list[dict[str, Any]]:
    """The agents that an administrator sees."""
    return list((await cloud("admin:ops", "GET", "/agents"))[1]["agents"])


async def until_shown(cloud: Cloud, **expected: Any) -> dict[str, Any]:
    """The first agent, once it has these attributes."""
    async with asyncio.timeout(10):
        while True:
            found = await shown(cloud)
            if found and all(found[0][name] == value for name, value in expected.items()):
                return found[0]
            await asyncio.sleep(0)


async def test_heartbeats_become_an_agent_that_stays_the_same_one(cloud: Cloud) -> None:
    heard = {"host-1": Agent("host-1", engine="linux", started=time.time(), seen=time.time())}
    recording = asyncio.create_task(census.record(cloud.store, heard, period=0))
    first = await until_shown(cloud, host="host-1", alive=True)
    assert first["configurations"] == {"engine": "linux"}
    heard["host-1"].figures, heard["host-1"].seen = {"rows": 7.0}, time.time() + 1
    later = await until_shown(cloud, configurations={"engine": "linux", "rows": 7.0})
    assert later["id"] == first["id"] and len(await shown(cloud)) == 1
    recording.cancel()
    with suppress(asyncio.CancelledError):
        await recording
