"""What a trace remembers on its way: the hops so far, and what connection tracking has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from kaon.insight.answer import Change, Drop, Hop, Reason, Stage, Way
from kaon.insight.packet import Packet
from kaon.world.world import Record, World


class Switched(NamedTuple):
    """A packet is on a network, on its way to whoever has the address `target` there."""

    network_id: str
    target: str


class Arrived(NamedTuple):
    """A packet has come to a port."""

    port: Record


class Outside(NamedTuple):
    """A packet has left by a network's physical network."""

    network_id: str


class Delivered(NamedTuple):
    """A packet has come to its end. `at` is a port, a router or a network (outside), as `kind` says."""

    kind: str
    at: Record

    @property
    def name(self) -> str:
        """``kind/id`` of who has it, ``external/id`` of the network outside of which it is."""
        return f"{self.kind}/{self.at['id']}"


Step = Switched | Arrived | Outside | Delivered | Drop


@dataclass(slots=True)
class Walk:
    """One packet's way, or that of its answer. Stages change `packet` and add to `hops`.

    The answer's walk has what the packet's one has left behind: `seen` holds what each network has seen (each tracks
    connections of its own, so that addresses may collide), `translated` what a router made of what it was given, and
    `last_gateway` the port by which the packet left for the outside.
    """

    world: World
    packet: Packet
    way: Way = Way.THERE
    hops: list[Hop] = field(default_factory=list)
    seen: set[tuple[str, Packet]] = field(default_factory=set)
    translated: dict[tuple[str, Packet], Packet] = field(default_factory=dict)
    last_gateway: Record | None = None

    def back(self) -> Walk:
        """The walk of the answer."""
        return Walk(self.world, self.packet.reply, Way.BACK, [], self.seen, self.translated, self.last_gateway)

    def hop(self, stage: Stage, resource: str, what: str, because: str = "") -> None:
        """Note what has happened to the packet."""
        self.hops.append(Hop(stage, resource, what, str(self.packet), because))

    def drop(self, reason: Reason, resource: str, why: str, changes: tuple[Change, ...] = (), advice: str = "") -> Drop:
        """The end of the walk."""
        return Drop(reason, resource, why, changes, advice, self.way)

    def passed(self, network_id: str) -> None:
        """Note that a network has seen the packet."""
        if self.way is Way.THERE:
            self.seen.add((network_id, self.packet))

    def answers(self, network_id: str) -> bool:
        """Whether the packet answers what its network has seen."""
        return self.way is Way.BACK and (network_id, self.packet.reply) in self.seen


def up(kind: str, record: Record) -> Change:
    """The change that sets a record administratively up."""
    return Change("update", kind, record["id"], {"admin_state_up": True}, f"set {kind} {record['id']} up")
