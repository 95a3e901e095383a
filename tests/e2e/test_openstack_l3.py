"""The `openstack` command on what routers and floating IPs do besides routing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.shell import Shell

pytestmark = pytest.mark.slow


@pytest.fixture
def routed(admin: Shell) -> Iterator[None]:
    """A network `blue` of IPv4 and IPv6 with a port `vm`, behind a router `r` to `outer`."""
    admin("address scope create east --ip-version 6 --share")
    admin("subnet pool create six --pool-prefix 2001:db8::/48 --default-prefix-length 64 --address-scope east --share")
    admin("network create outer --external")
    admin("subnet create outer4 --network outer --subnet-range 203.0.113.0/24 --no-dhcp")
    admin("subnet create outer6 --network outer --ip-version 6 --subnet-pool six --no-dhcp")
    admin("network create blue")
    admin("subnet create blue4 --network blue --subnet-range 10.1.0.0/24")
    admin("subnet create blue6 --network blue --ip-version 6 --subnet-pool six")
    admin("router create r --external-gateway outer")
    admin("router add subnet r blue4")
    admin("router add subnet r blue6")
    admin("port create vm --network blue --fixed-ip subnet=blue4,ip-address=10.1.0.5 --fixed-ip subnet=blue6")
    yield
    admin("port delete vm")
    for subnet in ("blue4", "blue6"):
        admin(f"router remove subnet r {subnet}")
    admin("router delete r")
    admin("network delete blue outer")
    admin("subnet pool delete six")
    admin("address scope delete east")


@pytest.mark.usefixtures("routed")
def test_port_forwardings(admin: Shell) -> None:
    admin("floating ip create outer --floating-ip-address 203.0.113.50")
    made = admin(
        "floating ip port forwarding create 203.0.113.50 --port vm --internal-ip-address 10.1.0.5 --protocol tcp "
        "--internal-protocol-port 22 --external-protocol-port 2222 --description d"
    )
    assert (made["external_port"], made["internal_port"], made["protocol"]) == (2222, 22, "tcp")
    admin(f"floating ip port forwarding set 203.0.113.50 {made['id']} --external-protocol-port 2223")
    assert admin(f"floating ip port forwarding show 203.0.113.50 {made['id']}")["external_port"] == 2223
    (row,) = admin("floating ip port forwarding list 203.0.113.50 --port vm --protocol tcp")
    assert (row["ID"], row["Internal IP Address"]) == (made["id"], "10.1.0.5")
    admin(f"floating ip port forwarding delete 203.0.113.50 {made['id']}")
    admin("floating ip delete 203.0.113.50")


@pytest.mark.usefixtures("routed")
def test_conntrack_helpers(admin: Shell) -> None:
    made = admin("network l3 conntrack helper create r --helper tftp --protocol udp --port 69")
    assert (made["helper"], made["port"]) == ("tftp", 69)
    admin(f"network l3 conntrack helper set r {made['id']} --port 6969")
    assert admin(f"network l3 conntrack helper show r {made['id']}")["port"] == 6969
    assert [row["Helper"] for row in admin("network l3 conntrack helper list r --protocol udp")] == ["tftp"]
    admin(f"network l3 conntrack helper delete r {made['id']}")


@pytest.mark.usefixtures("routed")
def test_ndp_proxies(admin: Shell) -> None:
    admin("router set r --enable-ndp-proxy")
    made = admin("router ndp proxy create r --port vm --name p --description d")
    assert made["ip_address"].startswith("2001:db8:")
    admin("router ndp proxy set p --name q --description e")
    assert admin("router ndp proxy show q")["description"] == "e"
    assert [row["Name"] for row in admin("router ndp proxy list --router r --port vm")] == ["q"]
    admin("router ndp proxy delete q")


@pytest.mark.usefixtures("routed")
def test_local_ips(admin: Shell) -> None:
    made = admin("local ip create --name l --network blue --description d")
    assert made["local_ip_address"].startswith("10.1.0.")
    admin("local ip set l --name m --description e")
    assert admin("local ip show m")["description"] == "e"
    assert [row["Name"] for row in admin("local ip list --network blue")] == ["m"]
    port = admin("port show vm")["id"]
    held = admin(f"local ip association create m {port} --fixed-ip 10.1.0.5")
    assert held["fixed_ip"] == "10.1.0.5"
    assert [row["Fixed port ID"] for row in admin("local ip association list m")] == [port]
    admin(f"local ip association delete m {port}")
    admin("local ip delete m")


def test_a_router_with_several_gateways(admin: Shell) -> None:
    for name, prefix in (("one", "203.0.113.0/24"), ("two", "198.51.100.0/24")):
        admin(f"network create {name} --external")
        admin(f"subnet create {name}4 --network {name} --subnet-range {prefix} --no-dhcp")
    admin("router create r")
    admin("router add gateway r one --fixed-ip ip-address=203.0.113.9")
    admin("router add gateway r two")
    gateways = admin("router show r")["external_gateways"]
    assert len(gateways) == 2
    assert gateways[0]["external_fixed_ips"][0]["ip_address"] == "203.0.113.9"
    admin("router remove gateway r two")
    assert len(admin("router show r")["external_gateways"]) == 1
    admin("router delete r")
    admin("network delete one two")
