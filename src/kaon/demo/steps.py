"""The steps of the main job. Each makes one claim, shows what was seen, and fails when it was not so."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import Any

from kaon.agent import control
from kaon.demo import instance, kernel
from kaon.demo.cloud import Cloud, tenant
from kaon.demo.instance import until
from kaon.demo.narrate import Narrator, Step
from kaon.demo.stage import OUTSIDE, OUTSIDE_ADDRESS, Machine, Stage
from kaon.demo.stream import Stream

IPV4, IPV6 = "10.0.0.0/24", "fd00:cafe::/64"
METADATA = "169.254.169.254"


@dataclass(slots=True)
class Tenant:
    """One project of the demo and what it has."""

    name: str
    cloud: Cloud
    network: dict[str, Any]
    subnet: dict[str, Any]
    router: dict[str, Any]
    group: dict[str, Any]
    machines: list[Machine] = field(default_factory=list)


@dataclass(slots=True)
class Show:
    """What the steps hand on to each other."""

    stage: Stage
    narrator: Narrator
    admin: Cloud
    external: dict[str, Any] = field(default_factory=dict)
    tenants: list[Tenant] = field(default_factory=list)

    @property
    def machines(self) -> list[Machine]:
        """Every machine of every tenant."""
        return [machine for tenant in self.tenants for machine in tenant.machines]


def play(show: Show) -> None:
    """Every step, in order. A later step still runs when an earlier one has failed, as far as it can."""
    for name, title, step in (
        ("build", "Two projects, the same addresses: 10.0.0.0/24 and fd00:cafe::/64 twice", build),
        ("talk", "Inside a project everything talks, across projects nothing does", talk),
        (
            "security_groups",
            "A rule opens a port at once; its removal cuts the established connection",
            security_groups,
        ),
        ("outside", "To the outside by SNAT, from the outside by a floating IP that moves", outside),
        ("metadata", "Two instances with one address each hear from 169.254.169.254 who they are", metadata),
        ("faults", "Both processes die while traffic runs; kernel objects vanish by hand", faults),
    ):
        with show.narrator.step(name, title) as current:
            step(show, current)


def build(show: Show, step: Step) -> None:
    """Networks, routers and instances of both projects; every address comes by DHCP or SLAAC."""
    show.external = show.admin.create(
        "networks",
        name="outside",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "outside"},
    )
    show.admin.create(
        "subnets",
        network_id=show.external["id"],
        ip_version=4,
        cidr="203.0.113.0/24",
        gateway_ip=OUTSIDE_ADDRESS,
        enable_dhcp=False,
    )
    for name in ("red", "blue"):
        started = time.monotonic()
        made = _project(show, name)
        show.tenants.append(made)
        for number in (1, 2):
            port = made.cloud.create(
                "ports", network_id=made.network["id"], name=f"{name}-{number}", security_groups=[made.group["id"]]
            )
            machine, seconds = show.stage.attach(name, f"vm{number}", port, f"#!/bin/sh\necho I am {name} {number}\n")
            show.narrator.timed(step, f"attach {machine.name}", seconds)
            made.machines.append(machine)
        show.narrator.timed(step, f"project {name}, from nothing to attached", time.monotonic() - started)
    for machine in show.machines:
        shown = instance.get_addresses(machine.netns)
        show.narrator.see(
            step,
            f"{machine.name}: {' '.join(shown.split()[2:])}",
            machine.ipv4 in shown and machine.ipv6 in shown,
        )
    red, blue = (tenant.machines[0] for tenant in show.tenants)
    show.narrator.see(step, f"{red.name} and {blue.name} both have {red.ipv4}", red.ipv4 == blue.ipv4)


def _project(show: Show, name: str) -> Tenant:
    cloud = tenant(show.stage.http, show.admin, name, f"{name}-demo-password")
    network = cloud.create("networks", name=f"{name}-net")
    subnet = cloud.create("subnets", network_id=network["id"], ip_version=4, cidr=IPV4, dns_nameservers=[])
    subnet6 = cloud.create(
        "subnets", network_id=network["id"], ip_version=6, cidr=IPV6, ipv6_ra_mode="slaac", ipv6_address_mode="slaac"
    )
    router = cloud.create("routers", name=f"{name}-router")
    for part in (subnet, subnet6):
        cloud.call("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": part["id"]})
    cloud.update("routers", router["id"], external_gateway_info={"network_id": show.external["id"]})
    group = cloud.create("security_groups", name=f"{name}-group")
    for ethertype, protocol in (("IPv4", "icmp"), ("IPv6", "ipv6-icmp")):
        cloud.create(
            "security_group_rules",
            security_group_id=group["id"],
            direction="ingress",
            ethertype=ethertype,
            protocol=protocol,
        )
    for ethertype in ("IPv4", "IPv6"):
        cloud.create(
            "security_group_rules",
            security_group_id=group["id"],
            direction="ingress",
            ethertype=ethertype,
            protocol="tcp",
            port_range_min=8000,
            port_range_max=8999,
            remote_group_id=group["id"],
        )
    return Tenant(name, cloud, network, subnet, router, group)


def talk(show: Show, step: Step) -> None:
    """Ping and TCP over both families inside a project; nothing across, although the addresses collide."""
    see = show.narrator.see
    with ExitStack() as servers:
        for machine in show.machines:
            servers.enter_context(instance.web_server(machine.netns, 8080, machine.name))
        for owner in show.tenants:
            first, second = owner.machines
            for address in (second.ipv4, second.ipv6):
                seen = instance.ping(first.netns, address)
                see(step, f"{first.name} pings {address}: {seen.output}", seen.received == seen.sent)
                status, body = instance.fetch(first.netns, address, 8080)
                # Who answers is what tells the twins apart.
                see(step, f"{first.name} GET {address}:8080: {status} {body.strip()}", second.name in body)
    red, blue = show.tenants
    _nothing_across(show, step, red, blue)


def _nothing_across(show: Show, step: Step, red: Tenant, blue: Tenant) -> None:
    """An address that only blue uses is silent for red, and blue's machine sees no frame of red's attempt."""
    port = blue.cloud.create(
        "ports",
        network_id=blue.network["id"],
        security_groups=[blue.group["id"]],
        fixed_ips=[{"subnet_id": blue.subnet["id"], "ip_address": "10.0.0.99"}],
    )
    lone, _ = show.stage.attach("blue", "lone", port)
    instance.get_addresses(lone.netns)
    inside = instance.ping(blue.machines[0].netns, "10.0.0.99", 2)
    show.narrator.see(step, f"blue/vm1 pings 10.0.0.99: {inside.output}", inside.received == 2)
    with instance.captured(lone.netns, "eth0", red.machines[0].port["mac_address"]) as frames:
        across = instance.ping(red.machines[0].netns, "10.0.0.99", 3, wait=0.3)
        show.narrator.see(step, f"red/vm1 pings 10.0.0.99: {across.output}", across.received == 0)
        show.narrator.see(step, f"frames of red/vm1 seen by blue/lone: {len(frames)}", not frames)


def security_groups(show: Show, step: Step) -> None:
    """Port 80 is closed, a rule opens it, its removal cuts even the connection that was established."""
    owner = show.tenants[0]
    client, server = owner.machines
    see = show.narrator.see
    with instance.web_server(server.netns, 80, server.name):
        see(step, f"{client.name} to {server.ipv4}:80 without a rule: no answer", not _answers(client, server.ipv4))
        rule = owner.cloud.create(
            "security_group_rules",
            security_group_id=owner.group["id"],
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=80,
            port_range_max=80,
        )
        opened = until(lambda: instance.reaches(client.netns, server.ipv4, 80, 0.05))
        show.narrator.timed(step, "rule to open", opened)
        see(step, f"a rule for port 80 is added: open {opened * 1000:.0f} ms after its answer", opened < 1)
        with closing(instance.connect(client.netns, server.ipv4, 80)) as conn:
            conn.settimeout(0.3)
            see(step, f"a connection is established: {instance.request(conn)[1].strip()}", True)
            owner.cloud.delete("security_group_rules", rule["id"])
            cut = _first_unanswered(conn)
            show.narrator.timed(step, "rule removed to cut", cut)
            see(step, f"the rule is removed: that connection gets no answer from {cut * 1000:.0f} ms on", True)
        see(step, f"{client.name} to {server.ipv4}:80 again: no answer", not _answers(client, server.ipv4))


def _first_unanswered(conn: socket.socket, patience: float = 5.0) -> float:
    """Seconds until the first request that a connection gets no answer to; raises TimeoutError if it gets all."""
    started = time.monotonic()
    while (asked := time.monotonic() - started) < patience:
        if not _still_answers(conn):
            return asked
    raise TimeoutError(f"the connection still answers after {patience} s")


def _answers(client: Machine, address: str) -> bool:
    return instance.reaches(client.netns, address, 80)


def _still_answers(conn: socket.socket) -> bool:
    try:
        return instance.request(conn)[0] == 200
    except OSError:
        return False


def outside(show: Show, step: Step) -> None:
    """SNAT outwards; a floating IP inwards, moved and removed."""
    owner = show.tenants[0]
    first, second = owner.machines
    see = show.narrator.see
    gateway = owner.cloud.show("routers", owner.router["id"])["external_gateway_info"]
    source = gateway["external_fixed_ips"][0]["ip_address"]
    with ExitStack() as servers:
        servers.enter_context(instance.web_server(OUTSIDE, 80, "outside"))
        for machine in owner.machines:
            servers.enter_context(instance.web_server(machine.netns, 80, machine.name))
        status, body = instance.fetch(first.netns, OUTSIDE_ADDRESS)
        see(step, f"{first.name} GET {OUTSIDE_ADDRESS}: {status} {body.strip()}", source in body)
        owner.cloud.create(
            "security_group_rules",
            security_group_id=owner.group["id"],
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=80,
            port_range_max=80,
        )
        floating = owner.cloud.create("floatingips", floating_network_id=show.external["id"], port_id=first.port["id"])
        address = floating["floating_ip_address"]
        for machine, change in ((first, None), (second, second.port["id"])):
            if change is not None:
                owner.cloud.update("floatingips", floating["id"], port_id=change)
            expected = machine.name
            seconds = until(lambda expected=expected: expected in _greeting(address))  # type: ignore[misc]
            show.narrator.timed(step, f"floating IP to {machine.name}", seconds)
            see(step, f"outside GET {address}: {_greeting(address).strip()} (after {seconds * 1000:.0f} ms)", True)
        status, body = instance.fetch(second.netns, OUTSIDE_ADDRESS)
        see(step, f"{second.name} GET {OUTSIDE_ADDRESS}: {status} {body.strip()}", address in body)
        owner.cloud.delete("floatingips", floating["id"])
        gone = until(lambda: not instance.reaches(OUTSIDE, address, 80, 0.1))
        see(step, f"the floating IP is removed: {address} is silent after {gone * 1000:.0f} ms", True)


def _greeting(address: str) -> str:
    try:
        return instance.fetch(OUTSIDE, address, 80, timeout=0.2)[1]
    except OSError:
        return ""


def metadata(show: Show, step: Step) -> None:
    """Both instances with the same address learn their own names."""
    for owner in show.tenants:
        machine = owner.machines[0]
        for path in ("/openstack/latest/meta_data.json", "/latest/meta-data/instance-id", "/latest/user-data"):
            status, body = instance.fetch(machine.netns, METADATA, 80, path, 3.0)
            told = f"{owner.name}-vm1" in body or f"I am {owner.name} 1" in body
            show.narrator.see(
                step,
                f"{machine.name} ({machine.ipv4}) GET {path}: {status} {body.strip()[:180]}",
                status == 200 and told,
            )


def faults(show: Show, step: Step) -> None:
    """SIGKILL to server and agent under traffic; then a bridge port and an nft set go by hand."""
    owner = show.tenants[0]
    first, second = owner.machines
    see = show.narrator.see
    before = kernel.objects()
    pings: list[instance.Ping] = []
    pinging = threading.Thread(
        target=lambda: pings.append(instance.ping(first.netns, second.ipv4, 300, 0.01)), daemon=True
    )
    with Stream(first.netns, second.netns, second.ipv4, 8081) as stream:
        pinging.start()
        until(lambda: stream.received > 20)
        state = show.stage.state()
        for process in (state.server, state.agent):
            os.kill(process, signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: show.stage.state().server not in (0, state.server), 10)
        show.stage.await_ready()
        until(lambda: _agent_settled(show.stage), 10)
        show.narrator.timed(step, "both killed to both ready", time.monotonic() - killed)
        pinging.join()
    seen = pings[0]
    see(step, f"server {state.server} and agent {state.agent} got SIGKILL and were started again", None)
    see(step, f"ping meanwhile: {seen.output}", seen.sent == seen.received == 300)
    see(
        step,
        f"TCP meanwhile: {stream.received} of {stream.sent} numbers arrived in order, longest gap "
        f"{stream.longest_gap * 1000:.0f} ms",
        stream.received == stream.sent and stream.in_order,
    )
    after = kernel.objects()
    see(step, f"kernel objects before and after the restart: {len(before)} lines, the same", before == after)
    writes = asyncio.run(control.status(show.stage.control)).figures.get("kernel_writes_total", -1)
    see(step, f"kernel writes by the restarted agent: {writes:.0f}", writes == 0)
    _repair(
        show,
        step,
        f"bridge port {second.device} taken from its bridge",
        ["ip", "link", "set", second.device, "nomaster"],
    )
    kind, name = kernel.fullest("bridge", "kaon")
    again = instance.ping(first.netns, second.ipv4, 2)
    see(step, f"{first.name} pings {second.ipv4}: {again.output}", again.received == 2)
    _repair(
        show,
        step,
        f"every element of nft {kind} {name} removed",
        ["nft", "flush", kind, "bridge", "kaon", name],
    )


def _agent_settled(stage: Stage) -> bool:
    """Whether the restarted agent has its rows and has converged them."""
    try:
        status = asyncio.run(control.status(stage.control))
    except control.AgentError:
        return False
    return status.connected and status.seq > 0 and status.converged == status.seq


def _repair(show: Show, step: Step, what: str, command: list[str]) -> None:
    """Damage something by hand and wait until it is as it was, and the log names the API id."""
    before, logged = kernel.shape(), len(show.stage.logged("repaired"))
    subprocess.run(command, check=True, capture_output=True)
    try:
        seconds = until(lambda: kernel.shape() == before, 5)
    except TimeoutError:
        differing = sorted(set(before) ^ set(kernel.shape()))
        show.narrator.see(step, f"{what}: still differs after 5 s:\n" + "\n".join(differing[:10]), False)
        return
    show.narrator.timed(step, f"{what} to repaired", seconds)
    show.narrator.see(step, f"{what}: as it was after {seconds * 1000:.0f} ms", seconds < 2)
    until(lambda: len(show.stage.logged("repaired")) > logged, 2)
    line = show.stage.logged("repaired")[-1]
    show.narrator.see(step, f"logged: {line}", "port/" in line or "network/" in line)
