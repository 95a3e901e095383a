"""Networks: an L2 segment of a project, what carries it, and with whom it is shared."""

from __future__ import annotations

from typing import Any

from kaon.resources import (
    agent_placement,
    availability_zone,
    ha_network,
    network_attributes,
    ranges,
    records,
    segment_allocation,
    sharing,
    subnet_rules,
    types,
)
from kaon.resources.declare import Extension, Resource, named
from kaon.resources.errors import bad_request, conflict
from kaon.resources.network_access import EXTERNAL, SHARED, filter_external, grant, revoke, visible
from kaon.resources.roles import ADMIN, READER, either
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
    shared, external = body.pop("shared"), body.pop("router:external")
    values = {**body, **segment_allocation.reserve(tx, body)}
    values["mtu"] = segment_allocation.checked_mtu(values["provider:network_type"], body.get("mtu"))
    network = records.insert(
        tx,
        NETWORK,
        {
            **values,
            "id": types.new_id(),
            "status": "ACTIVE",
            "subnets": [],
            "availability_zones": [],
            "zone": zone,
            "ha_of": ha_network.demand_only(tx, body["ha"], tx.caller.project_id),
            "shared_with": [],
            "external_to": [],
        },
    )
    for wanted, action in ((shared, SHARED), (external, EXTERNAL)):
        if wanted:
            network = grant(tx, network, action)
    if network["is_default"]:
        _demand_only_default(tx, network)
    return network


def _demand_only_default(tx: Transaction, network: Record) -> None:
    """Raise 409 when another external network is the default one."""
    for other in records.select(tx.conn, NETWORK, NETWORK.table.c.is_default) if network["external_to"] else ():
        if other["id"] != network["id"] and other["external_to"]:
            raise conflict("DefaultExternalNetworkExists", f"A default external network already exists: {other['id']}.")


def update(tx: Transaction, network: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; sharing and externality change the RBAC policies behind them."""
    for name in ("provider:network_type", "provider:physical_network", "provider:segmentation_id"):
        if name in body and body.pop(name) != network[name]:
            raise bad_request("Plugin does not support updating the following provider network attributes: " + name)
    for name, action, targets in (("shared", SHARED, "shared_with"), ("router:external", EXTERNAL, "external_to")):
        if name in body:
            wanted = body.pop(name)
            if wanted and "*" not in network[targets]:
                network = grant(tx, network, action)
            elif not wanted and "*" in network[targets]:
                network = revoke(tx, network, action)
    if "mtu" in body:
        body["mtu"] = segment_allocation.checked_mtu(network["provider:network_type"], body["mtu"])
        for item in records.by(tx.conn, named("subnet"), network_id=network["id"]):
            subnet_rules.demand_mtu(item["ip_version"], network["id"], body["mtu"])
    if body.get("is_default"):
        _demand_only_default(tx, network)
    return records.update(tx, NETWORK, network, body)


AUTO_DELETED_OWNERS = ("network:dhcp",)
"""Ports that Kaon made for the network's own sake go with it."""


def delete(tx: Transaction, network: Record) -> None:
    """Remove a network with its subnets and its idle floating IPs; refused while somebody's port is on it."""
    port, subnet, floatingip = named("port"), named("subnet"), named("floatingip")
    column = floatingip.table.c
    for item in records.select(
        tx.conn, floatingip, column.floating_network_id == network["id"], column.port_id.is_(None)
    ):
        floatingip.delete(tx, item)
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
    segment_allocation.release(tx, network)
    ranges.give_back(tx, ZONES, network["zone"])
    records.delete(tx, NETWORK, network)


NETWORK = Resource(
    name="network",
    collection="networks",
    attributes=network_attributes.ATTRIBUTES,
    create=create,
    update=update,
    delete=delete,
    get_rule=either(ADMIN, READER, "rule:shared", "rule:external", "rule:service_api"),
    extra_rules={"external": "field:networks:router:external=True"},
    head=("shared_with", "external_to"),
    visible=visible,
    filters={"shared": sharing.shared_filter("network"), "router:external": filter_external},
    quota=100,
)

RESOURCES = (NETWORK,)

EXTENSIONS = (
    Extension("external-net", "Neutron external network", "Adds external network attribute to network resource."),
    Extension("provider", "Provider Network", "Expose mapping of virtual networks to physical networks"),
    Extension("net-mtu", "Network MTU", "Provides MTU attribute for a network resource."),
    Extension(
        "net-mtu-writable", "Network MTU (writable)", "Provides a writable MTU attribute for a network resource."
    ),
)
