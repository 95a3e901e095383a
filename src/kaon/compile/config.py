"""What the compiler must know of a host that no tenant asked for."""

from __future__ import annotations

import msgspec


class HostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """A host's name and its operator's choices.

    `physical_networks` maps a physical network's name to where it is found on this host: ``bridge:br-ex`` is an
    existing bridge, to which Kaon joins a bridge of its own by a veth pair; ``interface:eth1`` an existing
    interface, which becomes a port of Kaon's bridge. `dns_servers` are asked for names that a network does not know.
    `lease_seconds` is the DHCP lease time.
    """

    host: str
    physical_networks: dict[str, str] = {}
    metadata: bool = True
    dns_servers: tuple[str, ...] = ()
    dns_domain: str = "openstacklocal"
    lease_seconds: int = 86400

    def __post_init__(self) -> None:
        for physical_network, where in self.physical_networks.items():
            kind, _, name = where.partition(":")
            if kind not in ("bridge", "interface") or not name:
                raise ValueError(
                    f"physical network {physical_network} is mapped to {where!r}: write bridge:NAME or interface:NAME"
                )
