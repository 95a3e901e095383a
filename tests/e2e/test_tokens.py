"""Tokens at a whole Kaon: who has none, one that has ended, and those of a service such as Nova."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
from openstack.connection import Connection

from tests.e2e.conftest import connect, status
from tests.running import Running, running
from tests.wait import until

pytestmark = pytest.mark.slow


def test_a_token_ends_when_it_says(folder: Path) -> None:
    configuration = folder / "short.toml"
    configuration.write_text("[identity]\ntoken_expiry = 2\n")
    with running(folder / "short", "--engine", "fake", "--config", str(configuration)) as kaon:
        with connect(kaon) as cloud:
            token = cloud.auth_token
        networks = f"{kaon.url}/v2.0/networks"
        assert status(networks, token) == 200
        until(lambda: status(networks, token) == 401, 5, "the token has ended")


@pytest.mark.parametrize("token", ["", "forged", "gAAAAABforged", "a" * 5000])
def test_who_has_no_token_is_told_where_to_get_one(kaon: Running, token: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(f"{kaon.url}/v2.0/networks", headers={"X-Auth-Token": token}))
    assert refused.value.code == 401
    assert refused.value.headers["WWW-Authenticate"] == f'Keystone uri="{kaon.url}/identity"'


def connect_as(kaon: Running, user: str, project: str) -> Connection:
    auth = {"auth_url": f"{kaon.url}/identity/v3", "username": user, "password": "secret", "project_name": project,
            "user_domain_id": "default", "project_domain_id": "default"}  # fmt: skip
    config = openstack.config.OpenStackConfig(load_yaml_config=False, load_envvars=False)
    return Connection(config=config.get_one(auth=auth, region_name="RegionOne"))


@pytest.fixture
def tenants(kaon: Running, cloud: Connection) -> Iterator[tuple[Connection, Connection]]:
    """The user `ada`, a member of the project `red`; and `nova`, who has nothing but the role `service`."""
    identity = cloud.identity
    made = []
    for user, project, role in (("ada", "red", "member"), ("nova", "services", "service")):
        home = identity.create_project(name=project, domain_id="default")
        person = identity.create_user(name=user, password="secret", domain_id="default")
        identity.assign_project_role_to_user(home, person, identity.find_role(role))
        made += [person, home]
    with connect_as(kaon, "ada", "red") as ada, connect_as(kaon, "nova", "services") as nova:
        yield ada, nova
    for item in made:
        (identity.delete_user if item.resource_key == "user" else identity.delete_project)(item)


def test_a_service_binds_the_ports_of_tenants_and_is_no_administrator(tenants: tuple[Connection, Connection]) -> None:
    ada, nova = tenants
    network = ada.network.create_network(name="blue")
    ada.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    with pytest.raises(openstack.exceptions.ForbiddenException):
        ada.network.create_port(network_id=network.id, binding_host_id="h1")
    port = ada.network.create_port(network_id=network.id)
    assert port.binding_host_id is None

    found = nova.network.get_port(port.id)
    assert found.project_id == network.project_id
    bound = nova.network.update_port(
        port.id, binding_host_id="h1", device_id="instance-1", device_owner="compute:nova", binding_profile={"a": "b"}
    )
    assert (bound.binding_host_id, bound.device_id, bound.binding_profile) == ("h1", "instance-1", {"a": "b"})
    assert bound.binding_vif_type
    made = nova.network.create_port(
        network_id=network.id, project_id=network.project_id, binding_host_id="h1", device_owner="compute:nova"
    )
    assert {item.id for item in nova.network.ports(binding_host_id="h1")} == {port.id, made.id}
    assert {item.id for item in ada.network.ports(device_owner="compute:nova")} == {port.id, made.id}

    with pytest.raises(openstack.exceptions.HttpException) as refused:
        nova.network.delete_network(network, ignore_missing=False)
    assert refused.value.status_code in (403, 404)
    with pytest.raises(openstack.exceptions.ForbiddenException):
        nova.network.create_network(project_id=network.project_id)
    for item in (port, made):
        nova.network.delete_port(item, ignore_missing=False)
    ada.network.delete_network(network)
