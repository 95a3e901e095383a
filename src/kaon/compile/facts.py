"""What many scopes ask about the world: where things are realised, and what filters a port."""

from __future__ import annotations

from typing import NamedTuple

from kaon.compile.view import View
from kaon.world.world import Record, policy_bucket, policy_key

TRUSTED = 1
"""The packet mark of Kaon's own ports and of ports without port security: not filtered."""
CLOSED = 2
"""The packet mark of filtered ports without any security group: nothing but address configuration passes."""
TUNNELLED = 3
"""The packet mark of what comes from or goes to other hosts: each host filters its own ports."""
DEFAULT_MTU = 1500
"""Bytes; for networks that say nothing."""
_RANKS = 128
"""How many policies may share a hash; marks below this are reserved."""


def attachment_here(view: View, port_id: str) -> Record | None:
    """The attachment of a port on this host, if any."""
    attachment = view.get("attachment", port_id)
    return attachment if attachment is not None and attachment["host"] == view.config.host else None


class NetworkTerms(NamedTuple):
    """What a network means for its ports; the rest of the network's record is no matter of theirs.

    `mtu` is in bytes, `zone` the conntrack zone, `domain` the DNS domain of the ports' names.
    """

    mtu: int
    zone: int
    up: bool
    domain: str


def network_terms(view: View, network_id: str) -> NetworkTerms | None:
    """What a network means for its ports, None when it does not exist."""
    network = view.get("network", network_id)
    if network is None:
        return None
    domain = network.get("dns_domain") or ""
    if not domain or "<" in domain:  # A domain with keywords is another for each of its users.
        domain = view.config.dns_domain
    return NetworkTerms(
        int(network.get("mtu") or DEFAULT_MTU), int(network["zone"]), is_up(network), domain.rstrip(".")
    )


def placed(view: View, resource_id: str) -> bool | None:
    """Whether an administrator wants a network's DHCP, or a router, on this host; None where nothing is said."""
    said = view.by("agent_placement", "place", f"{view.config.host} {resource_id}")
    return bool(said[0]["hosted"]) if said else None


def agent_up(view: View, kind: str) -> bool:
    """Whether this host's agent of a type is administratively up."""
    return all(is_up(agent) for agent in view.by("agent", "role", f"{view.config.host} {kind}"))


def router_here(view: View, router_id: str) -> Record | None:
    """A router that is made on this host; None when it does not exist, or is not to be here."""
    if view.fact(placed, router_id) is False or not view.fact(agent_up, "L3 agent"):
        return None
    return view.get("router", router_id)


def gateway_port(view: View, router_id: str) -> str:
    """The id of the port by which a router reaches the outside, the first of several; empty when there is none."""
    router = view.get("router", router_id) or {}
    for gateway in router.get("gateways") or ():
        return str(gateway["port_id"])
    ports = view.by("port", "device_id", router_id)
    return next((port["id"] for port in ports if port["device_owner"] == "network:router_gateway"), "")


def is_spare(view: View, port: Record) -> bool:
    """Whether a port is a router's gateway beside its first one, which is all that a router uses."""
    if port.get("device_owner") != "network:router_gateway":
        return False
    return view.fact(gateway_port, port["device_id"]) != str(port["id"])


def router_up(view: View, router_id: str) -> bool | None:
    """Whether a router is administratively up, None when it is not here; the rest is no matter of its ports."""
    router = router_here(view, router_id)
    return None if router is None else is_up(router)


def served_subnets(view: View, network_id: str) -> tuple[str, ...]:
    """The ids of the network's subnets that its DHCP server serves."""
    subnets = view.by("subnet", "network_id", network_id)
    return tuple(subnet["id"] for subnet in subnets if subnet.get("enable_dhcp", True))


def attached_network(view: View, network_id: str) -> bool:
    """Whether a port of the network is attached on this host."""
    return view.any("attachment", "host_network", f"{view.config.host} {network_id}")


def network_here(view: View, network_id: str) -> bool:
    """Whether the network has a bridge on this host: a port is attached, a router has a port, or DHCP is served."""
    return (
        view.fact(attached_network, network_id)
        or view.any("port", "router_network", network_id)
        or view.fact(dhcp_here, network_id)
    )


def dhcp_here(view: View, network_id: str) -> bool:
    """Whether DHCP of a network is served on this host: where a port is attached, unless said otherwise."""
    if not view.fact(agent_up, "DHCP agent"):
        return False
    said = view.fact(placed, network_id)
    return view.fact(attached_network, network_id) if said is None else said


def dhcp_port(view: View, network_id: str) -> str:
    """The id of the port by which a network's DHCP server is realised on this host; empty when it is not."""
    if not view.fact(dhcp_here, network_id):
        return ""
    ids = view.ids("port", "dhcp_network", network_id)
    return ids[0] if ids else ""


def group_here(view: View, group_id: str) -> bool:
    """Whether a port attached on this host uses the security group."""
    return view.any("attachment", "host_group", f"{view.config.host} {group_id}")


def remote_group_here(view: View, group_id: str) -> bool:
    """Whether a rule that is in force on this host names the group as the other side."""
    rules = view.by("security_group_rule", "remote_group_id", group_id)
    return any(view.fact(group_here, rule["security_group_id"]) for rule in rules)


def policy_mark(view: View, policy: str) -> int:
    """The packet mark of a policy: 24 bits of hash, then its rank among the policies of that hash (31 bits)."""
    bucket = policy_bucket(policy)
    policies = view.ids("policy", "bucket", bucket)
    rank = policies.index(policy) if policy in policies else 0
    if rank >= _RANKS:
        raise ValueError(f"more than {_RANKS} security policies share the hash {bucket}: merge security groups")
    return int(bucket, 16) * _RANKS + rank


def is_service(port: Record) -> bool:
    """Whether a port belongs to Kaon's own services (DHCP, routers): it is trusted."""
    return (port.get("device_owner") or "").startswith("network:")


def is_filtered(port: Record) -> bool:
    """Whether port security judges what a port sends and receives."""
    return port.get("port_security_enabled", True) and not is_service(port)


def port_mark(view: View, port: Record) -> int:
    """The packet mark of what a port sends, and later of what it is about to receive."""
    if not is_filtered(port):
        return TRUSTED
    policy = policy_key(port)
    return view.fact(policy_mark, policy) if policy else CLOSED


def is_up(record: Record | None) -> bool:
    """Whether a record exists and is administratively up."""
    return record is not None and record.get("admin_state_up", True)
