"""Writes what agents say of themselves to the table that the agents API shows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from kaon.resources import agent
from kaon.server.channel import Agent
from kaon.store.engine import Store
from kaon.store.transaction import Transaction

PERIOD = 2.0
"""Seconds between writes: well below the age at which the API calls an agent dead (`agent.DEAD_AFTER`)."""


async def record(store: Store, agents: Mapping[str, Agent], period: float = PERIOD) -> None:
    """Note, again and again, every agent that has been heard since the last look."""
    noted: dict[str, Agent] = {}
    while True:
        # Copies, because an agent may be heard again while the store writes.
        news = [replace(item) for item in agents.values() if _differs(item, noted.get(item.host))]

        def note(tx: Transaction, news: list[Agent] = news) -> None:
            for item in news:
                before = noted.get(item.host)
                agent.seen(tx, item.host, item.engine, item.figures, before is None or before.started != item.started)

        if news:
            await store.write(note)
            noted.update({item.host: item for item in news})
        await asyncio.sleep(period)


def _differs(item: Agent, before: Agent | None) -> bool:
    return before is None or before.seen != item.seen
