"""Several hosts in one process: each a thread with a network and a mount namespace of its own, and an underlay.

Every host compiles its rows from the same changes and converges them with an engine of its own, as its agent would.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from kaon.compile.config import HostConfig
from kaon.converge.loop import Converger
from kaon.engines.linux.dnsmasq import DnsmasqManager
from kaon.engines.linux.engine import LinuxEngine
from kaon.server.desired import Desired
from kaon.world.world import Change, World
from tests import sandbox
from tests.compile.cloud import Cloud, named

T = TypeVar("T")
UNDERLAY = "underlay"
HEADERS = 50
"""Bytes of Ethernet, IPv4, UDP and VXLAN headers in front of a frame that is on its way between hosts."""
_NEWNS, _NEWNET = 0x20000, 0x40000000
_REC, _PRIVATE = 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


def sh(command: str) -> str:
    """Run a command in the namespaces of the calling thread; raises AssertionError with what it said."""
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


class Machine(NamedTuple):
    """A namespace on a host that stands for a virtual machine, and its port."""

    host: Host
    netns: str
    port: str
    mac: str

    def run(self, fn: Callable[[str], T]) -> T:
        """Call a function of the namespace's name on the host."""
        return self.host.run(lambda: fn(self.netns))

    def ping(self, address: str, seconds: float = 2.0) -> bool:
        """Whether an address answers."""
        return self.run(lambda netns: sandbox.ping(netns, address, seconds))

    def capture(self) -> sandbox.Capture:
        """Frames on the machine's interface."""
        return self.run(lambda netns: sandbox.Capture(netns, "eth0"))


class Host:
    """One host. What is called by `run` happens in its namespaces."""

    def __init__(self, number: int, folder: Path) -> None:
        self.name = f"host{number}"
        self.address = f"192.0.2.{number}"
        self._thread = ThreadPoolExecutor(1, self.name)
        thread = self.run(_own_namespaces)
        sh(f"ip -n {UNDERLAY} link add {self.name} type veth peer name eth0 netns {thread}")
        sh(f"ip -n {UNDERLAY} link set {self.name} master under up")
        self.run(lambda: sh(f"ip addr add {self.address}/24 dev eth0"))
        self.run(lambda: sh("ip link set eth0 up"))
        self.desired = Desired(World(), HostConfig(host=self.name, metadata=False))
        self.engine = self.run(lambda: LinuxEngine((DnsmasqManager(folder / self.name),)))
        self.converger = Converger(self.engine)

    def run(self, fn: Callable[[], T]) -> T:
        """Call a function on the host."""
        return self._thread.submit(fn).result()

    def take(self, changes: list[Change]) -> None:
        """Compile changes and converge."""
        put, delete = self.desired.apply(changes)
        assert self.desired.broken == {}
        if self.converger.seq < 0:
            self.converger.take_snapshot(1, self.desired.snapshot())
        else:
            self.converger.take_delta(1, put, delete)
        report = self.run(self.converger.converge)
        assert report.failed == ()

    def close(self) -> None:
        """Remove all that the host has."""
        self.converger.take_snapshot(2, [])
        self.run(lambda: self.converger.converge(audit=True))
        self.run(self.engine.close)
        self._thread.shutdown()


def _own_namespaces() -> int:
    assert _libc.unshare(_NEWNS | _NEWNET) == 0, os.strerror(ctypes.get_errno())
    assert _libc.mount(b"none", b"/", None, _REC | _PRIVATE, None) == 0
    assert _libc.mount(b"none", b"/run/netns", b"tmpfs", 0, None) == 0
    sh("ip link set lo up")
    return threading.get_native_id()


class Hosts:
    """The hosts, and the cloud that they all compile."""

    def __init__(self, folder: Path, count: int) -> None:
        self.cloud = Cloud()
        self.hosts = [Host(number, folder) for number in range(1, count + 1)]
        for host in self.hosts:
            values = {"agent_type": "Linux bridge agent", "configurations": {"tunneling_ip": host.address}}
            self.cloud.put("agent", named(host.name), host=host.name, **values)

    def settle(self) -> None:
        """Have every host take the changes over, and wait until it has converged."""
        changes = self.cloud.take()
        for host in self.hosts:
            host.take(changes)

    def network(self, name: str, vni: int, *cidrs: str) -> str:
        """A network that is carried by VXLAN."""
        provider = {"provider:network_type": "vxlan", "provider:segmentation_id": vni}
        return self.cloud.network(name, vni, *cidrs, mtu=1450, **{**provider, "provider:physical_network": None})

    def machine(self, name: str, number: int, network: str, *addresses: str, **port: object) -> Machine:
        """A machine on the host of that number, its addresses set by hand."""
        host = self.hosts[number - 1]
        host.run(lambda: sandbox.make_namespace(name))
        id = self.cloud.port(name, network, *addresses, **port)
        self.cloud.attach(id, netns=name, host=host.name)
        self.settle()
        record = self.cloud.records["port", id]
        for fixed in record["fixed_ips"]:
            length = 24 if "." in fixed["ip_address"] else 64
            host.run(lambda a=f"{fixed['ip_address']}/{length}": sh(f"ip -n {name} addr replace {a} dev eth0 nodad"))
        return Machine(host, name, id, record["mac_address"])

    def capture(self, number: int) -> sandbox.Capture:
        """What the underlay carries to and from the host of that number."""
        return sandbox.Capture(UNDERLAY, f"host{number}")


def tunnelled(capture: sandbox.Capture) -> list[bytes]:
    """The frames between hosts that a capture has seen, from their own Ethernet headers on."""
    frames = capture.frames()
    return [frame[HEADERS:] for frame in frames if frame[12:14] == b"\x08\0" and frame[23] == 17 and len(frame) > 64]


@contextlib.contextmanager
def hosts(folder: Path, count: int = 3) -> Iterator[Hosts]:
    """Hosts on one underlay; nothing is left of them afterwards."""
    with sandbox.namespace(UNDERLAY):
        sh(f"ip -n {UNDERLAY} link add under type bridge")
        sh(f"ip -n {UNDERLAY} link set under up")
        made = Hosts(folder, count)
        try:
            yield made
        finally:
            for host in made.hosts:
                host.close()
