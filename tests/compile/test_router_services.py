"""Routes over several next hops, NDP proxies and conntrack helpers as rows."""

from __future__ import annotations

from kaon.channel import Failure
from kaon.compile.config import HostConfig
from kaon.rows import Chain, ConntrackHelper, Element, NeighbourProxy, Route, Sysctl
from kaon.server.desired import Desired
from kaon.world.world import World
from tests.compile.cloud import HOST, Cloud, named


class Scene:
    """A router with a gateway and an IPv6 network behind it."""

    def __init__(self) -> None:
        self.cloud = cloud = Cloud()
        outside = cloud.network("outside", 1, "203.0.113.0/24", "2001:db8:113::/64")
        network = cloud.network("n", 2, "10.0.0.0/24", "2001:db8:1::/64")
        self.router = cloud.router("r")
        cloud.interface(self.router, network, "10.0.0.1", "2001:db8:1::1")
        self.gateway = cloud.gateway(self.router, outside, "203.0.113.10", "2001:db8:113::10")
        self.port = cloud.port("p", network, "2001:db8:1::9")
        self.desired = Desired(World(cloud.take()), HostConfig(host=HOST))

    def routes(self, *routes: tuple[str, str]) -> dict[str, Route]:
        """The routes that become of extra routes."""
        asked = [{"destination": to, "nexthop": via} for to, via in routes]
        self.cloud.put("router", self.router, routes=asked)
        self.desired.apply(self.cloud.take())
        found = self.desired.snapshot()
        return {row.id.key[1]: row.value for row in found if isinstance(row.value, Route)}

    def settings(self) -> dict[str, str]:
        """Settings of the router's namespace."""
        rows = self.desired.snapshot()
        return {row.id.key[1]: row.value.value for row in rows if isinstance(row.value, Sysctl)}


def test_several_next_hops_are_one_route() -> None:
    scene = Scene()
    assert scene.routes(("10.9.0.0/16", "10.0.0.7"))["10.9.0.0/16"] == Route("10.0.0.7")
    assert "net/ipv4/fib_multipath_hash_policy" not in scene.settings()
    found = scene.routes(("10.9.0.0/16", "10.0.0.7"), ("10.8.0.0/16", "10.0.0.7"), ("10.9.0.0/16", "10.0.0.8"))
    assert found["10.9.0.0/16"] == Route("10.0.0.7", more=("10.0.0.8",)) and found["10.8.0.0/16"] == Route("10.0.0.7")
    assert scene.settings()["net/ipv4/fib_multipath_hash_policy"] == "1"


def proxy(scene: Scene) -> str:
    values = {"router_id": scene.router, "port_id": scene.port, "ip_address": "2001:db8:1::9"}
    return scene.cloud.put("ndp_proxy", named("proxy"), **values)


def test_a_proxy_is_an_element_and_an_answer_at_the_gateway() -> None:
    scene = Scene()
    scene.cloud.put("router", scene.router, enable_ndp_proxy=True)
    scene.desired.apply(scene.cloud.take())
    proxy(scene)
    put = scene.desired.apply(scene.cloud.take()).put
    assert {type(row.value) for row in put} == {NeighbourProxy, Element} and len(put) == 2
    (answer,) = (row.id.key[1:] for row in put if isinstance(row.value, NeighbourProxy))
    assert answer == (f"gw-{scene.gateway[:8]}", "2001:db8:1::9")
    assert scene.settings()[f"net/ipv6/conf/gw-{scene.gateway[:8]}/proxy_ndp"] == "1"
    scene.cloud.delete("ndp_proxy", named("proxy"))
    assert len(scene.desired.apply(scene.cloud.take()).delete) == 2


def test_a_router_that_may_have_no_proxies_has_none() -> None:
    scene = Scene()
    before = scene.desired.snapshot()
    proxy(scene)
    scene.desired.apply(scene.cloud.take())
    assert scene.desired.snapshot() == before


def test_a_helper_is_an_object_and_a_chain_under_the_kernels_name() -> None:
    scene = Scene()
    values = {"router_id": scene.router, "protocol": "udp", "port": 1719, "helper": "h323"}
    scene.cloud.put("conntrack_helper", named("helper"), **values)
    put = scene.desired.apply(scene.cloud.take()).put
    (helper,) = (row for row in put if isinstance(row.value, ConntrackHelper))
    assert helper.value == ConntrackHelper("RAS", "udp") and helper.origin == f"conntrack_helper/{named('helper')}"
    (rule,) = (rule.text for row in put if isinstance(row.value, Chain) for rule in row.value.rules)
    assert rule == f'udp dport 1719 ct helper set "helper-{named("helper")}"'
    reason = "this kernel has no conntrack helper RAS"
    failure = Failure(helper.id.table, helper.id.key, helper.origin, reason)
    assert scene.desired.port_states([failure])[scene.gateway] == ("DOWN", f"{helper.origin}: {reason}")
    scene.cloud.delete("conntrack_helper", named("helper"))
    assert len(scene.desired.apply(scene.cloud.take()).delete) == 2
