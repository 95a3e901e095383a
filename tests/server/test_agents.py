"""Agents as they come, go and speak, and what the agents API makes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from kaon.resources import agent as api
from kaon.server.agents import Agents
from kaon.server.channel import Agent
from tests.agent.cloud import until
from tests.api.cloud import Cloud


@pytest.fixture
async def agents(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Agents]:
    monkeypatch.setattr(api, "last_heard", {})
    made = Agents(cloud.store)
    task = asyncio.create_task(made.store_started())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def listed(cloud: Cloud) -> list[dict[str, Any]]:
    _, body = await cloud("admin:ops", "GET", "/agents")
    return list(body["agents"])


def word(started: float = 1.0) -> Agent:
    return Agent("alpha", engine="fake", started=started, seen=time.time())


async def test_an_agent_that_starts_is_stored_once_however_much_it_says(cloud: Cloud, agents: Agents) -> None:
    before = cloud.store.commits
    agents.heard(word())
    await until(lambda: cloud.store.commits > before)
    commits = cloud.store.commits
    for _ in range(10):
        agents.heard(word())
    await cloud.store.write(lambda tx: None)
    assert cloud.store.commits == commits + 1
    assert [(item["host"], item["alive"]) for item in await listed(cloud)] == [("alpha", True)]
    agents.heard(word(started=2.0))
    await until(lambda: cloud.store.commits == commits + 2)
    assert len(await listed(cloud)) == 1


async def test_a_row_that_somebody_deletes_comes_back_with_the_next_heartbeat(cloud: Cloud, agents: Agents) -> None:
    before = cloud.store.commits
    agents.heard(word())
    await until(lambda: cloud.store.commits > before)
    (found,) = await listed(cloud)
    assert (await cloud("admin:ops", "DELETE", f"/agents/{found['id']}"))[0] == 204
    assert await listed(cloud) == []
    commits = cloud.store.commits
    agents.heard(word())
    await until(lambda: cloud.store.commits > commits)
    assert [item["alive"] for item in await listed(cloud)] == [True]
