"""Agents as they come, go and speak, and what the agents API makes of it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.hosts.agent import AGENT
from kaon.server.agents import Agents
from kaon.server.channel import Agent
from kaon.store.journal import Record
from tests.agent.cloud import until
from tests.api.cloud import Cloud

INTERVAL = 0.05
"""Seconds between reports."""


@pytest.fixture
async def agents(cloud: Cloud) -> AsyncIterator[Agents]:
    made = Agents(cloud.store, cloud.live, INTERVAL)
    task = asyncio.create_task(made.store_reports())
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
    assert {(item["host"], item["alive"]) for item in await listed(cloud)} == {("alpha", True)}
    ids = {item["id"] for item in await listed(cloud)}
    agents.heard(word(started=2.0))
    await until(lambda: cloud.store.commits == commits + 2)
    assert {item["id"] for item in await listed(cloud)} == ids


async def test_what_an_agent_does_is_stored_when_it_has_changed(cloud: Cloud, agents: Agents) -> None:
    before = cloud.store.commits
    agents.heard(word())
    await until(lambda: cloud.store.commits > before)
    await cloud.made("member:red", "/routers")
    commits = cloud.store.commits
    await until(lambda: cloud.store.commits > commits)
    routers = {item["agent_type"]: item["configurations"].get("routers") for item in await listed(cloud)}
    assert routers["L3 agent"] == 1


async def test_a_row_that_somebody_deletes_comes_back_with_the_next_report(cloud: Cloud, agents: Agents) -> None:
    before = cloud.store.commits
    agents.heard(word())
    await until(lambda: cloud.store.commits > before)
    (found, *_) = await listed(cloud)
    commits = cloud.store.commits
    assert (await cloud("admin:ops", "DELETE", f"/agents/{found['id']}"))[0] == 204
    await until(lambda: cloud.store.commits > commits + 1)
    assert (found["id"], True) in {(item["id"], item["alive"]) for item in await listed(cloud)}


async def test_a_dead_agent_that_somebody_removes_stays_away(cloud: Cloud, agents: Agents) -> None:
    before = cloud.store.commits
    agents.heard(word())
    await until(lambda: cloud.store.commits > before)
    cloud.live.heard["alpha"] = 1e9
    for found in await listed(cloud):
        assert (await cloud("admin:ops", "DELETE", f"/agents/{found['id']}"))[0] == 204
    before = cloud.store.commits
    agents.heard(Agent("beta", engine="fake", started=1.0, seen=time.time()))
    await until(lambda: cloud.store.commits > before)
    assert {item["host"] for item in await listed(cloud)} == {"beta"}


async def test_where_tunnels_end_is_journalled_and_the_rest_of_what_agents_say_is_not(
    cloud: Cloud, agents: Agents
) -> None:
    def journalled() -> list[tuple[str | None, str | None]]:
        """What the journal tells of tunnels, before and after each change of an agent."""
        query = "SELECT before, after FROM journal WHERE kind = 'agent' ORDER BY seq"
        rows = cloud.store.read_now(lambda conn: conn.execute(sa.text(query)).all())
        sides = [[json.loads(side)["configurations"] if side else {} for side in row] for row in rows]
        return [(before.get("tunneling_ip"), after.get("tunneling_ip")) for before, after in sides]

    def said(**values: Any) -> Agent:
        return Agent("alpha", engine="linux", seen=time.time(), **values)

    agents.heard(said(started=1.0))
    await until(lambda: "alpha" in {item["host"] for item in cloud.store.read_now(every_agent)})
    assert journalled() == []
    agents.heard(said(started=1.0, local_ip="192.0.2.1"))
    await until(journalled)
    agents.heard(said(started=2.0, local_ip="192.0.2.1"))
    await until(lambda: {item["started_at"] for item in cloud.store.read_now(every_agent)} == {"1970-01-01 00:00:02"})
    assert journalled() == [(None, "192.0.2.1")]
    agents.heard(said(started=2.0, local_ip="192.0.2.2"))
    await until(lambda: len(journalled()) == 2)
    assert journalled()[1] == ("192.0.2.1", "192.0.2.2")
    (l2,) = [item for item in await listed(cloud) if "tunneling_ip" in item["configurations"]]
    assert (l2["agent_type"], l2["configurations"]["tunneling_ip"]) == ("Linux bridge agent", "192.0.2.2")


def every_agent(conn: sa.Connection) -> list[Record]:
    return records.select(conn, AGENT)
