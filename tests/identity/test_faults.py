"""Races and faults: changes while a token is looked up, several writers at once, a store that cannot write."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from kaon.identity.errors import IdentityError
from kaon.identity.state import Identity
from tests.identity.conftest import Cloud, project


async def test_a_token_revoked_while_it_is_looked_up_is_not_remembered(
    cloud: Cloud, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, doomed = await cloud.admin(), await cloud.admin()
    await identity.validator.validate(admin)
    read = identity.store.read
    looked, revoked = asyncio.Event(), asyncio.Event()

    async def slow(fn: Callable[[sa.Connection], Any]) -> Any:
        found = await read(fn)
        looked.set()
        await revoked.wait()
        return found

    monkeypatch.setattr(type(identity.store), "read", lambda _, fn: slow(fn))
    looking = asyncio.create_task(identity.validator.validate(doomed))
    await looked.wait()
    monkeypatch.undo()
    headers = {"X-Auth-Token": admin, "X-Subject-Token": doomed}
    assert (await cloud.http.delete("/identity/v3/auth/tokens", headers=headers)).status_code == 204
    revoked.set()
    assert (await looking).user_name == "admin"  # it was valid when it was looked up
    with pytest.raises(IdentityError):
        await identity.validator.validate(doomed)


async def test_of_many_who_want_one_name_one_gets_it(cloud: Cloud) -> None:
    headers = {"X-Auth-Token": await cloud.admin()}
    body = {"project": {"name": "red"}}
    answers = await asyncio.gather(
        *(cloud.http.post("/identity/v3/projects", json=body, headers=headers) for _ in range(10))
    )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9


async def test_a_store_that_cannot_write_is_503_while_tokens_go_on(
    cloud: Cloud, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await cloud.admin()

    async def full(*_: Any) -> Any:
        raise sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))

    monkeypatch.setattr(type(identity.store), "write", full)
    error = (await cloud.call(admin, "POST", "/projects", {"project": {"name": "red"}}, 503))["error"]
    assert "disk" not in error["message"]
    assert (await cloud.call(admin, "GET", "/projects?name=red"))["projects"] == []
    await cloud.admin()


async def test_every_change_and_refusal_is_one_line_with_who_and_from_where(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    user, _ = await cloud.member()
    token = await cloud.token("alice", "secret", project("red"))
    caplog.clear()
    caplog.set_level("INFO", "kaon.identity")
    await cloud.call(token, "DELETE", f"/users/{user['id']}", status=403)
    await cloud.login("alice", "wrong", status=401)
    await cloud.call(await cloud.admin(), "DELETE", f"/users/{user['id']}", status=204)
    lines = [(record.message, record.__dict__["status"]) for record in caplog.records if record.name == "kaon.identity"]
    assert lines == [("refused", 403), ("refused", 401), ("changed", 201), ("changed", 204)]
    who = [record.__dict__["user_id"] for record in caplog.records if record.name == "kaon.identity"]
    assert who[:2] == [user["id"], ""]
    assert who[2] == who[3] not in ("", user["id"])
    assert all(record.__dict__["source"] == "127.0.0.1" for record in caplog.records if record.name == "kaon.identity")
    assert "wrong" not in caplog.text and "secret" not in caplog.text
