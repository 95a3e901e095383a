"""What the compiled nftables rows do to real packets: two networks whose addresses collide, on one host."""

from __future__ import annotations

import pytest

from kaon.compile.config import HostConfig
from kaon.server.desired import Desired
from kaon.world.world import World
from tests.compile.cloud import HOST, Cloud
from tests.compile.kernel import Kernel
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]


class Scene:
    """Two networks with the same prefixes, two instances each (a1 a2, b1 b2), in groups that let members in."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.cloud = cloud = Cloud()
        self.default = {net: cloud.default_group(f"default {net}") for net in "ab"}
        self.ports: dict[str, str] = {}
        for zone, net in enumerate("ab", 11):
            network = cloud.network(net, zone, "10.3.0.0/24", "fd03::/64")
            for number in (1, 2):
                name = f"{net}{number}"
                kernel.run(f"ip netns add {name}; ip -n {name} link set lo up")
                self.ports[name] = cloud.port(
                    name, network, f"10.3.0.1{number}", f"fd03::1{number}", security_groups=[self.default[net]]
                )
                cloud.attach(self.ports[name], netns=name)
        self.desired = Desired(World(cloud.take()), HostConfig(host=HOST))
        kernel.realise(self.desired.snapshot())
        for net in "ab":
            for number in (1, 2):
                for address in (f"10.3.0.1{number}/24", f"fd03::1{number}/64"):
                    kernel.run(f"ip addr add {address} dev eth0 nodad", f"{net}{number}")

    def change(self) -> None:
        """Bring the host's nftables to what the cloud asks for now."""
        self.desired.apply(self.cloud.take())
        self.kernel.replace_nft(self.desired.snapshot())


@pytest.fixture
def scene(kernel: Kernel) -> Scene:
    return Scene(kernel)


def test_members_of_a_group_reach_each_other_and_nobody_else_does(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    for address in ("10.3.0.12", "fd03::12"):
        assert kernel.ping("a1", address)
        assert kernel.ping("b1", address)
    kernel.listen("a2", 80)
    assert kernel.connect("a1", "10.3.0.12", 80) == "10.3.0.11"
    assert kernel.connect("a1", "fd03::12", 80) == "fd03::11"
    assert kernel.connect("b1", "10.3.0.12", 80) == "", "nobody listens in the other network"
    zones = kernel.run("conntrack -L 2>/dev/null; conntrack -L -f ipv6 2>/dev/null")
    assert "zone=11" in zones and "zone=12" in zones

    cloud.put("port", scene.ports["a1"], security_groups=[cloud.group("others", {"direction": "egress"})])
    scene.change()
    kernel.run("conntrack -F")
    assert not kernel.ping("a1", "10.3.0.12"), "no member any more"
    assert kernel.connect("a1", "10.3.0.12", 80) == ""
    assert not kernel.ping("a2", "10.3.0.11"), "its new group lets nobody in"
    assert kernel.ping("b1", "10.3.0.12"), "the other network is not concerned"


def test_a_rule_opens_one_port_and_its_removal_closes_it(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    web = cloud.group("web", {"direction": "egress"}, {"direction": "egress", "ethertype": "IPv6"})
    cloud.put("port", scene.ports["a2"], security_groups=[web])
    scene.change()
    kernel.listen("a2", 80)
    kernel.listen("a2", 81)
    assert kernel.connect("a1", "10.3.0.12", 80) == ""
    assert kernel.ping("a2", "fd03::11") is False, "the other side's group knows members only"

    rules = [
        cloud.rule(
            web, "ingress", protocol="tcp", port_range_min=80, port_range_max=80, remote_ip_prefix="10.3.0.0/24"
        ),
        cloud.rule(web, "ingress", "IPv6", protocol="tcp", port_range_min=80, port_range_max=80),
        cloud.rule(web, "ingress", protocol="icmp", port_range_min=8, port_range_max=0),
    ]
    scene.change()
    assert kernel.connect("a1", "10.3.0.12", 80) == "10.3.0.11"
    assert kernel.connect("a1", "fd03::12", 80) == "fd03::11"
    assert kernel.connect("a1", "10.3.0.12", 81) == ""
    assert kernel.ping("a1", "10.3.0.12")
    assert not kernel.ping("a1", "fd03::12"), "the ICMP rule is for IPv4"

    cloud.delete("security_group_rule", rules[0])
    scene.change()
    assert kernel.connect("a1", "10.3.0.12", 80) == ""
    assert kernel.connect("a1", "fd03::12", 80) == "fd03::11"


def test_a_stateless_group_admits_replies_by_rules_alone(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    egress = ({"direction": "egress"}, {"direction": "egress", "ethertype": "IPv6"})
    plain = cloud.group("plain", *egress)
    cloud.put("security_group", plain, stateful=False)
    cloud.put("port", scene.ports["a2"], security_groups=[plain])
    server = cloud.group("server", *egress, {"direction": "ingress", "protocol": "tcp"})
    cloud.put("port", scene.ports["a1"], security_groups=[server])
    scene.change()
    kernel.listen("a1", 80)
    assert kernel.connect("a2", "10.3.0.11", 80) == "", "the request arrives, its reply is admitted by nothing"
    reply = cloud.rule(plain, "ingress", protocol="tcp", remote_ip_prefix="10.3.0.11/32")
    scene.change()
    assert kernel.connect("a2", "10.3.0.11", 80) == "10.3.0.12"
    cloud.delete("security_group_rule", reply)
    scene.change()
    assert kernel.connect("a2", "10.3.0.11", 80) == ""

    keeps_state = cloud.group("keeps state", *egress)
    cloud.put("port", scene.ports["a2"], security_groups=[keeps_state])
    scene.change()
    assert kernel.connect("a2", "10.3.0.11", 80) == "10.3.0.12", "a stateful group needs no rule for replies"


def test_a_port_without_groups_is_closed_and_one_without_port_security_open(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    cloud.put("port", scene.ports["a1"], security_groups=[])
    scene.change()
    assert not kernel.ping("a1", "10.3.0.12")
    assert not kernel.ping("a2", "fd03::11")
    kernel.holds("ping -c1 -W1 10.3.0.11", "a2")
    assert "lladdr" in kernel.run("ip neigh show 10.3.0.11", "a2"), "ARP is no connection"

    cloud.put("port", scene.ports["a1"], port_security_enabled=False)
    cloud.put("port", scene.ports["a2"], port_security_enabled=False, security_groups=[])
    scene.change()
    kernel.run("ip addr add 10.3.0.99/24 dev eth0", "a1")
    assert kernel.holds("ping -c1 -W1 -n -I 10.3.0.99 10.3.0.12", "a1"), "any address is its own"


def test_an_instance_speaks_only_as_itself(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    for port in ("a1", "a2"):
        group = cloud.group(
            "open", *({"direction": d, "ethertype": e} for d in ("ingress", "egress") for e in ("IPv4", "IPv6"))
        )
        cloud.put("port", scene.ports[port], security_groups=[group])
    scene.change()
    kernel.run("ip addr add 10.3.0.99/24 dev eth0; ip addr add fd03::99/64 dev eth0 nodad preferred_lft 0", "a1")
    assert kernel.ping("a1", "10.3.0.12") and kernel.ping("a1", "fd03::12")
    # The other side knows the way back, so that only the source filter can be what stops the answer.
    mac = kernel.run("cat /sys/class/net/eth0/address", "a1").strip()
    for address in ("10.3.0.99", "fd03::99"):
        kernel.run(f"ip neigh replace {address} lladdr {mac} dev eth0", "a2")
        assert not kernel.holds(f"ping -c1 -W1 -n -I {address} {'fd03::12' if ':' in address else '10.3.0.12'}", "a1")
        kernel.run(f"ip neigh del {address} dev eth0", "a2")
    assert not kernel.ping("a2", "10.3.0.99"), "ARP does not answer for a foreign address"
    assert not kernel.ping("a2", "fd03::99"), "nor does neighbour discovery"

    pairs = [{"ip_address": "10.3.0.99"}, {"ip_address": "fd03::90/124"}]
    cloud.put("port", scene.ports["a1"], allowed_address_pairs=pairs)
    scene.change()
    until(lambda: kernel.ping("a2", "10.3.0.99"), 5, "an allowed address is reached")
    until(lambda: kernel.ping("a2", "fd03::99"), 5, "one within an allowed prefix too")

    kernel.run("ip link set eth0 down; ip link set eth0 address fa:16:3e:99:99:99; ip link set eth0 up", "a1")
    assert not kernel.ping("a1", "10.3.0.12"), "a foreign MAC address"


def test_the_host_is_no_neighbour_of_tenants(scene: Scene) -> None:
    kernel = scene.kernel
    kernel.run("ip addr add 10.3.0.50/32 dev lo")
    assert not kernel.ping("a1", "10.3.0.50")
    assert "lladdr" not in kernel.run("ip neigh show 10.3.0.50", "a1")


def test_a_port_that_is_administratively_down_carries_nothing(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    assert kernel.ping("a1", "10.3.0.12")
    cloud.put("port", scene.ports["a1"], admin_state_up=False)
    scene.change()
    assert not kernel.ping("a1", "10.3.0.12")
    assert not kernel.ping("a2", "10.3.0.11")
    cloud.put("port", scene.ports["a1"], admin_state_up=True)
    scene.change()
    until(lambda: kernel.ping("a1", "10.3.0.12"), 5)


def test_frames_of_an_unknown_bridge_port_are_dropped(scene: Scene) -> None:
    kernel = scene.kernel
    bridge = kernel.run("ip -o link show type bridge").split(":")[1].strip()
    kernel.run(
        f"ip netns add x; ip link add foreign master {bridge} type veth peer name eth0 netns x; ip link set foreign up"
    )
    kernel.run("ip link set eth0 up; ip addr add 10.3.0.77/24 dev eth0", "x")
    assert not kernel.ping("x", "10.3.0.11") and not kernel.ping("x", "10.3.0.12")
