"""Metadata at 169.254.169.254: whoever asks hears of itself, even where addresses collide, and nobody else."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from kaon.demo import instance
from tests import sandbox
from tests.packets.lab import Body, Lab, Machine, Network, Project, ip
from tests.packets.test_addresses import server_of
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

METADATA = "169.254.169.254"
PATHS = ("/openstack/latest/meta_data.json", "/latest/meta-data/instance-id", "/latest/user-data")


def ask(machine: Machine, path: str, seconds: float = 3.0) -> tuple[int, str]:
    """GET from inside a machine: status and body; raises OSError when nobody answers."""
    with closing(sandbox.connect(machine.netns, METADATA, 80, seconds)) as connection:
        return instance.request(connection, path, METADATA)


def answers(machine: Machine) -> bool:
    """Whether anybody answers."""
    try:
        return ask(machine, "/", 0.3)[0] == 200
    except OSError:
        return False


def told_machine(project: Project, network: Network, address: str, name: str) -> Machine:
    """A machine with this address that has something to be told."""
    fixed = [{"subnet_id": network.subnets[0]["id"], "ip_address": address}]
    port = project.port(network, project.group(), fixed_ips=fixed)
    data = f"#!/bin/sh\necho {name}\n"
    machine = project.plug(port, instance_id=f"i-{name}", hostname=f"{name}.example.org", user_data=data)
    project.configure(machine, network)
    return machine


def by_dhcp_server(project: Project, machine: Machine, network: Network) -> None:
    """The route that DHCP tells of."""
    ip("route", "replace", METADATA, "via", server_of(project, network.id), netns=machine.netns)


def hears_of_itself(machine: Machine, project: Project, name: str) -> None:
    """Both formats tell this machine's own identity, names and data."""
    status, body = ask(machine, PATHS[0])
    told: Body = json.loads(body)
    assert status == 200
    assert (told["uuid"], told["hostname"], told["project_id"]) == (
        f"i-{name}",
        f"{name}.example.org",
        project.cloud.project_id,
    )
    assert ask(machine, PATHS[1]) == (200, f"i-{name}")
    assert ask(machine, PATHS[2]) == (200, f"#!/bin/sh\necho {name}\n")
    assert ask(machine, "/latest/meta-data/local-ipv4") == (200, machine.ipv4)
    assert ask(machine, "/latest/meta-data/mac") == (200, machine.mac)


@pytest.mark.parametrize("way", ["network", "router"])
def test_twins_hear_each_of_itself(lab: Lab, project: Project, way: str) -> None:
    with lab.project() as other:
        twins = []
        for each, name in ((project, "one"), (other, "two")):
            # With DHCP off, the router is the only one to ask.
            network = each.network("10.0.0.0/24", subnet={"enable_dhcp": way == "network"})
            if way == "router":
                each.router(*network.subnets)
            machine = told_machine(each, network, "10.0.0.50", name)
            if way == "network":
                by_dhcp_server(each, machine, network)
            twins.append((machine, each, name))
        for machine, each, name in twins:
            until(lambda machine=machine: answers(machine))  # type: ignore[misc]
            hears_of_itself(machine, each, name)


def test_without_dhcp_and_without_a_router_nobody_answers(project: Project) -> None:
    network = project.network("10.0.0.0/24", subnet={"enable_dhcp": False})
    machine = told_machine(project, network, "10.0.0.50", "alone")
    ip("route", "replace", METADATA, "dev", machine.device, netns=machine.netns)
    assert not answers(machine)


def test_what_does_not_exist_is_not_found(project: Project) -> None:
    network = project.network("10.0.0.0/24")
    machine = told_machine(project, network, "10.0.0.50", "one")
    by_dhcp_server(project, machine, network)
    until(lambda: answers(machine))
    for path in ("/openstack/latest/nothing", "/latest/meta-data/nothing", "/nothing", "/latest/meta-data/public-ipv4"):
        assert ask(machine, path)[0] == 404, path
    assert ask(machine, "/openstack")[0] == 200


def test_an_address_that_no_port_has_is_told_nothing(project: Project) -> None:
    network = project.network("10.0.0.0/24")
    machine = project.machine(network, project.group(), allowed_address_pairs=[{"ip_address": "10.0.0.200"}])
    by_dhcp_server(project, machine, network)
    until(lambda: answers(machine))
    ip("addr", "add", "10.0.0.200/24", "dev", machine.device, netns=machine.netns)
    gateway = server_of(project, network.id)
    ip("route", "replace", METADATA, "via", gateway, "src", "10.0.0.200", netns=machine.netns)
    assert ask(machine, PATHS[0])[0] == 404


def test_a_floating_ip_is_told_as_the_public_address(project: Project) -> None:
    network = project.network("10.0.0.0/24")
    project.router(*network.subnets, outside=True)
    machine = told_machine(project, network, "10.0.0.50", "one")
    by_dhcp_server(project, machine, network)
    floating = project.floating(machine)
    address = floating["floating_ip_address"]
    until(lambda: ask(machine, "/latest/meta-data/public-ipv4") == (200, address))
    project.cloud.update("floatingips", floating["id"], port_id=None)
    until(lambda: ask(machine, "/latest/meta-data/public-ipv4")[0] == 404)
