"""What a trace looks up in the world: who has an address on a network, and how a router is connected."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from kaon.world.addresses import canonical, link_local, port_addresses
from kaon.world.world import Record, World

METADATA = "169.254.169.254"
GATEWAY = "network:router_gateway"

Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network


@lru_cache(maxsize=65536)
def prefix(text: str) -> Prefix:
    """A prefix, or an address as the prefix that holds nothing else."""
    return ipaddress.ip_network(text, strict=False)


@lru_cache(maxsize=65536)
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


def within(address: str, text: str) -> bool:
    """Whether an address lies in a prefix; never, when they are of different IP versions."""
    return _address(address) in prefix(text)


def is_up(record: Record) -> bool:
    """Whether a record is administratively up."""
    return bool(record.get("admin_state_up", True))


def owner_of(port: Record) -> str:
    """A port's device_owner, never None."""
    return port.get("device_owner") or ""


def is_service(port: Record) -> bool:
    """Whether a port is one of Kaon's own: of a router or of DHCP."""
    return owner_of(port).startswith("network:")


def is_attached(world: World, port: Record) -> bool:
    """Whether an instance has the port on some host."""
    return world.get("attachment", port["id"]) is not None


def addresses(port: Record) -> list[str]:
    """A port's fixed addresses."""
    return [canonical(ip["ip_address"]) for ip in port.get("fixed_ips") or ()]


def subnets(world: World, port: Record) -> list[Record]:
    """The subnets in which a port has addresses, in the order of these."""
    found = [world.get("subnet", ip["subnet_id"]) for ip in port.get("fixed_ips") or ()]
    return [subnet for subnet in found if subnet is not None]


def physical_network(network: Record) -> str:
    """The physical network that leads out of a network; empty when none does."""
    segments = network.get("segments") or (network,)
    return next((str(name) for each in segments if (name := each.get("provider:physical_network"))), "")


def floating_ip(world: World, network_id: str, address: str) -> Record | None:
    """The floating IP with an address of an external network."""
    found = world.by("floatingip", "floating_network_id", network_id)
    return next((item for item in found if item["floating_ip_address"] == address), None)


def holder(world: World, network_id: str, address: str) -> Record | None:
    """The port that has an address on a network: as a fixed address, else link-local, else as an allowed pair.

    A floating IP is none of these: ask for it first. Of several that may use an address, one that is attached.
    """
    ports = world.by("port", "network_id", network_id)
    for port in ports:
        if address in addresses(port) and owner_of(port) != "network:floatingip":
            return port
    if address.startswith("fe80:"):
        return next((port for port in ports if link_local(port["mac_address"].lower()) == address), None)
    allowed = [port for port in ports if any(within(address, pair) for pair in port_addresses(port))]
    allowed = [port for port in allowed if owner_of(port) != "network:floatingip"]
    return next((port for port in allowed if is_attached(world, port)), allowed[0] if allowed else None)


def dhcp_port(world: World, network_id: str) -> Record | None:
    """The port of a network's DHCP server, where a port of the network is attached and so needs one."""
    ports = world.by("port", "network_id", network_id)
    if not any(is_attached(world, port) for port in ports):
        return None
    return next((port for port in ports if owner_of(port) == "network:dhcp"), None)


def gateway_port(world: World, router: Record) -> Record | None:
    """The port by which a router reaches the outside; the first where it has several."""
    for gateway in router.get("gateways") or ():
        return world.get("port", gateway["port_id"])
    ports = world.by("port", "device_id", router["id"])
    return next((port for port in ports if owner_of(port) == GATEWAY), None)


def inside_ports(world: World, router: Record) -> list[Record]:
    """A router's interfaces, its gateways left aside."""
    ports = world.by("port", "device_id", router["id"])
    return [port for port in ports if owner_of(port).startswith("network:router_") and owner_of(port) != GATEWAY]


class Route(NamedTuple):
    """A router's route: `port` is the interface by which it leaves, an empty `via` means that it is on link."""

    to: str
    via: str
    port: Record
    said_by: str


def routes(world: World, router: Record) -> list[Route]:
    """A router's routes: its subnets, its extra routes, its gateway's default; one each prefix, the first of these."""
    gateway = gateway_port(world, router)
    ports = [*inside_ports(world, router), *([gateway] if gateway is not None else [])]
    on_link = [
        Route(subnet["cidr"], "", port, f"subnet/{subnet['id']}") for port in ports for subnet in subnets(world, port)
    ]
    found = list(on_link)
    for extra in router.get("routes") or ():
        near = next((route for route in on_link if within(extra["nexthop"], route.to)), None)
        if near is not None:
            found.append(Route(extra["destination"], extra["nexthop"], near.port, f"router/{router['id']}"))
    if gateway is not None:
        for subnet in subnets(world, gateway):
            if subnet.get("gateway_ip"):
                default = "::/0" if ":" in subnet["cidr"] else "0.0.0.0/0"
                found.append(Route(default, subnet["gateway_ip"], gateway, f"subnet/{subnet['id']}"))
    return list({str(prefix(route.to)): route for route in reversed(found)}.values())


def best(found: list[Route], destination: str) -> Route | None:
    """The route with the longest prefix that holds an address."""
    fitting = [route for route in found if within(destination, route.to)]
    return max(fitting, key=lambda route: prefix(route.to).prefixlen, default=None)
