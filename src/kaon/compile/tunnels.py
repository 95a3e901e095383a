"""Networks between hosts: VXLAN, with every forwarding entry computed from intent.

A network that is realised here has a tunnel to each other host that has a port of it, an entry for each port there, and
nothing is learnt from packets. The sender's host has judged what arrives: its source filter and egress rules; ingress
rules are judged where the receiver is.

DHCP servers and routers are on every host that needs them, under the same addresses everywhere. So what concerns them
stays on its host: nothing from them or to them enters a tunnel, nor does a question for their addresses, and nothing
that comes out of a tunnel reaches them. What a router forwards does go on to other hosts, where the router is as well:
between hosts it comes from an address that stands for the router's, and the receiver's host puts that one back.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterator
from typing import NamedTuple

from kaon.compile import facts, names
from kaon.compile.l2 import segment_here
from kaon.compile.names import HOST
from kaon.compile.nft import base, chain, element, named_set
from kaon.compile.view import View
from kaon.rows import Fdb, Neigh, Row, Vxlan, row
from kaon.world.addresses import canonical, link_local, version
from kaon.world.world import Record

FLOOD = "00:00:00:00:00:00"
"""Stands for broadcast, multicast, and addresses that no port is known by."""
_ND_TARGET = "@th,64,128"
"""The target of a neighbour solicitation (RFC 4861, 4.3)."""


class Tunnel(NamedTuple):
    """How a network leaves this host: its VXLAN identifier, and the address of the underlay."""

    vni: int
    local: str


def tunneling_ip(view: View, host: str) -> str:
    """The address of a host on the underlay, as its agent has told; empty while it has told of none."""
    for agent in view.by("agent", "host", host):
        address = (agent.get("configurations") or {}).get("tunneling_ip")
        if address:
            return canonical(address)
    return ""


def tunnel(view: View, network_id: str) -> Tunnel | None:
    """How a network leaves this host; None when it is not here, not on others, or not carried by VXLAN."""
    network = view.get("network", network_id)
    if network is None or not facts.network_here(view, network_id):
        return None
    # A router's networks are wherever the router is.
    routed = view.any("port", "router_network", network_id) and view.fact(any_other_host, "")
    if not routed and not view.fact(remotes, network_id):
        return None
    segment = segment_here(view, network)
    if segment["network_type"] != "vxlan" or not segment["segmentation_id"]:
        return None
    return Tunnel(int(segment["segmentation_id"]), view.fact(tunneling_ip, view.config.host))


def remotes(view: View, network_id: str) -> tuple[str, ...]:
    """The ends of tunnels to the other hosts that have a port of the network attached."""
    found = {view.fact(endpoint, host) for host in view.ids("host", "network", network_id)}
    return tuple(sorted(found - {""}))


def endpoint(view: View, host: str) -> str:
    """The remote end of tunnels to another host; empty when there is none, as for a host of the other IP version."""
    address = view.fact(tunneling_ip, host)
    local = view.fact(tunneling_ip, view.config.host)
    if host == view.config.host or not address or not local or version(address) != version(local):
        return ""
    return address if address != local else ""


def any_other_host(view: View, _: str) -> bool:
    """Whether this host and some other one have told of their addresses; what else they tell does not matter."""
    return bool(view.fact(tunneling_ip, view.config.host)) and len(view.ids("agent", "tunneling", "ip")) > 1


def host_rows(view: View) -> Iterator[Row]:
    """The sets and chains that every host has."""
    local = view.fact(tunneling_ip, view.config.host)
    if local:
        kind = "ip" if version(local) == 4 else "ip6"
        yield named_set("inet", "endpoints", f"ipv{version(local)}_addr")
        # Whoever else speaks VXLAN to this host could put frames into any network.
        rule = f"udp dport 4789 {kind} daddr {local} {kind} saddr != @endpoints drop"
        yield chain("inet", "underlay", rule, hook=base("input", -10))
    yield named_set("bridge", "service_ports", "ifname")
    yield named_set("bridge", "service_macs", "ifname . ether_addr")
    yield named_set("bridge", "service_ip4", "ifname . ipv4_addr")
    yield named_set("bridge", "service_nd", f"typeof oifname . {_ND_TARGET}")
    yield named_set("bridge", "remote_nd", f"typeof oifname . {_ND_TARGET}", "ether daddr")
    yield named_set("bridge", "routed_out", "ifname . ether_addr", "ether_addr")
    yield named_set("bridge", "routed_in", "ifname . ether_addr", "ether_addr")
    yield chain(
        "bridge",
        "from_tunnel",
        "iifname . ether saddr @service_macs drop",
        "oifname @service_ports drop",
        "ether saddr set iifname . ether saddr map @routed_in",
    )
    yield chain(
        "bridge",
        "to_tunnel",
        # Questions and announcements of a router are for all, or are no IP.
        "ether type { ip, ip6 } ether daddr & 01:00:00:00:00:00 != 01:00:00:00:00:00 "
        "ether saddr set oifname . ether saddr map @routed_out",
        "oifname . ether saddr @service_macs drop",
        "oifname . ether daddr @service_macs drop",
        "arp operation request oifname . arp daddr ip @service_ip4 drop",
        f"icmpv6 type nd-neighbor-solicit oifname . {_ND_TARGET} @service_nd drop",
        # Whose address is asked for is known: this copy goes to its host alone (RFC 6085).
        f"icmpv6 type nd-neighbor-solicit ether daddr set oifname . {_ND_TARGET} map @remote_nd",
    )


def endpoint_rows(view: View, host: str) -> Iterator[Row]:
    """The address from which another host's frames come."""
    remote = view.fact(endpoint, host)
    if remote:
        yield element("inet", "endpoints", remote)


def network_rows(view: View, network_id: str) -> Iterator[Row]:
    """The VXLAN device of a network, and where it sends what is for all."""
    terms = view.fact(facts.network_terms, network_id)
    way = view.fact(tunnel, network_id)
    if terms is None or way is None:
        return
    origin = f"network/{network_id}"
    device = names.tunnel(network_id)
    yield row(Vxlan(way.vni, way.local, terms.mtu, names.bridge(network_id)), HOST, device, origin=origin)
    yield element("bridge", "port_marks", names.quoted(device), names.mark(facts.TUNNELLED), origin=origin)
    for remote in view.fact(remotes, network_id):
        yield row(Fdb(bridged=False), HOST, device, FLOOD, remote, origin=origin)


def port_rows(view: View, port: Record) -> Iterator[Row]:
    """Where a port that is attached on another host is reached, and who answers for its addresses."""
    attachment = view.get("attachment", port["id"])
    if attachment is None or attachment["host"] == view.config.host or view.fact(tunnel, port["network_id"]) is None:
        return
    remote = view.fact(endpoint, attachment["host"])
    if not remote:
        return
    origin = f"port/{port['id']}"
    device, bridge = names.tunnel(port["network_id"]), names.bridge(port["network_id"])
    mac = port["mac_address"].lower()
    yield row(Fdb(), HOST, device, mac, remote, origin=origin)
    addresses = [canonical(ip["ip_address"]) for ip in port.get("fixed_ips") or ()]
    for address in dict.fromkeys([*addresses, link_local(mac)]):
        if _may_move(view, port["network_id"], address):
            continue
        if version(address) == 4:
            yield row(Neigh(mac), HOST, bridge, address, origin=origin)
        else:
            for router, interface in view.fact(_routers, port["network_id"]):
                yield row(Neigh(mac), router, interface, address, origin=origin)
            yield element("bridge", "remote_nd", (names.quoted(device), _nd_target(address)), mac, origin=origin)


def _routers(view: View, network_id: str) -> tuple[tuple[str, str], ...]:
    """Namespaces of the network's routers on this host, which may ask nobody elsewhere, and their interfaces there."""
    return tuple(
        (names.router_netns(port["device_id"]), names.router_device(port))
        for port in view.by("port", "router_network", network_id)
        if port["device_owner"] == "network:router_interface"
        and view.fact(facts.router_up, port["device_id"]) is not None
    )


def _mac_between_hosts(port_id: str) -> str:
    """What stands for a router's MAC address on the way between hosts: locally administered, always the same."""
    digest = hashlib.blake2b(port_id.encode(), digest_size=4).digest()
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0x74, *digest))


def _may_move(view: View, network_id: str, address: str) -> bool:
    """Whether ports of the network may take an address from each other: then the one who has it must answer."""
    return any(view.any("port", "paired", f"{network_id} {each}") for each in (address, "prefix"))


def service_rows(view: View, port: Record) -> Iterator[Row]:
    """What keeps a DHCP server or router to its host."""
    if view.fact(tunnel, port["network_id"]) is None:
        return
    origin = f"port/{port['id']}"
    device = names.quoted(names.tunnel(port["network_id"]))
    mac = port["mac_address"].lower()
    yield element("bridge", "service_ports", names.quoted(names.host_device(port)), origin=origin)
    yield element("bridge", "service_macs", (device, mac), origin=origin)
    addresses = [canonical(ip["ip_address"]) for ip in port.get("fixed_ips") or ()]
    if port["device_owner"] == "network:router_interface":
        between = _mac_between_hosts(port["id"])
        yield element("bridge", "routed_out", (device, mac), between, origin=origin)
        yield element("bridge", "routed_in", (device, between), mac, origin=origin)
    for address in dict.fromkeys([*addresses, link_local(mac)]):
        if version(address) == 4:
            yield element("bridge", "service_ip4", (device, address), origin=origin)
        else:
            yield element("bridge", "service_nd", (device, _nd_target(address)), origin=origin)


def _nd_target(address: str) -> str:
    return f"0x{int(ipaddress.IPv6Address(address)):032x}"
