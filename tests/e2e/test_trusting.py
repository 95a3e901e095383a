"""One Kaon trusts the identity of another, over TLS: what holds for any Keystone, also where none is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.certificates import self_signed
from tests.e2e.conftest import connect, status
from tests.running import Running, environment, running

pytestmark = pytest.mark.slow


@pytest.fixture
def certificate(folder: Path) -> tuple[Path, Path]:
    return self_signed(folder)


@pytest.fixture
def elsewhere(folder: Path, certificate: tuple[Path, Path]) -> Iterator[Running]:
    """A Kaon that serves identity by HTTPS, under a certificate that no authority of the system vouches for."""
    flags = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
    with running(folder / "elsewhere", "--engine", "fake", *flags) as kaon:
        yield kaon


def settings(folder: Path, elsewhere: Running, cacert: Path | str) -> str:
    """Settings that trust `elsewhere`."""
    password = (elsewhere.data / "admin-password").read_text().strip()
    path = folder / "trusting.toml"
    path.write_text(
        f'[identity]\nurl = "{elsewhere.url}/identity/v3"\ncacert = "{cacert}"\n'
        f'username = "admin"\nproject_name = "admin"\npassword = "{password}"\ncache_time = 0\n'
    )
    return str(path)


def test_tokens_of_another_hold_until_it_cannot_be_asked(
    folder: Path, elsewhere: Running, certificate: tuple[Path, Path]
) -> None:
    configuration = settings(folder, elsewhere, certificate[0])
    with running(folder / "here", "--engine", "fake", "--config", configuration) as kaon:
        with connect(kaon) as cloud:
            assert cloud.network.create_network(name="blue").project_id == cloud.current_project_id
            token = cloud.auth_token
        networks = f"{kaon.url}/v2.0/networks"
        assert (status(networks, token), status(networks, "forged")) == (200, 401)
        # It is the other one that has no such network.
        answer = httpx.get(f"{elsewhere.url}/v2.0/networks", headers={"X-Auth-Token": token}, verify=False)
        assert answer.raise_for_status().json() == {"networks": []}
        elsewhere.process.terminate()
        elsewhere.process.wait(15)
        assert status(networks, token) == 503
        assert status(f"{kaon.url}/healthz", "") == 200


def test_a_server_that_nobody_vouches_for_is_not_asked(folder: Path, elsewhere: Running) -> None:
    with running(folder / "wary", "--engine", "fake", "--config", settings(folder, elsewhere, "")) as kaon:
        assert status(f"{kaon.url}/v2.0/networks", "token") == 503
        assert "CERTIFICATE_VERIFY_FAILED" in kaon.output.read_text()


def test_authorities_that_cannot_be_read_are_one_clear_line(folder: Path, elsewhere: Running) -> None:
    configuration = settings(folder, elsewhere, folder / "absent.pem")
    command = [sys.executable, "-m", "kaon.cli.main", "up", "--data", str(folder / "blind"), "--config", configuration]
    done = subprocess.run(
        [*command, "--engine", "fake", "--listen", "127.0.0.1:0"],
        env=environment(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if "settings cannot be used" in line]
    assert f"identity.cacert {folder / 'absent.pem'}: [Errno 2] No such file or directory" in told
    assert "Traceback" not in done.stderr
