"""Topologies drawn at random: Kaon builds each for real, and every prediction is checked by packets.

KAON_TOPOLOGIES says how many (6) and KAON_SEED which; a failure prints the topology, and how to draw it again.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from tests import sandbox
from tests.insight.topologies import PORT, PREFIXES, Rule, Topology, topologies
from tests.packets.lab import OUTSIDE, OUTSIDE4, Lab, Machine, Project
from tests.packets.test_predictions import listening, predicted
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

COUNT, SEED = int(os.environ.get("KAON_TOPOLOGIES", "6")), int(os.environ.get("KAON_SEED", "1"))


def build(project: Project, topology: Topology) -> list[tuple[Machine, str]]:
    """Build it; each machine, with its floating IP if it has one."""
    networks = [project.network(*PREFIXES[number]) for number in topology.networks]
    groups = []
    for number, group in enumerate(topology.groups):
        made = project.cloud.create("security_groups", name=f"{project.name}-{number}", stateful=group.stateful)
        for rule in made["security_group_rules"] if not group.everything_out else ():
            project.cloud.delete("security_group_rules", rule["id"])
        groups.append(made)
    for made, group in zip(groups, topology.groups, strict=True):
        for rule in dict.fromkeys(group.rules):
            # The API takes no rule twice.
            if not (rule.direction == "egress" and group.everything_out):
                add(project, made, rule, groups)
    if topology.joined or topology.outside:
        subnets = [subnet for number in sorted(topology.joined) for subnet in networks[number].subnets]
        project.router(*subnets, outside=topology.outside)
    machines = []
    for vm in topology.vms:
        if vm.group == -1:
            machine = project.machine(networks[vm.network], port_security_enabled=False)
        else:
            machine = project.machine(networks[vm.network], *(() if vm.group is None else (groups[vm.group],)))
        leads_in = vm.floating and topology.outside and vm.network in topology.joined
        machines.append((machine, project.floating(machine)["floating_ip_address"] if leads_in else ""))
    for (machine, _), vm in zip(machines, topology.vms, strict=True):
        if not vm.up:
            project.cloud.update("ports", machine.id, admin_state_up=False)
    return machines


def add(project: Project, group: dict[str, Any], rule: Rule, groups: list[dict[str, Any]]) -> None:
    """Make a rule as the API takes it."""
    values: dict[str, Any] = {"direction": rule.direction, "ethertype": rule.ethertype, "protocol": rule.protocol}
    if rule.port is not None:
        values |= {"port_range_min": rule.port, "port_range_max": rule.port}
    if isinstance(rule.remote, int):
        values["remote_group_id"] = groups[rule.remote]["id"]
    elif rule.remote is not None:
        values["remote_ip_prefix"] = rule.remote
    project.rule(group, **values)


class Ask(NamedTuple):
    """A packet to try: from whom (its id, and its namespace), to which address, and by TCP to which port (0: echo)."""

    sender: str
    netns: str
    address: str
    port: int

    @property
    def to(self) -> str:
        if not self.port:
            return self.address
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


def questions(machines: list[tuple[Machine, str]], topology: Topology) -> list[Ask]:
    """Every pair by every address, and the outside both ways."""
    found = []
    for one, _ in machines:
        targets = [address for other, floating in machines for address in (*other.addresses, floating) if address]
        targets = [address for address in targets if address not in one.addresses]
        found += [Ask(one.id, one.netns, address, port) for address in targets for port in (0, PORT)]
        if topology.outside:
            found.append(Ask(one.id, one.netns, OUTSIDE4, 0))
    for _, floating in machines:
        found += [Ask("external", OUTSIDE, floating, port) for port in (0, PORT) if floating]
    return list(dict.fromkeys(found))


def is_answered(ask: Ask, expected: bool) -> bool:
    """Whether a real packet is answered."""
    seconds = 3 if expected else 0.4
    if ask.port:
        try:
            return sandbox.connects(ask.netns, ask.address, ask.port, seconds)
        except ConnectionRefusedError:  # it arrives where nobody listens: at a DHCP server's address, say
            return True
        except OSError:  # its own kernel knows no way, or a router's says so
            return False
    return sandbox.ping(ask.netns, ask.address, seconds)


tried = {"topologies": 0, "packets": 0, "passing": 0}


@pytest.mark.timeout(0)
def test_packets_agree_with_every_prediction(lab: Lab) -> None:
    @seed(SEED)
    @settings(
        max_examples=COUNT,
        deadline=None,
        database=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(topologies())
    def check(topology: Topology) -> None:
        with lab.project() as project:
            machines = build(project, topology)
            until(lab.settled, 10, "all is real")
            asks = questions(machines, topology)
            foreseen = [predicted(lab, ask.sender, ask.to) for ask in asks]
            # What leaves is answered by the one host that is outside.
            ours = {"delivered"}, {"delivered", "left"}
            passing = [
                found["outcome"] in ours[ask.address == OUTSIDE4] for ask, found in zip(asks, foreseen, strict=True)
            ]
            with listening(*(machine for machine, _ in machines)), ThreadPoolExecutor(8) as pool:
                real = list(pool.map(is_answered, asks, passing))
            both = zip(asks, real, passing, foreseen, strict=True)
            wrong = [(ask, was, found) for ask, was, should, found in both if was != should]
            assert wrong == [], topology
            tried["topologies"] += 1
            tried["packets"] += len(asks)
            tried["passing"] += sum(passing)

    check()
    print({"seed": SEED, **tried})
    assert 0 < tried["passing"] < tried["packets"]
