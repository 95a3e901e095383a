"""`kaon log`: what one reads at three in the morning, and whose connection breaks off."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from kaon.cli import history
from kaon.cli.client import Client, ClientError
from tests.running import Running, running
from tests.wait import until

CLOUD = {"auth": {"auth_url": "http://kaon/identity/v3"}}


def entry(action: str = "update", before: Any = None, after: Any = None, **more: Any) -> dict[str, Any]:
    return {
        "sequence": 7,
        "time": "2026-01-31T03:00:00.000Z",
        "who": {"user_id": "u1", "user_name": "alice", "project_id": "p"},
        "request_id": "req-1",
        "kind": "port",
        "id": "5e0c",
        "project_id": "p",
        "action": action,
        "before": before,
        "after": after,
        **more,
    }


@pytest.mark.parametrize(
    ("item", "told"),
    [
        (
            entry(before={"name": "a", "mtu": 1500, "revision_number": 1}, after={"name": "b", "mtu": 1500}),
            "alice updated port 5e0c (b): name: a -> b",
        ),
        (
            entry(before={"tags": ["x", "y"]}, after={"tags": ["y", "z"]}),
            "alice updated port 5e0c: tags: -x +z",
        ),
        (
            entry(before={"fixed_ips": []}, after={"fixed_ips": [{"ip_address": "10.0.0.2"}]}),
            "alice updated port 5e0c: fixed_ips: +{ip_address=10.0.0.2}",
        ),
        (
            entry(before={"revision_number": 1}, after={"revision_number": 2}),
            "alice updated port 5e0c: revision_number: 1 -> 2",
        ),
        (
            entry("create", after={"name": "web", "mtu": 1450, "shared": False, "description": "", "project_id": "p"}),
            "alice created port 5e0c (web): mtu: 1450",
        ),
        (entry("delete", before={"name": "web"}), "alice deleted port 5e0c (web)"),
        (entry("delete", before={}, who={"user_id": "u1", "user_name": "", "project_id": ""}), "u1 deleted port 5e0c"),
        (
            entry(before={"name": "a"}, after={"name": "\x1b[2Jb"}),
            'alice updated port 5e0c ("\\u001b[2Jb"): name: a -> "\\u001b[2Jb"',
        ),
    ],
)
def test_a_line_tells_who_changed_what_from_what_to_what(item: dict[str, Any], told: str) -> None:
    assert history.line(item) == f"2026-01-31T03:00:00.000Z 7 {told}"


def test_lately_is_a_time() -> None:
    at = datetime.fromisoformat(history.moment("10m") or "")
    assert abs(datetime.now(UTC) - timedelta(minutes=10) - at) < timedelta(seconds=5)
    assert history.moment("42") == "42" and history.moment(None) is None


def test_a_stream_that_breaks_off_goes_on_behind_its_last_entry(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """First a whole entry and the end, then a server that is away, then a token that has ended, then the next entry."""
    monkeypatch.setattr(history, "AGAIN", 0.0)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            return httpx.Response(201, headers={"x-subject-token": "fresh"}, json={})
        asked.append(request.headers["last-event-id"])
        match len(asked):
            case 1 | 4:
                number = 5 if len(asked) == 1 else 6
                return httpx.Response(200, text=f"id: {number}\ndata: {json.dumps(entry(sequence=number))}\n\n")
            case 2:
                raise httpx.ConnectError("refused")
            case 3:
                return httpx.Response(401)
        return httpx.Response(410, text="gone")

    cloud = {"auth": {**CLOUD["auth"], "username": "u", "password": "p", "project_name": "p"}}
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        found = history.stream(Client(http, "http://kaon", cloud), "http://kaon/kaon/v1/history", {}, 4)
        assert [next(found)["sequence"], next(found)["sequence"]] == [5, 6]
        with pytest.raises(ClientError, match="410: gone"):
            next(found)
    assert asked == ["4", "5", "5", "5", "6"]
    assert "refused; trying again" in capsys.readouterr().err


@pytest.fixture(scope="module")
def kaon() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="kaon-log-") as folder:
        # The server's user must be able to enter.
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data", "--engine", "fake") as kaon:
            yield kaon


def told(kaon: Running, *words: str, status: int = 0) -> str:
    command = [sys.executable, "-m", "kaon.cli.main", *words, "--data", str(kaon.data)]
    done = subprocess.run(command, env=kaon.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def openstack(kaon: Running, *words: str) -> str:
    command = ["openstack", "--os-cloud", "kaon", *words, "-f", "json"]
    done = subprocess.run(command, env=kaon.environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["id"])


@pytest.mark.slow
def test_log_and_follow_on_a_running_kaon(kaon: Running, tmp_path: Path) -> None:
    network = openstack(kaon, "network", "create", "first")
    lines = told(kaon, "log", "--resource", network).splitlines()
    assert len(lines) == 1 and f" admin created network {network} (first): " in lines[0]
    command = [sys.executable, "-m", "kaon.cli.main", "log", "--data", str(kaon.data), "--follow", "--json"]
    with (tmp_path / "followed").open("w+") as output:
        process = subprocess.Popen(command, env=kaon.environment, stdout=output)
        try:
            followed = tmp_path / "followed"
            until(lambda: network in followed.read_text(), 20, "what was there")
            second = openstack(kaon, "network", "create", "second")
            until(lambda: second in followed.read_text(), 20, "what came")
        finally:
            process.terminate()
            process.wait(10)
    assert told(kaon, "log", "--project", "nobody", status=1) == (
        "kaon log: project nobody: there is none of that id or name\n"
    )


@pytest.mark.slow
def test_policy_is_explained_for_a_user_with_the_roles_that_identity_knows(kaon: Running) -> None:
    openstack(kaon, "user", "create", "bob", "--password", "x")
    project = openstack(kaon, "project", "create", "red")
    network = openstack(kaon, "network", "create", "foreign")
    who = ("--as", "bob", "--project", "red")
    text = told(kaon, "policy", "explain", *who, "create_network", status=2)
    assert "create_network: DENIED" in text and "roles none" in text
    subprocess.run(
        ["openstack", "--os-cloud", "kaon", "role", "add", "--user", "bob", "--project", "red", "member"],
        env=kaon.environment,
        check=True,
        timeout=60,
    )
    text = told(kaon, "policy", "explain", *who, "create_network")
    assert "create_network: allowed" in text and f"roles member, reader; project_id {project}" in text
    text = told(kaon, "policy", "explain", *who, "get_network", "--target", network, status=2)
    assert "which is the caller's project_id" in text
    assert '"create_port:mac_address": ' in told(kaon, "policy", "list", "create_port:mac")


@pytest.mark.slow
def test_open_streams_end_when_kaon_stops_and_do_not_hold_it_up() -> None:
    with tempfile.TemporaryDirectory(prefix="kaon-log-") as folder:
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data", "--engine", "fake") as kaon:
            headers = {"Accept": "text/event-stream", "X-Auth-Token": openstack(kaon, "token", "issue")}
            with httpx.stream("GET", f"{kaon.url}/kaon/v1/history", headers=headers, timeout=20) as answer:
                assert answer.status_code == 200
                lines = answer.iter_lines()
                assert next(lines) == "retry: 1000"
                began = time.monotonic()
                kaon.process.terminate()
                assert [line for line in lines if line] == []
                assert kaon.process.wait(15) == 0
                # uvicorn itself would wait for five seconds.
                assert time.monotonic() - began < 4.5
