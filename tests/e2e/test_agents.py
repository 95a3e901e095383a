"""The agents API tells who lives, from heartbeats alone."""

from __future__ import annotations

import os
import signal

import httpx
import pytest
from openstack.connection import Connection

from kaon.cli import datafolder
from kaon.cli.datafolder import DataFolder
from tests.running import Running
from tests.wait import until

pytestmark = pytest.mark.slow

SOON = 6.0
"""Seconds within which an agent is known to be dead or alive, and the time of an answer."""


def test_an_agent_that_falls_silent_is_dead_and_lives_when_it_speaks_again(kaon: Running, cloud: Connection) -> None:
    agent, *_ = until(lambda: list(cloud.network.agents(is_alive=True)), SOON, "the agent is there")
    assert (agent.binary, agent.is_admin_state_up) == ("kaon-agent", True)
    state = datafolder.read_state(DataFolder(kaon.data))
    assert state is not None
    os.kill(state.agent, signal.SIGSTOP)
    try:
        until(lambda: not cloud.network.get_agent(agent.id).is_alive, SOON, "the agent is dead")
        assert list(cloud.network.agents(is_alive=True)) == []
    finally:
        os.kill(state.agent, signal.SIGCONT)
    until(lambda: cloud.network.get_agent(agent.id).is_alive, SOON, "the agent lives")


def test_heartbeats_are_no_commits(kaon: Running, cloud: Connection) -> None:
    def commits() -> float:
        lines = httpx.get(f"{kaon.url}/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("kaon_store_commits")))

    agent, *_ = until(lambda: list(cloud.network.agents(is_alive=True)), SOON, "the agent is there")
    before, heard = commits(), agent.last_heartbeat_at
    until(lambda: cloud.network.get_agent(agent.id).last_heartbeat_at != heard, SOON, "it has been heard again")
    assert commits() == before


def test_an_agent_that_is_killed_is_back_at_once_and_is_the_same_one(kaon: Running, cloud: Connection) -> None:
    agent, *others = until(lambda: list(cloud.network.agents(is_alive=True)), SOON, "the agent is there")
    state = datafolder.read_state(DataFolder(kaon.data))
    assert state is not None
    killed = state.agent
    os.kill(killed, signal.SIGKILL)

    def back() -> bool:
        now = datafolder.read_state(DataFolder(kaon.data))
        return now is not None and now.agent not in (0, killed)

    until(back, SOON, "another process is the agent")
    until(lambda: cloud.network.get_agent(agent.id).is_alive, SOON, "the agent lives")
    assert {item.id for item in cloud.network.agents()} == {agent.id, *(item.id for item in others)}
