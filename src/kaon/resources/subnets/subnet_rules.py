"""What a subnet may be: Neutron's rules on prefixes, gateways, pools and IPv6 modes, as pure functions of values."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Any

from kaon.resources.errors import ApiError, bad_request, conflict, invalid
from kaon.resources.subnets import addressing
from kaon.resources.subnets.addressing import Network, Range
from kaon.resources.subnets.ipam import is_auto
from kaon.store.journal import Record

MAX_NAMESERVERS = 5
MAX_HOST_ROUTES = 20

_OWNER_PREFIXES = ("network:", "neutron:", "baremetal:", *"compute:")
"""How the device owners that a subnet may be for begin. Neutron takes each letter of ``compute:`` for a prefix, and
clients have come to name owners of their own."""


def completed(body: dict[str, Any]) -> Record:
    """A creation body with its prefix decided: checked, with gateway and pools filled in where the client left off."""
    values = {name: value for name, value in body.items() if name not in ("prefixlen", "use_default_subnetpool")}
    _check(values, dhcp_was_enabled=False)
    _check_modes(values)
    prefix = addressing.network(values["cidr"])
    if "gateway_ip" not in values:
        first, _ = addressing.bounds(prefix)
        # The very last address there is has no next one.
        values["gateway_ip"] = addressing.text(prefix.version, min(first + 1, 2**prefix.max_prefixlen - 1))
    if "allocation_pools" in values:
        values["allocation_pools"] = _checked_pools(values["allocation_pools"], prefix)
        _check_gateway_outside(values["gateway_ip"], values["allocation_pools"])
    else:
        values["allocation_pools"] = default_pools(prefix, values["gateway_ip"])
    return values


def changed(subnet: Record, body: dict[str, Any]) -> Record:
    """A subnet as an update would leave it, checked."""
    values = {**subnet, **body}
    _check({**body, "ip_version": subnet["ip_version"], "cidr": subnet["cidr"]}, subnet["enable_dhcp"])
    if not values["enable_dhcp"] and (subnet["ipv6_ra_mode"] or subnet["ipv6_address_mode"]):
        raise invalid("Cannot disable enable_dhcp with ipv6 attributes set")
    if "allocation_pools" in body:
        values["allocation_pools"] = _checked_pools(body["allocation_pools"], addressing.network(subnet["cidr"]))
    if "allocation_pools" in body or values["gateway_ip"] != subnet["gateway_ip"]:
        _check_gateway_outside(values["gateway_ip"], values["allocation_pools"])
    return values


def default_pools(prefix: Network, gateway: str | None) -> list[dict[str, str]]:
    """All usable addresses of a prefix but the gateway's."""
    taken = [] if gateway is None else [addressing.number(gateway)]
    return [
        {"start": addressing.text(prefix.version, first), "end": addressing.text(prefix.version, last)}
        for first, last in addressing.without([addressing.hosts(prefix)], taken)
    ]


def demand_mtu(version: int, network_id: str, mtu: int) -> None:
    """Raise 409 for a network on which packets of this IP version may not fit (RFC 791, RFC 8200)."""
    least = 68 if version == 4 else 1280
    if mtu < least:
        raise conflict(
            "NetworkMTUSubnetConflict", f"MTU of {network_id} is not valid, subnet requires a minimum of {least}"
        )


def demand_room(values: Record, network: Record, siblings: Sequence[Record]) -> None:
    """Raise unless the network can hold this subnet beside its others."""
    demand_mtu(values["ip_version"], network["id"], network["mtu"])
    prefix = addressing.network(values["cidr"])
    for other in siblings:
        if prefix.overlaps(addressing.network(other["cidr"])):
            raise invalid(
                f"Requested subnet with cidr: {values['cidr']} for network: {network['id']} overlaps with another "
                "subnet"
            )


def _check(values: dict[str, Any], dhcp_was_enabled: bool) -> None:
    version, prefix = values["ip_version"], addressing.network(values["cidr"])
    if prefix.version != version:
        raise _version(version, values["cidr"], "cidr")
    if prefix.prefixlen == 0:
        raise invalid("0 is not allowed as CIDR prefix length")
    if version == 6 and int(prefix.network_address) == 0:
        raise invalid("IPv6 subnet '::' is not supported")
    if values.get("enable_dhcp") and not dhcp_was_enabled:
        _check_dhcp(prefix)
    gateway = values.get("gateway_ip")
    if gateway is not None:
        _check_gateway(prefix, gateway)
    if len(values.get("dns_nameservers", ())) > MAX_NAMESERVERS:
        raise bad_request(
            f"Unable to complete operation for {values.get('id', 'new subnet')}. The number of DNS nameservers exceeds "
            f"the limit {MAX_NAMESERVERS}.",
            "DNSNameServersExhausted",
        )
    for server in values.get("dns_nameservers", ()):
        if ipaddress.ip_address(server).version != version:
            raise _version(version, server, "dns_nameserver")
    if len(values.get("host_routes", ())) > MAX_HOST_ROUTES:
        raise bad_request(
            f"Unable to complete operation for {values.get('id', 'new subnet')}. The number of host routes exceeds the "
            f"limit {MAX_HOST_ROUTES}.",
            "HostRoutesExhausted",
        )
    for route in values.get("host_routes", ()):
        if addressing.network(route["destination"]).version != version:
            raise _version(version, route["destination"], "destination")
        if ipaddress.ip_address(route["nexthop"]).version != version:
            raise _version(version, route["nexthop"], "nexthop")
    for owner in values.get("service_types", ()):
        if not owner.startswith(_OWNER_PREFIXES):
            raise bad_request(
                f"Invalid input for operation: Subnet service type {owner} does not correspond to a valid device "
                "owner.",
                "InvalidSubnetServiceType",
            )


def _version(version: int, address: str, name: str) -> ApiError:
    return invalid(f"{name} '{address}' does not match the ip_version '{version}'")


def _check_dhcp(prefix: Network) -> None:
    if prefix.prefixlen > (30 if prefix.version == 4 else 126):
        raise invalid("Subnet has a prefix length that is incompatible with DHCP service enabled")
    if prefix.is_multicast:
        raise invalid("Multicast IP subnet is not supported if enable_dhcp is True")
    if prefix.is_loopback:
        raise invalid("Loopback IP subnet is not supported if enable_dhcp is True")
    if prefix.version == 4 and int(prefix.network_address) == 0:
        raise invalid("First IP '0.0.0.0' of network is not supported if enable_dhcp is True")


def _check_gateway(prefix: Network, gateway: str) -> None:
    address = ipaddress.ip_address(gateway)
    if address.version != prefix.version:
        raise _version(prefix.version, gateway, "gateway_ip")
    if prefix.version == 4 and address in (prefix.network_address, prefix.broadcast_address):
        raise invalid("Gateway is not valid on subnet")


def _check_modes(values: Record) -> None:
    ra_mode, address_mode = values.get("ipv6_ra_mode"), values.get("ipv6_address_mode")
    if values["ip_version"] == 4:
        for name, mode in (("ipv6_ra_mode", ra_mode), ("ipv6_address_mode", address_mode)):
            if mode:
                raise invalid(f"{name} is not valid when ip_version is 4")
        return
    if (ra_mode or address_mode) and not values["enable_dhcp"]:
        raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        raise invalid(
            f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. If both "
            "attributes are set, they must be the same value"
        )
    if is_auto(values) and addressing.network(values["cidr"]).prefixlen != 64:
        raise invalid(
            f"Invalid CIDR {values['cidr']} for IPv6 address mode. OpenStack uses the EUI-64 address format, which "
            "requires the prefix to be /64"
        )


def _span(pool: dict[str, str]) -> str:
    return f"{pool['start']}-{pool['end']}"


def _checked_pools(pools: Sequence[dict[str, str]], prefix: Network) -> list[dict[str, str]]:
    first, last = addressing.hosts(prefix)
    spans: dict[Range, dict[str, str]] = {}
    for pool in pools:
        start, end = ipaddress.ip_address(pool["start"]), ipaddress.ip_address(pool["end"])
        if start.version != prefix.version or end.version != prefix.version or int(start) > int(end):
            raise bad_request(f"The allocation pool {_span(pool)} is not valid.", "InvalidAllocationPool")
        if int(start) < first or int(end) > last:
            raise bad_request(
                f"The allocation pool {_span(pool)} spans beyond the subnet cidr {prefix}.", "OutOfBoundsAllocationPool"
            )
        spans[int(start), int(end)] = pool
    both = addressing.overlapping((addressing.number(pool["start"]), addressing.number(pool["end"])) for pool in pools)
    if both is not None:
        left, right = (_span(spans[item]) for item in both)
        raise conflict(
            "OverlappingAllocationPools", f"Found overlapping allocation pools: {left} {right} for subnet {prefix}."
        )
    return [spans[item] for item in sorted(spans)]


def _check_gateway_outside(gateway: str | None, pools: Sequence[dict[str, str]]) -> None:
    if gateway is None:
        return
    for pool in pools:
        if addressing.number(pool["start"]) <= addressing.number(gateway) <= addressing.number(pool["end"]):
            raise conflict(
                "GatewayConflictWithAllocationPools",
                f"Gateway ip {gateway} conflicts with allocation pool {_span(pool)}.",
            )
