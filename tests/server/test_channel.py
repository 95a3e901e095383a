"""The server's side of the channel, heard through the ears of an agent that does nothing but listen."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon.channel import (
    Ack,
    Attach,
    Attachment,
    Delta,
    Detach,
    Failure,
    FromServer,
    Heartbeat,
    Hello,
    Reply,
    Snapshot,
    receive_from_server,
    send,
)
from kaon.rows import Chain, Row, Rule, row
from kaon.server import channel
from kaon.server.backlog import Backlog
from tests.agent.cloud import Server, bridge, until

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path / "s")
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


async def connect(server: Server, resume: int = 0, epoch: str = "", host: str = "host-1") -> Peer:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    await send(writer, Hello(host, "fake", "1", resume, epoch))
    return reader, writer


async def hear(peer: Peer) -> FromServer:
    async with asyncio.timeout(5):
        return await receive_from_server(peer[0])


async def hangs_up(peer: Peer) -> bool:
    async with asyncio.timeout(5):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await receive_from_server(peer[0])
    return True


async def test_a_new_agent_gets_a_snapshot_and_then_what_changes(server: Server) -> None:
    server.put(bridge("a"))
    peer = await connect(server)
    first = await hear(peer)
    assert isinstance(first, Snapshot)
    assert (first.seq, first.epoch, [item.key for item in first.rows]) == (2, "epoch-1", [("", "a")])

    server.backlog.update(3, [bridge("b")], [bridge("a").id])
    assert server.channel is not None
    server.channel.changed("host-1")
    second = await hear(peer)
    assert isinstance(second, Delta)
    assert (second.seq, [item.key for item in second.put], list(second.delete)) == (3, [("", "b")], [bridge("a").id])

    server.put()
    assert await hear(peer) == Delta(4)


async def test_an_agent_that_comes_back_gets_what_it_missed_even_when_that_is_nothing(server: Server) -> None:
    seq = server.put(bridge("a"))
    assert await hear(await connect(server, seq, "epoch-1")) == Delta(seq)
    later = server.put(bridge("b"))
    missed = await hear(await connect(server, seq, "epoch-1"))
    assert isinstance(missed, Delta)
    assert (missed.seq, [item.key for item in missed.put]) == (later, [("", "b")])


@pytest.mark.parametrize(("resume", "epoch"), [(2, "epoch-0"), (99, "epoch-1"), (1, "epoch-1")])
async def test_who_cannot_resume_gets_a_snapshot(server: Server, resume: int, epoch: str) -> None:
    server.backlog = Backlog(2, [bridge("a")])
    assert isinstance(await hear(await connect(server, resume, epoch)), Snapshot)


async def test_a_host_is_heard_by_its_newest_connection_only(server: Server) -> None:
    old = await connect(server)
    await hear(old)
    new = await connect(server)
    await hear(new)
    assert await hangs_up(old)
    server.put(bridge("a"))
    assert isinstance(await hear(new), Delta)


async def test_an_agent_that_does_not_read_costs_no_queue_and_then_gets_the_newest_state(server: Server) -> None:
    def large(number: int) -> Row:
        return row(Chain(rules=(Rule(f"{number} " + "x" * 20_000),)), "", "inet", "kaon", f"c{number % 5}")

    peer = await connect(server)
    await hear(peer)
    for number in range(500):
        seq = server.put(large(number))
        await asyncio.sleep(0)
    messages = []
    while not messages or messages[-1].seq != seq:
        message = await hear(peer)
        assert isinstance(message, Delta)
        messages.append(message)
    # 500 changes of 20 kB each were made; what fits into the socket's buffers went before, the rest was merged.
    assert len(messages) < 100
    newest = {item.key: item for message in messages for item in message.put}
    assert {key[3] for key in newest} == {f"c{number}" for number in range(5)}
    assert all(f"{499 - (4 - int(key[3][1:]))} x".encode() in bytes(item.value) for key, item in newest.items())


async def test_acknowledgements_and_figures_are_known_by_host(server: Server) -> None:
    peer = await connect(server)
    await hear(peer)
    failure = Failure("bridge", ("", "a"), "network/a", "no room")
    await send(peer[1], Ack(1, (failure,)))
    await send(peer[1], Heartbeat({"rows": 3.0}))
    assert server.channel is not None
    agents = server.channel.agents
    await until(lambda: agents["host-1"].figures == {"rows": 3.0})
    assert server.reports == [("host-1", 1, (failure,))]
    assert (agents["host-1"].acked, agents["host-1"].failed) == (1, (failure,))


async def test_an_agent_that_falls_silent_is_down(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = await connect(server)
    await hear(peer)
    assert server.channel is not None
    agent = server.channel.agents["host-1"]
    assert agent.alive
    monkeypatch.setattr(channel, "ALIVE", 0.05)
    await until(lambda: not agent.alive)
    await send(peer[1], Heartbeat())
    await until(lambda: agent.alive)


async def test_attach_and_detach_are_answered_or_refused_in_words(server: Server) -> None:
    peer = await connect(server)
    await hear(peer)

    async def reply() -> Reply:
        while not isinstance(message := await hear(peer), Reply):
            pass
        return message

    await send(peer[1], Attach(7, Attachment(port_id="p1", tap="t")))
    answer = await reply()
    assert (answer.request, answer.seq, answer.port["binding:host_id"]) == (7, 2, "host-1")
    await send(peer[1], Attach(8, Attachment(port_id="unknown", tap="t")))
    assert (await reply()).error == "port unknown: there is no such port"
    await send(peer[1], Detach(9, "p1"))
    assert await reply() == Reply(9, seq=3)


@pytest.mark.parametrize("data", [b"\xff" * 64, b"\0\0\0\x02\x93\xc1", b"GET / HTTP/1.1\r\n\r\n" + b"\0" * 64])
async def test_a_peer_that_speaks_nonsense_is_dropped_and_others_are_served(server: Server, data: bytes) -> None:
    peer = await connect(server)
    await hear(peer)
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    writer.write(data)
    assert await hangs_up((reader, writer))
    await send(peer[1], Heartbeat())
    server.put(bridge("a"))
    assert isinstance(await hear(peer), Delta)


async def test_a_peer_that_does_not_introduce_itself_is_dropped(server: Server) -> None:
    reader, writer = await asyncio.open_unix_connection(str(server.path))
    await send(writer, Heartbeat())
    assert await hangs_up((reader, writer))
    assert server.channel is not None
    assert server.channel.agents == {}


def test_a_backlog_forgets_what_is_long_ago_and_says_so() -> None:
    backlog = Backlog(1, [], remembered=3)
    for number in range(2, 8):
        backlog.update(number, [bridge(f"b{number}")])
    assert backlog.since(3) is None
    change = backlog.since(4)
    assert change is not None
    assert {item.id.key[1] for item in change.put} == {"b5", "b6", "b7"}
    assert backlog.since(8) is None
    seq, rows = backlog.snapshot()
    assert (seq, len(list(rows))) == (7, 6)


def test_a_row_that_came_and_went_is_told_once() -> None:
    backlog = Backlog(1, [bridge("a")])
    backlog.update(2, [bridge("b")], [bridge("a").id])
    backlog.update(3, [bridge("a", 1400)], [bridge("b").id])
    change = backlog.since(1)
    assert change is not None
    assert list(change.put) == [bridge("a", 1400)]
    assert list(change.delete) == [bridge("b").id]
