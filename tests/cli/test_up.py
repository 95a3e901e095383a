"""`kaon up` as a whole, on the fake engine: two processes, their privileges, their ends, and what clients see."""

from __future__ import annotations

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from kaon import privileges
from kaon.cli import datafolder, status
from kaon.cli.datafolder import DataFolder
from tests.certificates import self_signed
from tests.running import Running, environment, running
from tests.wait import until

pytestmark = pytest.mark.slow


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that the server's user can enter, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="kaon-up-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


@pytest.fixture
def up(data: Path) -> Iterator[Running]:
    with running(data, "--engine", "fake") as kaon:
        until(lambda: datafolder.read_state(DataFolder(data)), what="kaon.json")
        yield kaon


def pids(kaon: Running) -> dict[str, int]:
    state = datafolder.read_state(DataFolder(kaon.data))
    assert state is not None
    return {"server": state.server, "agent": state.agent}


def command(kaon: Running, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kaon.cli.main", *words, "--data", str(kaon.data)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )


def cloud(kaon: Running, monkeypatch: pytest.MonkeyPatch) -> openstack.connection.Connection:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(kaon.data / "clouds.yaml"))
    return openstack.connect(cloud="kaon")


def test_the_generated_cloud_works_and_is_its_owners_alone(up: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stat.S_IMODE((up.data / "clouds.yaml").stat().st_mode) == 0o600
    assert stat.S_IMODE((up.data / "admin-password").stat().st_mode) == 0o600
    connection = cloud(up, monkeypatch)
    network = connection.network.create_network(name="blue")
    assert [item.id for item in connection.network.networks(name="blue")] == [network.id]


def test_the_server_has_no_privileges_and_the_agent_no_port(up: Running) -> None:
    server, agent = (Path(f"/proc/{pids(up)[name]}") for name in ("server", "agent"))
    told = dict(line.split(":\t", 1) for line in (server / "status").read_text().splitlines() if ":\t" in line)
    assert int(told["CapEff"], 16) == int(told["CapPrm"], 16) == 0
    assert told["NoNewPrivs"] == "1"
    if privileges.can_change_user():
        assert "0" not in told["Uid"].split()
    inodes = {str(entry.readlink()) for entry in (agent / "fd").iterdir() if entry.is_symlink()}
    listening = {
        f"socket:[{line.split()[9]}]"
        for table in ("tcp", "tcp6")
        for line in (agent / "net" / table).read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert not inodes & listening


def test_nothing_is_imported_once_privileges_are_gone(up: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read then may be out of the server's reach: its interpreter may lie in root's home folder."""
    connection = cloud(up, monkeypatch)
    network = connection.network.create_network(name="blue")
    connection.network.delete_network(network)
    assert [project.name for project in connection.identity.projects(name="admin")] == ["admin"]
    with pytest.raises(openstack.exceptions.NotFoundException):
        connection.network.get_network("absent")
    urllib.request.urlopen(f"{up.url}/metrics").close()
    late = [line for line in up.output.read_text().splitlines() if "imported after privileges" in line]
    assert late == []


def test_a_request_made_while_the_server_is_down_is_answered_by_the_next_one(up: Running) -> None:
    before = pids(up)
    os.kill(before["server"], signal.SIGKILL)
    with urllib.request.urlopen(f"{up.url}/healthz", timeout=15) as answer:
        assert answer.status == 200
    after = pids(up)
    assert after["server"] != before["server"]
    assert after["agent"] == before["agent"]


def test_a_second_kaon_on_the_same_folder_is_refused(up: Running) -> None:
    done = command(up, "up", "--engine", "fake", "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert f"Kaon runs on it already (process {up.process.pid})" in done.stderr
    assert status.healthy(up.url)


def test_status_tells_and_down_ends_what_runs(up: Running) -> None:
    def well() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(command(up, "status", "--json").stdout)
        return told if told["agent_says"] == "everything is as it should be" else {}

    told = until(well, 10, "the agent has heard from the server")
    assert told["running"]
    assert told["ready"]
    assert told["url"] == up.url
    assert {"server": told["server"], "agent": told["agent"]} == pids(up)
    assert told["failed"] == []
    os.kill(told["agent"], signal.SIGSTOP)
    try:
        stuck = command(up, "status")
    finally:
        os.kill(told["agent"], signal.SIGCONT)
    assert stuck.returncode == 0
    assert "the agent does not answer" in stuck.stdout
    assert command(up, "down").returncode == 0
    assert up.process.wait(5) == 0
    assert command(up, "status").returncode == 3
    assert "does not run" in command(up, "down").stdout


def test_what_was_created_and_the_password_outlive_a_supervisor_that_is_killed(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(data, "--engine", "fake") as first:
        cloud(first, monkeypatch).network.create_network(name="blue")
        password = (data / "admin-password").read_text()
        first.process.kill()
        first.process.wait()
    with running(data, "--engine", "fake") as second:
        assert (data / "admin-password").read_text() == password
        assert [item.name for item in cloud(second, monkeypatch).network.networks()] == ["blue"]
        until(lambda: "agent connected" in second.output.read_text(), what="the agent is back")
        assert " error " not in second.output.read_text()


def test_listening_wider_than_this_machine_without_tls_warns(data: Path) -> None:
    with running(data, "--engine", "fake", "--listen", "0.0.0.0:0") as kaon:
        assert kaon.url.startswith("http://127.0.0.1:")
        assert "travel in the clear" in kaon.output.read_text()


def test_https_with_a_certificate_of_ones_own(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate, key = self_signed(data.parent)
    flags = ("--engine", "fake", "--tls-cert", str(certificate), "--tls-key", str(key))
    with running(data, *flags) as kaon:
        assert kaon.url.startswith("https://127.0.0.1:")
        context = ssl.create_default_context(cafile=str(certificate))
        with urllib.request.urlopen(f"{kaon.url}/healthz", context=context, timeout=5) as answer:
            assert answer.status == 200
        assert list(cloud(kaon, monkeypatch).network.networks()) == []


def test_a_key_that_is_not_the_certificates_is_said_before_anything_starts(data: Path, tmp_path: Path) -> None:
    pairs = []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        pairs.append(self_signed(tmp_path / name))
    words = ("up", "--engine", "fake", "--listen", "127.0.0.1:0", "--data", str(data))
    done = subprocess.run(
        [
            *(sys.executable, "-m", "kaon.cli.main", *words),
            *("--tls-cert", str(pairs[0][0]), "--tls-key", str(pairs[1][1])),
        ],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "key values mismatch" in done.stderr
