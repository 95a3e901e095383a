"""openstacksdk's methods of every family of the network proxy: create, get, find, update, list and delete."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from openstack.connection import Connection
from openstack.network.v2._proxy import Proxy

from tests.e2e.conftest import connect
from tests.running import Running

pytestmark = pytest.mark.slow


class Family(NamedTuple):
    """How a resource is made, and what of it is changed; what belongs to a `parent` is asked for with it.

    Values that begin with ``@`` are the ids of what the module's cloud holds.
    """

    kind: str
    values: dict[str, Any]
    changes: Mapping[str, Any] = MappingProxyType({})
    many: str = ""
    parent: str = ""

    @property
    def listing(self) -> str:
        """Name of the method that lists."""
        return self.many or f"{self.kind}s"


NAMED = {"name": "one"}
OTHER = {"name": "two"}
RULE = {"security_group_id": "@group", "direction": "ingress", "ether_type": "IPv4", "protocol": "tcp"}
VLAN = {"network_type": "vlan", "physical_network": "p9"}

FAMILIES = (
    Family("address_group", {**NAMED, "addresses": ["192.0.2.0/24"]}, OTHER),
    Family("address_scope", {**NAMED, "ip_version": 4}, OTHER),
    Family("conntrack_helper", {"protocol": "udp", "helper": "tftp", "port": 69}, {"port": 70}, parent="@router"),
    Family("default_security_group_rule", {"direction": "ingress", "ether_type": "IPv4", "protocol": "tcp", "used_in_default_sg": False,
                                           "used_in_non_default_sg": True}),
    Family("flavor", {**NAMED, "service_type": "L3_ROUTER_NAT"}, OTHER),
    Family("ip", {"floating_network_id": "@outer", "description": "one"}, {"description": "two"}),
    Family("local_ip", {**NAMED, "network_id": "@network"}, OTHER),
    Family("metering_label", NAMED),
    Family("metering_label_rule", {"metering_label_id": "@label", "direction": "ingress",
                                   "source_ip_prefix": "10.0.0.0/24"}),
    Family("ndp_proxy", {**NAMED, "router_id": "@router", "port_id": "@port"}, OTHER, many="ndp_proxies"),
    Family("network", NAMED, OTHER),
    Family("network_segment_range", {**NAMED, **VLAN, "minimum": 100, "maximum": 110, "shared": True}, OTHER),
    Family("port", {**NAMED, "network_id": "@network"}, OTHER),
    Family("qos_bandwidth_limit_rule", {"max_kbps": 1000}, {"max_kbps": 2000}, parent="@policy"),
    Family("qos_dscp_marking_rule", {"dscp_mark": 26}, {"dscp_mark": 28}, parent="@policy"),
    Family("qos_minimum_bandwidth_rule", {"min_kbps": 10}, {"min_kbps": 20}, parent="@policy"),
    Family("qos_minimum_packet_rate_rule", {"min_kpps": 10, "direction": "any"}, {"min_kpps": 20}, parent="@policy"),
    Family("qos_packet_rate_limit_rule", {"max_kpps": 10}, {"max_kpps": 20}, parent="@policy"),
    Family("qos_policy", NAMED, OTHER, many="qos_policies"),
    Family("rbac_policy", {"object_type": "network", "object_id": "@network", "action": "access_as_shared",
                           "target_project_id": "red"}, {"target_project_id": "green"}, many="rbac_policies"),
    Family("router", NAMED, OTHER),
    Family("security_group", NAMED, OTHER),
    Family("security_group_rule", RULE),
    Family("segment", {**NAMED, **VLAN, "network_id": "@vlan", "segmentation_id": 3001}, OTHER),
    Family("service_profile", {"meta_info": "m", "description": "one"}, {"description": "two"}),
    Family("subnet", {**NAMED, "network_id": "@network", "ip_version": 4, "cidr": "10.2.0.0/24"}, OTHER),
    Family("subnet_pool", {**NAMED, "prefixes": ["10.64.0.0/16"], "default_prefix_length": 26}, OTHER),
    Family("trunk", {**NAMED, "port_id": "@port"}, OTHER),
)  # fmt: skip

ELSEWHERE = {
    "floating_ip_port_forwarding": "takes its parent first",
    "port_forwarding": "takes its parent first",
    "local_ip_association": "has no id of its own",
    "port_binding": "has no id of its own",
    "ports": "makes several",
    "security_group_rules": "makes several",
    "security_groups_default_statefulness": "names the record as Neutron does not",
}
"""Creations of another form, and why: tests of their own are below, or in other files."""

OTHER_SERVICES = (
    "bgp",
    "bgpvpn",
    "firewall",
    "health_monitor",
    "listener",
    "load_balancer",
    "pool",
    "sfc",
    "tap",
    "vpn",
)
"""What the proxy's methods of other projects' services begin with; Kaon announces none of these."""


@pytest.fixture(scope="module")
def held(cloud: Connection) -> Iterator[dict[str, str]]:
    """Ids of what families need: a network with a port behind a router, a group, a policy, a label."""
    net = cloud.network
    scope = net.create_address_scope(name="six", ip_version=6, shared=True)
    pool = net.create_subnet_pool(
        name="six", prefixes=["2001:db8::/48"], default_prefix_length=64, address_scope_id=scope.id, shared=True
    )
    outer = net.create_network(name="outer", is_router_external=True)
    net.create_subnet(network_id=outer.id, ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False)
    net.create_subnet(network_id=outer.id, ip_version=6, subnetpool_id=pool.id, enable_dhcp=False)
    network = net.create_network(name="held")
    subnets = [
        net.create_subnet(network_id=network.id, ip_version=4, cidr="10.1.0.0/24"),
        net.create_subnet(network_id=network.id, ip_version=6, subnetpool_id=pool.id),
    ]
    router = net.create_router(name="held", external_gateway_info={"network_id": outer.id})
    net.update_router(router, enable_ndp_proxy=True)
    for subnet in subnets:
        net.add_interface_to_router(router, subnet=subnet.id)
    vlan = net.create_network(
        name="vlan", provider_network_type="vlan", provider_physical_network="p9", provider_segmentation_id=3000
    )
    made = {
        "@outer": outer, "@network": network, "@router": router, "@vlan": vlan,
        "@port": net.create_port(network_id=network.id, name="held"),
        "@group": net.create_security_group(name="held"),
        "@policy": net.create_qos_policy(name="held"),
        "@label": net.create_metering_label(name="held"),
    }  # fmt: skip
    yield {name: item.id for name, item in made.items()}


def method(cloud: Connection, verb: str, family: Family) -> Callable[..., Any] | None:
    found: Callable[..., Any] | None = getattr(cloud.network, f"{verb}_{family.kind}", None)
    return found


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_a_family_is_made_found_changed_listed_and_removed(
    cloud: Connection, held: dict[str, str], family: Family
) -> None:
    parent = [held[family.parent]] if family.parent else []
    values = {name: held.get(str(value), value) for name, value in family.values.items()}
    create, update, find = (method(cloud, verb, family) for verb in ("create", "update", "find"))
    get, delete = getattr(cloud.network, f"get_{family.kind}"), getattr(cloud.network, f"delete_{family.kind}")
    listing = getattr(cloud.network, family.listing)
    assert create is not None

    made = create(*parent, **values)
    assert {name: getattr(made, name) for name in values} == values
    assert get(made.id, *parent).to_dict() == made.to_dict()
    assert made.id in [item.id for item in listing(*parent)]
    if find is not None:
        assert find(made.id, *parent).id == made.id
        if "name" in values and not parent:
            assert find(values["name"]).id == made.id
            assert [item.id for item in listing(name=values["name"])] == [made.id]
    if family.changes:
        assert update is not None
        changed = update(made.id, *parent, **family.changes)
        assert {name: getattr(changed, name) for name in family.changes} == family.changes
        assert get(made.id, *parent).to_dict() == changed.to_dict()
    delete(made.id, *parent, ignore_missing=False)
    assert made.id not in [item.id for item in listing(*parent)]
    if find is not None:
        assert find(made.id, *parent) is None


def test_port_forwardings(cloud: Connection, held: dict[str, str]) -> None:
    net = cloud.network
    float_ = net.create_ip(floating_network_id=held["@outer"])
    inside = next(item["ip_address"] for item in net.get_port(held["@port"]).fixed_ips if "." in item["ip_address"])
    values = {"internal_port_id": held["@port"], "internal_ip_address": inside, "internal_port": 22, "protocol": "tcp"}
    made = net.create_floating_ip_port_forwarding(float_, external_port=2222, **values)
    assert net.get_floating_ip_port_forwarding(float_, made.id).external_port == 2222
    assert net.find_floating_ip_port_forwarding(float_, made.id).id == made.id
    assert net.update_floating_ip_port_forwarding(float_, made.id, external_port=2223).external_port == 2223
    assert [item.id for item in net.floating_ip_port_forwardings(float_)] == [made.id]
    net.delete_floating_ip_port_forwarding(float_, made.id, ignore_missing=False)

    made = net.create_port_forwarding(floatingip_id=float_.id, external_port=2222, **values)
    assert net.get_port_forwarding(made.id, float_).internal_port == 22
    assert net.find_port_forwarding(made.id, float_).id == made.id
    assert net.update_port_forwarding(made.id, float_, external_port=2224).external_port == 2224
    assert [item.id for item in net.port_forwardings(float_)] == [made.id]
    net.delete_port_forwarding(made.id, float_, ignore_missing=False)
    net.delete_ip(float_, ignore_missing=False)


def test_local_ips_stand_for_ports(cloud: Connection, held: dict[str, str]) -> None:
    net = cloud.network
    local = net.create_local_ip(name="l", network_id=held["@network"])
    inside = next(item["ip_address"] for item in net.get_port(held["@port"]).fixed_ips if "." in item["ip_address"])
    made = net.create_local_ip_association(local, fixed_port_id=held["@port"], fixed_ip=inside)
    assert made.fixed_ip == inside
    assert [item.fixed_port_id for item in net.local_ip_associations(local)] == [held["@port"]]
    net.delete_local_ip_association(local, held["@port"], ignore_missing=False)
    assert list(net.local_ip_associations(local)) == []
    net.delete_local_ip(local, ignore_missing=False)


@pytest.fixture
def nova(kaon: Running, cloud: Connection) -> Iterator[Connection]:
    """A client with the role `service`, which alone may bind ports several times."""
    identity = cloud.identity
    role = identity.find_role("service") or identity.create_role(name="service")
    identity.assign_project_role_to_user(cloud.current_project_id, cloud.current_user_id, role)
    with connect(kaon) as connection:
        yield connection
    identity.unassign_project_role_from_user(cloud.current_project_id, cloud.current_user_id, role)


def test_a_port_is_bound_on_another_host_and_moves_there(nova: Connection, held: dict[str, str]) -> None:
    net = nova.network
    port = net.create_port(network_id=held["@network"], binding_host_id="h1", device_owner="compute:a", device_id="d")
    made = net.create_port_binding(port, host="h2")
    assert (made.host, made.status) == ("h2", "INACTIVE")
    assert {item.host: item.status for item in net.port_bindings(port)} == {"h1": "ACTIVE", "h2": "INACTIVE"}
    net.activate_port_binding(port, host="h2")
    assert net.get_port(port).binding_host_id == "h2"
    net.delete_port_binding(port, "h1")
    assert {item.host for item in net.port_bindings(port)} == {"h2"}
    net.delete_port(port, ignore_missing=False)


def test_several_are_made_at_once(cloud: Connection, held: dict[str, str]) -> None:
    net = cloud.network
    ports = list(net.create_ports([{"network_id": held["@network"], "name": f"p{i}"} for i in range(3)]))
    assert [port.name for port in ports] == ["p0", "p1", "p2"]
    rules = list(net.create_security_group_rules([{**RULE, "security_group_id": held["@group"],
                                                   "port_range_min": port, "port_range_max": port}
                                                  for port in (80, 443)]))  # fmt: skip
    assert {rule.port_range_min for rule in rules} == {80, 443}
    for port in ports:
        net.delete_port(port, ignore_missing=False)
    for rule in rules:
        net.delete_security_group_rule(rule, ignore_missing=False)


def test_what_is_only_read(cloud: Connection, held: dict[str, str]) -> None:
    net = cloud.network
    assert {zone.resource for zone in net.availability_zones()} >= {"network", "router"}
    agent = next(net.agents())
    assert net.get_agent(agent.id).host == agent.host
    assert net.find_extension("router").alias == "router"
    assert net.get_network_ip_availability(held["@network"]).network_name == "held"
    assert "held" in [item.network_name for item in net.network_ip_availabilities()]
    assert "L3_ROUTER_NAT" in [item.service_type for item in net.service_providers()]
    assert net.get_qos_rule_type("dscp_marking").type == "dscp_marking"
    assert "bandwidth_limit" in [item.type for item in net.qos_rule_types()]
    assert net.get_quota_default(cloud.current_project_id).ports == 500
    assert net.get_quota(cloud.current_project_id, details=True).ports["used"] > 0


def test_no_creation_of_the_proxy_is_forgotten() -> None:
    creations = {name.removeprefix("create_") for name, _ in inspect.getmembers(Proxy) if name.startswith("create_")}
    own = {kind for kind in creations if not kind.startswith(OTHER_SERVICES)}
    assert own == {family.kind for family in FAMILIES} | ELSEWHERE.keys()
