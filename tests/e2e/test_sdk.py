"""openstacksdk builds and takes down whole topologies as Terraform and Heat do: in parallel, in the order of what
depends on what, told again without harm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from openstack.exceptions import ConflictException, NotFoundException

from tests.e2e.graph import Graph

pytestmark = pytest.mark.slow

PARALLEL = 4
"""Terraform walks its graph with ten at a time."""
COPIES = 3


def declare(graph: Graph, cloud: Connection, index: int) -> None:
    """A tenant's usual topology: two networks behind a router, a group, ports, and a floating IP."""
    net, made = cloud.network, graph.made

    def at(name: str) -> str:
        return f"{name}-{index}"

    def id_of(name: str) -> str:
        return str(made[at(name)].id)

    def add(name: str, needs: tuple[str, ...], make: Callable[[], Any], remove: Callable[[], Any]) -> None:
        graph.add(at(name), tuple(need if need == "outer-subnet" else at(need) for need in needs), make, remove)

    def plain(kind: str, name: str, needs: tuple[str, ...], **values: Callable[[], Any]) -> None:
        def make() -> Any:
            given = {key: value() for key, value in values.items()}
            return getattr(net, f"create_{kind}")(name=at(name), **given)

        add(name, needs, make, lambda: getattr(net, f"delete_{kind}")(id_of(name), ignore_missing=False))

    plain("security_group", "group", ())
    for port in (80, 443):

        def rule(port: int = port) -> Any:
            return net.create_security_group_rule(
                security_group_id=id_of("group"), direction="ingress", ethertype="IPv4", protocol="tcp",
                port_range_min=port, port_range_max=port,
            )  # fmt: skip

        add(f"rule{port}", ("group",), rule, lambda port=port: net.delete_security_group_rule(id_of(f"rule{port}")))
    plain("router", "router", ("outer-subnet",), external_gateway_info=lambda: {"network_id": made["outer"].id})
    for side, prefix in (("left", "10.0.1"), ("right", "10.0.2")):
        network, subnet = f"{side}-net", f"{side}-subnet"
        plain("network", network, ())
        plain("subnet", subnet, (network,), network_id=lambda network=network: id_of(network),
              ip_version=lambda: 4, cidr=lambda prefix=prefix: f"{prefix}.0/24")  # fmt: skip
        add(
            f"{side}-interface",
            ("router", subnet),
            lambda subnet=subnet: net.add_interface_to_router(id_of("router"), subnet=id_of(subnet)),
            lambda subnet=subnet: net.remove_interface_from_router(id_of("router"), subnet=id_of(subnet)),
        )
        for number in range(3):
            plain(
                "port",
                f"{side}-port{number}",
                (subnet, "group"),
                network_id=lambda network=network: id_of(network),
                security_groups=lambda: [id_of("group")],
            )
    add(
        "float",
        ("left-port0", "left-interface"),
        lambda: net.create_ip(floating_network_id=made["outer"].id, port_id=id_of("left-port0")),
        lambda: net.delete_ip(id_of("float"), ignore_missing=False),
    )


def everything(cloud: Connection) -> dict[str, set[str]]:
    """All there is, but for what belongs to a project for as long as it exists."""
    net = cloud.network
    listed = {
        "networks": net.networks(),
        "subnets": net.subnets(),
        "ports": net.ports(),
        "routers": net.routers(),
        "ips": net.ips(),
        "security_groups": (group for group in net.security_groups() if group.name != "default"),
        "security_group_rules": (
            rule
            for rule in net.security_group_rules()
            if rule.security_group_id not in {group.id for group in net.security_groups(name="default")}
        ),
    }
    return {name: {item.id for item in items} for name, items in listed.items()}


@pytest.fixture
def outer(cloud: Connection) -> Iterator[dict[str, Any]]:
    """A network to the outside, for what is built during a test."""
    network = cloud.network.create_network(name="outer", is_router_external=True)
    subnet = cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False)
    yield {"outer": network, "outer-subnet": subnet}
    cloud.network.delete_network(network)


def test_topologies_are_built_and_taken_down_in_parallel_and_nothing_stays(
    cloud: Connection, outer: dict[str, Any]
) -> None:
    before = everything(cloud)
    usage = cloud.network.get_quota(cloud.current_project_id, details=True)
    graph = Graph(PARALLEL)
    graph.made.update(outer)
    graph.add("outer-subnet", (), lambda: outer["outer-subnet"], lambda: None)
    for index in range(COPIES):
        declare(graph, cloud, index)
    graph.build()
    there = everything(cloud)
    assert len(there["routers"]) == len(there["ips"]) == COPIES
    assert len(there["networks"] - before["networks"]) == 2 * COPIES
    addresses = [ip.floating_ip_address for ip in cloud.network.ips()]
    assert len(set(addresses)) == COPIES
    graph.destroy()
    assert everything(cloud) == before
    after = cloud.network.get_quota(cloud.current_project_id, details=True)
    assert after.to_dict() == usage.to_dict()


def test_what_is_in_use_stays_until_its_users_are_gone(cloud: Connection, outer: dict[str, Any]) -> None:
    net = cloud.network
    network = net.create_network()
    subnet = net.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    router = net.create_router(external_gateway_info={"network_id": outer["outer"].id})
    net.add_interface_to_router(router, subnet=subnet.id)
    for refused in (lambda: net.delete_router(router), lambda: net.delete_subnet(subnet),
                    lambda: net.delete_network(network), lambda: net.delete_network(outer["outer"])):  # fmt: skip
        with pytest.raises(ConflictException):
            refused()
    net.remove_interface_from_router(router, subnet=subnet.id)
    net.delete_router(router)
    net.delete_subnet(subnet)
    net.delete_network(network)


def test_a_delete_that_is_told_again_is_a_404_that_clients_take_for_done(cloud: Connection) -> None:
    net = cloud.network
    network = net.create_network()
    net.delete_network(network, ignore_missing=False)
    with pytest.raises(NotFoundException):
        net.delete_network(network, ignore_missing=False)
    assert net.delete_network(network) is None
    assert net.find_network(network.id) is None
    for kind in ("subnet", "port", "router", "ip", "security_group", "security_group_rule", "subnet_pool",
                 "address_scope", "rbac_policy"):  # fmt: skip
        with pytest.raises(NotFoundException):
            getattr(net, f"delete_{kind}")("00000000-0000-0000-0000-000000000000", ignore_missing=False)


def test_tags_are_replaced_added_removed_and_found_by(cloud: Connection) -> None:
    net = cloud.network
    first, second = net.create_network(name="first"), net.create_network(name="second")
    net.set_tags(first, ["env=prod", "owner=red"])
    net.set_tags(second, ["env=prod"])
    net.add_tag(second, "spare")
    assert {item.name for item in net.networks(tags="env=prod")} == {"first", "second"}
    assert {item.name for item in net.networks(tags="env=prod,owner=red")} == {"first"}
    assert {item.name for item in net.networks(any_tags="owner=red,spare")} == {"first", "second"}
    assert [item.name for item in net.networks(not_tags="spare", name="second")] == []
    net.remove_tag(second, "spare")
    assert net.check_tag(second, "env=prod")
    with pytest.raises(NotFoundException):
        net.check_tag(second, "spare")
    net.remove_all_tags(first)
    assert net.get_network(first.id).tags == []
    for network in (first, second):
        net.delete_network(network)


def test_an_update_against_an_old_revision_is_refused(cloud: Connection) -> None:
    net = cloud.network
    seen = net.create_network(name="one")
    net.update_network(seen.id, name="two")
    with pytest.raises(openstack.exceptions.HttpException) as refused:
        net.update_network(seen, if_revision=seen.revision_number, name="three")
    assert refused.value.status_code == 412
    current = net.get_network(seen.id)
    assert net.update_network(current, if_revision=current.revision_number, name="three").name == "three"
    net.delete_network(seen.id)
