"""From acknowledgements to the status of ports: derived from what has converged, whatever was said before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import sqlalchemy as sa

from kaon.channel import Attachment, Failure
from kaon.compile.config import HostConfig
from kaon.resources import records
from kaon.resources.hosts import attachment
from kaon.resources.networks.network import NETWORK
from kaon.resources.security.security_group_rule import SECURITY_GROUP_RULE
from kaon.rows import Veth
from kaon.server import desired as desired_module
from kaon.server.backlog import Backlog
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

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def status(self, port_id: str) -> tuple[str, str | None]:
        _, body = await self.cloud("admin:ops", "GET", f"/ports/{port_id}")
        return body["port"]["status"], body["port"].get("kaon:status_reason")


@pytest.fixture
async def running(cloud: Cloud) -> AsyncIterator[Running]:
    made = Running(cloud)
    yield made
    await made.stop()


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


async def test_what_cannot_be_compiled_is_told_and_stops_nothing_else(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    port_id = await running.attached()
    other_id = await running.attached()
    await running.caught_up()
    _, body = await running.cloud("admin:ops", "GET", f"/ports/{port_id}")
    (group_id,) = body["port"]["security_groups"]
    group = await running.cloud.made("member:red", "/security-groups", name="web")
    await running.cloud("member:red", "PUT", f"/ports/{other_id}", {"port": {"security_groups": [group["id"]]}})
    rule = await running.cloud.made(
        "member:red", "/security-group-rules", security_group_id=group_id, direction="ingress", protocol="tcp"
    )
    running.hosts.acknowledged(HOST, await running.caught_up(), ())
    await _becomes(running, port_id, "ACTIVE")
    await _becomes(running, other_id, "ACTIVE")
    rows = {row.id: row for row in running.hosts.hosts[HOST].desired.snapshot()}

    # A protocol that the API does not let through, as a newer version might have written it.
    found = await running.cloud.store.read(lambda conn: records.get(conn, SECURITY_GROUP_RULE, rule["id"]))
    unreadable = {**found, "protocol": "warp"}
    await running.cloud.store.write(lambda tx: tx.changed("security_group_rule", rule["id"], found, unreadable))
    seq = await running.caught_up()
    assert {row.id: row for row in running.hosts.hosts[HOST].desired.snapshot()} == rows
    told = [item for item in caplog.records if item.getMessage().startswith("not compiled")]
    assert {item.origin for item in told} >= {f"security_group/{group_id}"}  # type: ignore[attr-defined]
    assert len(told) == len({item.origin for item in told})  # type: ignore[attr-defined]
    running.hosts.acknowledged(HOST, seq, ())
    assert "protocol 'warp'" in str(await _becomes(running, port_id, "DOWN"))
    assert (await running.status(other_id))[0] == "ACTIVE"

    # Others go on, and what mends the record mends the port.
    third_id = await running.attached()
    running.hosts.acknowledged(HOST, await running.caught_up(), ())
    async with asyncio.timeout(5):
        while "protocol 'warp'" not in str((await running.status(third_id))[1]):
            await asyncio.sleep(0)
    await running.cloud.store.write(lambda tx: tx.changed("security_group_rule", rule["id"], unreadable, found))
    running.hosts.acknowledged(HOST, await running.caught_up(), ())
    assert await _becomes(running, port_id, "ACTIVE") is None
    assert await _becomes(running, third_id, "ACTIVE") is None


async def test_a_host_is_compiled_around_what_cannot_be_when_the_server_starts(running: Running) -> None:
    port_id = await running.attached()
    await running.caught_up()
    table = NETWORK.table
    await running.cloud.store.write(lambda tx: tx.execute(sa.update(table).values(mtu=sa.null(), zone=sa.null())))
    again = Hosts(running.cloud.store, HostConfig(host=HOST))
    await again.source(HOST)
    desired = again.hosts[HOST].desired
    assert desired.broken
    assert desired.port_states(())[port_id].status == "DOWN"
    assert "TypeError" in desired.port_states(())[port_id].reason


async def test_a_change_that_concerns_much_lets_others_have_the_loop(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desired_module, "STEP", 1)
    port_id = await running.attached()
    await running.caught_up()
    host = running.hosts.hosts[HOST]
    _, body = await running.cloud("admin:ops", "GET", f"/ports/{port_id}")
    turns, compiled = 0, host.desired.compiled
    backlog = host.backlog
    before = backlog.seq
    change = {"network": {"mtu": 1300}}
    await running.cloud("member:red", "PUT", f"/networks/{body['port']['network_id']}", change)
    while backlog.seq == before:
        turns += 1
        await asyncio.sleep(0)
    assert turns >= host.desired.compiled - compiled >= 2


async def test_a_host_says_nothing_of_the_ports_of_another_one(running: Running) -> None:
    beta = await running.hosts.source("beta")
    port_id = await running.attached()
    seq = await running.caught_up()
    await asyncio.to_thread(until, lambda: beta.seq == seq, 5)
    running.hosts.acknowledged(HOST, seq, ())
    await _becomes(running, port_id, "ACTIVE")
    running.hosts.acknowledged("beta", seq, ())

    # Both come back to another server, the one that does not have the port first or last.
    for order in ((HOST, "beta"), ("beta", HOST)):
        again = Running(running.cloud)
        for name in order:
            seq = (await again.hosts.source(name)).seq
            again.hosts.acknowledged(name, seq, ())
        other_id = await again.attached()
        again.hosts.acknowledged(HOST, await again.caught_up(), ())
        # Its status is stored after all that was to be stored before.
        assert await _becomes(again, other_id, "ACTIVE") is None
        assert (await again.status(port_id))[0] == "ACTIVE"
        await again.stop()


async def test_each_host_has_the_physical_networks_that_it_says(running: Running) -> None:
    physical = {"provider:network_type": "flat", "provider:physical_network": "wire"}
    network = await running.cloud.made("admin:ops", "/networks", **physical)
    port = await running.cloud.made("admin:ops", "/ports", network_id=network["id"])
    place = Attachment(port_id=port["id"], netns="vm", instance_id="vm")
    await running.cloud.store.write(lambda tx: attachment.attach(tx, HOST, place))

    def origins(backlog: Backlog) -> set[str]:
        return {row.id.table for row in backlog.snapshot()[1] if row.origin == f"network/{network['id']}"}

    without = await running.hosts.source(HOST, {})
    mapped = await running.hosts.source(HOST, {"wire": "interface:wire0"})
    assert origins(mapped) - origins(without)
    assert await running.hosts.source(HOST, {"wire": "interface:wire0"}) is mapped
    assert origins(await running.hosts.source(HOST, {})) == origins(without)
    with pytest.raises(ValueError, match="write bridge:NAME or interface:NAME"):
        await running.hosts.source(HOST, {"wire": "wire0"})
