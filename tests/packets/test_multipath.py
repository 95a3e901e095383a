"""Several extra routes to one destination: connections are spread over the next hops that there are."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.packets.greeting import greeter, greeting
from tests.packets.lab import Project, ip
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


@pytest.mark.parametrize(
    ("left", "right", "behind"),
    [("10.0.0.0/24", "10.0.1.0/24", "172.20.0.9/32"), ("fd00:1::/64", "fd00:2::/64", "fd00:20::9/128")],
    ids=["IPv4", "IPv6"],
)
def test_connections_are_spread_over_the_next_hops_of_a_destination(
    project: Project, left: str, right: str, behind: str
) -> None:
    network, other = project.network(left), project.network(right)
    address = behind.partition("/")[0]
    router = project.router(*network.subnets, *other.subnets)
    client = project.machine(other, project.open())
    hops = [project.machine(network, port_security_enabled=False) for _ in range(3)]
    names = [hop.id for hop in hops]
    routes = [{"destination": behind, "nexthop": hop.addresses[0]} for hop in hops]
    with ExitStack() as stack:
        for hop in hops:
            ip("addr", "add", behind, "dev", "lo", netns=hop.netns)
            stack.enter_context(greeter(hop, 80, address))

        def answering(times: int = 40) -> set[str]:
            return {greeting(client.netns, address, 80)[0] for _ in range(times)}

        def first() -> str:
            return next(iter(greeting(client.netns, address, 80)), "")

        project.cloud.update("routers", router["id"], routes=routes[:1])
        until(first)
        assert answering() == {names[0]}
        project.cloud.update("routers", router["id"], routes=routes[:2])
        until(lambda: first() == names[1], what="the second one is asked as well")
        assert answering() == set(names[:2])
        project.cloud.update("routers", router["id"], routes=routes[1:])
        until(lambda: first() == names[2], what="the third one in place of the first")
        assert answering() == set(names[1:])
        project.cloud.update("routers", router["id"], routes=routes[2:])
        until(lambda: answering() == {names[2]}, what="the last one alone")
        project.cloud.update("routers", router["id"], routes=[])
        until(lambda: first() == "", what="nobody")
