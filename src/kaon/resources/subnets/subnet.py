"""Subnets: a prefix on a network, its addresses, and how hosts learn of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, UNSET, Attribute, Extension, Resource, named, standard
from kaon.resources.dns import dns_publishing
from kaon.resources.errors import ApiError, InvalidValue, conflict
from kaon.resources.networks.network import NETWORK
from kaon.resources.networks.network_access import EXTERNAL, SHARED, accessible
from kaon.resources.ports import dhcp_port, port_followers
from kaon.resources.roles import ADMIN, ADMIN_OR_NETWORK_OWNER_MEMBER, MEMBER, NETWORK_OWNER_READER, READER, either
from kaon.resources.segments import host_routes, routed
from kaon.resources.subnets import ipam, subnet_rules, subnetpool
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

AUTO_DELETED_OWNERS = ("network:dhcp",)
"""Ports that Kaon made for the network's own sake: they never keep a subnet in use."""


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a subnet; ports of the network that form their own addresses get theirs in it at once."""
    network = records.get(tx.conn, NETWORK, body["network_id"])
    siblings = records.by(tx.conn, SUBNET, network_id=network["id"])
    allocated = subnetpool.prefix_for(tx, body)
    values = subnet_rules.completed({**body, **allocated})
    subnet_rules.demand_room(values, network, siblings)
    scope = subnetpool.demand_affinity(tx, values, network, siblings)
    routed.demand_segment(tx, values, siblings)
    values["host_routes"] = host_routes.with_peers(values, siblings)
    subnet = records.insert(
        tx,
        SUBNET,
        {**values, "id": types.new_id(), "router:external": bool(network["external_to"])},
    )
    ipam.refill(tx, subnet)
    key = f"ipv{subnet['ip_version']}_address_scope"
    changes = {"subnets": [*network["subnets"], subnet["id"]], "routed": _is_routed([*siblings, subnet])}
    network = records.update(tx, NETWORK, network, {**changes, key: scope or network[key]})
    host_routes.tell_peers(tx, subnet)
    if ipam.is_auto(subnet):
        _give_automatic_addresses(tx, subnet, siblings)
    elif network["external_to"]:
        port_followers.give_gateways(tx, subnet)
    dhcp_port.ensure(tx, network["id"])
    return subnet


def _is_routed(subnets: Iterable[Record]) -> bool:
    """Whether a network with these subnets is several L2 domains."""
    return any(item["segment_id"] is not None for item in subnets)


def _give_automatic_addresses(tx: Transaction, subnet: Record, siblings: list[Record]) -> None:
    port = named("port")
    for item in records.by(tx.conn, port, network_id=subnet["network_id"]):
        owner = item["device_owner"]
        if subnet["service_types"] and owner not in subnet["service_types"]:
            continue
        if not routed.serves(tx, subnet, siblings, item):
            continue
        added = ipam.allocate(tx, item["id"], ipam.automatic([subnet], item["mac_address"], owner))
        port_followers.follow(tx, records.update(tx, port, item, {"fixed_ips": [*item["fixed_ips"], *added]}))


def update(tx: Transaction, subnet: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; changed pools decide anew which addresses are free."""
    after = subnet_rules.changed(subnet, body)
    if after["gateway_ip"] != subnet["gateway_ip"]:
        _demand_free_gateway(tx, subnet)
    others = [item for item in records.by(tx.conn, SUBNET, network_id=subnet["network_id"]) if item != subnet]
    if after["segment_id"] != subnet["segment_id"]:
        routed.demand_association(tx, subnet, after["segment_id"], others)
        network = records.get(tx.conn, NETWORK, subnet["network_id"])
        records.update(tx, NETWORK, network, {"routed": _is_routed([*others, after])})
    gone = host_routes.by_gateway(subnet, others) if after["gateway_ip"] != subnet["gateway_ip"] else []
    after["host_routes"] = host_routes.with_peers(after, others, gone)
    stored = records.update(tx, SUBNET, subnet, after)
    if stored["allocation_pools"] != subnet["allocation_pools"]:
        ipam.refill(tx, stored)
    if stored["enable_dhcp"] != subnet["enable_dhcp"]:
        dhcp_port.ensure(tx, stored["network_id"])
    return stored


def _demand_free_gateway(tx: Transaction, subnet: Record) -> None:
    """The gateway address cannot move away from a router that holds it."""
    if subnet["gateway_ip"] is None:
        return
    port, held = named("port").table, ipam.ALLOCATIONS
    holder = tx.execute(
        sa.select(port.c.id)
        .join(held, held.c.port_id == port.c.id)
        .where(
            held.c.subnet_id == subnet["id"],
            held.c.ip == subnet["gateway_ip"],
            port.c.device_owner.in_(ipam.ROUTER_INTERFACES),
        )
    ).scalar()
    if holder is not None:
        raise conflict(
            "GatewayIpInUse",
            f"Current gateway ip {subnet['gateway_ip']} already in use by port {holder}. Unable to update.",
        )


def delete(tx: Transaction, subnet: Record) -> None:
    """Remove a subnet; refused while a router or a port that was given an address there needs it."""
    port = named("port")
    held = sa.select(ipam.ALLOCATIONS.c.port_id).where(ipam.ALLOCATIONS.c.subnet_id == subnet["id"])
    users = records.select(tx.conn, port, port.table.c.id.in_(held))
    for item in users:
        keeps = item["device_owner"] in ipam.ROUTER_INTERFACES or not ipam.is_auto(subnet)
        if keeps and item["device_owner"] not in AUTO_DELETED_OWNERS:
            raise in_use(subnet)
        if subnet["segment_id"] is not None and all(ip["subnet_id"] == subnet["id"] for ip in item["fixed_ips"]):
            # On a routed network nothing else would give the port an address again.
            raise in_use(subnet)
    for item in users:
        lost = [ip for ip in item["fixed_ips"] if ip["subnet_id"] == subnet["id"]]
        ipam.release(tx, lost, {subnet["id"]: subnet})
        kept = [ip for ip in item["fixed_ips"] if ip not in lost]
        port_followers.follow(tx, records.update(tx, port, item, {"fixed_ips": kept}))
    ipam.close(tx, subnet["id"])
    records.delete(tx, SUBNET, subnet)
    _leave_network(tx, subnet)
    host_routes.tell_peers(tx, subnet, left=True)
    dhcp_port.ensure(tx, subnet["network_id"])


def _leave_network(tx: Transaction, subnet: Record) -> None:
    network = records.get(tx.conn, NETWORK, subnet["network_id"])
    others = records.by(tx.conn, SUBNET, network_id=network["id"])
    changes: dict[str, Any] = {
        "subnets": [id for id in network["subnets"] if id != subnet["id"]],
        "routed": _is_routed(others),
    }
    if all(item["ip_version"] != subnet["ip_version"] for item in others):
        changes[f"ipv{subnet['ip_version']}_address_scope"] = None
    records.update(tx, NETWORK, network, changes)


def in_use(subnet: Record) -> ApiError:
    """409: ports still have addresses in the subnet."""
    return conflict(
        "SubnetInUse",
        f"Unable to complete operation on subnet {subnet['id']}: One or more ports have an IP allocation from this "
        "subnet.",
    )


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    column = SUBNET.table.c.network_id
    own = sa.select(NETWORK.table.c.id).where(NETWORK.table.c.project_id == caller.project_id)
    return column.in_(accessible(caller, SHARED, EXTERNAL)) | column.in_(own)


def _filter_shared(values: list[str], caller: Caller) -> sa.ColumnElement[bool]:
    shared = SUBNET.table.c.network_id.in_(accessible(caller, SHARED))
    wanted = {types.BOOLEAN.parse(value) for value in values}
    return sa.or_(*(shared if value else ~shared for value in sorted(wanted)))


_POOL = types.object_of({"start": types.IP_ADDRESS, "end": types.IP_ADDRESS}, required=("start", "end"))


_POOLS = types.converted_list(types.list_of(_POOL, unique=False, null_is_empty=True))
_ROUTE = types.object_of({"destination": types.CIDR, "nexthop": types.IP_ADDRESS}, required=("destination", "nexthop"))


def _service_type(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidValue("InvalidInputSubnetServiceType", f"Subnet service type {value} is not a string.")
    return str(types.text(255).parse(value))


_SERVICE_TYPE = replace(types.text(255), parse=_service_type)

_MODE = types.nullable(types.one_of("dhcpv6-stateful", "dhcpv6-stateless", "slaac"))

SUBNET = Resource(
    name="subnet",
    collection="subnets",
    attributes=standard(
        Attribute("network_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("ip_version", types.one_of(4, 6), default=REQUIRED, post=True),
        Attribute("cidr", types.nullable(types.converted(types.CIDR)), default=UNSET, post=True, index=True),
        Attribute("gateway_ip", types.nullable(types.IP_ADDRESS), default=UNSET, post=True, put=True, index=True),
        Attribute(
            "allocation_pools",
            _POOLS,
            default=UNSET,
            post=True,
            put=True,
            filter=False,
            sort=False,
        ),
        Attribute(
            "dns_nameservers",
            types.list_of(types.IP_ADDRESS, null_is_empty=True),
            default=[],
            post=True,
            put=True,
            filter=False,
            sort=False,
        ),
        Attribute(
            "host_routes",
            types.list_of(_ROUTE, null_is_empty=True),
            default=[],
            post=True,
            put=True,
            filter=False,
            sort=False,
        ),
        Attribute("enable_dhcp", types.BOOLEAN, default=True, post=True, put=True),
        Attribute("ipv6_ra_mode", _MODE, default=None, post=True),
        Attribute("ipv6_address_mode", _MODE, default=None, post=True),
        Attribute(
            "subnetpool_id",
            types.nullable(types.UUID),
            default=None,
            post=True,
            index=True,
            alias="subnet_allocation",
        ),
        Attribute(
            "prefixlen",
            types.integer(0, 128),
            default=UNSET,
            post=True,
            shown=False,
            filter=False,
            derived=lambda _record, _caller: None,
            alias="subnet_allocation",
        ),
        Attribute(
            "use_default_subnetpool",
            types.BOOLEAN,
            default=False,
            post=True,
            shown=False,
            filter=False,
            derived=lambda _record, _caller: False,
            alias="default-subnetpools",
        ),
        Attribute(
            "service_types",
            types.list_of(_SERVICE_TYPE, null_is_empty=True),
            default=[],
            post=True,
            put=True,
            filter=False,
            sort=False,
            alias="subnet-service-types",
        ),
        Attribute(
            "segment_id",
            types.nullable(types.UUID),
            default=None,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            get_rule=ADMIN,
            index=True,
            alias="segment",
        ),
        *dns_publishing.SUBNET_ATTRIBUTES,
        Attribute("router:external", types.BOOLEAN, default=False, alias="subnet-external-network"),
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=ADMIN_OR_NETWORK_OWNER_MEMBER,
    get_rule=either(ADMIN, READER, "rule:shared", "rule:external_network", NETWORK_OWNER_READER, "rule:service_api"),
    update_rule=either(ADMIN_OR_NETWORK_OWNER_MEMBER, MEMBER),
    delete_rule=either(ADMIN_OR_NETWORK_OWNER_MEMBER, MEMBER),
    extra_rules={
        "external_network": "field:subnets:router:external=True",
        "get_subnet:tags": either(ADMIN, READER, "rule:shared", "rule:external_network", NETWORK_OWNER_READER),
    },
    parents={"network": ("network_id", "network")},
    head=("network_id", "router:external"),
    visible=_visible,
    filters={"shared": _filter_shared},
    quota=100,
)

RESOURCES = (SUBNET,)

EXTENSIONS = (
    Extension(
        "subnet-segmentid-writable",
        "Subnet SegmentID (writable)",
        "Provides a writable segment_id attribute for a subnet resource.",
        "2018-03-12T00:00:00-00:00",
    ),
    Extension(
        "subnet-segmentid-enforce",
        "Subnet SegmentID (policy enforced)",
        "Enforce segment_id policy rule.",
        "2018-09-04T00:00:00-00:00",
    ),
    Extension("subnet-service-types", "Subnet service types", "Reserves subnets for ports of certain device owners"),
    Extension(
        "subnet-external-network",
        "Subnet belongs to an external network",
        "Informs if the subnet belongs to an external network",
    ),
)
