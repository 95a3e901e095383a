"""A bootstrapped Keystone in memory of the test, spoken to over ASGI, or over a loopback socket by real clients."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from argon2 import PasswordHasher
from starlette.applications import Starlette

from kaon.identity.app import routes
from kaon.identity.bootstrap import bootstrap
from kaon.identity.passwords import Passwords
from kaon.identity.state import Identity, open_identity
from kaon.store.engine import Store
from kaon.store.schema import metadata
from tests.wait import until

ADMIN_PASSWORD = "correct horse"


def make_identity(folder: Path, **options: Any) -> Identity:
    """An empty Keystone whose passwords are cheap to hash."""
    store = Store(folder / "kaon.db")
    metadata.create_all(store.engine)
    passwords = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    return open_identity(store, folder / "fernet-keys", passwords=passwords, **options)


@pytest.fixture(scope="session")
def bootstrapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of a Keystone with its user admin, made once and copied for each test."""
    folder = tmp_path_factory.mktemp("bootstrapped")

    async def make() -> None:
        made = make_identity(folder)
        await bootstrap(made, ADMIN_PASSWORD)
        made.passwords.close()
        made.store.close()

    asyncio.run(make())
    return folder


@pytest.fixture
async def identity(bootstrapped: Path, tmp_path: Path) -> AsyncIterator[Identity]:
    """A Keystone with its user admin."""
    shutil.copytree(bootstrapped, tmp_path, dirs_exist_ok=True)
    made = make_identity(tmp_path)
    yield made
    made.passwords.close()
    made.store.close()


class Cloud:
    """A few words for what tests do again and again with a Keystone."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def login(
        self, name: str, password: str, scope: Any = None, domain: str = "default", status: int = 201
    ) -> httpx.Response:
        """The answer to a password authentication."""
        user = {"name": name, "domain": {"id": domain}, "password": password}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if scope is not None:
            auth["scope"] = scope
        response = await self.http.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert response.status_code == status, response.text
        return response

    async def token(self, name: str, password: str, scope: Any = None, domain: str = "default") -> str:
        """A token by password."""
        return (await self.login(name, password, scope, domain)).headers["x-subject-token"]

    async def admin(self) -> str:
        """A token of the administrator in project admin."""
        return await self.token("admin", ADMIN_PASSWORD, project("admin"))

    async def call(self, token: str, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON that a call answers (None when it has none), whose status is checked."""
        response = await self.http.request(method, f"/identity/v3{path}", json=body, headers={"X-Auth-Token": token})
        assert response.status_code == status, (response.status_code, response.text)
        return response.json() if response.content else None

    async def user(self, name: str = "alice", **others: Any) -> dict[str, Any]:
        """A new user with the password `secret`."""
        body = {"user": {"name": name, "password": "secret", **others}}
        return (await self.call(await self.admin(), "POST", "/users", body, 201))["user"]

    async def project(self, name: str = "red", **others: Any) -> dict[str, Any]:
        """A new project."""
        return (await self.call(await self.admin(), "POST", "/projects", {"project": {"name": name, **others}}, 201))[
            "project"
        ]

    async def role(self, name: str) -> str:
        """The id of a role."""
        return (await self.call(await self.admin(), "GET", f"/roles?name={name}"))["roles"][0]["id"]

    async def grant(self, user: str, role: str, where: str) -> None:
        """Give a user a role on `projects/ID`, `domains/ID` or `system`."""
        path = f"/{where}/users/{user}/roles/{await self.role(role)}"
        await self.call(await self.admin(), "PUT", path, status=204)

    async def member(self, role: str = "member") -> tuple[dict[str, Any], dict[str, Any]]:
        """User alice with a role in project red."""
        user, red = await self.user(), await self.project()
        await self.grant(user["id"], role, f"projects/{red['id']}")
        return user, red


def project(name: str) -> dict[str, Any]:
    """A project scope in the default domain."""
    return {"project": {"name": name, "domain": {"id": "default"}}}


@pytest.fixture
async def cloud(identity: Identity) -> AsyncIterator[Cloud]:
    """The Keystone over ASGI."""
    transport = httpx.ASGITransport(app=Starlette(routes=routes(identity)))
    async with httpx.AsyncClient(transport=transport, base_url="http://kaon.test") as http:
        yield Cloud(http)


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """`app` on a loopback port, as a URL, on an event loop of its own thread (real clients block)."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started, 10)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def live(identity: Identity) -> Iterator[str]:
    """The URL of the Keystone on loopback."""
    with served(Starlette(routes=routes(identity))) as url:
        yield url
