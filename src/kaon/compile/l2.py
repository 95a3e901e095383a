"""Bridges of networks, and the ports of these bridges."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.names import HOST
from kaon.compile.nft import element
from kaon.compile.view import View
from kaon.rows import Bridge, Member, Row, Tap, Veth, row
from kaon.world.world import Record

PROVIDER = ("network_type", "physical_network", "segmentation_id")


def network_rows(view: View, network_id: str) -> Iterator[Row]:
    """The bridge of a network that is realised on this host, its conntrack zone, and its way to the outside."""
    network = view.get("network", network_id)
    terms = view.fact(facts.network_terms, network_id)
    if network is None or terms is None or not facts.network_here(view, network_id):
        return
    origin = f"network/{network_id}"
    bridge = names.bridge(network_id)
    yield row(Bridge(terms.mtu), HOST, bridge, origin=origin)
    yield element("inet", "bridges", names.quoted(bridge), origin=origin)
    yield element("inet", "zones", names.quoted(bridge), str(terms.zone), origin=origin)
    physical_network = segment_here(view, network)["physical_network"]
    kind, _, where = view.config.physical_networks.get(physical_network or "", "").partition(":")
    if kind == "bridge":
        # Kaon's ports never join the operator's bridge itself: whether that bridge passes packets to the inet hooks
        # is the operator's choice, and filtered ports on it might go unjudged.
        far, near = names.patch(network_id)
        yield row(Veth(HOST, near, _patch_mac(network_id), terms.mtu, where), HOST, far, origin=origin)
        yield row(Member(bridge), HOST, near, origin=origin)
        yield element("bridge", "port_marks", names.quoted(near), names.mark(facts.TRUSTED), origin=origin)
    elif kind == "interface":
        yield row(Member(bridge), HOST, where, origin=origin)
        yield element("bridge", "port_marks", names.quoted(where), names.mark(facts.TRUSTED), origin=origin)


def segment_here(view: View, network: Record) -> Record:
    """What carries a network here, by its provider attributes: of several segments the first that this host reaches.

    Raises ValueError when it reaches none of several.
    """
    segments = network.get("segments")
    if not segments:
        return {name: network.get(f"provider:{name}") for name in PROVIDER}
    for segment in segments:
        physical_network = segment["provider:physical_network"]
        if physical_network is None or physical_network in view.config.physical_networks:
            return {name: segment.get(f"provider:{name}") for name in PROVIDER}
    names_of = {segment["provider:physical_network"] for segment in segments}
    raise ValueError(
        f"host {view.config.host} reaches no segment of network {network['id']}: they are on the physical networks "
        f"{', '.join(sorted(names_of))}, and physical_networks maps none of these"
    )


def _patch_mac(network_id: str) -> str:
    """A MAC address of Kaon's own choosing: locally administered, the same whenever it is computed."""
    digest = hashlib.blake2b(network_id.encode(), digest_size=4).digest()
    return ":".join(f"{octet:02x}" for octet in (0x0A, 0x6B, *digest))


def port_rows(view: View, port: Record) -> Iterator[Row]:
    """What joins a port to its network's bridge: an attached instance's, the DHCP server's or a router's."""
    network = view.fact(facts.network_terms, port["network_id"])
    place = _place(view, port)
    if network is None or place is None:
        return
    origin = f"port/{port['id']}"
    near, netns, peer, tap = place
    bridge = names.bridge(port["network_id"])
    if tap:
        yield row(Tap(network.mtu, bridge), HOST, near, origin=origin)
    else:
        owned = facts.is_service(port)
        veth = Veth(netns, peer, port["mac_address"].lower(), network.mtu, bridge, owned)
        yield row(veth, HOST, near, origin=origin)
    yield element("bridge", "port_marks", names.quoted(near), names.mark(facts.port_mark(view, port)), origin=origin)
    if not carries(view, port):
        yield element("bridge", "blocked", names.quoted(near), origin=origin)


def bridge_port(view: View, port: Record) -> str:
    """The name of a port's end at its network's bridge on this host; empty where it has none."""
    place = _place(view, port)
    return "" if place is None else place[0]


def carries(view: View, port: Record) -> bool:
    """Whether a port may carry anything: it, its network and, for a router's port, the router are up."""
    network = view.fact(facts.network_terms, port["network_id"])
    up = facts.is_up(port) and network is not None and network.up
    if (port.get("device_owner") or "").startswith("network:router_"):
        return up and bool(view.fact(facts.router_up, port["device_id"]))
    return up


def _place(view: View, port: Record) -> tuple[str, str, str, bool] | None:
    """Where a port is on this host: bridge port, namespace and name of the far end, or a tap device; None: nowhere."""
    owner = port.get("device_owner") or ""
    if owner == "network:dhcp":
        if view.fact(facts.dhcp_port, port["network_id"]) != port["id"]:
            return None
        return names.host_device(port), names.network_netns(port["network_id"]), names.DHCP_DEVICE, False
    if owner.startswith("network:router_"):
        if view.fact(facts.router_up, port["device_id"]) is None or facts.is_spare(view, port):
            return None
        return names.host_device(port), names.router_netns(port["device_id"]), names.router_device(port), False
    attachment = facts.attachment_here(view, port["id"])
    if attachment is None:
        return None
    near = names.host_device(port, attachment)
    tap = not attachment.get("netns")
    return near, attachment.get("netns") or "", attachment.get("ifname") or "eth0", tap
