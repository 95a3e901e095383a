"""Routers, translation, DHCP, DNS and router advertisements as compiled, on real packets and real clients."""

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
    """A project with two networks behind a router, instances in each, and a host outside behind the bridge br-ex.

    i1 and i2 are in the first network (10.0.0.0/24 and fd00:1::/64), i3 in the second (10.0.1.0/24); out is outside, at
    203.0.113.1 and 2001:db8::1, which is also the outside router.
    """

    def __init__(self, kernel: Kernel, enable_snat: bool = True) -> None:
        self.kernel = kernel
        self.cloud = cloud = Cloud()
        self.out = cloud.network("out", 1, "203.0.113.0/24", "2001:db8::/64", **{"provider:physical_network": "ext"})
        everything = [{"direction": d, "ethertype": e} for d in ("ingress", "egress") for e in ("IPv4", "IPv6")]
        self.open = cloud.group("open", *everything)
        self.first = cloud.network("first", 2, "10.0.0.0/24", "fd00:1::/64", mtu=1442)
        self.second = cloud.network("second", 3, "10.0.1.0/24")
        self.router = cloud.router("r")
        cloud.interface(self.router, self.first, "10.0.0.1")
        cloud.interface(self.router, self.first, "fd00:1::1")
        cloud.interface(self.router, self.second, "10.0.1.1")
        cloud.gateway(self.router, self.out, "203.0.113.10", "2001:db8::10", enable_snat=enable_snat)
        cloud.dhcp(self.first, "10.0.0.2", "fd00:1::2")
        cloud.dhcp(self.second, "10.0.1.2")
        self.ports = {
            "i1": cloud.port("i1", self.first, "10.0.0.11", "fd00:1::", security_groups=[self.open]),
            "i2": cloud.port("i2", self.first, "10.0.0.12", security_groups=[self.open], dns_name="second"),
            "i3": cloud.port("i3", self.second, "10.0.1.13", security_groups=[self.open]),
        }
        for name, port in self.ports.items():
            kernel.run(f"ip netns add {name}; ip -n {name} link set lo up")
            cloud.attach(port, netns=name)
        kernel.run(
            "ip link add br-ex type bridge; ip link set br-ex up; ip netns add out; ip -n out link set lo up;"
            "ip link add exout master br-ex type veth peer name eth0 netns out; ip link set exout up;"
            "ip -n out addr add 203.0.113.1/24 dev eth0; ip -n out addr add 2001:db8::1/64 dev eth0 nodad;"
            "ip -n out link set eth0 up; ip -n out route add fd00::/16 via 2001:db8::10;"
            "ip -n out route add 10.0.0.0/16 via 203.0.113.10"
        )

    def start(self) -> None:
        """Make the cloud real, and let each instance ask for its address."""
        config = HostConfig(host=HOST, physical_networks={"ext": "bridge:br-ex"})
        self.kernel.realise(Desired(World(self.cloud.take()), config).snapshot())
        for name in self.ports:
            self.lease(name)

    def lease(self, name: str) -> str:
        """Run a DHCPv4 client; the offered options as text."""
        script = self.kernel.folder / "udhcpc.sh"
        script.write_text(
            '#!/bin/sh\nset | grep -E "^(ip|mask|router|dns|mtu|staticroutes|domain|hostname|boot_file|lease)="\n'
            '[ "$1" = bound ] || exit 0\nip addr replace $ip/$mask dev $interface\n'
            "set -- $staticroutes\n"
            "while [ $# -gt 1 ]; do ip route replace $1 via $2 dev $interface onlink; shift 2; done\n"
        )
        script.chmod(0o755)
        return self.kernel.run(
            f"udhcpc -i eth0 -n -q -f -t 5 -T 1 -O staticroutes -O mtu -O 121 -s {script} 2>&1", name
        )


@pytest.fixture
def scene(kernel: Kernel) -> Scene:
    return Scene(kernel)


def test_instances_configure_themselves(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    options = [{"opt_name": "bootfile-name", "opt_value": "pxe.0", "ip_version": 4}]
    cloud.put("port", scene.ports["i1"], extra_dhcp_opts=options)
    cloud.put("subnet", scene.cloud.subnets(scene.second)[0]["id"], dns_nameservers=["192.0.2.53"])
    scene.start()
    offered = scene.lease("i1")
    assert "ip='10.0.0.11'" in offered and "mask='24'" in offered and "mtu='1442'" in offered
    assert "dns='10.0.0.2'" in offered and "domain='openstacklocal'" in offered
    assert "169.254.169.254/32 10.0.0.2" in offered and "0.0.0.0/0 10.0.0.1" in offered
    assert "pxe.0" in offered
    assert "dns='192.0.2.53'" in scene.lease("i3")
    until(lambda: "fd00:1::f816:3eff:fe00" in kernel.run("ip -6 addr show dev eth0", "i1"), 10, "SLAAC address")
    until(lambda: "tentative" not in kernel.run("ip -6 addr show dev eth0", "i1"), 10, "duplicate detection ends")
    assert "mtu 1442" in kernel.run("ip link show eth0", "i1")
    advertised = kernel.run("rdisc6 -1 eth0", "i1")
    assert "fe80::f816:3eff:fe00:2" in advertised, "from the router's own link-local address"
    assert "Stateful address conf.    :           No" in advertised and "1442 bytes" in advertised
    assert "fd00:1::2" in advertised, "the network's DNS server"
    answer = kernel.run("busybox nslookup -type=a second.openstacklocal 10.0.0.2", "i1")
    assert "10.0.0.12" in answer


def test_networks_behind_a_router_reach_each_other_and_the_outside(scene: Scene) -> None:
    kernel = scene.kernel
    scene.start()
    assert kernel.ping("i1", "10.0.1.13"), "from subnet to subnet"
    kernel.listen("i3", 80)
    assert kernel.connect("i1", "10.0.1.13", 80) == "10.0.0.11", "untranslated"
    kernel.listen("out", 80)
    assert kernel.connect("i1", "203.0.113.1", 80) == "203.0.113.10", "the outside sees the gateway address"
    until(lambda: kernel.ping("i1", "2001:db8::1"), 10, "IPv6 is routed")
    assert kernel.connect("i1", "2001:db8::1", 80).startswith("fd00:1::f816"), "IPv6 is not translated"
    assert not kernel.ping("out", "10.0.1.13"), "private addresses are not reached from outside"


def test_without_source_translation_the_outside_routes_to_private_addresses(kernel: Kernel) -> None:
    scene = Scene(kernel, enable_snat=False)
    scene.start()
    assert kernel.ping("out", "10.0.1.13")
    kernel.listen("out", 80)
    assert kernel.connect("i3", "203.0.113.1", 80) == "10.0.1.13"


def test_a_floating_ip_is_the_instance_to_everyone(scene: Scene) -> None:
    kernel, cloud = scene.kernel, scene.cloud
    cloud.floatingip("203.0.113.21", scene.router, scene.ports["i1"], "10.0.0.11")
    cloud.floatingip("203.0.113.23", scene.router, scene.ports["i3"], "10.0.1.13")
    scene.start()
    for name in ("i1", "i3", "out"):
        kernel.listen(name, 80)
    assert kernel.connect("out", "203.0.113.21", 80) == "203.0.113.1", "from outside, seen as who it is"
    assert kernel.connect("i1", "203.0.113.1", 80) == "203.0.113.21", "to the outside by its floating IP"
    assert kernel.connect("i2", "203.0.113.1", 80) == "203.0.113.10", "others by the gateway address"
    assert kernel.connect("i1", "203.0.113.23", 80) == "203.0.113.21", "from inside, floating to floating"
    assert kernel.connect("i2", "203.0.113.21", 80) == "203.0.113.10", "from a neighbour in the same subnet"
    assert kernel.connect("i1", "203.0.113.21", 80) == "203.0.113.21", "to itself"
    assert kernel.connect("i2", "10.0.1.13", 80) == "10.0.0.12", "fixed to fixed stays untranslated"


def test_a_managed_ipv6_subnet_gives_each_port_its_own_address(kernel: Kernel) -> None:
    scene = Scene(kernel)
    cloud = scene.cloud
    managed = cloud.network("managed", 4)
    modes = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}
    cloud.subnet(managed, "fd00:4::/64", dns_nameservers=["2001:db8::53"], **modes)
    cloud.interface(scene.router, managed, "fd00:4::1")
    cloud.dhcp(managed, "fd00:4::2")
    port = cloud.port("i4", managed, "fd00:4::44", security_groups=[scene.open])
    kernel.run("ip netns add i4; ip -n i4 link set lo up")
    cloud.attach(port, netns="i4")
    scene.start()
    until(lambda: "fe80" in kernel.run("ip -6 addr show dev eth0 -tentative", "i4"), 10, "link-local address")
    advertised = kernel.run("rdisc6 -1 eth0", "i4")
    assert "Stateful address conf. : Yes" in " ".join(advertised.split())
    assert "Autonomous address conf.: No" in " ".join(advertised.split())
    files = f"-lf {kernel.folder}/leases6 -pf {kernel.folder}/pid6 -sf /bin/true"
    kernel.start(f"dhclient -6 -1 -d {files} eth0", "i4")
    leases = kernel.folder / "leases6"
    until(lambda: leases.exists() and leases.read_text().endswith("}\n"), 20, "a DHCPv6 lease")
    lease = leases.read_text()
    assert "iaaddr fd00:4::44" in lease and "2001:db8::53" in lease
    assert "2001:db8::53" in advertised
    kernel.run("ip addr add fd00:4::44/128 dev eth0 nodad", "i4")
    until(lambda: kernel.ping("i4", "2001:db8::1"), 10, "through the advertised router")
