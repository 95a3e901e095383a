"""From what agents say to the agents API: heartbeats stay in memory, a row is written when an agent starts."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import sqlalchemy as sa

from kaon.resources import agent as api
from kaon.server.channel import Agent
from kaon.store.engine import Store

log = logging.getLogger("kaon.server.agents")


class Agents:
    """The agents that speak with this server. `store_started` runs as long as the server does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._started: dict[str, float] = {}
        self._news: asyncio.Queue[Agent] = asyncio.Queue()

    def heard(self, agent: Agent) -> None:
        """Note that an agent has said something, and that its row is to be written where that is news."""
        known = agent.host in api.last_heard and self._started.get(agent.host) == agent.started
        api.last_heard[agent.host] = agent.seen
        self._started[agent.host] = agent.started
        if not known:
            self._news.put_nowait(agent)

    async def store_started(self) -> None:
        """Store the agents that have started, and those whose row somebody has deleted."""
        while True:
            agent = await self._news.get()
            try:
                await self._store.write(partial(api.seen, host=agent.host, engine=agent.engine))
            except sa.exc.OperationalError as error:
                # Its next heartbeat finds it unknown, and tries again.
                self._started.pop(agent.host, None)
                log.error("agent not stored", extra={"host": agent.host, "reason": str(error.orig)})
