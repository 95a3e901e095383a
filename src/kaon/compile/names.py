"""How kernel objects are named after API ids. Interface names hold at most 15 characters, so only part of an id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

HOST = ""
"""The network namespace of the agent."""
TABLE = "kaon"
"""Every nft table of Kaon, in whatever family and namespace."""


def bridge(network_id: str) -> str:
    """The bridge of a network."""
    return f"kbr{network_id[:11]}"


def patch(network_id: str) -> tuple[str, str]:
    """The veth pair between an operator's bridge (first) and Kaon's bridge (second) of a network."""
    return f"kx{network_id[:11]}", f"ky{network_id[:11]}"


def tunnel(network_id: str) -> str:
    """The VXLAN device of a network."""
    return f"kv{network_id[:11]}"


def network_netns(network_id: str) -> str:
    """The namespace of a network's services."""
    return f"kaon-net-{network_id}"


def router_netns(router_id: str) -> str:
    """The namespace of a router."""
    return f"kaon-router-{router_id}"


DHCP_DEVICE = "dhcp"
"""The interface in a network's namespace."""


def router_device(port: Mapping[str, Any]) -> str:
    """The interface of a router's port inside the router's namespace."""
    prefix = "gw" if port["device_owner"] == "network:router_gateway" else "in"
    return f"{prefix}-{port['id'][:8]}"


def host_device(port: Mapping[str, Any], attachment: Mapping[str, Any] | None = None) -> str:
    """The bridge port of an API port."""
    owner = port.get("device_owner") or ""
    if owner == "network:dhcp":
        return f"kd{port['id'][:11]}"
    if owner.startswith("network:router_"):
        return f"kq{port['id'][:11]}"
    return (attachment or {}).get("tap") or f"tap{port['id'][:11]}"


def shaper(port: Mapping[str, Any]) -> str:
    """The intermediate device in which what an API port sends waits for its turn."""
    return f"kl{port['id'][:11]}"


def quoted(interface: str) -> str:
    """An interface name as nft writes it."""
    return f'"{interface}"'


def mark(number: int) -> str:
    """A packet mark as nft writes it."""
    return f"0x{number:08x}"
