"""A whole Kaon with an outside world, and projects in it: networks, routers and machines in few words.

The suite speaks to the API, attaches ports to namespaces, and sends packets. It would do so on any engine.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from kaon.agent import control
from kaon.agent.control import Status
from kaon.channel import Attachment
from kaon.cli.datafolder import DataFolder, State, read_state
from kaon.demo.cloud import Cloud, log_in, tenant
from tests import sandbox
from tests.running import Running
from tests.wait import until

Body = dict[str, Any]

OUTSIDE = "outside"
"""Namespace of a host outside; it has an address of the external network, which is its gateway."""
OUTSIDE4, OUTSIDE6 = "203.0.113.1", "2001:db8:113::1"
WIRE = "wire"
"""Namespace at the other end of an interface that is mapped to a physical network."""


def ip(*words: str, netns: str = "") -> str:
    """Run ip(8), in a namespace when one is named; raises AssertionError with what it said."""
    done = subprocess.run(
        ["ip", *(("-n", netns) if netns else ()), *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


class Machine(NamedTuple):
    """A stand-in for a virtual machine: a namespace with an interface, and its port as the API told of it."""

    netns: str
    device: str
    port: Body

    @property
    def id(self) -> str:
        """The port's id."""
        return str(self.port["id"])

    @property
    def mac(self) -> str:
        """The port's MAC address."""
        return str(self.port["mac_address"])

    @property
    def ipv4(self) -> str:
        """The first IPv4 address."""
        return next(a for a in self.addresses if ":" not in a)

    @property
    def ipv6(self) -> str:
        """The first IPv6 address."""
        return next(a for a in self.addresses if ":" in a)

    @property
    def addresses(self) -> list[str]:
        """All fixed addresses."""
        return [str(fixed["ip_address"]) for fixed in self.port["fixed_ips"]]

    def capture(self) -> sandbox.Capture:
        """Frames at the machine's interface from now on."""
        return sandbox.Capture(self.netns, self.device)


@dataclass(slots=True)
class Lab:
    """A running Kaon, and how to reach its parts."""

    running: Running
    http: httpx.Client
    admin: Cloud
    external: Body
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def folder(self) -> DataFolder:
        """Where it keeps its data."""
        return DataFolder(self.running.data)

    @property
    def socket(self) -> Path:
        """The agent's control socket."""
        return self.folder.agent / control.SOCKET

    def attach(self, port_id: str, wait: float = control.PATIENCE, **place: Any) -> Body:
        """Attach a port and return it as it was bound; raises control.AgentError when it does not work in time."""
        return dict(asyncio.run(control.attach(self.socket, Attachment(port_id=port_id, **place), wait)))

    def detach(self, port_id: str) -> None:
        """Detach a port; raises control.AgentError."""
        asyncio.run(control.detach(self.socket, port_id))

    def status(self) -> Status | None:
        """How the agent is; None when it does not answer."""
        try:
            return asyncio.run(control.status(self.socket))
        except control.AgentError:
            return None

    def state(self) -> State:
        """Which processes run."""
        return until(lambda: read_state(self.folder), what="kaon.json")

    def settled(self) -> Status | None:
        """The agent's status once all that it has heard of is real."""
        found = self.status()
        return found if found and found.connected and found.seq > 0 and found.converged == found.seq else None

    def ready(self) -> bool:
        """Whether the API says so."""
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    @contextmanager
    def project(self) -> Iterator[Project]:
        """A project of its own; everything in it is removed at the end, whatever happened."""
        name = f"p{next(self.numbers)}"
        made = Project(self, name, tenant(self.http, self.admin, name, f"{name}-password"))
        try:
            yield made
        finally:
            made.remove()


@dataclass(slots=True)
class Network:
    """A network and its subnets, in the order in which they were asked for."""

    body: Body
    subnets: list[Body]

    @property
    def id(self) -> str:
        """The network's id."""
        return str(self.body["id"])


@dataclass(slots=True)
class Project:
    """A tenant with what it makes."""

    lab: Lab
    name: str
    cloud: Cloud
    netns: list[str] = field(default_factory=list)

    def network(self, *cidrs: str, subnet: Body | None = None, **values: Any) -> Network:
        """A network with a subnet for each prefix; `subnet` holds attributes that all of them have."""
        made = self.cloud.create("networks", **values)
        return Network(made, [self.subnet(made["id"], cidr, **(subnet or {})) for cidr in cidrs])

    def subnet(self, network_id: str, cidr: str, **values: Any) -> Body:
        """A subnet; IPv6 ones are for SLAAC unless told otherwise."""
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if ":" in cidr else {}
        values = {"ip_version": 6 if ":" in cidr else 4, **modes, **values}
        kept = {name: value for name, value in values.items() if value is not None or name == "gateway_ip"}
        return self.cloud.create("subnets", network_id=network_id, cidr=cidr, **kept)

    def group(self, *rules: Body, egress: bool = True) -> Body:
        """A security group with these rules; without the rules that let everything out unless `egress`."""
        made = self.cloud.create("security_groups", name=f"{self.name}-{next(self.lab.numbers)}")
        if not egress:
            for rule in made["security_group_rules"]:
                self.cloud.delete("security_group_rules", rule["id"])
        for each in rules:
            self.rule(made, **each)
        return made

    def rule(self, group: Body, **values: Any) -> Body:
        """A rule of a group; ingress of IPv4 unless told otherwise."""
        values = {"direction": "ingress", "ethertype": "IPv4", **values}
        return self.cloud.create("security_group_rules", security_group_id=group["id"], **values)

    def pings(self) -> Body:
        """A group that admits ICMP of both versions."""
        return self.group({"protocol": "icmp"}, {"protocol": "ipv6-icmp", "ethertype": "IPv6"})

    def open(self) -> Body:
        """A group that admits everything."""
        return self.group({}, {"ethertype": "IPv6"})

    def port(self, network: Network, *groups: Body, **values: Any) -> Body:
        """A port that has these groups, none when none is named."""
        if values.get("port_security_enabled", True):
            values["security_groups"] = [group["id"] for group in groups]
        return self.cloud.create("ports", network_id=network.id, **values)

    def machine(self, network: Network, *groups: Body, configured: bool = True, **values: Any) -> Machine:
        """A port and a machine that has it; `configured` sets the addresses and routes that the API gave it."""
        port = self.port(network, *groups, **values)
        machine = self.plug(port)
        if configured:
            self.configure(machine, network)
        return machine

    def plug(self, port: Body, netns: str = "", device: str = "eth0", **more: Any) -> Machine:
        """Attach a port to a namespace, a new one unless one is named."""
        if not netns:
            netns = f"vm{next(self.lab.numbers)}"
            self.netns.append(netns)
            sandbox.make_namespace(netns)
        if "user_data" in more:
            more["user_data"] = base64.b64encode(more["user_data"].encode()).decode()
        bound = self.lab.attach(port["id"], netns=netns, ifname=device, **more)
        return Machine(netns, device, {**port, **bound})

    def configure(self, machine: Machine, network: Network) -> None:
        """What the owner of a machine would type in: its addresses, and a way out by each gateway."""
        subnets = {subnet["id"]: subnet for subnet in network.subnets}
        for fixed in machine.port["fixed_ips"]:
            subnet = subnets[fixed["subnet_id"]]
            length = subnet["cidr"].partition("/")[2]
            add_address(machine, f"{fixed['ip_address']}/{length}")
            if subnet["gateway_ip"] and subnet["gateway_ip"] != fixed["ip_address"]:
                ip(
                    "route",
                    "replace",
                    "default",
                    "via",
                    subnet["gateway_ip"],
                    "dev",
                    machine.device,
                    netns=machine.netns,
                )

    def router(self, *subnets: Body, outside: bool = False, **values: Any) -> Body:
        """A router with an interface in each subnet, and the external network as its gateway if `outside`."""
        if outside:
            values["external_gateway_info"] = {"network_id": self.lab.external["id"]}
        made = self.cloud.create("routers", **values)
        for subnet in subnets:
            self.join(made, subnet_id=subnet["id"])
        return made

    def join(self, router: Body, **what: str) -> Body:
        """Add an interface to a router."""
        return dict(self.cloud.call("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", what))

    def leave(self, router: Body, **what: str) -> None:
        """Remove an interface from a router."""
        self.cloud.call("PUT", f"/v2.0/routers/{router['id']}/remove_router_interface", what)

    def floating(self, machine: Machine | None = None, **values: Any) -> Body:
        """A floating IP, of a machine when one is named."""
        if machine is not None:
            values["port_id"] = machine.id
        return self.cloud.create("floatingips", floating_network_id=self.lab.external["id"], **values)

    def status(self, machine: Machine) -> str:
        """The status of a machine's port."""
        return str(self.cloud.show("ports", machine.id)["status"])

    def remove(self) -> None:
        """Remove everything of the project, and wait until the agent has done so."""
        mine = f"project_id={self.cloud.project_id}"
        admin = self.lab.admin
        for floating in admin.call("GET", f"/v2.0/floatingips?{mine}")["floatingips"]:
            for forwarding in floating["port_forwardings"]:
                admin.call("DELETE", f"/v2.0/floatingips/{floating['id']}/port_forwardings/{forwarding['id']}")
            admin.delete("floatingips", floating["id"])
        for proxy in admin.call("GET", f"/v2.0/ndp_proxies?{mine}")["ndp_proxies"]:
            admin.call("DELETE", f"/v2.0/ndp_proxies/{proxy['id']}")
        for router in admin.call("GET", f"/v2.0/routers?{mine}")["routers"]:
            admin.update("routers", router["id"], routes=[])
            for port in admin.call("GET", f"/v2.0/ports?device_id={router['id']}")["ports"]:
                if port["device_owner"] == "network:router_interface":
                    what = {"port_id": port["id"]}
                    admin.call("PUT", f"/v2.0/routers/{router['id']}/remove_router_interface", what)
            admin.delete("routers", router["id"])
        for port in admin.call("GET", f"/v2.0/ports?{mine}")["ports"]:
            if not port["device_owner"].startswith("network:"):
                admin.delete("ports", port["id"])
        for network in admin.call("GET", f"/v2.0/networks?{mine}")["networks"]:
            admin.delete("networks", network["id"])
        for group in admin.call("GET", f"/v2.0/security-groups?{mine}")["security_groups"]:
            if group["name"] != "default":
                admin.delete("security_groups", group["id"])
        for netns in self.netns:
            sandbox.remove_namespace(netns)


def add_address(machine: Machine, cidr: str) -> None:
    """Give a machine's interface an address, usable at once; it may have it by SLAAC already."""
    ip("addr", "replace", cidr, "dev", machine.device, *(("nodad",) if ":" in cidr else ()), netns=machine.netns)


def build_outside(bridge: str, interface: str) -> None:
    """An operator's network: a host behind a bridge, and another one at the end of an interface."""
    for name in (OUTSIDE, WIRE):
        sandbox.make_namespace(name)
    ip("link", "add", bridge, "type", "bridge", "forward_delay", "0")
    ip("link", "set", bridge, "up")
    ip("link", "add", "to-outside", "master", bridge, "type", "veth", "peer", "name", "eth0", "netns", OUTSIDE)
    ip("link", "set", "to-outside", "up")
    ip("link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", WIRE)
    ip("link", "set", interface, "up")
    ip("addr", "add", f"{OUTSIDE4}/24", "dev", "eth0", netns=OUTSIDE)
    ip("addr", "add", f"{OUTSIDE6}/64", "dev", "eth0", "nodad", netns=OUTSIDE)
    ip("addr", "add", "192.0.2.1/24", "dev", "eth0", netns=WIRE)
    for name in (OUTSIDE, WIRE):
        ip("link", "set", "eth0", "up", netns=name)


def external_network(admin: Cloud) -> Body:
    """The network of the host outside, of both IP versions."""
    made = admin.create(
        "networks",
        name="outside",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "outside"},
    )
    for cidr, gateway in (("203.0.113.0/24", OUTSIDE4), ("2001:db8:113::/64", OUTSIDE6)):
        version = 6 if ":" in cidr else 4
        admin.create(
            "subnets", network_id=made["id"], ip_version=version, cidr=cidr, gateway_ip=gateway, enable_dhcp=False
        )
    return made


def log_in_as_admin(running: Running) -> tuple[httpx.Client, Cloud]:
    """A client of a running Kaon, and its administrator."""
    http = httpx.Client(base_url=running.url, timeout=30)
    password = DataFolder(running.data).password.read_text().strip()
    return http, log_in(http, "admin", password, "admin")


def kill(pid: int) -> None:
    """SIGKILL to one process."""
    os.kill(pid, 9)
