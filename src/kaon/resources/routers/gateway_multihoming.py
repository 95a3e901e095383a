"""Several external gateways of one router: added, changed and removed at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, named
from kaon.resources.errors import ApiError, bad_request
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER
from kaon.resources.routers import router_gateway
from kaon.resources.types import Type
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

Gateway = dict[str, Any]


def add(tx: Transaction, router: Record, wanted: list[Gateway]) -> Record:
    """Give a router more gateways; the first one that it ever gets is its ``external_gateway_info``."""
    for gateway in wanted:
        if router["external_gateway_info"]:
            router_gateway.enter(tx, router, gateway["network_id"], gateway.get("external_fixed_ips"))
            router = _stored(tx, router, router["external_gateway_info"])
        else:
            router = named("router").update(tx, router, {"external_gateway_info": gateway})
    return router


def remove(tx: Transaction, router: Record, unwanted: list[Gateway]) -> Record:
    """Take gateways from a router; each is named by its network, and by an address where it has several there."""
    held = router_gateway.ports(tx, router)
    if unwanted and not held:
        raise _unable("UnableToRemoveGateways", router, "the router does not have any external gateways")
    going: list[Record] = []
    for gateway in unwanted:
        port = _match(router, [item for item in held if item not in going], gateway)
        if port is None:
            raise _unable("UnableToMatchGateways", router, f"it has no such gateway to network {gateway['network_id']}")
        going.append(port)
    return _without(tx, router, going)


def _without(tx: Transaction, router: Record, going: list[Record]) -> Record:
    """Remove gateway ports, the first of the router as one who knows of no other does it, which finds a successor."""
    first = next(iter(router_gateway.ports(tx, router)), None)
    for port in going:
        if first is not None and port["id"] != first["id"]:
            router_gateway.leave(tx, router, port)
    router = _stored(tx, router, router["external_gateway_info"])
    if first is not None and any(port["id"] == first["id"] for port in going):
        router = named("router").update(tx, router, {"external_gateway_info": None})
    return router


def update(tx: Transaction, router: Record, wanted: list[Gateway]) -> Record:
    """Make these the gateways of a router: those that it has already change, others come, and the rest goes."""
    held = router_gateway.ports(tx, router)
    if not wanted or not held:
        return add(tx, _without(tx, router, held), wanted)
    free = list(held)
    chosen: list[Record] = []
    for gateway in wanted:
        port, addresses = _match(router, free, gateway), gateway.get("external_fixed_ips")
        if port is None:
            chosen.append(router_gateway.enter(tx, router, gateway["network_id"], addresses))
        else:
            free.remove(port)
            chosen.append(router_gateway.changed_port(tx, port, addresses))
    enable_snat = wanted[0].get("enable_snat", router["external_gateway_info"]["enable_snat"])
    first = router_gateway.told(chosen[0], enable_snat)
    router = _without(tx, _stored(tx, router, {**router["external_gateway_info"], **first}), free)
    return named("router").update(tx, router, {"external_gateway_info": {**wanted[0], **first}})


def _match(router: Record, held: list[Record], wanted: Gateway) -> Record | None:
    """The gateway port that a request means: one of its network with one of its addresses, or the only one there."""
    there = [port for port in held if port["network_id"] == wanted["network_id"]]
    addresses = {item.get("ip_address") for item in wanted.get("external_fixed_ips") or ()}
    if not addresses and len(there) > 1:
        raise _unable(
            "UnableToMatchGateways",
            router,
            f"multiple gateway ports are attached to the same network {wanted['network_id']} but external_fixed_ips "
            "parameter is not specified in the request",
        )
    return next(
        (port for port in there if not addresses or addresses & {item["ip_address"] for item in port["fixed_ips"]}),
        None,
    )


def _unable(type: str, router: Record, reason: str) -> ApiError:
    return bad_request(f"Unable to change the external gateways of router {router['id']}: {reason}.", type)


def _stored(tx: Transaction, router: Record, info: dict[str, Any] | None) -> Record:
    router = records.get(tx.conn, named("router"), router["id"])
    gateways = router_gateway.described(tx, router, info)
    return records.update(tx, named("router"), router, {"external_gateway_info": info, "gateways": gateways})


def _shown(router: Record) -> list[Gateway]:
    gateways, info = router["gateways"], router["external_gateway_info"]
    if gateways is None:  # of a router from before it could have several
        gateways = [info] if info else []
    return [{name: gateway[name] for name in ("network_id", "external_fixed_ips")} for gateway in gateways]


def body(gateway: Type) -> Type:
    """The body of a request on gateways, given what describes one."""
    gateways = types.list_of(gateway, unique=False, null_is_empty=True)
    # The openstack command says {} where it has no gateways to name.
    lenient = replace(gateways, parse=lambda value: gateways.parse(value or None))
    inner = types.object_of({"external_gateways": lenient}, required=("external_gateways",))
    return types.object_of({"router": inner}, required=("router",))


ATTRIBUTES = (
    Attribute(
        "external_gateways",
        types.list_of(types.MAPPING),
        computed=_shown,
        filter=False,
        sort=False,
        alias="external-gateway-multihoming",
    ),
    # The same with the ports' ids.
    Attribute("gateways", types.nullable(types.list_of(types.MAPPING)), internal=True),
    *(
        Attribute(
            f"enable_default_route_{what}",
            types.nullable(types.BOOLEAN),
            default=False,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            filter=False,
            sort=False,
            alias=f"enable-default-route-{what}",
        )
        for what in ("ecmp", "bfd")
    ),
)

RULES = {
    f"{verb}_external_gateways:external_gateways{part}": rule
    for verb, parts in (
        ("add", ("", ":network_id", ":enable_snat", ":external_fixed_ips")),
        ("update", ("", ":network_id", ":enable_snat", ":external_fixed_ips")),
        ("remove", ("",)),
    )
    for part, rule in (
        (part, ADMIN if part in (":enable_snat", ":external_fixed_ips") else ADMIN_OR_MEMBER) for part in parts
    )
}

EXTENSIONS = (
    Extension(
        "external-gateway-multihoming",
        "Neutron L3 External Gateway Multihoming",
        "Allow multiple external gateway ports per router",
        "2023-01-18T00:00:00-00:00",
        awaits="the first gateway alone carries traffic",
    ),
    Extension(
        "enable-default-route-ecmp",
        "Enable Default Route ECMP",
        "Enables configurable ECMP behavior for default routes",
        "2023-02-27T00:00:00-00:00",
    ),
    Extension(
        "enable-default-route-bfd",
        "Enable Default Route BFD",
        "Enables configurable BFD behavior for default routes",
        "2023-02-27T00:00:00-00:00",
    ),
)
