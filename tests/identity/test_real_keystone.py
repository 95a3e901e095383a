"""Trusting OpenStack's own Keystone. The same story is told of our own one in `test_remote.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from kaon.identity.errors import IdentityError
from kaon.identity.remote import RemoteValidator, ServiceCredentials
from tests.keystone import PASSWORD, keystone_in, needs_keystone

pytestmark = [pytest.mark.slow, needs_keystone]


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with keystone_in(tmp_path_factory.mktemp("keystone")) as url:
        yield url


@pytest.fixture
async def remote(keystone: str) -> AsyncIterator[RemoteValidator]:
    made = RemoteValidator(keystone, ServiceCredentials("admin", PASSWORD, "admin"), ttl=0)
    yield made
    await made.close()


async def _token(http: httpx.AsyncClient, scope: Any) -> str:
    user = {"name": "admin", "domain": {"id": "default"}, "password": PASSWORD}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}
    response = await http.post("/auth/tokens", json={"auth": auth})
    assert response.status_code == 201, response.text
    return response.headers["x-subject-token"]


async def test_its_tokens_become_callers_until_they_are_revoked(keystone: str, remote: RemoteValidator) -> None:
    async with httpx.AsyncClient(base_url=keystone, timeout=30) as http:
        token = await _token(http, {"project": {"name": "admin", "domain": {"id": "default"}}})
        caller = await remote.validate(token)
        assert (caller.user_name, caller.project_name, caller.project_domain_id) == ("admin", "admin", "default")
        assert caller.roles >= {"admin", "member", "reader"}
        system = await _token(http, {"system": {"all": True}})
        assert (await remote.validate(system)).system
        await http.delete("/auth/tokens", headers={"X-Auth-Token": system, "X-Subject-Token": token})
        with pytest.raises(IdentityError) as refused:
            await remote.validate(token)
        assert refused.value.status == 401


async def test_what_it_does_not_know_is_401(remote: RemoteValidator) -> None:
    with pytest.raises(IdentityError) as refused:
        await remote.validate("gAAAAABforged")
    assert refused.value.status == 401
