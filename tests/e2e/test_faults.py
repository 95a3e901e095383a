"""What goes wrong around a whole Kaon: a full disk, the end of a process, and databases that it cannot use."""

from __future__ import annotations

import http.client
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.e2e import recount
from tests.e2e.conftest import connect
from tests.running import Running, environment, running
from tests.wait import until

pytestmark = pytest.mark.slow


def token_of(kaon: Running, data: Path) -> str:
    """A token for the administrator that the clouds.yaml in `data` names."""
    auth = yaml.safe_load((data / "clouds.yaml").read_text())["clouds"]["kaon"]["auth"]
    user = {"name": auth["username"], "password": auth["password"], "domain": {"id": "default"}}
    scope = {"project": {"name": auth["project_name"], "domain": {"id": "default"}}}
    body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
    answer = httpx.post(f"{kaon.url}/identity/v3/auth/tokens", json=body).raise_for_status()
    return str(answer.headers["x-subject-token"])


@pytest.fixture
def small(folder: Path) -> Iterator[tuple[Running, Path]]:
    """A Kaon whose data folder is a file system of 12 MiB in a mount namespace of its own; and the way into it."""
    data = folder / "small"
    script = f'mount -t tmpfs -o size=12m,mode=755 kaon-test {data} && exec "$@"'
    with running(data, "--engine", "fake", prefix=("unshare", "--mount", "sh", "-c", script, "sh")) as kaon:
        yield kaon, Path(f"/proc/{kaon.process.pid}/root") / data.relative_to("/")


@pytest.mark.root
def test_on_a_full_disk_writes_fail_clearly_reads_go_on_and_room_mends_it(small: tuple[Running, Path]) -> None:
    kaon, data = small
    headers = {"X-Auth-Token": token_of(kaon, data)}
    with httpx.Client(base_url=f"{kaon.url}/v2.0", headers=headers, timeout=30) as http:
        lift = {"quota": {"network": -1}}
        project = http.get("/quotas/tenant").json()["tenant"]["tenant_id"]
        http.put(f"/quotas/{project}", json=lift).raise_for_status()

        def create() -> httpx.Response:
            return http.post("/networks", json={"network": {"description": "x" * 200}})

        made = [create().raise_for_status().json()["network"]["id"]]
        with (data / "ballast").open("wb", buffering=0) as ballast, pytest.raises(OSError, match="No space left"):
            while True:
                ballast.write(b"\0" * 4096)
        refused = None
        for _ in range(2000):
            answer = create()
            if answer.status_code != 201:
                refused = answer
                break
            made.append(answer.json()["network"]["id"])
        assert refused is not None, "there is still room"
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        error = refused.json()["NeutronError"]
        assert error["type"] == "ServiceUnavailable"
        assert "full" in error["message"]
        assert {item["id"] for item in http.get("/networks").raise_for_status().json()["networks"]} == set(made)
        assert http.put(f"/networks/{made[0]}", json={"network": {"name": "new"}}).status_code == 503
        assert http.get(f"/networks/{made[0]}").raise_for_status().json()["network"]["name"] == ""
        assert httpx.get(f"{kaon.url}/healthz").status_code == 200

        (data / "ballast").unlink()
        made.append(create().raise_for_status().json()["network"]["id"])
        assert {item["id"] for item in http.get("/networks").json()["networks"]} == set(made)
    assert "Traceback" not in kaon.output.read_text()
    assert "ended, is restarted" not in kaon.output.read_text()


def test_a_request_under_way_is_answered_before_the_server_ends(folder: Path) -> None:
    with running(folder / "graceful", "--engine", "fake") as kaon:
        address = httpx.URL(kaon.url)
        client = http.client.HTTPConnection(address.host, address.port or 80, timeout=20)
        body = json.dumps({"network": {"name": "last"}}).encode()
        client.putrequest("POST", "/v2.0/networks")
        for name, value in (("X-Auth-Token", token_of(kaon, kaon.data)), ("Content-Length", str(len(body)))):
            client.putheader(name, value)
        client.putheader("Expect", "100-continue")
        client.endheaders()
        assert client.sock is not None
        # The server has begun with the request when it asks for the body.
        assert client.sock.recv(1024).startswith(b"HTTP/1.1 100 Continue")
        kaon.process.terminate()
        until(lambda: "stopped" in kaon.output.read_text(), 10, "the agent, which is ended with the server, is gone")
        client.send(body)
        answer = client.getresponse()
        assert (answer.status, json.load(answer)["network"]["name"]) == (201, "last")
        client.close()
        assert kaon.process.wait(15) == 0
    with running(folder / "graceful", "--engine", "fake") as kaon, connect(kaon) as cloud:
        assert [network.name for network in cloud.network.networks()] == ["last"]
    assert recount.faults(folder / "graceful" / "server" / "kaon.db") == []


def started_in_vain(data: Path, **variables: str) -> str:
    """What `kaon up` says on standard error when it does not start."""
    command = [sys.executable, "-m", "kaon.cli.main", "up", "--data", str(data), "--listen", "127.0.0.1:0"]
    done = subprocess.run(
        [*command, "--engine", "fake"], env=environment() | variables, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), ("create_router: [", "expected the node content")]
)
def test_a_policy_file_that_cannot_be_used_is_not_passed_over(folder: Path, content: str | None, reason: str) -> None:
    policy = folder / "policy.yaml"
    policy.unlink(missing_ok=True)
    if content is not None:
        policy.write_text(content)
    errors = started_in_vain(folder / "unruled", KAON_POLICY_FILE=str(policy))
    (told,) = [line for line in errors.splitlines() if "policy cannot be used" in line]
    assert f"policy_file {policy}" in told
    assert reason in told


def newer(database: Path) -> None:
    connection = sqlite3.connect(database)
    with connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()


def garbage(database: Path) -> None:
    database.write_bytes(b"no database " * 1000)


def torn(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096 : 8 * 4096] = b"\xff" * (7 * 4096)
    database.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(newer, "has schema 9999"), (garbage, "file is not a database"), (torn, "database disk image is malformed")],
)
def test_a_database_that_cannot_be_used_is_one_clear_line(
    folder: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    data = folder / damage.__name__
    with running(data, "--engine", "fake"):
        pass
    database = data / "server" / "kaon.db"
    assert not database.with_name("kaon.db-wal").exists(), "a server that ends leaves no log behind"
    damage(database)
    errors = started_in_vain(data)
    (told,) = [line for line in errors.splitlines() if "database cannot be used" in line]
    assert reason in told
    assert str(database) in told
    assert "backup" in told
