"""NDP proxies: a machine is reached from outside by its own IPv6 address, if the router answers for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests import sandbox
from tests.packets.lab import WIRE, Body, Lab, Machine, Network, Project, ip
from tests.sandbox import ping
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

POOL, OUTER, INNER = "2001:db8:200::/56", "2001:db8:200::/64", "2001:db8:200:1::/64"
NEIGHBOUR = "2001:db8:200::1"


@pytest.fixture
def outside(lab: Lab) -> Iterator[Body]:
    """An external network with an address scope. A host there takes all of the scope for its neighbours."""
    admin = lab.admin
    scope = admin.create("address_scopes", name="public", ip_version=6, shared=True)
    pool = admin.create("subnetpools", name="public", prefixes=[POOL], address_scope_id=scope["id"], shared=True)
    wire = {"provider:network_type": "flat", "provider:physical_network": "wire"}
    network = admin.create("networks", **{"router:external": True, **wire})
    subnet = {"cidr": OUTER, "gateway_ip": NEIGHBOUR, "ip_version": 6, "enable_dhcp": False}
    admin.create("subnets", network_id=network["id"], subnetpool_id=pool["id"], **subnet)
    ip("addr", "add", f"{NEIGHBOUR}/56", "dev", "eth0", "nodad", netns=WIRE)
    try:
        yield {**network, "pool": pool["id"]}
    finally:
        ip("addr", "del", f"{NEIGHBOUR}/56", "dev", "eth0", netns=WIRE)
        ip("-6", "neigh", "flush", "dev", "eth0", netns=WIRE)
        admin.delete("networks", network["id"])
        admin.delete("subnetpools", pool["id"])
        admin.delete("address_scopes", scope["id"])


@pytest.fixture
def project(lab: Lab, outside: Body) -> Iterator[Project]:
    """A tenant who is gone before the external network is."""
    with lab.project() as made:
        yield made


@pytest.fixture
def router(outside: Body, project: Project) -> Body:
    """A router that may have proxies."""
    made = project.cloud.create("routers", external_gateway_info={"network_id": outside["id"]})
    return project.cloud.update("routers", made["id"], enable_ndp_proxy=True)


@pytest.fixture
def network(outside: Body, project: Project, router: Body) -> Network:
    """A network of the same address scope behind it."""
    made = project.cloud.create("networks")
    network = Network(made, [project.subnet(made["id"], INNER, subnetpool_id=outside["pool"])])
    project.join(router, subnet_id=network.subnets[0]["id"])
    return network


def publish(project: Project, router: Body, machine: Machine) -> Body:
    """Have the router answer for a machine."""
    asked = {"router_id": router["id"], "port_id": machine.id}
    return dict(project.cloud.call("POST", "/v2.0/ndp_proxies", {"ndp_proxy": asked})["ndp_proxy"])


def withdraw(project: Project, proxy: Body) -> None:
    project.cloud.call("DELETE", f"/v2.0/ndp_proxies/{proxy['id']}")


def test_a_published_machine_is_reached_and_its_neighbour_is_not(
    project: Project, router: Body, network: Network
) -> None:
    public, private = (project.machine(network, project.open()) for _ in range(2))
    proxy = publish(project, router, public)
    assert ping(WIRE, public.ipv6, 3)
    assert ping(public.netns, NEIGHBOUR, 1)
    assert not ping(WIRE, private.ipv6, 0.5)
    withdraw(project, proxy)
    ip("-6", "neigh", "flush", "dev", "eth0", netns=WIRE)
    until(lambda: not ping(WIRE, public.ipv6, 0.2), what="silence")


def test_a_route_is_no_way_around_the_proxy_but_for_answers(project: Project, router: Body, network: Network) -> None:
    public, private = (project.machine(network, project.open()) for _ in range(2))
    publish(project, router, public)
    gateway = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    ip("-6", "route", "add", f"{private.ipv6}/128", "via", gateway, netns=WIRE)
    try:
        assert ping(WIRE, public.ipv6, 3)
        assert not ping(WIRE, private.ipv6, 0.5)
        assert ping(private.netns, NEIGHBOUR, 1), "what it asks itself is answered"
        assert ping(private.netns, public.ipv6, 1), "and inside nothing is in the way"
    finally:
        ip("-6", "route", "del", f"{private.ipv6}/128", netns=WIRE)


def test_security_groups_judge_published_machines(project: Project, router: Body, network: Network) -> None:
    machine = project.machine(network, project.pings())
    publish(project, router, machine)
    assert ping(WIRE, machine.ipv6, 3)
    with sandbox.listen(machine.netns, machine.ipv6, 80):
        assert not sandbox.connects(WIRE, machine.ipv6, 80, 0.3)


def test_connections_end_with_the_proxy(project: Project, router: Body, network: Network) -> None:
    going, staying = (project.machine(network, project.open()) for _ in range(2))
    proxy, _ = publish(project, router, going), publish(project, router, staying)
    pairs = []
    for machine in (going, staying):
        assert ping(WIRE, machine.ipv6, 3)
        with closing(sandbox.listen(machine.netns, machine.ipv6, 80)) as listener:
            client = sandbox.connect(WIRE, machine.ipv6, 80)
            pairs.append((client, listener.accept()[0]))
    assert all(sandbox.passes(*pair) for pair in pairs)
    withdraw(project, proxy)
    until(lambda: not sandbox.passes(*pairs[0], 0.1), what="the connection is cut")
    assert sandbox.passes(*pairs[1])
    for end in (*pairs[0], *pairs[1]):
        end.close()
