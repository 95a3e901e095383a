"""Trusting OpenStack's own Keystone, where one is installed.

`KAON_TEST_KEYSTONE` names the Python of an environment that has it (`python -m venv V && V/bin/pip install keystone`);
it is kept apart because its dependencies are many. The same story is told of our own Keystone in `test_remote.py`.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kaon.identity.errors import IdentityError
from kaon.identity.remote import RemoteValidator, ServiceCredentials
from tests.wait import until

PYTHON = os.environ.get("KAON_TEST_KEYSTONE", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="KAON_TEST_KEYSTONE names no Python that has Keystone"),
]

CONFIGURATION = """
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
"""

SERVE = """
import os
from wsgiref.simple_server import make_server
from keystone.wsgi.api import application
make_server("127.0.0.1", int(os.environ["PORT"]), application).serve_forever()
"""


@pytest.fixture(scope="module")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Keystone with the administrator `admin`, password `pw`."""
    folder = tmp_path_factory.mktemp("keystone")
    configuration = folder / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    manage = [str(Path(PYTHON).parent / "keystone-manage"), "--config-file", str(configuration)]
    for command in (("db_sync",), ("fernet_setup", *owner), ("credential_setup", *owner),
                    ("bootstrap", "--bootstrap-password", "pw")):  # fmt: skip
        subprocess.run([*manage, *command], check=True, capture_output=True, timeout=100)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(configuration), "PORT": str(port)}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([PYTHON, "-c", SERVE], env=environment, stdout=out, stderr=out)
    try:
        until(lambda: _answers(port), 30)
        yield f"http://127.0.0.1:{port}/v3"
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
async def remote(keystone: str) -> AsyncIterator[RemoteValidator]:
    made = RemoteValidator(keystone, ServiceCredentials("admin", "pw", "admin"), ttl=0)
    yield made
    await made.close()


async def _token(http: httpx.AsyncClient, scope: Any) -> str:
    user = {"name": "admin", "domain": {"id": "default"}, "password": "pw"}
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
