"""Networks: an L2 segment of a project, what carries it, and with whom it is shared."""

from __future__ import annotations

from typing import Any

from kaon.resources import ranges, records, types
from kaon.resources.access import sharing
from kaon.resources.declare import Extension, Resource, named
from kaon.resources.errors import conflict
from kaon.resources.hosts import agent_placement, availability_zone
from kaon.resources.networks import ha_network, network_attributes, network_cascade, pvlan
from kaon.resources.networks.network_access import (
    EXTERNAL,
    SHARED,
    drop_idle_floatingips,
    filter_external,
    grant,
    revoke,
    visible,
)
from kaon.resources.qos import networks as qos_networks
from kaon.resources.roles import ADMIN, READER, either
from kaon.resources.segments import allocation, segment
from kaon.resources.subnets import subnet_rules
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

ZONES = "conntrack-zone"
"""Pool of conntrack zones: 16 bits, 0 is the kernel's default zone."""


def first_start(tx: Transaction) -> None:
    """Fill the pool of conntrack zones, once in the life of a database."""
    ranges.fill(tx, ZONES, [(1, 2**16 - 1)])


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a network: its segment, its conntrack zone, its MTU and whom it is shared with."""
    availability_zone.demand(body["availability_zone_hints"])
    zone = ranges.take_lowest(tx, ZONES)
    if zone is None:
        raise conflict("NoNetworkAvailable", f"Every conntrack zone is taken: {2**16 - 1} networks exist.")
    body["qos_policy_id"] = qos_networks.for_creation(tx, body)
    shared, external = body.pop("shared"), body.pop("router:external")
    pvlan.demand_network(body)
    id = types.new_id()
    segments = [allocation.reserve(tx, item, body["project_id"]) for item in segment.wanted(body)]
    network = records.insert(
        tx,
        NETWORK,
        {
            **body,
            **segment.shown(segments),
            "id": id,
            "mtu": allocation.checked_mtu([item.kind for item in segments], body.get("mtu")),
            "status": "ACTIVE",
            "subnets": [],
            "availability_zones": [],
            "zone": zone,
            "ha_of": ha_network.demand_only(tx, body["ha"], tx.caller.project_id),
            "shared_with": [],
            "external_to": [],
        },
    )
    segment.carry(tx, id, segments)
    for wanted, action in ((shared, SHARED), (external, EXTERNAL)):
        if wanted:
            network = grant(tx, network, action)
    if network["is_default"]:
        _demand_only_default(tx, network)
    return network


def _demand_only_default(tx: Transaction, network: Record) -> None:
    """Raise 409 when another external network is the default one, whether this one is external or not."""
    for other in records.select(tx.conn, NETWORK, NETWORK.table.c.is_default):
        if other["id"] != network["id"] and other["external_to"]:
            raise conflict("DefaultExternalNetworkExists", f"A default external network already exists: {other['id']}.")


def update(tx: Transaction, network: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; sharing and externality change the RBAC policies behind them."""
    carried = segment.changed(tx, network, body)
    body = {name: value for name, value in body.items() if name not in (*segment.ATTRIBUTES, "segments")} | carried
    for name, action, targets in (("shared", SHARED, "shared_with"), ("router:external", EXTERNAL, "external_to")):
        if name in body:
            wanted = body.pop(name)
            if wanted and "*" not in network[targets]:
                network = grant(tx, network, action)
            elif not wanted and "*" in network[targets]:
                network = revoke(tx, network, action)
    if "mtu" in body:
        kinds = [item["network_type"] for item in segment.of_network(tx, network["id"])]
        body["mtu"] = allocation.checked_mtu(kinds, body["mtu"])
        for item in records.by(tx.conn, named("subnet"), network_id=network["id"]):
            subnet_rules.demand_mtu(item["ip_version"], network["id"], body["mtu"])
    if body.get("is_default"):
        _demand_only_default(tx, network)
    pvlan.demand_network({**network, **body})
    stored = records.update(tx, NETWORK, network, body)
    qos_networks.follow(tx, network, stored)
    pvlan.network_changed(tx, network, stored)
    return stored


AUTO_DELETED_OWNERS = ("network:dhcp",)
"""Ports that Kaon made for the network's own sake go with it."""


def delete(tx: Transaction, network: Record) -> None:
    """Remove a network with its subnets and its idle floating IPs; refused while somebody's port is on it."""
    port, subnet = named("port"), named("subnet")
    drop_idle_floatingips(tx, network["id"])
    ports = records.select(tx.conn, port, port.table.c.network_id == network["id"])
    if any(item["device_owner"] not in AUTO_DELETED_OWNERS for item in ports):
        raise conflict(
            "NetworkInUse",
            f"Unable to complete operation on network {network['id']}. There are one or more ports still in use on "
            "the network, id for these ports is: "
            + ",".join(item["id"] for item in ports if item["device_owner"] not in AUTO_DELETED_OWNERS)
            + ".",
        )
    for item in ports:
        port.delete(tx, item)
    for item in records.select(tx.conn, subnet, subnet.table.c.network_id == network["id"]):
        subnet.delete(tx, item)
    network = records.get(tx.conn, NETWORK, network["id"])
    sharing.forget_policies(tx, network)
    agent_placement.forget(tx, resource_id=network["id"])
    segment.drop(tx, network["id"])
    ranges.give_back(tx, ZONES, network["zone"])
    records.delete(tx, NETWORK, network)


NETWORK = Resource(
    name="network",
    collection="networks",
    attributes=network_attributes.ATTRIBUTES,
    create=create,
    update=update,
    delete=delete,
    cascade=network_cascade.delete,
    get_rule=either(ADMIN, READER, "rule:shared", "rule:external", "rule:service_api"),
    extra_rules={
        "external": "field:networks:router:external=True",
        "get_network:tags": either(ADMIN, READER, "rule:shared", "rule:external"),
    },
    head=("shared_with", "external_to"),
    visible=visible,
    filters={"shared": sharing.shared_filter("network"), "router:external": filter_external},
    quota=100,
)

RESOURCES = (NETWORK,)

EXTENSIONS = (
    Extension(
        "qinq",
        "QinQ networks",
        "Expose network 'qinq' attribute in the API. This allows to configure network to allow vlan in vlan "
        "configuration using 0x88a8 ethertype (QinQ).",
        "2024-12-02T10:00:00-00:00",
        awaits="no second tag is put on frames",
    ),
    Extension(
        "project-default-networks",
        "Default network for project",
        "Support specifying networks as default networks for projects",
        "2018-07-03T10:00:00-00:00",
    ),
    Extension("external-net", "Neutron external network", "Adds external network attribute to network resource."),
    Extension("net-mtu", "Network MTU", "Provides MTU attribute for a network resource."),
    Extension(
        "net-mtu-writable", "Network MTU (writable)", "Provides a writable MTU attribute for a network resource."
    ),
)
