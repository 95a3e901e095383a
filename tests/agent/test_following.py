"""An agent follows its host's rows through everything that can happen to the server and to itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon.agent.saved import SavedRows
from kaon.channel import Delta, Snapshot, to_wire
from kaon.server.backlog import Backlog
from tests.agent.cloud import Host, Server, bridge, cloud, until


@pytest.fixture
async def parts(tmp_path: Path) -> AsyncIterator[tuple[Server, Host]]:
    async with cloud(tmp_path) as made:
        yield made


async def test_a_snapshot_and_then_differences_become_real_and_are_acknowledged(parts: tuple[Server, Host]) -> None:
    server, host = parts
    server.put(bridge("a"))
    await server.start()
    await host.start()
    await until(lambda: host.bridges == {"a": 1500})

    seq = server.put(bridge("b"))
    await until(lambda: host.bridges == {"a": 1500, "b": 1500})
    await until(lambda: server.reports and server.reports[-1] == ("host-1", seq, ()))

    seq = server.delete(bridge("a"))
    await until(lambda: host.bridges == {"b": 1500})
    await until(lambda: server.reports[-1][1] == seq)
    assert host.kernel.writes == 3


async def test_what_exists_is_not_touched_before_anything_is_known(parts: tuple[Server, Host]) -> None:
    server, host = parts
    host.kernel.rows[bridge("old").id] = bridge("old")
    await host.start()
    with pytest.raises(TimeoutError):
        await until(lambda: host.kernel.writes or host.kernel.reads, 0.3)

    await server.start()
    await until(lambda: host.bridges == {})


async def test_damage_is_repaired_while_the_server_is_away_even_by_an_agent_that_never_saw_it(
    parts: tuple[Server, Host],
) -> None:
    server, host = parts
    server.put(bridge("a"))
    await server.start()
    await host.start()
    await until(lambda: host.bridges == {"a": 1500})
    server.put(bridge("b"))
    await until(lambda: host.bridges == {"a": 1500, "b": 1500})

    await server.stop()
    host.kernel.damage(bridge("a").id, None)
    await until(lambda: host.bridges == {"a": 1500, "b": 1500})

    await host.stop()
    del host.kernel.rows[bridge("b").id]
    await host.start()
    await until(lambda: host.bridges == {"a": 1500, "b": 1500})


async def test_a_restart_of_both_changes_nothing(parts: tuple[Server, Host]) -> None:
    server, host = parts
    server.put(*(bridge(f"b{n}") for n in range(50)))
    await server.start()
    await host.start()
    await until(lambda: len(host.bridges) == 50)
    writes = host.kernel.writes

    await server.stop()
    await host.stop()
    await host.start()
    await server.start()
    seq = server.put(bridge("new"))
    await until(lambda: server.reports and server.reports[-1][1] == seq)
    assert host.kernel.writes == writes + 1


async def test_a_returning_server_resumes_with_differences_only(parts: tuple[Server, Host]) -> None:
    server, host = parts
    server.put(bridge("a"), bridge("gone"))
    await server.start()
    await host.start()
    await until(lambda: len(host.bridges) == 2)

    await server.stop()
    server.delete(bridge("gone"))
    server.put(bridge("b"))
    server.backlog.snapshot = lambda: pytest.fail("a snapshot was taken")  # type: ignore[method-assign]
    await server.start()
    await until(lambda: host.bridges == {"a": 1500, "b": 1500})


async def test_a_journal_of_another_epoch_is_taken_whole(parts: tuple[Server, Host]) -> None:
    server, host = parts
    for number in range(20):
        server.put(bridge("a", 1300 + number))
    await server.start()
    await host.start()
    await until(lambda: server.reports and server.reports[-1][1] == 21)

    await server.stop()
    server.epoch, server.backlog = "epoch-2", Backlog(3, [bridge("z")])
    server.reports.clear()
    await server.start()
    await until(lambda: host.bridges == {"z": 1500})
    await until(lambda: server.reports)
    seq = server.put(bridge("y"))
    await until(lambda: server.reports[-1][1] == seq)
    # What the agent had achieved by the other journal says nothing about this one.
    assert [told for _, told, _ in server.reports] in ([3, 4], [4])


async def test_failures_are_told_with_their_reason_and_taken_back(parts: tuple[Server, Host]) -> None:
    server, host = parts
    host.kernel.reasons[bridge("bad").id] = "no room in the kernel"
    server.put(bridge("bad"), bridge("good"))
    await server.start()
    await host.start()
    await until(lambda: server.reports and server.reports[-1][2])
    (failure,) = server.reports[-1][2]
    assert (failure.origin, failure.reason) == ("network/bad", "no room in the kernel")

    host.kernel.reasons.clear()
    await until(lambda: server.reports[-1][2] == ())
    assert host.bridges == {"bad": 1500, "good": 1500}


async def test_an_agent_killed_at_any_byte_of_a_write_finds_a_true_state(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    saved = SavedRows(path)
    saved.snapshot(Snapshot(5, "e", (to_wire(bridge("a")),)))
    whole = path.stat().st_size
    saved.delta(Delta(6, (to_wire(bridge("b")),), (bridge("a").id,)))
    saved.close()
    data = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600

    for size in range(whole, len(data) + 1):
        path.write_bytes(data[:size])
        held = SavedRows(path).load()
        complete = size == len(data)
        assert held.seq == (6 if complete else 5)
        assert {row_id.key[1] for row_id in held.rows} == ({"b"} if complete else {"a"})


def test_a_long_history_is_written_anew_instead_of_growing(tmp_path: Path) -> None:
    path = tmp_path / "rows"
    saved = SavedRows(path, slack=1000)
    saved.snapshot(Snapshot(1, "e", (to_wire(bridge("a")),)))
    for seq in range(2, 500):
        saved.delta(Delta(seq, (to_wire(bridge("a", 1000 + seq)),)))
    saved.close()
    assert path.stat().st_size < 3000
    held = SavedRows(path).load()
    assert (held.seq, held.epoch) == (499, "e")
    assert list(held.rows.values()) == [to_wire(bridge("a", 1499))]


async def test_only_the_newest_state_reaches_an_agent_that_was_slow(parts: tuple[Server, Host]) -> None:
    server, host = parts
    await server.start()
    await host.start()
    await until(lambda: server.reports)
    for mtu in range(1300, 1500):
        seq = server.put(bridge("a", mtu))
    await until(lambda: server.reports[-1][1] == seq)
    assert host.bridges == {"a": 1499}
    assert host.kernel.writes == 1
    await asyncio.sleep(0)
