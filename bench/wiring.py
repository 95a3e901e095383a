"""How fast intent becomes packets: real ports of the linux engine in namespaces that the benchmark made for itself.

Attach: from the call of `kaon.agent.control.attach` (waiting until the port has converged) to the first echo reply that
the new instance gets from an older one on its network. Its namespace exists before; the instance gives its interface
the port's address as soon as the kernel tells that it is there, where a real one would ask by DHCP. The start of an
interpreter for the command `kaon attach` is not part of it and has a line of its own.

Security groups: from the start of the API request to the first datagram that passes, or the last one.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from bench import measure, probes
from bench.figures import Figure, times
from bench.probes import Instance, Stream
from bench.server import Kaon
from kaon.agent import control
from kaon.channel import Attachment

NETWORKS = 10
"""A bridge of Linux has room for 1,023 ports."""
TENANTS = 20
"""Namespaces that the ports which only are there share."""
Show = Callable[[str], None]


class Cloud:
    """A Kaon with ever more ports that are attached, all in one security group."""

    def __init__(self, kaon: Kaon, show: Show) -> None:
        self.kaon, self._show = kaon, show
        self.figures: list[Figure] = []
        self.instances: list[Instance] = []
        self._namespaces = 0
        self.networks = [kaon.make("networks", name=f"n{i}")["id"] for i in range(NETWORKS)]
        for number, network in enumerate(self.networks):
            kaon.make("subnets", network_id=network, ip_version=4, cidr=f"10.{number}.0.0/16")
        self.group = kaon.make("security-groups", name="many")["id"]
        kaon.make("security-group-rules", security_group_id=self.group, direction="ingress", remote_group_id=self.group)
        self.outsiders = kaon.make("security-groups", name="outsiders")["id"]
        self.tenants = [self._namespace() for _ in range(TENANTS)]

    def _namespace(self) -> str:
        name = f"bench-{self._namespaces}"
        self._namespaces += 1
        probes.make_namespace(name)
        return name

    def _ports(self, wanted: Sequence[tuple[int, str]]) -> list[tuple[str, str]]:
        """Ports on networks by number, in a group: their ids and addresses."""
        body = [{"network_id": self.networks[number], "security_groups": [group]} for number, group in wanted]
        made = self.kaon.ask("POST", "ports", {"ports": body})["ports"]
        return [(port["id"], port["fixed_ips"][0]["ip_address"]) for port in made]

    def instance(self, group: str) -> Instance:
        """A port on the first network and a namespace for it, not attached yet."""
        ((id, address),) = self._ports([(0, group)])
        return Instance(id, self._namespace(), address, 16)

    def grow(self, count: int) -> None:
        """Attach ports until there are so many."""
        numbers = range(len(self.instances), count)
        for start in range(0, len(numbers), 100):
            part = numbers[start : start + 100]
            self._show(f"attach {part[-1] + 1} ports")
            made = self._ports([(number % NETWORKS, self.group) for number in part])
            new = [
                Instance(id, self.tenants[number % TENANTS], address, 16, f"e{number}")
                for number, (id, address) in zip(part, made, strict=True)
            ]
            asyncio.run(self._attach_all(new))
            self.instances += new
        self.kaon.settled()

    async def _attach_all(self, instances: Sequence[Instance]) -> None:
        waiting = iter(instances)

        async def work() -> None:
            for instance in waiting:
                await control.attach(self.kaon.control, _attachment(instance), 60)

        await asyncio.gather(*(work() for _ in range(8)))

    def attach(self, instance: Instance) -> None:
        """Attach an instance and give it its address."""
        asyncio.run(control.attach(self.kaon.control, _attachment(instance)))
        probes.address(instance)

    def quiet(self) -> None:
        """Wait until what was done before is done with: port status stored, neighbours resolved."""
        self.kaon.settled()
        time.sleep(0.05)

    def measure_attach(self, existing: int, rounds: int, reach: float) -> None:
        """Attach, ping, detach, again and again."""
        first = self.instance(self.group)
        self.attach(first)
        pings: list[float] = []
        answers: list[float] = []
        for turn in range(rounds):
            self._show(f"attach, {existing} ports: {turn + 1} of {rounds}")
            new = self.instance(self.group)
            self.quiet()
            ping = probes.first_ping(new, first.address)
            begun = time.perf_counter()
            asyncio.run(control.attach(self.kaon.control, _attachment(new)))
            answers.append((time.perf_counter() - begun) * 1000)
            pings.append((ping.result() - begun) * 1000)
            asyncio.run(control.detach(self.kaon.control, new.port_id))
        self.figures.append(times(f"attach to first ping, {existing} ports", pings, reach))
        self.figures.append(times(f"attach answered, {existing} ports", answers))

    def measure_command(self, rounds: int) -> None:
        """The command `kaon attach` as a process."""
        taken: list[float] = []
        for _ in range(rounds):
            new = self.instance(self.group)
            self.quiet()
            command = [sys.executable, "-m", "kaon.cli.main", "attach", new.port_id, "--netns", new.netns]
            begun = time.perf_counter()
            subprocess.run([*command, "--data", str(self.kaon.data)], check=True, stdout=subprocess.DEVNULL)
            taken.append((time.perf_counter() - begun) * 1000)
        self.figures.append(times("`kaon attach` as a process", taken, note="an interpreter's start included"))

    def measure_groups(self, existing: int, rounds: int) -> None:
        """Rules and members of the group of all ports come and go."""
        target, outsider = self.instance(self.group), self.instance(self.outsiders)
        self.attach(target)
        self.attach(outsider)
        rule = {"security_group_id": self.group, "direction": "ingress", "protocol": "udp"}
        opened: dict[str, list[float]] = {"rule added": [], "member joins": []}
        closed: dict[str, list[float]] = {"rule removed": [], "member leaves": []}
        cut: dict[str, list[float]] = {name: [] for name in closed}

        def change(name: str, act: Callable[[], object]) -> None:
            self.quiet()
            stream.closed()
            begun = time.perf_counter()
            act()
            if name in opened:
                opened[name].append((stream.opened() - begun) * 1000)
                established.opened()
            else:
                closed[name].append((stream.last() - begun) * 1000)
                cut[name].append((established.last() - begun) * 1000)
                established.closed()

        with Stream(outsider, target, 5000) as stream, Stream(outsider, target, 5001, answered=True) as established:
            for turn in range(rounds):
                self._show(f"security group, {existing} ports: {turn + 1} of {rounds}")
                change("rule added", lambda: self.kaon.make("security-group-rules", **rule))
                made = self.kaon.ask("GET", f"security-group-rules?security_group_id={self.group}&protocol=udp")
                path = f"security-group-rules/{made['security_group_rules'][0]['id']}"
                change("rule removed", lambda: self.kaon.ask("DELETE", path))  # noqa: B023
                change("member joins", lambda: self._join(outsider, self.group))
                change("member leaves", lambda: self._join(outsider, self.outsiders))
        for what, taken in (opened | closed).items():
            self.figures.append(times(f"{what}, {existing} ports in the group", taken, 10.0))
        for what, taken in cut.items():
            self.figures.append(times(f"{what}, {existing} ports: established flows cut", taken, 10.0))

    def _join(self, instance: Instance, group: str) -> None:
        self.kaon.ask("PUT", f"ports/{instance.port_id}", {"port": {"security_groups": [group]}})

    def measure_restart(self) -> None:
        """End Kaon and start it again, all ports in the kernel."""
        self._show("restart")
        self.kaon.stop()
        begun = time.monotonic()
        ready = self.kaon.start()
        status = self.kaon.settled()
        settled = time.monotonic() - begun
        count = len(self.instances)
        note = f"/healthz after {ready:.2f} s; the agent compared all rows after {settled:.2f} s"
        self.figures.append(
            Figure(f"cold start, {count} ports", round(max(ready, settled), 2), "s", reach=2.0, note=note)
        )
        writes = status.figures["kernel_writes_total"]
        self.figures.append(Figure(f"kernel writes of it, {count} ports", writes, "", reach=0.0))

    def memory(self, name: str, reach: float) -> None:
        """The memory of server and agent as it is now."""
        found = measure.memory(self.kaon.processes)
        server, agent = (measure.memory([process]).rss for process in self.kaon.processes)
        note = f"server {server} + agent {agent}; {found.pss} with shared pages counted once"
        self.figures.append(Figure(f"memory, {name}", found.rss, "MB", reach=reach, note=note))


def _attachment(instance: Instance) -> Attachment:
    return Attachment(
        port_id=instance.port_id, netns=instance.netns, ifname=instance.ifname, instance_id=instance.port_id
    )


def run(kaon: Kaon, sizes: Sequence[int], rounds: int, show: Show) -> list[Figure]:
    """All of it on a Kaon that has just been started, with so many ports in turn."""
    cloud = Cloud(kaon, show)
    cloud.memory("idle", 120.0)
    for size in sizes:
        cloud.grow(size)
        cloud.measure_attach(size, rounds, 15.0 if size <= 10 else 20.0)
        cloud.measure_groups(size, rounds)
    cloud.measure_command(max(1, rounds // 3))
    cloud.memory(f"{sizes[-1]} ports", 200.0)
    cloud.measure_restart()
    cloud.memory(f"{sizes[-1]} ports, after the restart", 200.0)
    return cloud.figures
