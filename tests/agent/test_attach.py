"""Attaching and detaching ports through the agent's control socket."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon.agent import answer, control
from kaon.agent.control import AgentError
from kaon.channel import Attachment
from kaon.engines.base import Failed
from kaon.rows import Bridge, RowId
from tests.agent.cloud import Host, Server, cloud, until


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, Host, Path]]:
    namespaces = tmp_path / "netns"
    namespaces.mkdir()
    (namespaces / "vm1").touch()
    monkeypatch.setattr(answer, "NETNS", namespaces)
    async with cloud(tmp_path) as (server, host):
        await server.start()
        await host.start()
        socket = host.folder / control.SOCKET
        await until(lambda: server.reports)
        yield server, host, socket


def row_id(port: str) -> RowId:
    return RowId(Bridge.table, ("", port))


async def test_attach_returns_when_the_port_is_real(parts: tuple[Server, Host, Path]) -> None:
    _, host, socket = parts
    port = await control.attach(socket, Attachment(port_id="p1", netns="vm1"))
    assert port["binding:host_id"] == "host-1"
    assert "p1" in host.bridges

    await control.detach(socket, "p1")
    assert "p1" not in host.bridges


async def test_the_control_socket_is_private(parts: tuple[Server, Host, Path]) -> None:
    assert parts[2].stat().st_mode & 0o777 == 0o600


async def test_a_port_that_cannot_be_made_says_why_and_works_once_it_can(parts: tuple[Server, Host, Path]) -> None:
    _, host, socket = parts
    host.kernel.reasons[row_id("p1")] = "the kernel has no room"
    with pytest.raises(AgentError, match="port p1 is bound to this host, but does not work: the kernel has no room"):
        await control.attach(socket, Attachment(port_id="p1", netns="vm1"), wait=0.3)

    waiting = asyncio.create_task(control.attach(socket, Attachment(port_id="p1", netns="vm1")))
    del host.kernel.reasons[row_id("p1")]
    await waiting
    assert "p1" in host.bridges


async def test_another_ports_failure_is_not_this_ports_failure(parts: tuple[Server, Host, Path]) -> None:
    _, host, socket = parts
    host.kernel.reasons[row_id("p1")] = "the kernel has no room"
    await control.attach(socket, Attachment(port_id="p1", netns="vm1"), wait=0)
    await control.attach(socket, Attachment(port_id="p2", netns="vm1"))
    status = await control.status(socket)
    assert [(failure.origin, failure.reason) for failure in status.failed] == [("port/p1", "the kernel has no room")]


@pytest.mark.parametrize(
    ("attachment", "words"),
    [
        (Attachment(port_id="p1", netns="vm2"), "no network namespace vm2: make it by `ip netns add vm2`"),
        (Attachment(port_id="p1", netns="../vm1"), "no network namespace"),
        (Attachment(port_id="p1", netns="vm1", ifname="a" * 16), "at most 15 letters"),
        (Attachment(port_id="p1", tap="tap-with-16-char"), "at most 15 letters"),
        (Attachment(port_id="p1", tap="a b"), "at most 15 letters"),
        (Attachment(port_id="p1", tap="t", netns="vm1"), "give one of --netns and --tap"),
        (Attachment(port_id="p1"), "give one of --netns and --tap"),
        (Attachment(port_id="p1", tap="t", user_data="%"), "not base64"),
        (Attachment(port_id="p1", tap="t", user_data=base64.b64encode(b"x" * 65536).decode()), "over the limit"),
        (Attachment(port_id="unknown", tap="t"), "there is no such port"),
    ],
)
async def test_what_cannot_be_is_refused_with_the_way_out(
    parts: tuple[Server, Host, Path], attachment: Attachment, words: str
) -> None:
    server, host, socket = parts
    seq = server.backlog.seq
    with pytest.raises(AgentError) as caught:
        await control.attach(socket, attachment)
    assert words in str(caught.value)
    assert server.backlog.seq == seq
    assert host.kernel.writes == 0


async def test_without_a_server_attach_says_so_at_once(parts: tuple[Server, Host, Path]) -> None:
    server, _, socket = parts
    await server.stop()
    async with asyncio.timeout(5):
        while (await control.status(socket)).connected:
            pass
    with pytest.raises(AgentError, match="start it by `kaon up`"):
        await control.attach(socket, Attachment(port_id="p1", netns="vm1"))


async def test_without_an_agent_the_caller_learns_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="start Kaon by `kaon up`"):
        await control.status(tmp_path / "control.sock")


async def test_resync_finds_damage_that_nobody_gave_notice_of(parts: tuple[Server, Host, Path]) -> None:
    _, host, socket = parts
    await control.attach(socket, Attachment(port_id="p1", netns="vm1"))
    host.kernel.damage(row_id("p1"), None, notice=False)
    assert await control.resync(socket) == 1
    assert "p1" in host.bridges
    assert await control.resync(socket) == 0


async def test_nonsense_on_the_control_socket_is_answered_in_words(parts: tuple[Server, Host, Path]) -> None:
    reader, writer = await asyncio.open_unix_connection(str(parts[2]))
    writer.write(b'{"type":"format-disk"}\nnot json\n')
    assert b"not a request" in await reader.readline()
    assert b"not a request" in await reader.readline()
    writer.close()


async def test_the_rows_of_a_port_are_its_own_its_networks_and_its_subnets() -> None:
    origins = answer.origins_of("p", {"network_id": "n", "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.1"}]})
    failed = Failed(row_id("x"), "subnet/s", "")
    assert failed.origin in origins
    assert origins == {"port/p", "network/n", "subnet/s"}
