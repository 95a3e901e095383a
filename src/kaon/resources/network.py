"""Networks: an L2 segment of a project, what carries it, and with whom it is shared."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import (
    agent_placement,
    availability_zone,
    defaults,
    dns,
    ranges,
    rbac_dependents,
    records,
    sharing,
    subnet_rules,
    types,
)
from kaon.resources.declare import UNSET, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import ApiError, bad_request, conflict, invalid
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER, READER, either
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

ZONES = "conntrack-zone"
"""Pool of conntrack zones: 16 bits, 0 is the kernel's default zone."""
VNIS = "vxlan"
"""Pool of VXLAN network identifiers."""
SHARED, EXTERNAL = "access_as_shared", "access_as_external"

VXLAN_OVERHEAD = 50
"""Bytes of outer Ethernet, IPv4, UDP and VXLAN headers (RFC 7348)."""

TYPES = ("flat", "geneve", "gre", "local", "vlan", "vxlan")


def first_start(tx: Transaction) -> None:
    """Fill the pools that networks take from, once in the life of a database."""
    ranges.fill(tx, ZONES, [(1, 2**16 - 1)])
    ranges.fill(tx, VNIS, [(1, 2**24 - 1)])


def _segment(tx: Transaction, body: dict[str, Any]) -> dict[str, Any]:
    """What carries a new network: the client's choice checked, or VXLAN with the next free identifier."""
    kind, physical, number = (
        body.get("provider:network_type"),
        body.get("provider:physical_network"),
        body.get("provider:segmentation_id"),
    )
    if kind is None:
        if physical is not None or number is not None:
            raise invalid("network_type required")
        kind = "vxlan"
    if kind in ("flat", "vlan") and not physical:
        raise invalid(f"physical_network required for {kind} provider network")
    if kind not in ("flat", "vlan") and physical:
        raise invalid(f"provider:physical_network specified for {kind} network")
    if kind in ("flat", "local") and number is not None:
        raise invalid(f"provider:segmentation_id specified for {kind} network")
    if kind in ("vxlan", "geneve", "gre"):
        if number is None:
            number = ranges.take_lowest(tx, VNIS)
            if number is None:
                raise conflict("NoNetworkAvailable", "Unable to create the network. No tenant network is available.")
        elif not 1 <= number < 2**24:
            raise invalid(f"segmentation_id out of range (1 through {2**24 - 1})")
        elif not ranges.take(tx, VNIS, number):
            raise conflict("TunnelIdInUse", f"Unable to create the network. The tunnel ID {number} is in use.")
    if kind in ("flat", "vlan"):
        number = _physical_segment(tx, kind, str(physical), number)
    return {
        "provider:network_type": kind,
        "provider:physical_network": physical,
        "provider:segmentation_id": number,
    }


def _physical_segment(tx: Transaction, kind: str, physical: str, vlan: int | None) -> int | None:
    table = NETWORK.table
    used = set(
        tx.execute(
            sa.select(table.c["provider:segmentation_id"]).where(
                table.c["provider:physical_network"] == physical, table.c["provider:network_type"] == kind
            )
        ).scalars()
    )
    if kind == "flat":
        if used:
            raise conflict(
                "FlatNetworkInUse",
                f"Unable to create the flat network. Physical network {physical} is in use.",
            )
        return None
    if vlan is None:
        vlan = next((number for number in range(1, 4095) if number not in used), None)
        if vlan is None:
            raise conflict("NoNetworkAvailable", f"No VLAN is free on physical network {physical}.")
    if not 1 <= vlan <= 4094:
        raise invalid("segmentation_id out of range (1 through 4094)")
    if vlan in used:
        raise conflict(
            "VlanIdInUse",
            f"Unable to create the network. The VLAN {vlan} on physical network {physical} is in use.",
        )
    return vlan


def largest_mtu(kind: str) -> int:
    """Bytes that a packet of this kind of network may have: the physical MTU less the tunnel's headers."""
    return defaults.physical_mtu() - (VXLAN_OVERHEAD if kind in ("vxlan", "geneve", "gre") else 0)


def _checked_mtu(kind: str, mtu: int | None) -> int:
    most = largest_mtu(kind)
    if mtu and mtu > most:
        raise invalid(f"Requested MTU is too big, maximum is {most}")
    return mtu or most


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a network: its segment, its conntrack zone, its MTU and whom it is shared with."""
    availability_zone.demand(body["availability_zone_hints"])
    zone = ranges.take_lowest(tx, ZONES)
    if zone is None:
        raise conflict("NoNetworkAvailable", f"Every conntrack zone is taken: {2**16 - 1} networks exist.")
    shared, external = body.pop("shared"), body.pop("router:external")
    values = {**body, **_segment(tx, body)}
    values["mtu"] = _checked_mtu(values["provider:network_type"], body.get("mtu"))
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
            "shared_with": [],
            "external_to": [],
        },
    )
    for wanted, action in ((shared, SHARED), (external, EXTERNAL)):
        if wanted:
            network = _grant(tx, network, action)
    if network["is_default"]:
        _demand_only_default(tx, network)
    return network


def _grant(tx: Transaction, network: Record, action: str) -> Record:
    """Give everybody access of one kind through an RBAC policy, as ``shared`` and ``router:external`` mean."""
    named("rbac_policy").create(
        tx,
        {
            "project_id": network["project_id"],
            "object_type": "network",
            "object_id": network["id"],
            "action": action,
            "target_tenant": "*",
        },
    )
    return records.get(tx.conn, NETWORK, network["id"])


def _revoke(tx: Transaction, network: Record, action: str) -> Record:
    if action == EXTERNAL:
        _demand_no_gateways(tx, network)
    policy = named("rbac_policy")
    column = policy.table.c
    for entry in records.select(
        tx.conn,
        policy,
        column.object_id == network["id"],
        column.action == action,
        column.target_tenant == "*",
    ):
        try:
            policy.delete(tx, entry)
        except ApiError as error:
            if error.type != "RbacPolicyInUse":
                raise
            raise conflict(
                "InvalidSharedSetting",
                f"Unable to reconfigure sharing settings for network {network['id']}. Multiple projects are using it.",
            ) from None
    return records.get(tx.conn, NETWORK, network["id"])


def _demand_only_default(tx: Transaction, network: Record) -> None:
    """Raise 409 when another external network is the default one."""
    for other in records.select(tx.conn, NETWORK, NETWORK.table.c.is_default) if network["external_to"] else ():
        if other["id"] != network["id"] and other["external_to"]:
            raise conflict("DefaultExternalNetworkExists", f"A default external network already exists: {other['id']}.")


def _demand_no_gateways(tx: Transaction, network: Record) -> None:
    if rbac_dependents.projects(tx, "network", EXTERNAL, network["id"]):
        raise conflict(
            "ExternalNetworkInUse",
            f"External network {network['id']} cannot be updated to be made non-external, since it has existing "
            "gateway ports.",
        )


def update(tx: Transaction, network: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; sharing and externality change the RBAC policies behind them."""
    for name in ("provider:network_type", "provider:physical_network", "provider:segmentation_id"):
        if name in body and body.pop(name) != network[name]:
            raise bad_request("Plugin does not support updating the following provider network attributes: " + name)
    for name, action, targets in (("shared", SHARED, "shared_with"), ("router:external", EXTERNAL, "external_to")):
        if name in body:
            wanted = body.pop(name)
            if wanted and "*" not in network[targets]:
                network = _grant(tx, network, action)
            elif not wanted and "*" in network[targets]:
                network = _revoke(tx, network, action)
    if "mtu" in body:
        body["mtu"] = _checked_mtu(network["provider:network_type"], body["mtu"])
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
    if network["provider:network_type"] in ("vxlan", "geneve", "gre"):
        ranges.give_back(tx, VNIS, network["provider:segmentation_id"])
    ranges.give_back(tx, ZONES, network["zone"])
    records.delete(tx, NETWORK, network)


def accessible(caller: Caller, *actions: str) -> sa.Select[tuple[str]]:
    """Ids of the networks that RBAC policies open to the caller's project."""
    column = named("rbac_policy").table.c
    return sa.select(column.object_id).where(
        column.object_type == "network",
        column.action.in_(actions),
        column.target_tenant.in_(("*", caller.project_id)),
    )


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    return NETWORK.table.c.id.in_(accessible(caller, SHARED, EXTERNAL))


def _filter_external(values: list[str], caller: Caller) -> sa.ColumnElement[bool]:
    column = named("rbac_policy").table.c
    external = NETWORK.table.c.id.in_(
        sa.select(column.object_id).where(column.object_type == "network", column.action == EXTERNAL)
    )
    wanted = {types.BOOLEAN.parse(value) for value in values}
    return sa.or_(*(external if value else ~external for value in sorted(wanted)))


NETWORK = Resource(
    name="network",
    collection="networks",
    attributes=standard(
        Attribute("admin_state_up", types.BOOLEAN, default=True, post=True, put=True),
        Attribute("status", types.text(16)),
        Attribute("subnets", types.list_of(types.UUID), default=[], filter=False, sort=False),
        Attribute(
            "shared",
            types.BOOLEAN,
            default=False,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            derived=sharing.is_shared,
            filter=False,
        ),
        Attribute(
            "router:external",
            types.BOOLEAN,
            default=False,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            derived=lambda record, _caller: bool(record["external_to"]),
            filter=False,
            alias="external-net",
        ),
        *(
            Attribute(
                f"provider:{name}",
                types.nullable(kind),
                default=None,
                post=True,
                put=True,
                post_rule=ADMIN,
                put_rule=ADMIN,
                get_rule=ADMIN,
                alias="provider",
            )
            for name, kind in (
                ("network_type", types.one_of(*TYPES)),
                ("physical_network", types.text(64)),
                ("segmentation_id", types.integer(0, 2**24 - 1)),
            )
        ),
        Attribute("mtu", types.integer(0, 65535), default=UNSET, post=True, put=True, alias="net-mtu"),
        Attribute(
            "port_security_enabled",
            types.BOOLEAN,
            default=True,
            post=True,
            put=True,
            post_rule=ADMIN_OR_MEMBER,
            put_rule=ADMIN_OR_MEMBER,
            alias="port-security",
        ),
        Attribute(
            "is_default",
            types.BOOLEAN,
            default=False,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            alias="external-net",
        ),
        Attribute(
            "availability_zone_hints",
            types.list_of(types.text(255)),
            default=[],
            post=True,
            filter=False,
            sort=False,
            alias="network_availability_zone",
        ),
        Attribute(
            "availability_zones",
            types.list_of(types.text(255)),
            filter=False,
            sort=False,
            alias="network_availability_zone",
        ),
        Attribute("dns_domain", dns.DOMAIN, default="", post=True, put=True, alias="dns-integration"),
        Attribute("ipv4_address_scope", types.nullable(types.UUID), default=None, alias="address-scope"),
        Attribute("ipv6_address_scope", types.nullable(types.UUID), default=None, alias="address-scope"),
        Attribute("zone", types.integer(1, 2**16 - 1), internal=True),
        Attribute("shared_with", types.list_of(types.text(255)), internal=True),
        Attribute("external_to", types.list_of(types.text(255)), internal=True),
    ),
    create=create,
    update=update,
    delete=delete,
    get_rule=either(ADMIN, READER, "rule:shared", "rule:external", "rule:service_api"),
    extra_rules={"external": "field:networks:router:external=True"},
    head=("shared_with", "external_to"),
    visible=_visible,
    filters={"shared": sharing.shared_filter("network"), "router:external": _filter_external},
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
