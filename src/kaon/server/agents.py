"""From what agents say to the agents API: heartbeats stay in memory, what they report is stored when it changes."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

import sqlalchemy as sa

from kaon.resources.hosts import agent as api
from kaon.resources.hosts.agent import Report
from kaon.resources.live import Live
from kaon.server.channel import Agent
from kaon.store.engine import Store

log = logging.getLogger("kaon.server.agents")

INTERVAL = 30.0
"""Seconds after which what agents do is counted again, as Neutron's agents report."""


class Agents:
    """The agents that speak with this server. `store_reports` runs as long as the server does."""

    def __init__(self, store: Store, live: Live, interval: float = INTERVAL) -> None:
        self._store = store
        self._live = live
        self._interval = interval
        self._reports: dict[str, Report] = {}
        self._news = asyncio.Event()

    def heard(self, agent: Agent) -> None:
        """Note that an agent has said something; one that has started is stored at once."""
        self._live.heard[agent.host] = agent.seen
        report = Report(agent.host, agent.engine, agent.started, agent.local_ip, agent.physical_networks)
        if self._reports.get(agent.host) != report:
            self._reports[agent.host] = report
            self._news.set()

    async def store_reports(self) -> None:
        """Store what agents report, whenever one starts and every so often, where it differs from what is stored."""
        while True:
            try:
                async with asyncio.timeout(self._interval):
                    await self._news.wait()
            except TimeoutError:
                pass
            self._news.clear()
            for host, report in list(self._reports.items()):
                # What a silent one said last is no report: whoever removes a dead agent does not want it back.
                if api.is_alive(host, self._live):
                    await self._store_report(report)

    async def _store_report(self, report: Report) -> None:
        try:
            if await self._store.read(partial(api.news, report=report)):
                await self._store.write(partial(api.store, report=report))
        except sa.exc.OperationalError as error:
            # It is tried again with the next reports.
            log.error("agent not stored", extra={"host": report.host, "reason": str(error.orig)})
