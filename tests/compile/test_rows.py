"""Named states of a small cloud, one change, and the rows that must and must not follow."""

from __future__ import annotations

from typing import Any

from kaon.channel import Failure
from kaon.compile import names
from kaon.compile.config import HostConfig
from kaon.rows import (
    AclGroup,
    AclPort,
    Address,
    Bridge,
    Chain,
    DhcpHost,
    DhcpServer,
    Element,
    Member,
    MetadataInstance,
    MetadataListener,
    Netns,
    Route,
    Row,
    RowId,
    Tap,
    Value,
    Veth,
)
from kaon.server.desired import Desired, PortState
from kaon.world.world import Change, World, policy_bucket
from tests.compile.cloud import HOST, Cloud, named

CONFIG = HostConfig(host=HOST, physical_networks={"ext": "bridge:br-ex", "wire": "interface:eth1"})


def desired(cloud: Cloud, config: HostConfig = CONFIG) -> Desired:
    return Desired(World(cloud.take()), config)


def rows(state: Desired, table: type[Value], origin: str = "") -> dict[tuple[str, ...], Row]:
    found = (row for row in state.snapshot() if isinstance(row.value, table))
    return {row.id.key: row for row in found if origin in row.origin}


def elements(state: Desired, name: str, netns: str = "") -> dict[str, str]:
    found = rows(state, Element).items()
    return {key[4]: row.value.data for key, row in found if key[0] == netns and key[3] == name}  # type: ignore[attr-defined]


def one_port(**attributes: object) -> tuple[Cloud, str, str]:
    cloud = Cloud()
    network = cloud.network("n", 7, "10.0.0.0/24", mtu=1442)
    port = cloud.port("p", network, "10.0.0.5", **attributes)
    return cloud, network, port


# ---------------------------------------------------------------- bridges and ports


def test_a_network_that_nobody_uses_here_is_not_here() -> None:
    cloud, _, port = one_port()
    state = desired(cloud)
    assert not rows(state, Bridge)
    cloud.attach(port, netns="i", host="another host")
    assert state.apply(cloud.take()) == ([], [])


def test_the_first_attachment_brings_the_bridge_and_the_last_takes_it() -> None:
    cloud, network, port = one_port()
    state = desired(cloud)
    before = state.snapshot()
    cloud.attach(port, netns="i", ifname="net0")
    put, delete = state.apply(cloud.take())
    assert not delete
    bridge, near = f"kbr{network[:11]}", f"tap{port[:11]}"
    assert rows(state, Bridge) == {("", bridge): Row(RowId("bridge", ("", bridge)), Bridge(1442), f"network/{network}")}
    veth = Veth("i", "net0", "fa:16:3e:00:00:01", 1442, bridge, peer_owned=False)
    assert [row.value for row in rows(state, Veth).values()] == [veth] and ("", near) in rows(state, Veth)
    assert elements(state, "zones") == {f'"{bridge}"': "7"}
    cloud.delete("attachment", port)
    put, delete = state.apply(cloud.take())
    assert not put and state.snapshot() == before


def test_a_tap_is_named_as_the_attachment_says() -> None:
    cloud, network, port = one_port()
    cloud.attach(port, tap="vnet7")
    state = desired(cloud)
    assert [(key, row.value) for key, row in rows(state, Tap).items()] == [
        (("", "vnet7"), Tap(1442, f"kbr{network[:11]}"))
    ]
    assert elements(state, "filtered") == {'"vnet7"': ""}


def test_a_provider_network_is_joined_to_the_operators_bridge_or_takes_the_operators_interface() -> None:
    cloud = Cloud()
    for number, physical in enumerate(("ext", "wire", "unmapped"), 1):
        attributes = {"provider:physical_network": physical}
        network = cloud.network(physical, number, f"10.0.{number}.0/24", **attributes)
        cloud.attach(cloud.port(physical, network, f"10.0.{number}.5", port_security_enabled=False), netns=physical)
    state = desired(cloud)
    far, near = names.patch(named("ext"))
    joined = rows(state, Veth)["", far].value
    assert isinstance(joined, Veth) and (joined.master, joined.peer_name) == ("br-ex", near)
    assert {key: row.value for key, row in rows(state, Member).items()} == {
        ("", near): Member(names.bridge(named("ext"))),
        ("", "eth1"): Member(names.bridge(named("wire"))),
    }
    marks = elements(state, "port_marks")
    assert marks[f'"{near}"'] == marks['"eth1"'] == "0x00000001"
    assert f'"{far}"' not in marks, "the operator's bridge is none of Kaon's"
    assert len(rows(state, Bridge)) == 3


def segment(physical: str | None) -> dict[str, object]:
    """One of a network's segments: a VLAN, or a tunnel where there is no physical network."""
    kind, number = ("vlan", 7) if physical else ("vxlan", 8)
    return {
        "provider:network_type": kind,
        "provider:physical_network": physical,
        "provider:segmentation_id": number,
    }


def test_of_several_segments_that_which_the_host_reaches_carries_the_network() -> None:
    cloud = Cloud()
    for number, (name, places) in enumerate(
        (("mapped", ("far", "ext", "wire")), ("tunnel", ("far", None)), ("nowhere", ("far", "beyond"))), 1
    ):
        several = {"provider:physical_network": None, "segments": [segment(place) for place in places]}
        network = cloud.network(name, number, f"10.0.{number}.0/24", **several)
        cloud.attach(cloud.port(name, network, f"10.0.{number}.5", port_security_enabled=False), netns=name)
    state = desired(cloud)
    far, _ = names.patch(named("mapped"))
    assert isinstance(rows(state, Veth)["", far].value, Veth)
    assert {name for _, name in rows(state, Bridge)} == {names.bridge(named(name)) for name in ("mapped", "tunnel")}
    told = state.port_states([])
    assert told[named("tunnel")] == told[named("mapped")] == PortState("ACTIVE")
    lost = told[named("nowhere")]
    assert lost.status == "DOWN"
    assert "reaches no segment" in lost.reason and "beyond, far" in lost.reason
    cloud.put("network", named("nowhere"), segments=[segment("far"), segment("ext")])
    state.apply(cloud.take())
    assert state.port_states([])[named("nowhere")] == PortState("ACTIVE")


def test_what_is_administratively_down_keeps_its_interface_and_carries_nothing() -> None:
    cloud, network, port = one_port()
    cloud.attach(port, netns="i")
    state = desired(cloud)
    near = f'"tap{port[:11]}"'
    for kind, id in (("port", port), ("network", network)):
        cloud.put(kind, id, admin_state_up=False)
        put, delete = state.apply(cloud.take())
        assert [row.id.key for row in put] == [("", "bridge", "kaon", "blocked", near)] and not delete
        assert state.port_states([])[port] == PortState("DOWN", "administratively down")
        cloud.put(kind, id, admin_state_up=True)
        state.apply(cloud.take())
        assert elements(state, "blocked") == {}


# ---------------------------------------------------------------- security


def test_a_port_is_marked_by_what_filters_it() -> None:
    cloud, _, port = one_port()
    cloud.attach(port, netns="i")
    state = desired(cloud)
    near = f'"tap{port[:11]}"'
    assert elements(state, "port_marks")[near] == "0x00000002", "no group: closed"
    cloud.put("port", port, port_security_enabled=False)
    state.apply(cloud.take())
    assert elements(state, "port_marks")[near] == "0x00000001", "no port security: trusted"
    assert not elements(state, "filtered") and not elements(state, "source_ip4") and not rows(state, AclPort)
    group = cloud.group("g", {"direction": "egress"})
    cloud.put("port", port, port_security_enabled=True, security_groups=[group])
    state.apply(cloud.take())
    mark = elements(state, "port_marks")[near]
    assert int(mark, 16) == int(policy_bucket(group), 16) * 128
    assert elements(state, "ingress_policies") == {mark: f"goto ingress-{mark}"}


def test_policies_whose_hashes_collide_have_marks_of_their_own() -> None:
    by_bucket: dict[str, str] = {}
    number = 0
    while True:
        number += 1
        group = named(f"g{number}")
        other = by_bucket.setdefault(policy_bucket(group), group)
        if other != group:
            break
    cloud = Cloud()
    network = cloud.network("n", 1, "10.0.0.0/24")
    for number, each in enumerate((group, other), 5):
        cloud.put("security_group", each)
        cloud.attach(cloud.port(each, network, f"10.0.0.{number}", security_groups=[each]), netns=each[:8])
    marks = set(elements(desired(cloud), "ingress_policies"))
    base = int(policy_bucket(group), 16) * 128
    assert {int(mark, 16) for mark in marks} == {base, base + 1}


def test_only_groups_in_use_here_are_compiled_here() -> None:
    cloud, _, port = one_port()
    used, unused = cloud.default_group("used"), cloud.default_group("unused")
    cloud.put("port", port, security_groups=[used])
    cloud.attach(port, netns="i")
    state = desired(cloud)
    chains = {key[3] for key in rows(state, Chain)}
    assert {f"egress-{used}", f"ingress-{used}"} <= chains and f"ingress-{unused}" not in chains
    assert set(rows(state, AclGroup)) == {(used,)}
    assert elements(state, f"members4-{used}") == {"10.0.0.5": ""}
    origins = [rule.origin for rule in rows(state, Chain)["", "inet", "kaon", f"ingress-{used}"].value.rules]  # type: ignore[attr-defined]
    assert origins == sorted(f"security_group_rule/{r}" for k, r in cloud.records if k == "security_group_rule" and (
        cloud.records[k, r]["security_group_id"] == used and cloud.records[k, r]["direction"] == "ingress"
    ))  # fmt: skip


def test_members_may_share_an_address_until_the_last_of_them_goes() -> None:
    cloud, network, port = one_port()
    group = cloud.default_group("g")
    pairs = [{"ip_address": "10.0.0.100"}, {"ip_address": "10.9.0.0/24"}]
    cloud.put("port", port, security_groups=[group], allowed_address_pairs=pairs)
    second = cloud.port("second", network, "10.0.0.6", security_groups=[group], allowed_address_pairs=pairs)
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert set(elements(state, f"members4-{group}")) == {"10.0.0.5", "10.0.0.6", "10.0.0.100"}
    assert set(elements(state, f"prefixes4-{group}")) == {"10.9.0.0/24"}
    cloud.delete("port", second)
    _, delete = state.apply(cloud.take())
    assert not [id for id in delete if id.key[-1] == "10.0.0.100"]
    cloud.put("port", port, allowed_address_pairs=[])
    state.apply(cloud.take())
    assert set(elements(state, f"members4-{group}")) == {"10.0.0.5"} and not elements(state, f"prefixes4-{group}")


def test_ports_that_are_only_members_are_known_to_who_judges_connections() -> None:
    cloud, network, port = one_port()
    group = cloud.default_group("g")
    cloud.put("port", port, security_groups=[group])
    other = cloud.port("other", network, "10.0.0.6", security_groups=[group])
    cloud.attach(port, netns="i")
    judged = rows(desired(cloud), AclPort)
    assert judged[(other,)].value == AclPort(7, ("10.0.0.6/32",), (group,), local=False)
    here = judged[(port,)].value
    assert here == AclPort(7, ("10.0.0.5/32", "fe80::f816:3eff:fe00:1/128"), (group,))


def test_overlapping_allowed_prefixes_become_disjoint_elements() -> None:
    cloud, _, port = one_port()
    pairs = [{"ip_address": text} for text in ("10.9.0.0/24", "10.9.0.0/25", "10.9.1.0/24", "fd00:9::/64")]
    cloud.put("port", port, allowed_address_pairs=pairs)
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert [text.split(" . ")[2] for text in elements(state, "source_prefix4")] == ["10.9.0.0/23"]
    assert [text.split(" . ")[1] for text in elements(state, "nd_target_prefix")] == [
        "0xfd000009000000000000000000000000-0xfd00000900000000ffffffffffffffff"
    ]


# ---------------------------------------------------------------- services


def test_dhcp_comes_with_the_first_attachment_and_knows_every_port() -> None:
    cloud, network, port = one_port(dns_name="web")
    cloud.dhcp(network, "10.0.0.2")
    state = desired(cloud)
    assert not rows(state, DhcpServer) and not rows(state, DhcpHost)
    other = cloud.port("other", network, "10.0.0.6")
    cloud.attach(port, netns="i")
    state.apply(cloud.take())
    netns = f"kaon-net-{network}"
    assert (netns,) in rows(state, Netns) and (netns,) in rows(state, DhcpServer)
    assert {key: row.value for key, row in rows(state, DhcpHost).items()} == {
        (netns, port): DhcpHost("fa:16:3e:00:00:01", ("10.0.0.5",), ("web", "web.openstacklocal")),
        (netns, other): DhcpHost("fa:16:3e:00:00:03", ("10.0.0.6",), ("host-10-0-0-6", "host-10-0-0-6.openstacklocal")),
    }
    assert {key[1:] for key in rows(state, Address)} == {("dhcp", "10.0.0.2/24"), ("dhcp", "169.254.169.254/32")}
    cloud.put("subnet", cloud.subnets(network)[0]["id"], enable_dhcp=False)
    state.apply(cloud.take())
    assert not rows(state, DhcpServer) and not rows(state, DhcpHost)
    assert rows(state, MetadataListener), "metadata does not need DHCP"


def test_a_hosts_options_reach_its_own_tag_and_no_line_of_their_own() -> None:
    options = [
        {"opt_name": "mtu", "opt_value": "1400"},
        {"opt_name": "150", "opt_value": "10.0.0.9"},
        {"opt_name": "dns-server", "opt_value": "[fd00::1]", "ip_version": 6},
        {"opt_name": "tftp-server", "opt_value": "x\ndhcp-script=/bin/sh"},
    ]
    cloud, network, port = one_port(extra_dhcp_opts=options)
    cloud.dhcp(network, "10.0.0.2")
    cloud.attach(port, netns="i")
    (host,) = rows(desired(cloud), DhcpHost).values()
    assert host.value.options == ("option:mtu,1400", "150,10.0.0.9", "option6:dns-server,[fd00::1]")  # type: ignore[attr-defined]


def test_colliding_instances_are_told_apart_by_their_networks_namespaces() -> None:
    cloud = Cloud()
    for number, name in enumerate("ab", 1):
        network = cloud.network(name, number, "10.0.0.0/24")
        cloud.dhcp(network, "10.0.0.2")
        router = cloud.router(name)
        cloud.interface(router, network, "10.0.0.1")
        port = cloud.port(f"port {name}", network, "10.0.0.5", project_id=f"project {name}")
        cloud.attach(port, netns=name, instance_id=f"vm {name}", user_data="aGk=", hostname=name)
    found = {key: row.value.instance_id for key, row in rows(desired(cloud), MetadataInstance).items()}  # type: ignore[attr-defined]
    assert found == {
        (f"kaon-{kind}-{named(name)}", "10.0.0.5"): f"vm {name}" for name in "ab" for kind in ("net", "router")
    }


# ---------------------------------------------------------------- routers


def routed() -> tuple[Cloud, str, str]:
    cloud = Cloud()
    outside = cloud.network("outside", 1, "203.0.113.0/24", "2001:db8::/64", **{"provider:physical_network": "ext"})
    inside = cloud.network("inside", 2, "10.0.0.0/24")
    router = cloud.router("r", routes=[{"destination": "192.0.2.0/24", "nexthop": "10.0.0.77"}])
    cloud.interface(router, inside, "10.0.0.1")
    cloud.gateway(router, outside, "203.0.113.10", "2001:db8::10")
    port = cloud.port("p", inside, "10.0.0.5")
    return cloud, router, port


def test_a_router_has_addresses_and_routes() -> None:
    cloud, router, _ = routed()
    state = desired(cloud)
    netns = f"kaon-router-{router}"
    addresses = {key[2] for key in rows(state, Address) if key[0] == netns and not key[2].startswith("fe80")}
    assert addresses == {"10.0.0.1/24", "203.0.113.10/24", "2001:db8::10/64", "169.254.169.254/32"}
    routes = {key[1]: row.value.via for key, row in rows(state, Route).items()}  # type: ignore[attr-defined]
    assert routes == {"192.0.2.0/24": "10.0.0.77", "0.0.0.0/0": "203.0.113.1", "::/0": "2001:db8::1"}


def test_a_floating_ip_moves_by_three_rows() -> None:
    cloud, router, port = routed()
    state = desired(cloud)
    fip = cloud.floatingip("203.0.113.20", router, port, "10.0.0.5")
    put, delete = state.apply(cloud.take())
    assert len(put) == 3 and not delete and {row.origin for row in put} == {f"floatingip/{fip}"}
    (address,) = (row.value for row in put if isinstance(row.value, Address))
    assert address == Address(announce=True, exclusive=True)
    cloud.put("floatingip", fip, fixed_ip_address="10.0.0.6")
    put, delete = state.apply(cloud.take())
    assert elements(state, "floating_to_fixed", f"kaon-router-{router}") == {"203.0.113.20": "10.0.0.6"}
    assert len(put) == 2 and len(delete) == 1
    cloud.put("floatingip", fip, fixed_ip_address=None, port_id=None, router_id=None)
    put, delete = state.apply(cloud.take())
    assert not put and len(delete) == 3


def test_every_ipv6_mode_has_its_advertisement_and_its_dhcp_range() -> None:
    expected = {
        "slaac": ("fd00::,ra-only,64,86400s", None),
        "dhcpv6-stateless": ("fd00::,ra-stateless,64,86400s", "fd00::,static,64,86400s"),
        "dhcpv6-stateful": ("fd00::,static,64,86400s", "fd00::,static,64,86400s"),
    }
    for mode, (advertised, served) in expected.items():
        cloud = Cloud()
        network = cloud.network("n", 1)
        cloud.subnet(network, "fd00::/64", ipv6_ra_mode=mode, ipv6_address_mode=mode)
        router = cloud.router("r")
        cloud.interface(router, network, "fd00::1")
        cloud.dhcp(network, "fd00::2")
        cloud.attach(cloud.port("p", network, "fd00::5"), netns="i")
        state = desired(cloud)
        servers: dict[str, Any] = {key[0].split("-")[1]: row.value for key, row in rows(state, DhcpServer).items()}
        assert [line.split(",", 1)[1] for line in servers["router"].options if line.startswith("dhcp-range")] == [
            advertised
        ]
        ranges = [line.split(",", 1)[1] for line in servers["net"].leaseless if line.startswith("dhcp-range")]
        assert ranges == ([served] if served else [])


# ---------------------------------------------------------------- status


def test_a_port_is_active_unless_a_row_that_it_needs_has_failed() -> None:
    cloud, network, port = one_port()
    group = cloud.default_group("g")
    cloud.put("port", port, security_groups=[group])
    other = cloud.port("other", network, "10.0.0.6")
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert state.port_states([]) == {port: PortState("ACTIVE"), other: PortState("DOWN")}
    bridge = Failure("bridge", ("", names.bridge(network)), f"network/{network}", "no such device")
    assert state.port_states([bridge])[port] == PortState("DOWN", f"network/{network}: no such device")
    chain = Failure("chain", ("", "inet", "kaon", f"ingress-{group}"), f"security_group/{group}", "nft refused it")
    assert state.port_states([chain], [port])[port].status == "DOWN"
    gone = Failure("veth", ("", "tapelsewhere"), "port/gone", "no such namespace")
    assert state.port_states([gone])[port] == PortState("ACTIVE")


def test_a_world_that_forgot_everything_leaves_what_every_host_has() -> None:
    cloud, _, port = one_port()
    cloud.attach(port, netns="i")
    empty = Desired(World(), CONFIG).snapshot()
    state = desired(cloud)
    state.apply([Change(kind, id, record, None) for (kind, id), record in cloud.records.items()])
    assert state.snapshot() == empty
