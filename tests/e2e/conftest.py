"""A whole Kaon on the fake engine for each file of tests, and the `openstack` command as its administrator."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest

from kaon.cli import datafolder
from kaon.cli.datafolder import DataFolder
from tests.e2e.shell import Shell
from tests.running import Running, running
from tests.wait import until


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder that the server's user can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="kaon-e2e-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def kaon(folder: Path) -> Iterator[Running]:
    with running(folder / "data", "--engine", "fake") as kaon:
        yield kaon


@pytest.fixture(scope="module")
def admin(kaon: Running) -> Iterator[Shell]:
    """The `openstack` command with the generated clouds.yaml."""
    shell = Shell(kaon.environment | {"OS_CLOUD": "kaon"})
    yield shell
    shell.close()


def connect(kaon: Running) -> openstack.connection.Connection:
    """openstacksdk with the generated clouds.yaml; for use in `with`."""
    config = openstack.config.OpenStackConfig(config_files=[str(kaon.data / "clouds.yaml")], load_envvars=False)
    return openstack.connection.Connection(config=config.get_one("kaon"))


def server_pid(kaon: Running) -> int:
    """The process id of the server that runs now; waits for one."""

    def running_now() -> int:
        state = datafolder.read_state(DataFolder(kaon.data))
        return state.server if state is not None else 0

    return until(running_now, 10, "a server runs")


def status(url: str, token: str) -> int:
    """The status of a GET with a token."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"X-Auth-Token": token}), timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def cloud(kaon: Running) -> Iterator[openstack.connection.Connection]:
    """openstacksdk as the administrator."""
    with connect(kaon) as connection:
        yield connection
