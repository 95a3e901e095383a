"""The history as clients see it: pages, who may see what, the stream of events, and how long it is kept."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.types import Message, Scope

from kaon.api.app import create_app
from kaon.caller import Caller
from kaon.resources.errors import ApiError
from kaon.resources.hosts import attachment
from kaon.server import history
from kaon.store import journal
from kaon.store.transaction import Transaction
from tests.api import cloud as clouds
from tests.api.cloud import Cloud
from tests.wait import soon

PATH = history.PATH


class Historic(Cloud):
    """A cloud that serves its history. Tokens can be taken back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.feed = history.Feed(self.store)
        self.revoked: set[str] = set()
        policy = clouds._policy(None)
        routes = history.history_routes(self.feed, policy, self.authenticate)
        self.app = create_app(self.store, self.authenticate, policy, extra=routes)
        self.http = type(self.http)(transport=clouds.httpx.ASGITransport(self.app), base_url="http://kaon")

    async def authenticate(self, token: str, request_id: str) -> Caller:
        if token in self.revoked:
            raise ApiError(401, "Unauthorized", "taken back")
        return clouds.caller(token, request_id)

    async def history(self, token: str, **query: Any) -> list[dict[str, Any]]:
        status, body = await self.ask(token, **query)
        assert status == 200, body
        return list(body["history"])

    async def ask(self, token: str, **query: Any) -> tuple[int, Any]:
        reply = await self.http.get(PATH, params=query, headers={"X-Auth-Token": token})
        return reply.status_code, reply.json()


class Reader:
    """One connection to the stream. While `held`, it takes nothing, as a slow reader does."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.chunks = 0
        self.ended = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()

    @property
    def ids(self) -> list[int]:
        return [int(id) for id in re.findall(r"^id: (\d+)$", self.text, re.MULTILINE)]

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in re.findall(r"^data: (.*)$", self.text, re.MULTILINE)]

    async def send(self, message: Message) -> None:
        await self.free.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.text += message.get("body", b"").decode()
            self.chunks += 1


@asynccontextmanager
async def reading(
    cloud: Historic, token: str, query: str = "", last: str = "", held: bool = False
) -> AsyncIterator[Reader]:
    """A reader of the stream, which goes away at the end."""
    reader, gone = Reader(), asyncio.Event()
    if held:
        reader.free.clear()
    headers = [(b"accept", b"text/event-stream"), (b"x-auth-token", token.encode())]
    headers += [(b"last-event-id", last.encode())] if last else []
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "server": ("kaon", 80),
    }
    asked = False

    async def receive() -> Message:
        nonlocal asked
        if not asked:
            asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    async def run() -> None:
        await cloud.app(scope, receive, reader.send)
        reader.ended.set()

    task = asyncio.create_task(run())
    try:
        if not held:
            await soon(lambda: reader.chunks > 0 or reader.ended.is_set(), "the stream begins")
        yield reader
    finally:
        gone.set()
        reader.free.set()
        await asyncio.wait_for(task, 5)


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Historic]:
    made = Historic(tmp_path)
    await made.start()
    yield made
    made.feed.end()
    await made.stop()


@pytest.fixture
async def blank(tmp_path: Path) -> AsyncIterator[Historic]:
    """A cloud whose journal is empty, since its first start is left out."""
    made = Historic(tmp_path)
    yield made
    made.feed.end()
    await made.stop()


def note(count: int) -> Callable[[Transaction], None]:
    """A request that journals changes of a project's quota, of which only their number matters."""

    def run(tx: Transaction) -> None:
        for number in range(count):
            tx.changed("quota", "a", {"id": "a", "port": number}, {"id": "a", "port": number + 1}, "a")

    return run


async def port_of(cloud: Historic, token: str) -> dict[str, Any]:
    network = await cloud.made(token, "/networks", name="n")
    return await cloud.made(token, "/ports", network_id=network["id"], name="p")


# ------------------------------------------------------------ pages


async def test_an_entry_tells_who_changed_what_when_and_how_it_was_before(cloud: Historic) -> None:
    network = await cloud.made("member:a", "/networks", name="old")
    await cloud("admin:ops", "PUT", f"/networks/{network['id']}", {"network": {"name": "new"}})
    await cloud("member:a", "DELETE", f"/networks/{network['id']}")
    made, renamed, gone = await cloud.history("member:a", resource=network["id"])
    assert [entry["action"] for entry in (made, renamed, gone)] == ["create", "update", "delete"]
    assert renamed["who"] == {"user_id": "admin-of-ops", "user_name": "admin", "project_id": "ops"}
    assert renamed["kind"] == "network" and renamed["id"] == network["id"] and renamed["project_id"] == "a"
    assert (renamed["before"]["name"], renamed["after"]["name"]) == ("old", "new")
    assert made["before"] is None and gone["after"] is None
    assert re.fullmatch(r"req-[0-9a-f-]{36}", made["request_id"])
    assert abs(time.time() - clouds_time(made["time"])) < 60


def clouds_time(text: str) -> float:
    return float(history.history.datetime.fromisoformat(text).timestamp())


async def test_states_are_shown_as_the_resources_own_get_shows_them(cloud: Historic) -> None:
    port = await port_of(cloud, "member:a")
    await cloud("admin:ops", "PUT", f"/ports/{port['id']}", {"port": {"binding:host_id": "alpha"}})
    for token in ("member:a", "reader:a", "admin:ops"):
        _, body = await cloud(token, "GET", f"/ports/{port['id']}")
        _, network = await cloud(token, "GET", f"/networks/{port['network_id']}")
        _, bound = await cloud.history(token, resource=port["id"])
        assert set(bound["after"]) <= set(body["port"])
        assert ("binding:host_id" in bound["after"]) == ("binding:host_id" in bound["before"]) == (token == "admin:ops")
        (made,) = await cloud.history(token, resource=port["network_id"])
        assert made["after"] == network["network"]
        assert ("provider:segmentation_id" in made["after"]) == (token == "admin:ops")
        assert "zone" not in made["after"]


async def test_a_project_sees_its_own_changes_only(cloud: Historic) -> None:
    own, foreign = await port_of(cloud, "member:a"), await port_of(cloud, "member:b")
    seen = await cloud.history("member:a")
    assert {entry["project_id"] for entry in seen} == {"a"} and own["id"] in {entry["id"] for entry in seen}
    assert await cloud.history("member:a", resource=foreign["id"]) == []
    status, body = await cloud.ask("member:a", project="b")
    assert (status, body["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")
    assert {entry["project_id"] for entry in await cloud.history("admin:ops")} >= {"a", "b"}
    assert {entry["project_id"] for entry in await cloud.history("admin:ops", project="b")} == {"b"}


async def test_a_shared_networks_changes_are_its_owners(cloud: Historic) -> None:
    network = await cloud.made("admin:ops", "/networks", shared=True)
    assert (await cloud("member:a", "GET", f"/networks/{network['id']}"))[0] == 200
    assert await cloud.history("member:a", resource=network["id"]) == []


async def test_what_an_agent_attached_is_for_administrators_and_without_the_instances_secrets(cloud: Historic) -> None:
    port = await port_of(cloud, "member:a")

    class Place:
        port_id, netns, ifname, tap = port["id"], "vm", "eth0", ""
        instance_id, hostname, user_data = "i", "h", "c2VjcmV0"

    await cloud.store.write(lambda tx: attachment.attach(tx, "alpha", Place()))
    (attached,) = await cloud.history("admin:ops", resource="attachment")
    assert attached["after"]["host"] == "alpha" and "c2VjcmV0" not in json.dumps(attached)
    assert attached["who"] == {"user_id": "", "user_name": "kaon", "project_id": ""}
    assert await cloud.history("member:a", resource="attachment") == []


async def test_history_can_be_asked_for_by_kind_id_and_both(cloud: Historic) -> None:
    port = await port_of(cloud, "member:a")
    by_kind = await cloud.history("member:a", resource="port")
    by_id = await cloud.history("member:a", resource=port["id"])
    by_both = await cloud.history("member:a", resource=f"port/{port['id']}")
    assert [entry["id"] for entry in by_kind] == [port["id"]] and by_kind == by_id == by_both
    assert await cloud.history("member:a", resource=f"network/{port['id']}") == []


async def test_pages_lead_from_the_last_entries_back_to_the_first_and_forth_again(blank: Historic) -> None:
    await blank.store.write(note(25))
    status, body = await blank.ask("member:a", limit=10)
    numbers = [[entry["sequence"] for entry in body["history"]]]
    while previous := [link["href"] for link in body["history_links"] if link["rel"] == "previous"]:
        body = (await blank.http.get(previous[0], headers={"X-Auth-Token": "member:a"})).json()
        numbers.insert(0, [entry["sequence"] for entry in body["history"]])
    back = [number for page in numbers for number in page]
    assert back == sorted(back) and len(back) == 25 and len(numbers) == 3
    forth: list[int] = []
    _, body = await blank.ask("member:a", limit=10, since=0)
    while body["history"]:
        forth += [entry["sequence"] for entry in body["history"]]
        (following,) = [link["href"] for link in body["history_links"] if link["rel"] == "next"]
        body = (await blank.http.get(following, headers={"X-Auth-Token": "member:a"})).json()
    assert forth == back


async def test_since_and_until_take_a_time(cloud: Historic) -> None:
    await cloud.store.write(note(3))
    await cloud.store.write(lambda tx: tx.execute(journal.JOURNAL.update().values(at=journal.JOURNAL.c.seq * 60.0)))
    every = [entry["sequence"] for entry in await cloud.history("admin:ops", since=0)]
    for moment in ("1970-01-01T00:02:00Z", "1970-01-01T00:02:00", "1970-01-01T02:02:00+02:00"):
        assert [entry["sequence"] for entry in await cloud.history("admin:ops", since=moment)] == every[1:]
        assert [entry["sequence"] for entry in await cloud.history("admin:ops", until=moment)] == every[:1]
    assert await cloud.history("admin:ops", since="2999-01-01") == []


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"since": "yesterday"}, "since is 'yesterday'"),
        ({"until": "1-1-1"}, "until is '1-1-1'"),
        ({"limit": "0"}, "limit is '0'"),
        ({"limit": "many"}, "limit is 'many'"),
        ({"user": "me"}, "['user'] is nothing to ask"),
    ],
)
async def test_what_cannot_be_understood_is_refused(cloud: Historic, query: dict[str, str], told: str) -> None:
    status, body = await cloud.ask("member:a", **query)
    assert status == 400 and told in body["NeutronError"]["message"]


async def test_an_entry_of_an_older_version_is_shown_with_what_it_has(cloud: Historic) -> None:
    await cloud.store.write(lambda tx: tx.changed("network", "x", None, {"id": "x", "project_id": "a"}, "a"))
    (entry,) = await cloud.history("member:a", resource="x")
    assert (entry["after"]["id"], entry["after"]["project_id"], entry["after"]["shared"]) == ("x", "a", False)


# ------------------------------------------------------------ the stream


async def test_the_stream_tells_what_the_pages_tell_and_goes_on(cloud: Historic) -> None:
    await port_of(cloud, "member:a")
    async with reading(cloud, "member:a", "since=0") as reader:
        await soon(lambda: reader.entries, "what was there")
        await port_of(cloud, "member:b")
        await port_of(cloud, "member:a")
        whole = await cloud.history("member:a", since=0)
        await soon(lambda: len(reader.entries) >= len(whole), "what came")
        assert reader.entries == whole
        assert reader.ids == [entry["sequence"] for entry in reader.entries]


async def test_a_stream_without_since_begins_now_and_one_that_comes_again_where_it_was(blank: Historic) -> None:
    await blank.store.write(note(3))
    async with reading(blank, "member:a") as reader:
        await blank.store.write(note(2))
        await soon(lambda: reader.ids == [4, 5], "what came")
    await blank.store.write(note(2))
    async with reading(blank, "member:a", "since=0", last="5") as reader:
        await soon(lambda: reader.ids == [6, 7], "what was missed")


async def test_no_entry_is_missed_or_repeated_whoever_reads_however_slowly(
    blank: Historic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers that begin anywhere, one of them held up, while requests of several sizes are written."""
    monkeypatch.setattr(history, "NEWEST", 20)
    monkeypatch.setattr(history, "SENT", 7)
    sizes = [1, 30, 2, 5, 50, 1, 1, 19, 20, 21, 3]
    async with reading(blank, "admin:ops", "since=0", held=True) as slow:
        readers = [reading(blank, "member:a", f"since={start}") for start in (0, 0)]
        async with readers[0] as one, readers[1] as other:
            for size in sizes:
                await blank.store.write(note(size))
                await asyncio.sleep(0)
            whole = list(range(1, sum(sizes) + 1))
            await soon(lambda: one.ids[-1:] == other.ids[-1:] == whole[-1:], "both have the last one")
            assert one.ids == other.ids == whole
            assert slow.text == "" and len(blank.feed._newest) <= 20
            slow.free.set()
            await soon(lambda: slow.ids[-1:] == whole[-1:], "the slow one has it too")
            assert slow.ids == whole


async def test_many_readers_cost_one_reading_and_one_encoding(blank: Historic, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = 0
    original = history.History.shown

    def counted(self: Any, conn: Any, entries: Any, caller: Any) -> Any:
        nonlocal encoded
        encoded += len(entries)
        return original(self, conn, entries, caller)

    monkeypatch.setattr(history.History, "shown", counted)
    readers = [reading(blank, "admin:ops") for _ in range(20)]
    made = [await reader.__aenter__() for reader in readers]
    await blank.store.write(note(5))
    await soon(lambda: all(reader.ids == [1, 2, 3, 4, 5] for reader in made), "all have all")
    assert encoded == 5
    for reader in readers:
        await reader.__aexit__(None, None, None)


async def test_a_silent_stream_says_that_it_lives_and_ends_with_its_token(
    blank: Historic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "HEARTBEAT", 0.01)
    async with reading(blank, "member:a") as reader:
        await soon(lambda: "\n: the journal is at 0\n" in reader.text, "a heartbeat")
        blank.revoked.add("member:a")
        await asyncio.wait_for(reader.ended.wait(), 5)


async def test_streams_end_with_the_server(cloud: Historic) -> None:
    async with reading(cloud, "member:a") as reader:
        cloud.feed.end()
        await asyncio.wait_for(reader.ended.wait(), 5)


async def test_a_stream_is_for_those_who_may_ask(blank: Historic) -> None:
    await blank.store.write(note(1))
    for token, query, last, status in (
        ("nobody", "", "", 401),
        ("member:b", "project=a", "", 403),
        ("member:a", "limit=3", "", 400),
        ("member:a", "", "first", 400),
        ("member:a", "since=99", "", 410),
    ):
        async with reading(blank, token, query, last) as reader:
            assert reader.status == status and reader.ended.is_set()


# ------------------------------------------------------------ how long it is kept


async def test_old_entries_go_and_who_would_miss_them_is_told(blank: Historic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "FORGOTTEN", 4)
    await blank.store.write(note(10))
    old = journal.JOURNAL.update().where(journal.JOURNAL.c.seq <= 7).values(at=1000.0)
    await blank.store.write(lambda tx: tx.execute(old))
    assert await history.forget_before(blank.store, 2000.0) == 7
    assert [entry["sequence"] for entry in await blank.history("member:a", since=0)] == [8, 9, 10]
    assert [entry["sequence"] for entry in await blank.history("member:a", since=7)] == [8, 9, 10]
    status, body = await blank.ask("member:a", since=6)
    assert status == 410 and "kept from entry 8 on" in body["NeutronError"]["message"]
    async with reading(blank, "member:a", last="6") as reader:
        assert reader.status == 410


async def test_the_newest_entry_is_kept_so_that_numbers_go_on(blank: Historic) -> None:
    await blank.store.write(note(3))
    assert await history.forget_before(blank.store, time.time() + 60) == 2
    await blank.store.write(note(1))
    assert [entry["sequence"] for entry in await blank.history("member:a", since=0)] == [3, 4]


# ------------------------------------------------------------ a long journal


async def test_pages_of_a_long_journal_are_read_from_an_index(cloud: Historic) -> None:
    """However long it is: no query looks through the journal or sorts it."""
    wanted = [
        journal.Wanted(),
        journal.Wanted(owner_id="a"),
        journal.Wanted(kind="port"),
        journal.Wanted(kind="port", owner_id="a"),
        journal.Wanted(resource_id="x"),
        journal.Wanted(kind="port", resource_id="x", owner_id="a"),
    ]

    def plans(conn: sa.Connection) -> list[str]:
        asked: list[tuple[str, Any]] = []
        sa.event.listen(conn, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        for one in wanted:
            for after in (None, 5):
                journal.page(conn, one, 100, after)
        return [
            " ".join(str(row[-1]) for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values))
            for text, values in asked[:12]
        ]

    found = cloud.store.read_now(plans)
    assert len(found) == 12
    assert [plan for plan in found[2:] if not plan.startswith("SEARCH journal USING INDEX ix_journal")] == []
    assert [plan for plan in found if "TEMP B-TREE" in plan] == []
