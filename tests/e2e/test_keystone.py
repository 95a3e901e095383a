"""A whole Kaon that trusts OpenStack's own Keystone: whoever has a token of it has networks here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest

from tests.e2e.conftest import connect, status
from tests.keystone import PASSWORD, keystone_in, needs_keystone
from tests.running import Running, running

pytestmark = [pytest.mark.slow, needs_keystone]


@pytest.fixture(scope="module")
def keystone() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="kaon-keystone-") as folder, keystone_in(Path(folder)) as url:
        yield url


@pytest.fixture(scope="module")
def trusting(keystone: str, folder: Path) -> Iterator[Running]:
    configuration = folder / "kaon.toml"
    configuration.write_text(
        f'[identity]\nurl = "{keystone}"\nusername = "admin"\npassword = "{PASSWORD}"\nproject_name = "admin"\n'
        "cache_time = 0\n"
    )
    with running(folder / "trusting", "--engine", "fake", "--config", str(configuration)) as kaon:
        yield kaon


def test_a_token_of_keystone_makes_a_network_until_it_is_revoked(trusting: Running, keystone: str) -> None:
    with connect(trusting) as cloud:
        project = cloud.identity.create_project(name="red", domain_id="default")
        network = cloud.network.create_network(name="blue", project_id=project.id)
        assert network.project_id == project.id
        assert [item.name for item in cloud.network.networks()] == ["blue"]
        token = cloud.auth_token
        assert status(f"{trusting.url}/v2.0/networks", token) == 200
        cloud.identity.delete(f"{keystone}/auth/tokens", headers={"X-Subject-Token": token})
        assert status(f"{trusting.url}/v2.0/networks", token) == 401


def test_a_tenant_of_keystone_sees_its_own_networks_alone(trusting: Running, keystone: str) -> None:
    with connect(trusting) as cloud:
        project = cloud.identity.create_project(name="green", domain_id="default")
        user = cloud.identity.create_user(name="alice", password="secret", domain_id="default")
        cloud.identity.assign_project_role_to_user(project, user, cloud.identity.find_role("member"))
        cloud.network.create_network(name="not-hers")
        auth = {"auth_url": keystone, "username": "alice", "password": "secret", "project_name": "green",
                "user_domain_id": "default", "project_domain_id": "default"}  # fmt: skip
    config = openstack.config.OpenStackConfig(load_yaml_config=False, load_envvars=False)
    alice = openstack.connection.Connection(
        config=config.get_one(auth=auth, region_name="RegionOne", network_endpoint_override=trusting.url)
    )
    with alice:
        made = alice.network.create_network(name="hers")
        assert made.project_id == project.id
        assert [item.name for item in alice.network.networks()] == ["hers"]


def test_kaon_has_no_identity_of_its_own_then(trusting: Running, keystone: str) -> None:
    assert status(f"{trusting.url}/identity/v3", "") == 404
    assert f"Identity   {keystone}" in trusting.output.read_text()
    assert status(f"{trusting.url}/v2.0/networks", "forged") == 401
