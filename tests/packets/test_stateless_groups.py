"""Stateless security groups judge every packet by itself; address groups name those who may come."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests import sandbox
from tests.packets.lab import Body, Machine, Network, Project
from tests.sandbox import connects, ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

EPHEMERAL = {"protocol": "tcp", "port_range_min": 1024, "port_range_max": 65535}


@pytest.fixture
def network(project: Project) -> Network:
    return project.network("10.0.0.0/24")


@pytest.fixture
def server(project: Project, network: Network) -> Machine:
    """A machine that admits everything."""
    return project.machine(network, project.open())


def stateless(project: Project) -> Body:
    """A stateless group that lets everything out and nothing in."""
    return project.cloud.create("security_groups", name="stateless", stateful=False)


def test_answers_need_a_rule_of_their_own(project: Project, network: Network, server: Machine) -> None:
    group = stateless(project)
    client = project.machine(network, group)
    with sandbox.listen(server.netns, server.ipv4, 80):
        assert not connects(client.netns, server.ipv4, 80, 0.3)
        answers = project.rule(group, **EPHEMERAL, remote_ip_prefix=f"{server.ipv4}/32")
        until(lambda: connects(client.netns, server.ipv4, 80, 0.2), what="the answer is admitted")
        project.cloud.delete("security_group_rules", answers["id"])
        until(lambda: not connects(client.netns, server.ipv4, 80, 0.2), what="silence")
    assert not ping(client.netns, server.ipv4, 0.3)


def test_what_is_let_in_is_answered_only_if_the_answer_is_let_out(
    project: Project, network: Network, server: Machine
) -> None:
    group = stateless(project)
    judged = project.machine(network, group)
    project.rule(group, protocol="tcp", port_range_min=80, port_range_max=80)
    with sandbox.listen(judged.netns, judged.ipv4, 80):
        until(lambda: connects(server.netns, judged.ipv4, 80, 0.2))
        for rule in project.cloud.show("security_groups", group["id"])["security_group_rules"]:
            if rule["direction"] == "egress":
                project.cloud.delete("security_group_rules", rule["id"])
        until(lambda: not connects(server.netns, judged.ipv4, 80, 0.2), what="no answer comes out")


def test_an_open_connection_stops_with_its_rule(project: Project, network: Network, server: Machine) -> None:
    group = stateless(project)
    judged = project.machine(network, group)
    rule = project.rule(group, protocol="tcp", port_range_min=80, port_range_max=80)
    with closing(sandbox.listen(judged.netns, judged.ipv4, 80)) as listener:
        client = until(lambda: sandbox.connect(server.netns, judged.ipv4, 80))
        accepted = listener.accept()[0]
    with client, accepted:
        assert sandbox.passes(client, accepted)
        project.cloud.delete("security_group_rules", rule["id"])
        until(lambda: not sandbox.passes(client, accepted, 0.1), what="nothing comes in any more")


def test_a_rule_follows_the_address_group_that_it_names(project: Project, network: Network, server: Machine) -> None:
    other = project.machine(network, project.open())
    friends = project.cloud.create("address_groups", name="friends", addresses=[f"{server.ipv4}/32"])
    judged = project.machine(network, project.group({"protocol": "icmp", "remote_address_group_id": friends["id"]}))
    path = f"/v2.0/address-groups/{friends['id']}"
    try:
        assert ping(server.netns, judged.ipv4, 3)
        assert not ping(other.netns, judged.ipv4, 0.3)
        project.cloud.call("PUT", f"{path}/add_addresses", {"addresses": [f"{other.ipv4}/32"]})
        assert ping(other.netns, judged.ipv4, 3)
        project.cloud.call("PUT", f"{path}/remove_addresses", {"addresses": [f"{server.ipv4}/32"]})
        until(lambda: not ping(server.netns, judged.ipv4, 0.2), what="the one who was taken out hears nothing")
        assert ping(other.netns, judged.ipv4)
    finally:
        project.cloud.delete("ports", judged.id)
        for group in judged.port["security_groups"]:
            project.cloud.delete("security_groups", group)
        project.cloud.delete("address_groups", friends["id"])
