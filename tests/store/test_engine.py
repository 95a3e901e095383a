"""The store: shared commits, requests that fail beside others, snapshots, and followers of the journal."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from kaon.caller import Caller
from kaon.store import journal
from kaon.store.engine import MAX_BATCH, Store
from kaon.store.journal import Change
from kaon.store.migrate import open_store
from kaon.store.transaction import Transaction


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = await open_store(tmp_path / "kaon.db")
    yield made
    made.close()


def note(id: str) -> Callable[[Transaction], str]:
    """A request that journals one change and nothing else."""

    def run(tx: Transaction) -> str:
        tx.changed("thing", id, None, {"id": id})
        return id

    return run


class Held:
    """A first request that keeps the writer busy, so that those behind it queue up for the same commit."""

    def __init__(self, store: Store) -> None:
        self.begun, self.go = threading.Event(), threading.Event()
        self.task = asyncio.ensure_future(store.write(self._run))

    def _run(self, tx: Transaction) -> None:
        self.begun.set()
        assert self.go.wait(10)

    async def __aenter__(self) -> Held:
        assert await asyncio.to_thread(self.begun.wait, 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go.set()
        await asyncio.wait([self.task])


async def _queued(store: Store, *requests: Callable[[Transaction], object]) -> list[asyncio.Future[object]]:
    """Put requests into the writer's queue, in order, without waiting for their answers."""
    tasks = [asyncio.ensure_future(store.write(request)) for request in requests]
    await asyncio.sleep(0)  # each task runs up to its first wait, which is behind the queue
    return tasks


async def test_requests_that_wait_share_one_commit_and_keep_their_order(store: Store) -> None:
    async with Held(store):
        before = store.commits
        tasks = await _queued(store, *(note(str(number)) for number in range(10)))
    assert await asyncio.gather(*tasks) == [str(number) for number in range(10)]
    assert store.commits == before + 1
    assert [change.id for change in store.read_now(lambda conn: journal.since(conn, 0))] == [str(n) for n in range(10)]


async def test_a_batch_has_an_end(store: Store) -> None:
    async with Held(store):
        before = store.commits
        tasks = await _queued(store, *(note(str(number)) for number in range(MAX_BATCH)))
    await asyncio.gather(*tasks)
    assert store.commits == before + 2


async def test_a_request_that_fails_undoes_itself_alone(store: Store) -> None:
    def fail(tx: Transaction) -> None:
        tx.execute(sa.text("CREATE TABLE half (id INTEGER)"))
        tx.changed("thing", "bad", None, {"id": "bad"})
        raise KeyError("its own fault")

    def break_sql(tx: Transaction) -> None:
        tx.changed("thing", "worse", None, {"id": "worse"})
        tx.execute(sa.text("SELECT * FROM nowhere"))

    async with Held(store):
        tasks = await _queued(store, note("a"), fail, note("b"), break_sql, note("c"))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [results[0], results[2], results[4]] == ["a", "b", "c"]
    assert isinstance(results[1], KeyError) and isinstance(results[3], sa.exc.OperationalError)
    changes = store.read_now(lambda conn: journal.since(conn, 0))
    assert [change.id for change in changes] == ["a", "b", "c"]
    assert not sa.inspect(store.engine).has_table("half")


async def test_a_transaction_that_the_database_gave_up_fails_all_who_shared_it(store: Store) -> None:
    """SQLite rolls back by itself when, say, the disk fills up under a statement; here a statement plays that."""

    def give_up(tx: Transaction) -> None:
        tx.execute(sa.text("ROLLBACK"))
        tx.execute(sa.text("SELECT * FROM nowhere"))

    async with Held(store):
        tasks = await _queued(store, note("before"), give_up)
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
    assert [type(result) for result in results] == [sa.exc.OperationalError] * 2
    assert store.read_now(journal.last) == 0
    assert await store.write(note("after")) == "after"
    assert [change.id for change in store.read_now(lambda conn: journal.since(conn, 0))] == ["after"]


async def test_a_change_is_journalled_with_who_made_it_and_what_it_was(store: Store) -> None:
    caller = Caller(user_id="u", project_id="p", request_id="req-1")
    await store.write(lambda tx: tx.changed("thing", "t", {"id": "t", "n": 1}, {"id": "t", "n": 2}), caller)
    await store.write(lambda tx: tx.changed("thing", "t", {"id": "t", "n": 2}, None), caller)
    assert store.read_now(lambda conn: journal.since(conn, 0)) == [
        Change("thing", "t", {"id": "t", "n": 1}, {"id": "t", "n": 2}, 1, "req-1"),
        Change("thing", "t", {"id": "t", "n": 2}, None, 2, "req-1"),
    ]
    row = store.read_now(lambda conn: conn.execute(sa.select(journal.JOURNAL)).first())
    assert row is not None and (row.user_id, row.project_id) == ("u", "p")


async def test_readers_see_whole_commits_while_a_write_is_under_way(store: Store) -> None:
    begun, go = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> None:
        tx.changed("thing", "slow", None, {"id": "slow"})
        tx.journal()
        begun.set()
        assert go.wait(10)

    task = asyncio.ensure_future(store.write(slow))
    assert await asyncio.to_thread(begun.wait, 10)
    assert await store.read(journal.last) == 0
    go.set()
    await task
    assert await store.read(journal.last) == 1


async def test_followers_resume_from_any_point_and_hear_what_comes(store: Store) -> None:
    for number in range(1, 8):
        await store.write(note(str(number)))

    async def follow(seq: int, last: int) -> list[int]:
        heard: list[int] = []
        async for batch in store.follow(seq):
            heard += [change.seq for change in batch]
            if heard[-1] >= last:
                return heard
        return heard

    for seq in range(8):
        followers = asyncio.gather(follow(seq, 8 + seq), follow(0, 8 + seq))
        await asyncio.sleep(0)  # both have read what is there, and wait
        await store.write(note("new"))
        late, early = await asyncio.wait_for(followers, 5)
        assert late == list(range(seq + 1, 9 + seq)) and early == list(range(1, 9 + seq))


async def test_sequence_numbers_are_never_used_again(store: Store) -> None:
    await store.write(note("a"))
    await store.write(lambda tx: tx.execute(sa.delete(journal.JOURNAL)))
    await store.write(note("b"))
    assert [change.seq for change in store.read_now(lambda conn: journal.since(conn, 0))] == [2]


async def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "other.db")
    tasks = await _queued(store, note("a"), note("b"))
    store.close()
    assert await asyncio.gather(*tasks) == ["a", "b"]
