"""From acknowledgements to the status of ports: derived from what has converged, whatever was said before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from kaon.channel import Attachment, Failure
from kaon.compile.config import HostConfig
from kaon.resources import attachment
from kaon.rows import Veth
from kaon.server.hosts import Hosts
from tests.api.cloud import Cloud
from tests.wait import until

HOST = "alpha"


class Running:
    """A cloud whose journal is followed for one host."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.hosts = Hosts(cloud.store, HostConfig(host=HOST))
        self.told: list[str] = []
        self.tasks = [
            asyncio.create_task(self.hosts.follow(self.told.append)),
            asyncio.create_task(self.hosts.store_states()),
        ]

    async def attached(self) -> str:
        """The id of a port on a new network, attached to the host, as of the host's rows."""
        network = await self.cloud.made("member:red", "/networks")
        await self.cloud.made("member:red", "/subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
        port = await self.cloud.made("member:red", "/ports", network_id=network["id"])
        place = Attachment(port_id=port["id"], netns="vm", instance_id="vm")
        await self.cloud.store.write(lambda tx: attachment.attach(tx, HOST, place))
        return str(port["id"])

    async def caught_up(self) -> int:
        """Wait until the host's rows are those of the whole journal; returns its sequence number."""
        backlog = await self.hosts.source(HOST)
        seq = self.cloud.store.read_now(lambda conn: conn.exec_driver_sql("SELECT max(seq) FROM journal").scalar())
        await asyncio.to_thread(until, lambda: backlog.seq == seq, 5)
        return backlog.seq

    async def status(self, port_id: str) -> tuple[str, str | None]:
        _, body = await self.cloud("admin:ops", "GET", f"/ports/{port_id}")
        return body["port"]["status"], body["port"].get("kaon:status_reason")


@pytest.fixture
async def running(cloud: Cloud) -> AsyncIterator[Running]:
    made = Running(cloud)
    yield made
    for task in made.tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _becomes(running: Running, port_id: str, status: str) -> str | None:
    async with asyncio.timeout(5):
        while (found := await running.status(port_id))[0] != status:
            await asyncio.sleep(0)
    return found[1]


async def test_a_port_is_down_until_its_rows_have_converged(running: Running) -> None:
    await running.hosts.source(HOST)
    port_id = await running.attached()
    seq = await running.caught_up()
    assert running.told and (await running.status(port_id))[0] == "DOWN"
    running.hosts.acknowledged(HOST, seq - 1, ())
    assert (await running.status(port_id))[0] == "DOWN"
    running.hosts.acknowledged(HOST, seq, ())
    assert await _becomes(running, port_id, "ACTIVE") is None


async def test_a_failed_row_takes_the_port_down_with_its_reason_and_its_repair_brings_it_back(running: Running) -> None:
    port_id = await running.attached()
    seq = await running.caught_up()
    device = f"tap{port_id[:11]}"
    failure = Failure(Veth.table, ("", device), f"port/{port_id}", "network namespace vm does not exist")
    running.hosts.acknowledged(HOST, seq, ())
    await _becomes(running, port_id, "ACTIVE")
    running.hosts.acknowledged(HOST, seq, (failure,))
    assert "namespace vm does not exist" in str(await _becomes(running, port_id, "DOWN"))
    running.hosts.acknowledged(HOST, seq, ())
    assert await _becomes(running, port_id, "ACTIVE") is None


async def test_a_detached_port_is_down_again(running: Running) -> None:
    port_id = await running.attached()
    running.hosts.acknowledged(HOST, await running.caught_up(), ())
    await _becomes(running, port_id, "ACTIVE")
    await running.cloud.store.write(lambda tx: attachment.detach(tx, HOST, port_id))
    running.hosts.acknowledged(HOST, await running.caught_up(), ())
    await _becomes(running, port_id, "DOWN")


async def test_a_server_that_starts_again_compiles_the_same_rows(running: Running) -> None:
    await running.attached()
    await running.caught_up()
    before = await running.hosts.source(HOST)
    again = await Hosts(running.cloud.store, HostConfig(host=HOST)).source(HOST)
    assert {row.id: row for row in before.snapshot()[1]} == {row.id: row for row in again.snapshot()[1]}


async def test_an_agent_that_speaks_of_rows_from_before_the_server_started_is_heard_out(running: Running) -> None:
    running.hosts.acknowledged("stranger", 42, ())
    assert running.hosts.hosts == {}
