"""The stage of the demo: a Kaon on an empty data folder, an outside world behind a bridge, and tenants' machines."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from kaon.agent import control
from kaon.agent import main as agent
from kaon.channel import Attachment
from kaon.cli.datafolder import DataFolder, State, read_state
from kaon.demo import instance
from kaon.demo.cloud import Cloud, log_in

BRIDGE = "br-outside"
OUTSIDE = "demo-outside"
"""Namespace of the host outside, which also is the gateway of the external network."""
OUTSIDE_ADDRESS = "203.0.113.1"
PATIENCE = 20.0


class StageError(Exception):
    """The stage could not be set; the message says why."""


@dataclass(slots=True)
class Machine:
    """A stand-in for a virtual machine: its namespace, its port, and the addresses that it was given."""

    name: str
    netns: str
    port: dict[str, Any]

    @property
    def ipv4(self) -> str:
        """The port's IPv4 address."""
        return next(str(ip["ip_address"]) for ip in self.port["fixed_ips"] if "." in ip["ip_address"])

    @property
    def ipv6(self) -> str:
        """The port's IPv6 address."""
        return next(str(ip["ip_address"]) for ip in self.port["fixed_ips"] if ":" in ip["ip_address"])

    @property
    def device(self) -> str:
        """The host's end of the port."""
        return f"tap{self.port['id'][:11]}"


@dataclass(slots=True)
class Stage:
    """What runs, and how to reach it."""

    folder: DataFolder
    listen: str
    log: Path
    kaon: subprocess.Popen[bytes] | None = None
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))
    netns: list[str] = field(default_factory=list)

    def start(self, inherited: Iterable[int]) -> float:
        """Start `kaon up` and wait until its API is ready; returns the seconds from start to ready."""
        descriptors = tuple(inherited)
        environment = {**os.environ, "KAON_INHERITED": ",".join(map(str, descriptors))} if descriptors else os.environ
        started = time.monotonic()
        with self.log.open("ab") as log:
            self.kaon = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "kaon.cli.main", "up"),
                    *("--data", str(self.folder.root)),
                    *("--listen", self.listen),
                    *("--physical-network", f"outside=bridge:{BRIDGE}"),
                ],
                pass_fds=descriptors,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
            )
        self.await_ready()
        return time.monotonic() - started

    def await_ready(self) -> None:
        """Wait until the API answers that it is ready."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.kaon is not None and self.kaon.poll() is not None:
                raise StageError(f"kaon up ended with status {self.kaon.returncode}; see {self.log}:\n{self.tail()}")
            state = read_state(self.folder)
            if state is not None:
                self.http.base_url = httpx.URL(state.url)
                try:
                    if self.http.get("/healthz").status_code == 200:
                        return
                except httpx.TransportError:
                    pass
            time.sleep(0.01)
        raise StageError(f"the API was not ready within {PATIENCE:.0f} s; see {self.log}:\n{self.tail()}")

    def state(self) -> State:
        """Which processes run."""
        state = read_state(self.folder)
        if state is None:
            raise StageError(f"no kaon.json in {self.folder.root}")
        return state

    def admin(self) -> Cloud:
        """Log in as the administrator."""
        return log_in(self.http, "admin", self.folder.password.read_text().strip(), "admin")

    @property
    def control(self) -> Path:
        """The agent's control socket."""
        return self.folder.agent / control.SOCKET

    def attach(self, project: str, name: str, port: dict[str, Any], user_data: str = "") -> tuple[Machine, float]:
        """Make a machine for a port; returns it with the seconds from the request until the port worked."""
        netns = f"demo-{project}-{name}"
        instance.make(netns)
        self.netns.append(netns)
        started = time.monotonic()
        bound = asyncio.run(
            control.attach(
                self.control,
                Attachment(
                    port_id=port["id"],
                    netns=netns,
                    instance_id=f"{project}-{name}",
                    hostname=f"{name}.{project}",
                    user_data=base64.b64encode(user_data.encode()).decode(),
                ),
            )
        )
        return Machine(f"{project}/{name}", netns, {**port, **bound}), time.monotonic() - started

    def tail(self, lines: int = 15) -> str:
        """The end of Kaon's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def logged(self, *words: str) -> list[str]:
        """Lines of Kaon's log that hold all of these words."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [line for line in lines if all(word in line for word in words)]

    def stop(self) -> None:
        """Stop Kaon and remove everything that it and the demo made."""
        if self.kaon is not None and self.kaon.poll() is None:
            self.kaon.send_signal(signal.SIGTERM)
            try:
                self.kaon.wait(15)
            except subprocess.TimeoutExpired:
                self.kaon.kill()
                self.kaon.wait()
        agent.cleanup("linux", self.folder.agent)
        for netns in (*self.netns, OUTSIDE):
            instance.remove(netns)
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
        self.http.close()


def set_outside() -> None:
    """A bridge that stands for the physical network, and a host behind it, 203.0.113.1 (RFC 5737)."""
    instance.make(OUTSIDE)
    for words in (
        ("link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"),
        ("link", "set", BRIDGE, "up"),
        ("link", "add", "outside", "type", "veth", "peer", "name", "eth0", "netns", OUTSIDE),
        ("link", "set", "outside", "master", BRIDGE, "up"),
        ("-n", OUTSIDE, "addr", "add", f"{OUTSIDE_ADDRESS}/24", "dev", "eth0"),
        ("-n", OUTSIDE, "link", "set", "eth0", "up"),
    ):
        done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise StageError(f"ip {' '.join(words)}: {done.stderr.strip()}")
