"""A Network API in process for tests: a store in a temporary folder, callers by name, and a small JSON client."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from kaon.api.app import create_app
from kaon.api.policy import Policy
from kaon.caller import Caller
from kaon.resources.catalog import first_starts, resources, starts
from kaon.resources.errors import ApiError
from kaon.resources.live import Live
from kaon.store.engine import Store
from kaon.store.schema import metadata

ROLES = {
    "admin": frozenset({"admin", "manager", "member", "reader"}),
    "manager": frozenset({"manager", "member", "reader"}),
    "member": frozenset({"member", "reader"}),
    "reader": frozenset({"reader"}),
    "norole": frozenset(),
    "service": frozenset({"service"}),
}


def caller(token: str, request_id: str = "") -> Caller:
    """The caller behind a test token ``role:project``; raises 401 for any other text."""
    role, _, project = token.partition(":")
    if role not in ROLES or not project:
        raise ApiError(401, "Unauthorized", "no such test token")
    return Caller(
        user_id=f"{role}-of-{project}", project_id=project, roles=ROLES[role], request_id=request_id, user_name=role
    )


async def authenticate(token: str, request_id: str) -> Caller:
    """What the application asks for each request."""
    return caller(token, request_id)


@cache
def _empty() -> tempfile.TemporaryDirectory[str]:
    """A folder with a database that has its tables and nothing in them, made once for all tests."""
    resources()
    folder = tempfile.TemporaryDirectory(prefix="kaon-empty-")
    store = Store(Path(folder.name) / "kaon.db")
    metadata.create_all(store.engine)
    store.close()
    return folder


@cache
def _policy(file: Path | None) -> Policy:
    """The rules of a file, parsed once for all tests."""
    return Policy(file)


class Cloud:
    """The API under test. `await cloud("member:a", "POST", "/networks", {...})` answers (status, body)."""

    def __init__(self, folder: Path, policy_file: Path | None = None) -> None:
        resources()
        shutil.copyfile(Path(_empty().name) / "kaon.db", folder / "kaon.db")
        self.store = Store(folder / "kaon.db")
        self.live = Live()
        self.app = create_app(self.store, authenticate, _policy(policy_file), live=self.live)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://kaon")

    async def start(self) -> Cloud:
        """Fill a new database's pools, and do what every start does."""
        for start in (*first_starts(), *starts()):
            await self.store.write(start)
        return self

    async def stop(self) -> None:
        """Close the client and the store."""
        await self.http.aclose()
        self.store.close()

    async def __call__(
        self,
        token: str,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Any]:
        reply = await self.http.request(
            method, "/v2.0" + path, json=body, headers={"X-Auth-Token": token, **(headers or {})}
        )
        return reply.status_code, reply.json() if reply.content else None

    async def made(self, token: str, path: str, **values: Any) -> dict[str, Any]:
        """POST one resource and return it; asserts success. The singular name comes from the path."""
        single = path.rpartition("/")[2].replace("-", "_")
        single = single[:-3] + "y" if single.endswith("ies") else single[:-1]
        status, body = await self(token, "POST", path, {single: values})
        assert status == 201, body
        return dict(body[single])
