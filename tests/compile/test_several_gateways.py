"""A router with several gateways is made by its first one, as if there were no other."""

from __future__ import annotations

from kaon.compile.config import HostConfig
from kaon.server.desired import Desired
from kaon.world.world import World
from tests.compile.cloud import HOST, Cloud, named


def described(cloud: Cloud, *ports: str) -> list[dict[str, str]]:
    """What a router's record says of its gateways."""
    found = [cloud.records["port", port] for port in ports]
    return [{"port_id": port["id"], "network_id": port["network_id"]} for port in found]


def test_the_first_gateway_alone_is_made_and_the_next_when_it_goes() -> None:
    cloud = Cloud()
    outside = cloud.network("outside", 1, "203.0.113.0/24")
    network = cloud.network("n", 2, "10.0.0.0/24")
    router = cloud.router("r")
    cloud.interface(router, network, "10.0.0.1")
    first = cloud.gateway(router, outside, "203.0.113.10")
    cloud.put("router", router, gateways=described(cloud, first))
    cloud.floatingip("203.0.113.77", router, cloud.port("p", network, "10.0.0.9"), "10.0.0.9")
    made = Desired(World(cloud.take()), HostConfig(host=HOST))
    alone = set(made.snapshot())

    spares = [cloud.interface(router, outside, f"203.0.113.{number}", gateway=True) for number in (5, 20)]
    cloud.put("router", router, gateways=described(cloud, first, *spares))
    made.apply(cloud.take())
    assert set(made.snapshot()) == alone
    states = made.port_states(())
    assert [states[port].status for port in (first, *spares)] == ["ACTIVE", "DOWN", "DOWN"]

    cloud.delete("port", first)
    cloud.put("router", router, gateways=described(cloud, spares[1], spares[0]))
    made.apply(cloud.take())
    text = str([(row.id, row.value) for row in made.snapshot()])
    assert "203.0.113.20" in text and "203.0.113.10" not in text and "'203.0.113.5" not in text
    assert made.port_states(())[spares[1]].status == "ACTIVE"


def test_a_router_of_which_nothing_is_said_has_the_gateway_that_it_has() -> None:
    cloud = Cloud()
    outside = cloud.network("outside", 1, "203.0.113.0/24")
    router = cloud.router("r")
    gateway = cloud.gateway(router, outside, "203.0.113.10")
    cloud.put("router", named("r"), gateways=None)
    made = Desired(World(cloud.take()), HostConfig(host=HOST))
    assert made.port_states(())[gateway].status == "ACTIVE"
