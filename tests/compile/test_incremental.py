"""A change compiles its own scopes, and what comes of it equals compiling everything anew."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from kaon.compile.config import HostConfig
from kaon.rows import Row, RowId
from kaon.server.desired import Desired
from kaon.world.world import Change, World
from tests.compile.cloud import HOST, Cloud, named

CONFIG = HostConfig(host=HOST, physical_networks={"ext": "bridge:br-ex"})


def big_cloud(ports: int, attached: int) -> tuple[Cloud, str, str, str]:
    """A network of many ports in one default group, some attached; also DHCP, a router, and a network outside."""
    cloud = Cloud()
    outside = cloud.network("outside", 1, "203.0.113.0/24", **{"provider:physical_network": "ext"})
    network = cloud.network("n", 2, "10.0.0.0/16")
    subnet = cloud.subnets(network)[0]["id"]
    group = cloud.default_group("default")
    router = cloud.router("r")
    cloud.interface(router, network, "10.0.0.1")
    cloud.gateway(router, outside, "203.0.113.10")
    cloud.dhcp(network, "10.0.0.2")
    for number in range(ports):
        port = cloud.port(f"p{number}", network, security_groups=[group])
        address = f"10.0.{4 + number // 250}.{1 + number % 250}"
        cloud.put("port", port, fixed_ips=[{"subnet_id": subnet, "ip_address": address}])
        if number < attached:
            cloud.attach(port, netns=f"i{number}")
    return cloud, network, group, router


def compiled(desired: Desired, changes: list[Change]) -> tuple[list[Row], list[RowId], int]:
    before = desired.compiled
    put, delete = desired.apply(changes)
    return put, delete, desired.compiled - before


def test_a_port_among_ten_thousand_compiles_its_own_scopes() -> None:
    cloud, network, group, router = big_cloud(10_000, 1_000)
    desired = Desired(World(cloud.take()), CONFIG)

    port = cloud.port("new", network, "10.0.250.9", security_groups=[group])
    put, delete, scopes = compiled(desired, cloud.take())
    assert scopes == 2, "the port, and its address as a member of the group"
    assert {row.id.table for row in put} == {"element", "acl_port", "dhcp_host"} and len(put) == 3 and not delete

    cloud.attach(port, netns="new")
    put, delete, scopes = compiled(desired, cloud.take())
    assert scopes == 1 and not delete
    assert {row.origin for row in put} == {f"port/{port}"}

    cloud.put("port", port, name="renamed")
    put, delete, scopes = compiled(desired, cloud.take())
    assert (put, delete) == ([], []) and scopes == 1

    cloud.put("network", network, name="renamed")
    cloud.put("subnet", cloud.subnets(network)[0]["id"], name="renamed")
    put, delete, scopes = compiled(desired, cloud.take())
    assert (put, delete) == ([], []) and scopes == 4, "network, services, router and its interface"

    rule = cloud.rule(group, "ingress", protocol="tcp", port_range_min=80, port_range_max=80)
    put, delete, scopes = compiled(desired, cloud.take())
    assert scopes == 1 and {row.id.table for row in put} == {"chain", "acl_group"} and not delete
    cloud.delete("security_group_rule", rule)
    cloud.rule(group, "ingress", "IPv4", protocol="icmp", remote_group_id=group)
    _, _, scopes = compiled(desired, cloud.take())
    assert scopes == 1, "another rule with the same remote group is no matter for its members"

    floatingip = cloud.floatingip("203.0.113.50", router, port, "10.0.250.9")
    put, delete, scopes = compiled(desired, cloud.take())
    assert scopes == 2 and not delete, "itself, and the port whose metadata tells of it"
    assert {row.id.table for row in put} == {"address", "element", "metadata_instance"}

    cloud.delete("floatingip", floatingip)
    cloud.delete("attachment", port)
    cloud.delete("port", port)
    put, delete, scopes = compiled(desired, cloud.take())
    assert not put and scopes == 3
    assert not [row for row in desired.snapshot() if row.origin == f"port/{port}"]


def test_an_interface_more_leaves_a_routers_other_interfaces_alone() -> None:
    cloud = Cloud()
    router = cloud.router("r")
    networks = [cloud.network(f"n{number}", number + 1, f"10.{number}.0.0/24") for number in range(20)]
    for number, network in enumerate(networks[:-1]):
        cloud.interface(router, network, f"10.{number}.0.1")
    desired = Desired(World(cloud.take()), CONFIG)

    # As the API does it: the router counts a revision for each of its interfaces.
    cloud.interface(router, networks[-1], "10.19.0.1")
    cloud.put("router", router, revision_number=20)
    put, _, scopes = compiled(desired, cloud.take())
    assert scopes <= 4, "the port, its network with its services, the router"
    assert {row.origin.partition("/")[0] for row in put} == {"port", "network"}

    cloud.put("router", router, admin_state_up=False)
    _, _, scopes = compiled(desired, cloud.take())
    assert scopes >= 20, "all of its ports have to know that it is down"


def test_the_order_in_which_intent_came_does_not_show() -> None:
    cloud, *_ = big_cloud(30, 20)
    changes = cloud.take()
    last = {(change.kind, change.id): change for change in changes}
    first = Desired(World(changes), CONFIG).snapshot()
    for seed in range(5):
        shuffled = list(last.values())
        random.Random(seed).shuffle(shuffled)
        assert Desired(World(shuffled), CONFIG).snapshot() == first
    one_by_one = Desired(World(), CONFIG)
    for change in changes:
        one_by_one.apply([change])
    assert one_by_one.snapshot() == first


GROUPS = ["g0", "g1", "g2"]
step = st.tuples(
    st.sampled_from(
        ["port", "unport", "attach", "detach", "groups", "pairs", "rule", "unrule", "up", "down", "router", "unrouter",
         "interface", "gateway", "floatingip", "unfloatingip", "dhcp", "undhcp", "subnet", "security", "elsewhere",
         "underlay"]
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)  # fmt: skip


def advance(cloud: Cloud, networks: list[str], groups: list[str], action: str, one: int, two: int) -> None:
    """One random step of a tenant, in no order that an API would insist on."""
    network, group = networks[one % 2], groups[two % 3]
    port_id, router = named(f"p{one}"), named(f"r{one % 2}")
    port = cloud.records.get(("port", port_id))
    match action:
        case "port":
            if port is None:
                prefix = "10.0.0" if one % 2 == 0 else "10.0.1"
                # No two ports of a network share an address: the API sees to that, so it is no state to draw.
                cloud.port(f"p{one}", network, f"{prefix}.{10 * (one + 1) + two}", security_groups=[group])
        case "groups" if port:
            cloud.put("port", port_id, security_groups=groups[: two % 4])
        case "pairs" if port:
            pairs = [[], [{"ip_address": "10.9.0.0/24"}], [{"ip_address": "10.9.0.128/25"}, {"ip_address": "fd00::9"}]]
            cloud.put("port", port_id, allowed_address_pairs=pairs[two % 3])
        case "security" if port:
            cloud.put("port", port_id, port_security_enabled=bool(two % 2))
        case "up" | "down":
            kind, id = [("port", port_id), ("network", network), ("router", router)][two % 3]
            if (kind, id) in cloud.records:
                cloud.put(kind, id, admin_state_up=action == "up")
        case "attach" | "elsewhere":
            cloud.attach(port_id, netns=f"i{one}", host=HOST if action == "attach" else "host2")
        case "underlay":
            host = HOST if one % 2 else "host2"
            configurations = {"tunneling_ip": f"192.0.2.{one + 1}"} if two else {}
            cloud.put("agent", named(host), host=host, agent_type="Linux bridge agent", configurations=configurations)
        case "rule":
            cloud.rule(group, "ingress", remote_group_id=groups[one % 3])
        case "unrule":
            rules = sorted(id for kind, id in cloud.records if kind == "security_group_rule")
            if rules:
                cloud.delete("security_group_rule", rules[one % len(rules)])
        case "router":
            cloud.router(f"r{one % 2}")
        case "interface":
            cloud.interface(router, network, f"10.0.{one % 2}.1")
        case "gateway" if ("router", router) in cloud.records:
            cloud.gateway(router, networks[2], f"203.0.113.{10 + one % 2}", enable_snat=bool(two % 2))
        case "floatingip" if port and port["fixed_ips"]:
            cloud.floatingip(f"203.0.113.{20 + one}", router, port_id, port["fixed_ips"][0]["ip_address"])
        case "dhcp":
            cloud.dhcp(network, f"10.0.{one % 2}.2")
        case "subnet":
            cloud.put("subnet", cloud.subnets(network)[0]["id"], enable_dhcp=bool(two % 2))
        case "unport" | "detach" | "unrouter" | "unfloatingip" | "undhcp":
            kind, id = {
                "unport": ("port", port_id),
                "detach": ("attachment", port_id),
                "unrouter": ("router", router),
                "unfloatingip": ("floatingip", named(f"203.0.113.{20 + one}")),
                "undhcp": ("port", named(f"dhcp {network}")),
            }[action]
            if (kind, id) in cloud.records:
                cloud.delete(kind, id)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(step, min_size=1, max_size=4), min_size=8, max_size=30))
def test_any_sequence_of_changes_ends_where_compiling_anew_does(batches: list[list[tuple[str, int, int]]]) -> None:
    cloud = Cloud()
    tunnel = {"provider:network_type": "vxlan", "provider:segmentation_id": 7}
    networks = [cloud.network("a", 1, "10.0.0.0/24", **tunnel), cloud.network("b", 2, "10.0.1.0/24")]
    networks.append(cloud.network("outside", 3, "203.0.113.0/24", **{"provider:physical_network": "ext"}))
    groups = [cloud.group(name, {"direction": "egress"}) for name in GROUPS]
    history = cloud.take()
    desired = Desired(World(history), CONFIG)
    held = {row.id: row for row in desired.snapshot()}
    for batch in batches:
        for action, one, two in batch:
            advance(cloud, networks, groups, action, one, two)
        changes = cloud.take()
        history += changes
        put, delete = desired.apply(changes)
        for id in delete:
            del held[id]
        for row in put:
            assert held.get(row.id) != row, "nothing is put that was there already"
            held[row.id] = row
    anew = Desired(World(history), CONFIG)
    assert [held[id] for id in sorted(held)] == anew.snapshot()
    assert desired.snapshot() == anew.snapshot()
