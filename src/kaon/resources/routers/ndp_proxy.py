"""NDP proxies: a router's gateway answers for an inside IPv6 address, so that it is reached without a route to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.access import visible
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, standard
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.networks.network import NETWORK
from kaon.resources.ports.port import PORT
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Let a router answer for an address of a port: the one named, or the first that the router reaches."""
    port, router = visible.port(tx, body["port_id"]), visible.router(tx, body["router_id"])
    column = PORT.table.c
    legs = records.select(tx.conn, PORT, column.device_id == router["id"], column.network_id == port["network_id"])
    if not legs:
        raise _unreachable(port, router)
    if not router["enable_ndp_proxy"]:
        raise conflict(
            "RouterNDPProxyNotEnable",
            f"The enable_ndp_proxy parameter of router {router['id']} must be set as True while create ndp proxy "
            "entry on it.",
        )
    address = _address(port, router, legs, body["ip_address"])
    outside = records.get(tx.conn, NETWORK, router["external_gateway_info"]["network_id"])["ipv6_address_scope"]
    inside = records.get(tx.conn, NETWORK, port["network_id"])["ipv6_address_scope"]
    if outside != inside:
        raise conflict(
            "AddressScopeConflict",
            f"The IPv6 address scope {outside} of external network conflict with internal network's IPv6 address scope "
            f"{inside}.",
        )
    _demand_new(tx, router, address)
    return records.insert(tx, NDP_PROXY, {**body, "id": types.new_id(), "ip_address": address})


def _unreachable(port: Record, router: Record) -> ApiError:
    return conflict(
        "PortUnreachableRouter", f"The port {port['id']} cannot reach the router {router['id']} by IPv6 subnet."
    )


def _ipv6(port: Record) -> list[dict[str, str]]:
    return [item for item in port["fixed_ips"] if ":" in item["ip_address"]]


def _address(port: Record, router: Record, legs: Sequence[Record], wanted: str | None) -> str:
    """The proxied address: one of the port's, in a subnet that the router has an interface in."""
    held, reached = _ipv6(port), {item["subnet_id"] for leg in legs for item in _ipv6(leg)}
    if not held:
        raise bad_request(
            f"Bad ndp_proxy request: Requested port {port['id']} must allocate one IPv6 address at least.",
            "BadRequest",
        )
    if wanted is None:
        found = next((item["ip_address"] for item in held if item["subnet_id"] in reached), None)
        if found is None:
            raise _unreachable(port, router)
        return found
    subnet_id = next((item["subnet_id"] for item in held if item["ip_address"] == wanted), None)
    if subnet_id is None:
        raise _invalid(wanted, f"This address not belong to the port {port['id']}")
    if subnet_id not in reached:
        raise _invalid(wanted, f"This address cannot reach the router {router['id']}")
    return wanted


def _invalid(address: str, reason: str) -> ApiError:
    return bad_request(f"The address {address} is invalid, reason: {reason}.", "InvalidAddress")


def _demand_new(tx: Transaction, router: Record, address: str) -> None:
    if records.by(tx.conn, NDP_PROXY, router_id=router["id"], ip_address=address):
        raise conflict(
            "NeutronDbObjectDuplicateEntry",
            f"Router {router['id']} is an NDP proxy for {address} already.",
        )


def update(tx: Transaction, proxy: Record, body: dict[str, Any]) -> Record:
    """Store a changed name or description."""
    return records.update(tx, NDP_PROXY, proxy, body)


def delete(tx: Transaction, proxy: Record) -> None:
    """Let the router answer for the address no more."""
    records.delete(tx, NDP_PROXY, proxy)


# ---------------------------------------------------------------- what routers ask


def enabled(tx: Transaction, router: Record, wanted: bool | None, gateway: dict[str, Any] | None) -> bool:
    """Whether a router that gets this gateway may have proxies: as wanted, else as before while the gateway is able.

    Raises 409 when it is wanted of a gateway without IPv6, or on a network without an IPv6 address scope, and when a
    gateway gives up its IPv6 address without a word about proxies.
    """
    able = gateway is not None and _able(tx, gateway)
    if wanted is None and gateway is not None:
        _demand_ipv6_kept(router, gateway)
    if wanted and not able:
        raise conflict(
            "RouterGatewayNotValid",
            f"Can not enable ndp proxy on router {router['id']}, The router has no external gateway or the external "
            "gateway port has no IPv6 address or IPv6 address scope.",
        )
    return bool(router.get("enable_ndp_proxy")) and able if wanted is None else wanted


def _able(tx: Transaction, gateway: dict[str, Any]) -> bool:
    if not any(":" in item["ip_address"] for item in gateway["external_fixed_ips"]):
        return False
    return records.get(tx.conn, NETWORK, gateway["network_id"])["ipv6_address_scope"] is not None


def demand_no_proxies(tx: Transaction, router_id: str) -> None:
    """Raise 409 when a router that is to lose its gateway has proxies."""
    if records.by(tx.conn, NDP_PROXY, router_id=router_id):
        raise conflict(
            "RouterGatewayInUseByNDPProxy",
            f"Unable to unset external gateway of router {router_id}, There are one or more ndp proxies still in use "
            "on the router.",
        )


def _demand_ipv6_kept(router: Record, gateway: dict[str, Any]) -> None:
    """Raise 409 when the gateway of a router that stays on its external network would lose its IPv6 address."""
    if not router.get("enable_ndp_proxy") or router["external_gateway_info"]["network_id"] != gateway["network_id"]:
        return
    if not any(":" in item["ip_address"] for item in gateway["external_fixed_ips"]):
        raise conflict(
            "RouterIPv6GatewayInUse",
            f"Can't remove the IPv6 subnet from external gateway of router {router['id']}, the IPv6 subnet in use by "
            "the router's ndp proxy.",
        )


def demand_subnet_unused(tx: Transaction, router_id: str, subnet_id: str) -> None:
    """Raise 409 when a router that is to leave a subnet is a proxy for an address there."""
    proxy, port = NDP_PROXY.table.c, PORT.table.c
    found = tx.execute(
        sa.select(proxy.ip_address, port.fixed_ips).where(proxy.router_id == router_id, port.id == proxy.port_id)
    )
    if any({"subnet_id": subnet_id, "ip_address": address} in fixed_ips for address, fixed_ips in found):
        raise conflict(
            "RouterInterfaceInUseByNDPProxy",
            f"Unable to remove subnet {subnet_id} from router {router_id}, There are one or more ndp proxies still in "
            "use on the subnet.",
        )


ENABLE = Attribute(
    "enable_ndp_proxy",
    types.nullable(types.BOOLEAN),
    default=False,
    post=True,
    put=True,
    alias="l3-ext-ndp-proxy",
)
"""What says on a router whether it may have proxies; null in a request asks for what it was."""

_PLAIN_NAME = types.nullable(types.name())
_NAME = replace(_PLAIN_NAME, parse=lambda value: _PLAIN_NAME.parse(value) or "")
"""Null is no name: the ``openstack`` command sends it where its user gives none."""

NDP_PROXY = Resource(
    name="ndp_proxy",
    collection="ndp_proxies",
    attributes=standard(
        Attribute("name", _NAME, default="", post=True, put=True, index=True),
        Attribute("router_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("port_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("ip_address", types.nullable(types.IP_ADDRESS), default=None, post=True, index=True),
        Attribute("description", types.text(1024), default="", post=True, put=True),
        named=False,
        description=False,
        tags=False,
    ),
    create=create,
    update=update,
    delete=delete,
    not_found="NDPProxyNotFound",
    path="ndp_proxies",
    constraints=(sa.UniqueConstraint("router_id", "ip_address", name="uq_ndp_proxies_address"),),
)

RESOURCES = (NDP_PROXY,)

EXTENSIONS = (
    Extension(
        "l3-ndp-proxy",
        "L3 NDP Proxy",
        "Router support for L3 NDP proxy.",
        "2021-06-29T10:00:00-00:00",
    ),
    Extension(
        "l3-ext-ndp-proxy",
        "Router support to enable NDP proxy",
        "Router extension to enable ndp proxy",
        "2020-08-25T00:00:00-00:00",
    ),
)
