"""What administrators say of agents decides where DHCP is served and routers are made."""

from __future__ import annotations

from kaon.compile.config import HostConfig
from kaon.server.desired import Desired
from kaon.world.world import World
from tests.compile.cloud import HOST, Cloud, named


def tenant() -> tuple[Cloud, str, str]:
    """A network with DHCP and a router, and an instance of it on this host."""
    cloud = Cloud()
    network = cloud.network("n", 1, "10.0.0.0/24")
    router = cloud.router("r")
    cloud.interface(router, network, "10.0.0.1")
    cloud.dhcp(network, "10.0.0.2")
    cloud.attach(cloud.port("p", network, "10.0.0.9"), netns="vm")
    return cloud, network, router


def desired(cloud: Cloud) -> Desired:
    return Desired(World(cloud.take()), HostConfig(host=HOST))


def of(made: Desired, origin: str) -> set[str]:
    return {row.id.table for row in made.snapshot() if row.origin == origin}


def test_a_router_that_is_taken_from_the_host_leaves_nothing_there_until_it_is_back() -> None:
    cloud, _, router = tenant()
    made = desired(cloud)
    before = set(made.snapshot())
    assert "netns" in of(made, f"router/{router}")
    cloud.put("agent_placement", named("said"), host=HOST, resource_id=router, hosted=False)
    made.apply(cloud.take())
    assert of(made, f"router/{router}") == set()
    cloud.delete("agent_placement", named("said"))
    made.apply(cloud.take())
    assert set(made.snapshot()) == before


def test_what_is_said_of_another_host_is_no_matter_here() -> None:
    cloud, network, router = tenant()
    made = desired(cloud)
    before = set(made.snapshot())
    for id in (network, router):
        cloud.put("agent_placement", named(id), host="other", resource_id=id, hosted=False)
    made.apply(cloud.take())
    assert set(made.snapshot()) == before


def test_dhcp_is_served_where_it_is_wanted_whether_an_instance_is_there_or_not() -> None:
    cloud, network, _ = tenant()
    quiet = cloud.network("quiet", 2, "10.1.0.0/24")
    cloud.dhcp(quiet, "10.1.0.2")
    made = desired(cloud)
    assert "dhcp_server" in of(made, f"network/{network}")
    assert of(made, f"network/{quiet}") == set()
    cloud.put("agent_placement", named("on"), host=HOST, resource_id=quiet, hosted=True)
    cloud.put("agent_placement", named("off"), host=HOST, resource_id=network, hosted=False)
    made.apply(cloud.take())
    assert {"bridge", "dhcp_server"} <= of(made, f"network/{quiet}")
    assert "dhcp_server" not in of(made, f"network/{network}")


def test_an_agent_that_is_administratively_down_does_nothing() -> None:
    cloud, network, router = tenant()
    made = desired(cloud)
    before = set(made.snapshot())
    for kind in ("DHCP agent", "L3 agent"):
        cloud.put("agent", named(kind), host=HOST, agent_type=kind, admin_state_up=False)
    made.apply(cloud.take())
    assert of(made, f"router/{router}") == set()
    assert "dhcp_server" not in of(made, f"network/{network}")
    for kind in ("DHCP agent", "L3 agent"):
        cloud.put("agent", named(kind), admin_state_up=True)
    made.apply(cloud.take())
    assert set(made.snapshot()) == before
