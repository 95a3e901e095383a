"""What a trace tells: the hops of a packet, how it ended, the one reason if it was dropped, and what would help."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Reason(StrEnum):
    """Why a packet goes no further."""

    NOT_ATTACHED = "not-attached"
    PORT_DOWN = "port-down"
    NETWORK_DOWN = "network-down"
    ROUTER_DOWN = "router-down"
    NO_ADDRESS = "no-address"
    FOREIGN_SOURCE = "foreign-source"
    PLAYS_DHCP_SERVER = "plays-dhcp-server"
    NO_SECURITY_GROUP = "no-security-group"
    NO_EGRESS_RULE = "no-egress-rule"
    NO_INGRESS_RULE = "no-ingress-rule"
    NO_CONNECTION = "no-connection"
    NO_GATEWAY = "no-gateway"
    NO_ROUTER = "no-router"
    NO_ROUTE = "no-route"
    NOBODY_THERE = "nobody-there"
    NO_FORWARDING = "no-forwarding"
    NO_DHCP = "no-dhcp"
    NO_PHYSICAL_NETWORK = "no-physical-network"
    PRIVATE_FROM_OUTSIDE = "private-from-outside"
    FLOATING_IP_UNASSOCIATED = "floating-ip-unassociated"
    LOOP = "loop"


class Stage(StrEnum):
    """What happens to a packet at a hop."""

    PORT = "port"
    EGRESS = "egress"
    NETWORK = "network"
    ROUTER = "router"
    NAT = "nat"
    INGRESS = "ingress"
    SERVICE = "service"
    OUTSIDE = "outside"
    HIDDEN = "hidden"


class Outcome(StrEnum):
    """How a packet and its answer ended."""

    DELIVERED = "delivered"
    """It arrives, and so does the answer."""
    LEFT = "left"
    """It leaves by a physical network, whose hosts nobody has told Kaon of; an answer from there arrives."""
    DROPPED = "dropped"
    HIDDEN = "hidden"
    """What becomes of it is decided by what belongs to another project."""


class Way(StrEnum):
    """Whether it is the packet that is dropped, or the answer."""

    THERE = "there"
    BACK = "back"


class Change(msgspec.Struct, frozen=True):
    """A change of intent in API terms: `action` is create, update or attach, or that of a router's interfaces."""

    action: str
    kind: str
    id: str = ""
    attributes: dict[str, Any] = {}
    text: str = ""


class Drop(msgspec.Struct, frozen=True):
    """Where and why a packet was dropped. `changes` together, in order, are the least that lets it go on from there."""

    reason: Reason
    resource: str
    why: str
    changes: tuple[Change, ...] = ()
    advice: str = ""
    way: Way = Way.THERE


class Hop(msgspec.Struct, frozen=True):
    """One thing that happened to the packet. `resource` is ``kind/id``; `packet` is how it goes on from here."""

    stage: Stage
    resource: str
    what: str
    packet: str
    because: str = ""
    """The rule that admitted it, or the floating IP that it goes by."""


class Trace(msgspec.Struct, frozen=True):
    """A prediction. `reached` is who has the packet in the end; empty when nobody has."""

    outcome: Outcome
    packet: str
    reached: str
    hops: tuple[Hop, ...]
    back: tuple[Hop, ...]
    drop: Drop | None = None

    @property
    def passes(self) -> bool:
        """Whether the packet arrives and its answer does."""
        return self.outcome in (Outcome.DELIVERED, Outcome.LEFT)
