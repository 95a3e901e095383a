"""A whole Kaon on the fake engine for each file of tests, and the `openstack` command as its administrator."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest

from tests.e2e.shell import Shell
from tests.running import Running, running


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


@pytest.fixture(scope="module")
def cloud(kaon: Running) -> Iterator[openstack.connection.Connection]:
    """openstacksdk as the administrator."""
    config = openstack.config.OpenStackConfig(config_files=[str(kaon.data / "clouds.yaml")], load_envvars=False)
    with openstack.connection.Connection(config=config.get_one("kaon")) as connection:
        yield connection
