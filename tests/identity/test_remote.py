"""A server that trusts another Keystone: here our own one, served on loopback, as the remote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from kaon.identity.errors import IdentityError
from kaon.identity.remote import RemoteValidator, ServiceCredentials
from tests.identity.conftest import ADMIN_PASSWORD, Cloud, project

SERVICE = ServiceCredentials("admin", ADMIN_PASSWORD, "admin")


class Counting(httpx.AsyncHTTPTransport):
    """The real transport; counts requests by method."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request.method)
        return await super().handle_async_request(request)


@pytest.fixture
async def wire() -> Counting:
    return Counting()


@pytest.fixture
async def remote(live: str, wire: Counting) -> AsyncIterator[RemoteValidator]:
    made = RemoteValidator(f"{live}/identity", SERVICE, transport=wire)
    yield made
    await made.close()


@pytest.fixture
async def over_wire(live: str) -> AsyncIterator[Cloud]:
    async with httpx.AsyncClient(base_url=live) as http:
        yield Cloud(http)


async def test_a_valid_token_becomes_its_caller_and_is_asked_about_once(
    over_wire: Cloud, remote: RemoteValidator, wire: Counting
) -> None:
    user, red = await over_wire.member()
    token = await over_wire.token("alice", "secret", project("red"))
    callers = await asyncio.gather(*(remote.validate(token) for _ in range(20)))
    assert {caller.user_id for caller in callers} == {user["id"]}
    assert callers[0].project_id == red["id"]
    assert callers[0].project_domain_id == "default"
    assert callers[0].roles == {"member", "reader"}
    assert not callers[0].is_admin
    await remote.validate(token)
    assert wire.sent == ["POST", "GET"]


async def test_a_system_token_is_told_from_a_project_token(over_wire: Cloud, remote: RemoteValidator) -> None:
    caller = await remote.validate(await over_wire.token("admin", ADMIN_PASSWORD, {"system": {"all": True}}))
    assert caller.system
    assert not caller.project_id
    assert caller.is_admin


async def test_what_keystone_does_not_know_is_401_and_not_asked_about_twice(
    remote: RemoteValidator, wire: Counting
) -> None:
    for _ in range(2):
        with pytest.raises(IdentityError) as refused:
            await remote.validate("gAAAAABforged")
        assert refused.value.status == 401
    assert wire.sent == ["POST", "GET"]


@pytest.mark.parametrize("token", ["", "a\r\nX-Evil: 1", "é", "a" * 9000])
async def test_what_cannot_be_a_token_never_reaches_keystone(
    remote: RemoteValidator, wire: Counting, token: str
) -> None:
    with pytest.raises(IdentityError) as refused:
        await remote.validate(token)
    assert refused.value.status == 401
    assert wire.sent == []


async def test_a_revoked_token_is_refused_once_the_answer_has_aged(over_wire: Cloud, live: str) -> None:
    remote = RemoteValidator(f"{live}/identity/v3", SERVICE, ttl=0)
    token, admin = await over_wire.admin(), await over_wire.admin()
    assert (await remote.validate(token)).is_admin
    headers = {"X-Auth-Token": admin, "X-Subject-Token": token}
    await over_wire.http.delete("/identity/v3/auth/tokens", headers=headers)
    with pytest.raises(IdentityError) as refused:
        await remote.validate(token)
    assert refused.value.status == 401
    await remote.close()


async def test_the_service_users_own_token_is_renewed_when_keystone_refuses_it(
    over_wire: Cloud, remote: RemoteValidator, wire: Counting
) -> None:
    await remote.validate(await over_wire.admin())
    admin_id = (await over_wire.call(await over_wire.admin(), "GET", "/users?name=admin"))["users"][0]["id"]
    same = {"user": {"password": ADMIN_PASSWORD}}
    await over_wire.call(await over_wire.admin(), "PATCH", f"/users/{admin_id}", same)  # ends all of its tokens
    assert (await remote.validate(await over_wire.admin())).is_admin
    assert wire.sent == ["POST", "GET", "GET", "POST", "GET"]


async def test_a_wrong_service_password_is_503_not_401(over_wire: Cloud, live: str) -> None:
    remote = RemoteValidator(f"{live}/identity", SERVICE._replace(password="wrong"))
    with pytest.raises(IdentityError) as refused:
        await remote.validate(await over_wire.admin())
    assert refused.value.status == 503
    assert "wrong" not in refused.value.message
    await remote.close()


async def test_a_keystone_that_is_gone_is_503_but_what_is_remembered_still_holds(
    over_wire: Cloud, remote: RemoteValidator, monkeypatch: pytest.MonkeyPatch, wire: Counting
) -> None:
    known, unknown = await over_wire.admin(), await over_wire.admin()
    await remote.validate(known)

    async def gone(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    monkeypatch.setattr(wire, "handle_async_request", gone)
    assert (await remote.validate(known)).is_admin
    with pytest.raises(IdentityError) as refused:
        await remote.validate(unknown)
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "1"


async def test_an_answer_that_is_no_token_is_503(over_wire: Cloud) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(201, json={"hello": 1}))
    remote = RemoteValidator("http://keystone.test", SERVICE, transport=transport)
    with pytest.raises(IdentityError) as refused:
        await remote.validate("gAAAAABtoken")
    assert refused.value.status == 503
    await remote.close()
