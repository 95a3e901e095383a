"""A small world in which packets are followed, and what a change that a trace proposes makes of it."""

from __future__ import annotations

from typing import Any

from kaon.insight.answer import Change, Reason, Stage, Trace, Way
from kaon.insight.packet import asked
from kaon.insight.trace import trace
from kaon.world.world import World
from tests.compile.cloud import Cloud, named

OUTSIDE = "203.0.113.1"
"""The host outside: gateway of the external network."""


class Story(Cloud):
    """A tenant's cloud with an external network, whose instances are attached."""

    def __init__(self) -> None:
        super().__init__()
        self.external = self.network(
            "outside", 99, "203.0.113.0/24", external_to=["*"], **{"provider:physical_network": "outside"}
        )

    def vm(self, name: str, network: str, *addresses: str, groups: tuple[str, ...] = (), **values: Any) -> str:
        """An attached port in these groups."""
        return self.attach(self.port(name, network, *addresses, security_groups=list(groups), **values))

    def open(self, name: str = "open") -> str:
        """A group that lets everything out and in."""
        group = self.group(name)
        for direction in ("egress", "ingress"):
            for ethertype in ("IPv4", "IPv6"):
                self.rule(group, direction, ethertype)
        return group

    def edge_router(self, *inside: tuple[str, str], **gateway: Any) -> str:
        """A router with its gateway at 203.0.113.10, and an interface in each network at an address."""
        router = self.router("edge")
        for network, address in inside:
            self.interface(router, network, address)
        self.gateway(router, self.external, "203.0.113.10", **gateway)
        return router

    def floating(self, address: str, router: str | None, port: str | None, fixed: str | None) -> str:
        """A floating IP of the external network."""
        values = {"router_id": router, "port_id": port, "fixed_ip_address": fixed, "floating_ip_address": address}
        return self.put("floatingip", named(address), floating_network_id=self.external, **values)

    def trace(self, sender: str, to: str, protocol: str = "", **more: Any) -> Trace:
        """What becomes of a packet in the world as it is."""
        return trace(self.world(), asked(sender, to, protocol, **more))

    def world(self) -> World:
        return World(self.changes)

    def make(self, change: Change) -> None:
        """Do what a trace says would help, as the API would."""
        match change.action, change.kind:
            case "attach", _:
                self.attach(change.id)
            case "create", "security_group_rule":
                self.put("security_group_rule", named(str(change.attributes)), **change.attributes)
            case "update", _:
                self.put(change.kind, change.id, **change.attributes)
            case "add_router_interface", _:
                subnet = self.records["subnet", change.attributes["subnet_id"]]
                self.interface(change.id, subnet["network_id"], subnet["gateway_ip"])
            case _:
                raise AssertionError(f"{change} is nothing that a test can do")


def passes(found: Trace, *stages: Stage) -> None:
    """See that a packet and its answer arrive, the packet by these stages when they are named."""
    assert found.passes, found.drop
    if stages:
        assert [hop.stage for hop in found.hops] == list(stages), found.hops


def dropped(found: Trace, reason: Reason, resource: str, way: Way = Way.THERE) -> Trace:
    """See that a packet is dropped for a reason, at a resource, and that there is a way out."""
    assert found.drop is not None, found
    assert (found.drop.reason, found.drop.resource, found.drop.way) == (reason, resource, way), found.drop
    assert found.drop.changes or found.drop.advice
    return found


def mended(story: Story, found: Trace, *question: str, **more: Any) -> None:
    """See that what the trace proposes lets the packet through, and no less does."""
    assert found.drop is not None and found.drop.changes
    for change in found.drop.changes:
        assert not story.trace(*question, **more).passes
        story.make(change)
    passes(story.trace(*question, **more))
