"""What an operator sets, as clients see it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import openstack
import pytest

from tests.e2e.conftest import connect, server_pid, status
from tests.running import Running, environment, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def configured(folder: Path) -> Running:
    policy = folder / "policy.yaml"
    policy.write_text('"create_router": "!"\n')
    configuration = folder / "kaon.toml"
    configuration.write_text(
        f'policy_file = "{policy}"\nadmin_password = "chosen"\n[network]\nmtu = 9000\n[quota]\nnetwork = 2\nport = -1\n'
        '[identity]\nregion = "Here"\ntoken_expiry = 120\n[log]\nformat = "json"\n'
    )
    with running(folder / "configured", "--engine", "fake", "--config", str(configuration)) as kaon:
        yield kaon


def test_the_mtu_of_the_physical_networks_is_that_of_networks_less_their_tunnels(configured: Running) -> None:
    with connect(configured) as cloud:
        network = cloud.network.create_network()
        assert network.mtu == 8950
        flat = cloud.network.create_network(provider_network_type="flat", provider_physical_network="p")
        assert flat.mtu == 9000
        cloud.network.delete_network(network)
        cloud.network.delete_network(flat)


def test_quotas_hold_for_projects_that_have_none_of_their_own(configured: Running) -> None:
    with connect(configured) as cloud:
        made = [cloud.network.create_network() for _ in range(2)]
        with pytest.raises(
            openstack.exceptions.ConflictException, match=r"Quota exceeded for resources: \['network'\]"
        ):
            cloud.network.create_network()
        quota = cloud.network.get_quota_default(cloud.current_project_id)
        assert (quota.networks, quota.ports, quota.routers) == (2, -1, 10)
        for network in made:
            cloud.network.delete_network(network)


def test_policy_password_region_and_expiry_are_as_set(configured: Running) -> None:
    with connect(configured) as cloud:
        assert cloud.config.region_name == "Here"
        assert [region.id for region in cloud.identity.regions()] == ["Here"]
        access = cloud.session.auth.get_access(cloud.session)
        assert (access.expires - access.issued).total_seconds() == pytest.approx(120, abs=1)
        with pytest.raises(openstack.exceptions.ForbiddenException):
            cloud.network.create_router()
    assert (configured.data / "admin-password").read_text().strip() == "chosen"
    assert '"level":"info"' in configured.output.read_text().replace(": ", ":")


def test_keys_that_are_rotated_keep_the_tokens_of_before_for_a_while(configured: Running) -> None:
    def rotate() -> str:
        command = [sys.executable, "-m", "kaon.cli.main", "identity", "rotate-keys", "--data", str(configured.data)]
        return subprocess.run(command, env=environment(), capture_output=True, text=True, check=True, timeout=30).stdout

    networks = f"{configured.url}/v2.0/networks"
    with connect(configured) as cloud:
        before = cloud.auth_token
    assert rotate().startswith("Key 2 of ")
    assert status(networks, before) == 200
    with connect(configured) as cloud:
        between = cloud.auth_token
    rotate()
    # What a server has validated it remembers for a while; the next one knows nothing but the keys.
    os.kill(server_pid(configured), signal.SIGKILL)
    assert (status(networks, before), status(networks, between)) == (401, 200)
