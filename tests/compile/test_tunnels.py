"""A network that has ports on several hosts: what one host must know of the others, and no more than that."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.compile.config import HostConfig
from kaon.rows import Element, Fdb, Neigh, Row, Vxlan
from kaon.server.desired import Desired
from kaon.world.addresses import link_local
from kaon.world.world import World
from tests.compile.cloud import HOST, Cloud, named

VXLAN = {"provider:network_type": "vxlan", "provider:segmentation_id": 77, "provider:physical_network": None}
FLOOD = "00:00:00:00:00:00"
HOSTS = {HOST: "192.0.2.1", "host2": "192.0.2.2", "host3": "192.0.2.3"}


def tells_its_address(cloud: Cloud, host: str, address: str | None) -> None:
    configurations = {"tunneling_ip": address} if address else {}
    values = {"agent_type": "Linux bridge agent", "admin_state_up": True, "configurations": configurations}
    cloud.put("agent", named(f"agent {host}"), host=host, **values)


def cloud_of_three(**attributes: Any) -> tuple[Cloud, str]:
    """Three hosts, and a network with a port on the first and one on the second."""
    cloud = Cloud()
    for host, address in HOSTS.items():
        tells_its_address(cloud, host, address)
    network = cloud.network("n", 1, "10.0.0.0/24", "fd00::/64", **{**VXLAN, "mtu": 1450, **attributes})
    cloud.attach(cloud.port("here", network, "10.0.0.5"), netns="here")
    cloud.attach(cloud.port("there", network, "10.0.0.6", "fd00::"), netns="there", host="host2")
    return cloud, network


def desired(cloud: Cloud, host: str = HOST) -> Desired:
    return Desired(World(cloud.take()), HostConfig(host=host))


def of(made: Desired, *types: type) -> list[Row]:
    return [row for row in made.snapshot() if isinstance(row.value, types)]


def keys(made: Desired, *types: type) -> set[tuple[str, ...]]:
    return {row.id.key[1:] for row in of(made, *types)}


def _rest(made: Desired) -> str:
    (between,) = elements(made, "routed_in")
    return between.rpartition(" . ")[2].removeprefix("0a:74:")


def elements(made: Desired, name: str) -> dict[str, str]:
    return {
        row.id.key[4]: row.value.data
        for row in made.snapshot()
        if isinstance(row.value, Element) and row.id.key[3] == name
    }


def test_a_member_elsewhere_is_reached_through_a_tunnel_to_its_host() -> None:
    cloud, network = cloud_of_three()
    port = cloud.records["port", named("there")]
    made = desired(cloud)
    tunnel, bridge = f"kv{network[:11]}", f"kbr{network[:11]}"
    (device,) = of(made, Vxlan)
    assert device.id.key == ("", tunnel)
    assert device.value == Vxlan(vni=77, local="192.0.2.1", mtu=1450, master=bridge)
    assert keys(made, Fdb) == {(tunnel, port["mac_address"], "192.0.2.2"), (tunnel, FLOOD, "192.0.2.2")}
    assert [row.value.bridged for row in of(made, Fdb) if row.id.key[2] == FLOOD] == [False]
    assert keys(made, Neigh) == {(bridge, "10.0.0.6")}
    asked = elements(made, "remote_nd")
    assert len(asked) == 2, "its global and its link-local address"
    assert set(asked.values()) == {port["mac_address"]}
    assert {row.origin for row in of(made, Neigh)} == {f"port/{named('there')}"}
    assert elements(made, "port_marks")[f'"{tunnel}"'] == "0x00000003"


def test_a_network_that_is_not_here_has_no_tunnel_here() -> None:
    cloud, _ = cloud_of_three()
    made = desired(cloud, "host3")
    assert of(made, Vxlan, Fdb, Neigh) == []
    assert elements(made, "remote_nd") == {}


def test_a_network_whose_ports_are_all_here_has_no_tunnel_until_one_is_elsewhere() -> None:
    cloud, network = cloud_of_three()
    dhcp = cloud.dhcp(network, "10.0.0.2")
    cloud.put("attachment", named("there"), host=HOST)
    made = desired(cloud)
    assert of(made, Vxlan, Fdb, Neigh) == []
    assert elements(made, "service_macs") == {}
    cloud.put("attachment", named("there"), host="host2")
    made.apply(cloud.take())
    assert len(of(made, Vxlan)) == 1
    assert set(elements(made, "service_ports")) == {f'"kd{dhcp[:11]}"'}


@pytest.mark.parametrize("kind", ["local", "vlan", "flat", None])
def test_only_vxlan_networks_have_tunnels(kind: str | None) -> None:
    cloud, _ = cloud_of_three(**{"provider:network_type": kind})
    assert of(desired(cloud), Vxlan, Fdb, Neigh) == []


def test_of_several_segments_the_one_that_is_a_tunnel_here_carries_the_network() -> None:
    vlan = {"provider:network_type": "vlan", "provider:segmentation_id": 5, "provider:physical_network": "datacentre"}
    tunnel = {**VXLAN, "provider:segmentation_id": 99}
    cloud, _ = cloud_of_three(segments=[vlan, tunnel])
    assert [row.value.vni for row in of(desired(cloud), Vxlan)] == [99]


def test_hosts_that_have_told_of_no_address_have_no_tunnel_until_they_do() -> None:
    cloud, network = cloud_of_three()
    tells_its_address(cloud, "host2", None)
    made = desired(cloud)
    assert of(made, Vxlan, Fdb, Neigh) == []
    tells_its_address(cloud, "host2", "192.0.2.22")
    made.apply(cloud.take())
    assert {key[2] for key in keys(made, Fdb)} == {"192.0.2.22"}
    tells_its_address(cloud, HOST, None)
    made.apply(cloud.take())
    assert of(made, Vxlan, Fdb, Neigh) == []


def test_a_host_of_the_other_ip_version_cannot_be_reached() -> None:
    cloud, _ = cloud_of_three()
    tells_its_address(cloud, "host2", "2001:db8::2")
    assert of(desired(cloud), Fdb, Neigh) == []


def test_each_host_takes_frames_from_the_others_and_from_nobody_else() -> None:
    cloud, _ = cloud_of_three()
    made = desired(cloud)
    assert set(elements(made, "endpoints")) == {"192.0.2.2", "192.0.2.3"}
    tells_its_address(cloud, "host2", None)
    cloud.delete("agent", named("agent host3"))
    made.apply(cloud.take())
    assert elements(made, "endpoints") == {}
    tells_its_address(cloud, HOST, None)
    made.apply(cloud.take())
    assert "underlay" not in {row.id.key[-1] for row in made.snapshot()}


def test_what_is_for_all_goes_to_each_host_with_a_member_once_and_to_no_other() -> None:
    cloud, network = cloud_of_three()
    cloud.attach(cloud.port("more", network, "10.0.0.7"), netns="more", host="host2")
    made = desired(cloud)

    def flooded() -> set[str]:
        return {key[2] for key in keys(made, Fdb) if key[1] == FLOOD}

    assert flooded() == {"192.0.2.2"}
    cloud.attach(cloud.port("third", network, "10.0.0.8"), netns="third", host="host3")
    made.apply(cloud.take())
    assert flooded() == {"192.0.2.2", "192.0.2.3"}
    cloud.delete("attachment", named("more"))
    made.apply(cloud.take())
    assert flooded() == {"192.0.2.2", "192.0.2.3"}
    cloud.delete("attachment", named("there"))
    made.apply(cloud.take())
    assert flooded() == {"192.0.2.3"}


def test_a_port_that_moves_here_is_no_longer_behind_the_tunnel() -> None:
    cloud, network = cloud_of_three()
    made = desired(cloud)
    cloud.put("attachment", named("there"), host=HOST)
    put, delete = made.apply(cloud.take())
    assert of(made, Fdb, Neigh) == []
    assert "veth" in {row.id.table for row in put}


def test_an_address_that_ports_may_take_from_each_other_is_asked_for_on_the_wire() -> None:
    cloud, network = cloud_of_three()
    made = desired(cloud)
    cloud.put("port", named("here"), allowed_address_pairs=[{"ip_address": "10.0.0.99"}])
    made.apply(cloud.take())
    assert keys(made, Neigh) != set(), "another address is no matter"
    cloud.put("port", named("here"), allowed_address_pairs=[{"ip_address": "10.0.0.6"}])
    made.apply(cloud.take())
    assert keys(made, Neigh) == set()
    assert len(keys(made, Fdb)) == 2, "its MAC address is still its own"
    cloud.put("port", named("here"), allowed_address_pairs=[{"ip_address": "10.0.0.0/28"}])
    made.apply(cloud.take())
    assert keys(made, Neigh) == set()
    assert elements(made, "remote_nd") == {}
    cloud.put("port", named("here"), allowed_address_pairs=[])
    made.apply(cloud.take())
    assert keys(made, Neigh) != set()


def test_dhcp_servers_and_routers_stay_on_their_host() -> None:
    cloud, network = cloud_of_three()
    dhcp = cloud.dhcp(network, "10.0.0.2")
    interface = cloud.interface(cloud.router("r"), network, "10.0.0.1")
    made = desired(cloud)
    tunnel = f'"kv{network[:11]}"'
    macs = {id: cloud.records["port", id]["mac_address"] for id in (dhcp, interface)}
    assert set(elements(made, "service_ports")) == {f'"kd{dhcp[:11]}"', f'"kq{interface[:11]}"'}
    assert set(elements(made, "service_macs")) == {f"{tunnel} . {mac}" for mac in macs.values()}
    assert set(elements(made, "service_ip4")) == {f"{tunnel} . 10.0.0.1", f"{tunnel} . 10.0.0.2"}
    assert len(elements(made, "service_nd")) == 2, "link-local addresses"
    assert not {key[1] for key in keys(made, Fdb)} & set(macs.values())
    assert elements(made, "routed_out") == {f"{tunnel} . {macs[interface]}": "0a:74:" + _rest(made)}
    assert list(elements(made, "routed_in").values()) == [macs[interface]]
    alone = desired(cloud_of_three()[0])
    assert all(elements(alone, name) == {} for name in ("service_ports", "service_macs", "routed_out", "routed_in"))


def test_a_router_knows_members_elsewhere_whom_it_cannot_ask() -> None:
    cloud, network = cloud_of_three()
    router = cloud.router("r")
    interface = cloud.interface(router, network, "10.0.0.1", "fd00::1")
    port = cloud.records["port", named("there")]
    made = desired(cloud)
    netns, device = f"kaon-router-{router}", f"in-{interface[:8]}"
    known = {row.id.key[2] for row in of(made, Neigh) if row.id.key[:2] == (netns, device)}
    assert known == {port["fixed_ips"][1]["ip_address"], link_local(port["mac_address"])}
    cloud.delete("port", interface)
    made.apply(cloud.take())
    assert {row.id.key[0] for row in of(made, Neigh)} == {""}


def test_ports_of_a_network_cost_a_change_elsewhere_nothing() -> None:
    cloud, network = cloud_of_three()
    subnet = cloud.subnets(network)[0]["id"]
    for number in range(2_000):
        port = cloud.port(f"p{number}", network)
        address = f"10.0.{1 + number // 250}.{1 + number % 250}"
        cloud.put("port", port, fixed_ips=[{"subnet_id": subnet, "ip_address": address}])
        cloud.attach(port, netns=port, host=["host2", "host3"][number % 2])
    made = desired(cloud)

    def scopes() -> int:
        before = made.compiled
        made.apply(cloud.take())
        return made.compiled - before

    port = cloud.port("new", network, "10.0.0.77")
    assert scopes() == 1
    cloud.attach(port, netns="new", host="host3")
    assert scopes() == 1, "its host is known to have members already"
    cloud.put("attachment", port, host="host2")
    assert scopes() == 1
    cloud.delete("attachment", port)
    assert scopes() == 1
    cloud.put("agent", named("agent host3"), heartbeat=5)
    assert scopes() == 0, "who lives is no matter of the tunnels"
    assert {key[2] for key in keys(made, Fdb)} == {"192.0.2.2", "192.0.2.3"}
