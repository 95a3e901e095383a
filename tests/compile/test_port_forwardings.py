"""Port forwardings as rows: one map element each, the floating address on the gateway as long as there is any."""

from __future__ import annotations

import pytest

from kaon.compile.config import HostConfig
from kaon.rows import Address, Chain, Element
from kaon.server.desired import Desired
from kaon.world.world import World
from tests.compile.cloud import HOST, Cloud, named

FLOATING = "203.0.113.77"


class Scene:
    """A router with a gateway, and a floating IP of it that leads nowhere by itself."""

    def __init__(self) -> None:
        self.cloud = cloud = Cloud()
        outside = cloud.network("outside", 1, "203.0.113.0/24")
        network = cloud.network("n", 2, "10.0.0.0/24")
        self.router = cloud.router("r")
        cloud.interface(self.router, network, "10.0.0.1")
        cloud.gateway(self.router, outside, "203.0.113.10")
        self.port = cloud.port("p", network, "10.0.0.9")
        self.floating = cloud.put("floatingip", named("f"), floating_ip_address=FLOATING, router_id=None)
        self.desired = Desired(World(cloud.take()), HostConfig(host=HOST))

    def forward(self, name: str, outer: str, inner: str, protocol: str = "tcp") -> str:
        """A forwarding, and the floating IP on the router, as the API journals them."""
        self.cloud.put("floatingip", self.floating, router_id=self.router)
        return self.cloud.put(
            "port_forwarding",
            named(name),
            floatingip_id=self.floating,
            protocol=protocol,
            external_port_range=outer,
            internal_port_range=inner,
            internal_ip_address="10.0.0.9",
        )

    def change(self) -> tuple[dict[tuple[str, str], str], list[str], int]:
        """What a change puts: elements by map and key, addresses, and how many chains."""
        put = self.desired.apply(self.cloud.take()).put
        elements = {row.id.key[3:]: row.value.data for row in put if isinstance(row.value, Element)}
        addresses = [row.id.key[2] for row in put if isinstance(row.value, Address)]
        return elements, addresses, sum(isinstance(row.value, Chain) for row in put)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_a_forwarding_is_one_element_and_the_first_brings_the_address(scene: Scene) -> None:
    scene.forward("web", "8080:8080", "80:80")
    elements, addresses, chains = scene.change()
    assert elements == {("forwarded_to_port", f"{FLOATING} . tcp . 8080"): "10.0.0.9 . 80"}
    assert addresses == [f"{FLOATING}/32"] and chains == 0
    scene.forward("dns", "53:53", "53:53", "udp")
    assert scene.change() == ({("forwarded_to_address", f"{FLOATING} . udp . 53"): "10.0.0.9"}, [], 0)


def test_ranges_are_one_element_unless_their_ports_are_moved(scene: Scene) -> None:
    scene.forward("same", "100:199", "100:199")
    scene.forward("one", "200:299", "80:80")
    assert scene.change()[0] == {
        ("forwarded_to_address", f"{FLOATING} . tcp . 100-199"): "10.0.0.9",
        ("forwarded_to_port", f"{FLOATING} . tcp . 200-299"): "10.0.0.9 . 80",
    }
    scene.forward("moved", "300:302", "400:402")
    assert scene.change()[0] == {
        ("forwarded_to_port", f"{FLOATING} . tcp . {300 + each}"): f"10.0.0.9 . {400 + each}" for each in range(3)
    }


def test_the_last_forwarding_takes_the_address_along(scene: Scene) -> None:
    before = scene.desired.snapshot()
    web, mail = scene.forward("web", "80:80", "8080:8080"), scene.forward("mail", "25:25", "25:25")
    scene.change()
    scene.cloud.delete("port_forwarding", web)
    gone = scene.desired.apply(scene.cloud.take()).delete
    assert [row_id.key[3:] for row_id in gone] == [("forwarded_to_port", f"{FLOATING} . tcp . 80")]
    scene.cloud.delete("port_forwarding", mail)
    scene.cloud.put("floatingip", scene.floating, router_id=None)
    assert f"{FLOATING}/32" in {row_id.key[2] for row_id in scene.desired.apply(scene.cloud.take()).delete}
    assert scene.desired.snapshot() == before


def test_a_router_that_is_down_forwards_nothing(scene: Scene) -> None:
    scene.forward("web", "80:80", "8080:8080")
    scene.change()
    scene.cloud.put("router", scene.router, admin_state_up=False)
    gone = scene.desired.apply(scene.cloud.take()).delete
    assert "forwarded_to_port" in {row_id.key[3] for row_id in gone if row_id.table == "element"}


def test_a_protocol_without_ports_is_refused_in_words(scene: Scene) -> None:
    scene.forward("ping", "1:1", "1:1", "icmp")
    assert scene.change()[0] == {}
    assert any("icmp, which has no ports" in reason for reason in scene.desired.broken.values())
