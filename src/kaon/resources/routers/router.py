"""Routers: they join subnets to each other and, through a gateway, to an external network."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import UNSET, Action, Attribute, Extension, Resource, standard
from kaon.resources.errors import bad_request, conflict
from kaon.resources.hosts import agent_placement, availability_zone
from kaon.resources.networks import ha_network
from kaon.resources.qos import addresses as qos_addresses
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER
from kaon.resources.routers import (
    conntrack_helper,
    extra_route,
    gateway_multihoming,
    ndp_proxy,
    router_flavor,
    router_gateway,
    router_ha,
    router_interface,
)
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

_DEFAULT_ROUTE = ("enable_default_route_ecmp", "enable_default_route_bfd")


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a router, with its gateway when one is asked for."""
    availability_zone.demand(body["availability_zone_hints"])
    router: Record = {
        **body,
        **router_flavor.kind(tx, body),
        **{name: bool(body.get(name)) for name in _DEFAULT_ROUTE},
        "flavor_id": body.get("flavor_id"),
        "id": types.new_id(),
        "status": "ACTIVE",
        "routes": [],
        "availability_zones": [],
        "external_gateway_info": None,
        "gateways": [],
    }
    gateway = router["external_gateway_info"] = router_gateway.changed(tx, router, body["external_gateway_info"])
    router["gateways"] = router_gateway.described(tx, router, gateway)
    router["gateway_qos_policy_id"] = qos_addresses.gateway_policy(gateway)
    router["enable_ndp_proxy"] = ndp_proxy.enabled(tx, router, body["enable_ndp_proxy"], gateway)
    made = records.insert(tx, ROUTER, router)
    if made["ha"]:
        ha_network.follow(tx, made["project_id"])
    return made


def update(tx: Transaction, router: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; the gateway changes before routes are judged, because they may lead through it."""
    unsaid = ("distributed", "ha", *_DEFAULT_ROUTE)
    changes = {name: value for name, value in body.items() if name not in unsaid or value is not None}
    router_flavor.demand_kept(router, changes)
    router_ha.demand_movable(router, changes)
    if changes.get("distributed", router["distributed"]) != router["distributed"] and router["admin_state_up"]:
        raise bad_request(
            "Bad router request: Cannot change the 'distributed' attribute of active routers. Please set router "
            "admin_state_up to False prior to upgrade.",
            "BadRequest",
        )
    if "external_gateway_info" in body:
        changes["external_gateway_info"] = router_gateway.changed(tx, router, body["external_gateway_info"])
        changes["gateway_qos_policy_id"] = qos_addresses.gateway_policy(changes["external_gateway_info"])
        # The gateway port's new addresses may have been written into the record already.
        router = records.get(tx.conn, ROUTER, router["id"])
        changes["gateways"] = router_gateway.described(tx, router, changes["external_gateway_info"])
    if {"enable_ndp_proxy", "external_gateway_info"} & body.keys():
        gateway = changes.get("external_gateway_info", router["external_gateway_info"])
        changes["enable_ndp_proxy"] = ndp_proxy.enabled(tx, router, body.get("enable_ndp_proxy"), gateway)
    if "routes" in body or ("external_gateway_info" in body and router["routes"]):
        extra_route.demand_valid(tx, router["id"], body["routes"] if "routes" in body else router["routes"])
    after = records.update(tx, ROUTER, router, changes)
    if after["ha"] != router["ha"]:
        ha_network.follow(tx, after["project_id"])
    return after


def delete(tx: Transaction, router: Record) -> None:
    """Remove a router and its gateway; refused while it has interfaces."""
    if router_interface.of(tx, router["id"]):
        raise conflict("RouterInUse", f"Router {router['id']} still has ports")
    gateway_multihoming.update(tx, router, [])
    conntrack_helper.forget(tx, router)
    agent_placement.forget(tx, resource_id=router["id"])
    records.delete(tx, ROUTER, records.get(tx.conn, ROUTER, router["id"]))
    if router["ha"]:
        ha_network.follow(tx, router["project_id"])


_FIXED_IP = types.object_of({"subnet_id": types.UUID, "ip_address": types.IP_ADDRESS})
_GATEWAY_FIELDS = {
    "network_id": types.UUID,
    "enable_snat": types.BOOLEAN,
    "external_fixed_ips": types.list_of(_FIXED_IP, null_is_empty=True),
    "qos_policy_id": qos_addresses.GATEWAY_FIELD,
}
_GATEWAY = types.nullable(types.object_of(_GATEWAY_FIELDS, required=("network_id",), empty=True))
_GATEWAYS_BODY = gateway_multihoming.body(types.object_of(_GATEWAY_FIELDS, required=("network_id",)))
_INTERFACE = types.object_of({"subnet_id": types.UUID, "port_id": types.UUID})
_ROUTES_BODY = types.object_of(
    {"router": types.object_of({"routes": extra_route.ROUTES}, required=("routes",))}, required=("router",)
)
_GATEWAY_RULES = {
    f"{verb}_router:external_gateway_info:{part}": rule
    for verb in ("create", "update")
    for part, rule in (("network_id", ADMIN_OR_MEMBER), ("enable_snat", ADMIN), ("external_fixed_ips", ADMIN))
}


def add_interface(tx: Transaction, router: Record, body: dict[str, Any]) -> dict[str, Any]:
    """Join a subnet or a port to a router, which counts a revision."""
    answer = router_interface.add(tx, router, body)
    records.touch(tx, ROUTER, router["id"])
    return answer


def remove_interface(tx: Transaction, router: Record, body: dict[str, Any]) -> dict[str, Any]:
    """Take a subnet or a port from a router, which counts a revision."""
    answer = router_interface.remove(tx, router, body)
    records.touch(tx, ROUTER, router["id"])
    return answer


def _add_routes(tx: Transaction, router: Record, body: dict[str, Any]) -> Record:
    return update(tx, router, {"routes": extra_route.joined(router["routes"], body["router"]["routes"])})


def _remove_routes(tx: Transaction, router: Record, body: dict[str, Any]) -> Record:
    return update(tx, router, {"routes": extra_route.without(router["routes"], body["router"]["routes"])})


def _add_gateways(tx: Transaction, router: Record, body: dict[str, Any]) -> Record:
    return gateway_multihoming.add(tx, router, body["router"]["external_gateways"])


def _update_gateways(tx: Transaction, router: Record, body: dict[str, Any]) -> Record:
    return gateway_multihoming.update(tx, router, body["router"]["external_gateways"])


def _remove_gateways(tx: Transaction, router: Record, body: dict[str, Any]) -> Record:
    return gateway_multihoming.remove(tx, router, body["router"]["external_gateways"])


ROUTER = Resource(
    name="router",
    collection="routers",
    attributes=standard(
        Attribute("admin_state_up", types.BOOLEAN, default=True, post=True, put=True),
        Attribute("status", types.text(16), filter=False),
        Attribute(
            "external_gateway_info",
            _GATEWAY,
            default=None,
            post=True,
            put=True,
            post_rule=ADMIN_OR_MEMBER,
            put_rule=ADMIN_OR_MEMBER,
            filter=False,
            sort=False,
        ),
        Attribute(
            "distributed",
            types.nullable(types.BOOLEAN),
            filter=False,
            sort=False,
            default=UNSET,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            get_rule=ADMIN,
            alias="dvr",
        ),
        router_ha.ATTRIBUTE,
        router_flavor.ATTRIBUTE,
        *gateway_multihoming.ATTRIBUTES,
        Attribute("routes", extra_route.ROUTES, put=True, filter=False, sort=False, alias="extraroute"),
        ndp_proxy.ENABLE,
        conntrack_helper.SHOWN,
        *availability_zone.attributes("router"),
        qos_addresses.ROUTER_ATTRIBUTE,
    ),
    create=create,
    update=update,
    delete=delete,
    extra_rules={**_GATEWAY_RULES, **gateway_multihoming.RULES},
    actions=(
        Action("add_router_interface", add_interface, ADMIN_OR_MEMBER, _INTERFACE),
        Action("remove_router_interface", remove_interface, ADMIN_OR_MEMBER, _INTERFACE),
        Action("add_extraroutes", _add_routes, ADMIN_OR_MEMBER, _ROUTES_BODY, shows=True),
        Action("remove_extraroutes", _remove_routes, ADMIN_OR_MEMBER, _ROUTES_BODY, shows=True),
        Action("add_external_gateways", _add_gateways, ADMIN_OR_MEMBER, _GATEWAYS_BODY, shows=True),
        Action("update_external_gateways", _update_gateways, ADMIN_OR_MEMBER, _GATEWAYS_BODY, shows=True),
        Action("remove_external_gateways", _remove_gateways, ADMIN_OR_MEMBER, _GATEWAYS_BODY, shows=True),
    ),
    quota=10,
    bulk=False,
)

RESOURCES = (ROUTER,)

EXTENSIONS = (
    Extension(
        "router",
        "Neutron L3 Router",
        "Router abstraction for basic L3 forwarding between L2 Neutron networks and access to external networks via a "
        "NAT gateway.",
        "2012-07-20T10:00:00-00:00",
    ),
    Extension(
        "ext-gw-mode",
        "Neutron L3 Configurable external gateway mode",
        "Extension of the router abstraction for specifying whether SNAT should occur on the external gateway",
        "2013-03-28T10:00:00-00:00",
    ),
    Extension(
        "extraroute", "Neutron Extra Route", "Extra routes configuration for L3 router", "2013-02-01T10:00:00-00:00"
    ),
    Extension(
        "dvr",
        "Distributed Virtual Router",
        "Enables configuration of Distributed Virtual Routers.",
        "2014-06-1T10:00:00-00:00",
    ),
    Extension(
        "router-admin-state-down-before-update",
        "Enforce Router's Admin State Down Before Update Extension",
        "Ensure that the admin state of a router is down (admin_state_up=False) before updating the distributed "
        "attribute",
        "2019-04-09T00:00:00-00:00",
    ),
    Extension(
        "extraroute-atomic",
        "Atomically add/remove extra routes",
        "Edit extra routes of a router on server side by atomically adding/removing extra routes",
        "2019-07-10T00:00:00+00:00",
    ),
)
