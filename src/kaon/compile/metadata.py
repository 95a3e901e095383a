"""Who listens for instances that ask about themselves, and who is behind each source address.

A listener is in a network's namespace, where a source address means one port, and in a router's, for networks that
reach it by their gateway. The same address in two networks is two listeners and two instances.
"""

from __future__ import annotations

from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.view import View
from kaon.rows import MetadataInstance, MetadataListener, Row, row
from kaon.world.world import Record

METADATA_ADDRESS = "169.254.169.254"


def network_rows(view: View, network_id: str) -> Iterator[Row]:
    """The listener of a network whose DHCP port is realised on this host."""
    if view.config.metadata and view.fact(facts.dhcp_port, network_id):
        listener = MetadataListener((METADATA_ADDRESS,))
        yield row(listener, names.network_netns(network_id), origin=f"network/{network_id}")


def _listeners(view: View, network_id: str) -> tuple[tuple[str, str], ...]:
    """The namespaces whose listeners a network's instances reach, each with the subnet from which (empty: any)."""
    listeners = []
    if view.fact(facts.dhcp_port, network_id):
        listeners.append((names.network_netns(network_id), ""))
    for interface in view.by("port", "router_network", network_id):
        if interface["device_owner"] == "network:router_interface":
            router = names.router_netns(interface["device_id"])
            listeners += [(router, ip["subnet_id"]) for ip in interface.get("fixed_ips") or ()]
    return tuple(listeners)


def port_rows(view: View, port: Record, attachment: Record) -> Iterator[Row]:
    """The instance behind an attached port's addresses, for its network's listener and its routers'."""
    if not view.config.metadata:
        return
    floating = [
        floatingip["floating_ip_address"]
        for floatingip in view.by("floatingip", "port_id", port["id"])
        if ":" not in floatingip["floating_ip_address"]
    ]
    instance = MetadataInstance(
        port_id=port["id"],
        instance_id=attachment.get("instance_id") or port.get("device_id") or port["id"],
        project_id=port.get("project_id") or "",
        hostname=attachment.get("hostname") or port.get("dns_name") or "",
        user_data=attachment.get("user_data") or "",
        mac=port["mac_address"].lower(),
        network_id=port["network_id"],
        public_ipv4=next(iter(sorted(floating)), ""),
    )
    answered = {
        (netns, ip["ip_address"])
        for netns, subnet in view.fact(_listeners, port["network_id"])
        for ip in port.get("fixed_ips") or ()
        if ":" not in ip["ip_address"] and subnet in ("", ip["subnet_id"])
    }
    for netns, address in sorted(answered):
        yield row(instance, netns, address, origin=f"port/{port['id']}")
