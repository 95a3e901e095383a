"""Routers: a namespace each, an interface a port, addresses, routes and router advertisements."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.metadata import METADATA_ADDRESS
from kaon.compile.view import View
from kaon.rows import Address, DhcpServer, MetadataListener, Netns, Route, Row, Sysctl, row
from kaon.world.addresses import link_local
from kaon.world.world import Record

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv6/conf/all/accept_ra": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    # Addresses come from the API alone, and are unique there.
    "net/ipv6/conf/default/accept_dad": "0",
    # A router answers and asks on an interface for that interface's own addresses only.
    "net/ipv4/conf/all/arp_ignore": "1",
    "net/ipv4/conf/all/arp_announce": "2",
    # Replies may leave by another interface than the one that requests would come by (extra routes).
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
}


def ports_of(view: View, router_id: str) -> tuple[list[Record], Record | None]:
    """A router's interface ports, and its gateway port when it has one; the first when it has several."""
    ports = view.by("port", "device_id", router_id)
    inside = [port for port in ports if port["device_owner"] == "network:router_interface"]
    gateway = view.fact(facts.gateway_port, router_id)
    return inside, next((port for port in ports if port["id"] == gateway), None)


def router_rows(view: View, router_id: str) -> Iterator[Row]:
    """The namespace of a router and what concerns it as a whole."""
    router = facts.router_here(view, router_id)
    if router is None:
        return
    origin = f"router/{router_id}"
    netns = names.router_netns(router_id)
    yield row(Netns(), netns, origin=origin)
    for name, value in SYSCTLS.items():
        yield row(Sysctl(value), netns, name, origin=origin)
    if not facts.is_up(router):
        return
    inside, gateway = ports_of(view, router_id)
    routes = _extra_routes(router)
    if any(route.more for route in routes.values()):
        for name in ("ipv4", "ipv6"):
            # A connection takes one way, different ones of the same two hosts may take different ways.
            yield row(Sysctl("1"), netns, f"net/{name}/fib_multipath_hash_policy", origin=origin)
    if gateway is not None:
        for destination, route in _default_routes(view, gateway):
            routes.setdefault(destination, route)
    for destination, route in routes.items():
        yield row(route, netns, destination, origin=origin)
    if view.config.metadata and inside:
        yield row(Address(), netns, "lo", f"{METADATA_ADDRESS}/32", origin=origin)
        yield row(MetadataListener((METADATA_ADDRESS,)), netns, origin=origin)
    advertised = [line for port in inside for line in _advertisements(view, port)]
    if advertised:
        # No DNS here (port=0); a prefix without a network's DNS server of its own leaves the choice to the instance.
        options = ("port=0", "bind-dynamic", "except-interface=lo", "enable-ra", "quiet-ra", *advertised)
        yield row(DhcpServer(options), netns, origin=origin)


def _extra_routes(router: Record) -> dict[str, Route]:
    """The routes that were asked for, by destination; several to one destination share what goes there."""
    hops: dict[str, list[str]] = {}
    for route in router.get("routes") or ():
        hops.setdefault(route["destination"], []).append(route["nexthop"])
    return {to: Route(first, more=tuple(more)) for to, (first, *more) in hops.items()}


def _default_routes(view: View, gateway: Record) -> Iterator[tuple[str, Route]]:
    device = names.router_device(gateway)
    for ip in gateway.get("fixed_ips") or ():
        subnet = view.get("subnet", ip["subnet_id"])
        if subnet is not None and subnet.get("gateway_ip"):
            default = "::/0" if ":" in subnet["gateway_ip"] else "0.0.0.0/0"
            yield default, Route(subnet["gateway_ip"], device)


def _advertisements(view: View, port: Record) -> Iterator[str]:
    """What dnsmasq advertises on an interface (RFC 4861): the flags follow from the subnets' ipv6_ra_mode."""
    device = names.router_device(port)
    network = view.fact(facts.network_terms, port["network_id"])
    ranges = []
    lease = f"{view.config.lease_seconds}s"
    for ip in port.get("fixed_ips") or ():
        subnet = view.get("subnet", ip["subnet_id"])
        mode = (subnet or {}).get("ipv6_ra_mode")
        if subnet is None or not mode:
            continue
        prefix = ipaddress.ip_network(subnet["cidr"])
        kind = {"slaac": "ra-only", "dhcpv6-stateless": "ra-stateless", "dhcpv6-stateful": "static"}[mode]
        tag = f"subnet-{subnet['id'][:8]}"
        ranges.append(f"dhcp-range=set:{tag},{prefix.network_address},{kind},{prefix.prefixlen},{lease}")
        servers = [server for server in subnet.get("dns_nameservers") or () if ":" in server]
        if not servers:
            servers = _dhcp_addresses(view, subnet)
        if servers:
            ranges.append(f"dhcp-option=tag:{tag},option6:dns-server," + ",".join(f"[{each}]" for each in servers))
    if ranges and network is not None:
        yield f"interface={device}"
        # Unsolicited every 60 s, valid for three times the longest interval that RFC 4861 allows by default.
        yield f"ra-param={device},mtu:{network.mtu},60,1800"
        yield from ranges


def _dhcp_addresses(view: View, subnet: Record) -> list[str]:
    port_id = view.fact(facts.dhcp_port, subnet["network_id"])
    port = view.get("port", port_id) if port_id else None
    fixed_ips = (port or {}).get("fixed_ips") or ()
    return [ip["ip_address"] for ip in fixed_ips if ip["subnet_id"] == subnet["id"]]


def port_rows(view: View, port: Record) -> Iterator[Row]:
    """The addresses of a router's port, in the router's namespace."""
    if view.fact(facts.router_up, port["device_id"]) is None or facts.is_spare(view, port):
        return
    netns, device = names.router_netns(port["device_id"]), names.router_device(port)
    origin = f"port/{port['id']}"
    for ip in port.get("fixed_ips") or ():
        subnet = view.get("subnet", ip["subnet_id"])
        if subnet is not None:
            length = ipaddress.ip_network(subnet["cidr"]).prefixlen
            yield row(Address(announce=True), netns, device, f"{ip['ip_address']}/{length}", origin=origin)
    # Router advertisements come from this address, and hosts use it as their router (RFC 4861, 4.2).
    yield row(Address(), netns, device, f"{link_local(port['mac_address'].lower())}/64", origin=origin)
