"""Whatever drops a packet, what the trace proposes leads on: step by step until the packet and its answer arrive."""

from __future__ import annotations

import ipaddress

from hypothesis import HealthCheck, given, settings

from kaon.insight.answer import Trace
from tests.insight.story import Story
from tests.insight.topologies import PORT, PREFIXES, Topology, topologies

STEPS = 12
"""No packet has more to pass than this: two ports, their groups there and back, and two subnets to be joined."""


def built(topology: Topology) -> tuple[Story, list[str]]:
    """The topology as a world, and its instances."""
    story = Story()
    networks = [story.network(f"n{number}", number, *PREFIXES[each]) for number, each in enumerate(topology.networks)]
    groups = []
    for number, group in enumerate(topology.groups):
        made = story.group(f"g{number}")
        story.put("security_group", made, stateful=group.stateful)
        groups.append(made)
    for made, group in zip(groups, topology.groups, strict=True):
        for rule in group.rules:
            remote = rule.remote
            named = {"remote_group_id": groups[remote]} if isinstance(remote, int) else {"remote_ip_prefix": remote}
            ports = {"port_range_min": rule.port, "port_range_max": rule.port}
            story.rule(made, rule.direction, rule.ethertype, protocol=rule.protocol, **ports, **named)
        for ethertype in ("IPv4", "IPv6") if group.everything_out else ():
            story.rule(made, "egress", ethertype)
    router = story.edge_router() if topology.outside else story.router("r")
    for number in topology.joined:
        gateways = [str(ipaddress.ip_network(prefix)[1]) for prefix in PREFIXES[topology.networks[number]]]
        for gateway in gateways:
            story.interface(router, networks[number], gateway)
    vms = []
    for number, vm in enumerate(topology.vms):
        prefixes = [ipaddress.ip_network(prefix) for prefix in PREFIXES[topology.networks[vm.network]]]
        addresses = [str(prefix[10 + number]) for prefix in prefixes]
        held = () if vm.group in (None, -1) else (groups[vm.group or 0],)
        port = story.vm(
            f"vm{number}",
            networks[vm.network],
            *addresses,
            groups=held,
            admin_state_up=vm.up,
            port_security_enabled=vm.group != -1,
        )
        vms.append(port)
        if vm.floating and topology.outside and vm.network in topology.joined:
            story.floating(f"203.0.113.{100 + number}", router, port, addresses[0])
    return story, vms


def led(story: Story, found: Trace, *question: str) -> Trace:
    """The trace after all that it and its followers have proposed."""
    for _ in range(STEPS):
        if found.drop is None or not found.drop.changes:
            return found
        for change in found.drop.changes:
            if change.kind == "floatingip":
                return found
            story.make(change)
        after = story.trace(*question)
        # Never the same again: a change that does not help where it was proposed is none.
        assert after.drop != found.drop, (question, after.drop)
        found = after
    raise AssertionError(f"{question}: no end of changes, the last one {found.drop}")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(topologies())
def test_changes_lead_on_until_the_packet_arrives_or_advice_is_all_there_is(topology: Topology) -> None:
    story, vms = built(topology)
    for sender in vms:
        for receiver in vms:
            for address in (ip["ip_address"] for ip in story.records["port", receiver]["fixed_ips"]):
                if sender == receiver:
                    continue
                for to in (address, f"[{address}]:{PORT}" if ":" in address else f"{address}:{PORT}"):
                    found = led(story, story.trace(sender, to), sender, to)
                    assert found.passes or (found.drop is not None and found.drop.advice), found
