"""Another host: a network and a mount namespace with a /run/netns of their own, and a cable to the sandbox."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon.demo.cloud import Cloud
from tests.running import Running, environment
from tests.wait import until

SOON = 6.0
"""Seconds within which an agent is known to be dead or alive, and the time of an answer."""
_SETUP = "mount -t tmpfs -o mode=755 node /run/netns && ip link set lo up && echo there && exec sleep infinity"


@dataclass
class Node:
    """A host by a process that lives in it. `uplink` is the sandbox's end of its cable; its own one is eth0."""

    name: str
    process: subprocess.Popen[bytes]
    data: Path
    uplink: str
    agent: subprocess.Popen[bytes] | None = None

    def command(self, *words: str) -> list[str]:
        """The command line that runs a command on this host."""
        return ["nsenter", f"--target={self.process.pid}", "--net", "--mount", "--", *words]

    def run(self, *words: str) -> str:
        """Run a command on this host; raises AssertionError with what it said."""
        done = subprocess.run(
            self.command(*words), env=environment(), capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def kaon(self, *words: str) -> str:
        """Run `kaon` on this host, on its own data folder."""
        return self.run(sys.executable, "-m", "kaon.cli.main", *words, "--data", str(self.data))

    def pings(self, netns: str, address: str) -> bool:
        """Whether a namespace of this host gets an answer."""
        words = self.command("ip", "netns", "exec", netns, "ping", "-c", "1", "-W", "1", address)
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    @property
    def output(self) -> Path:
        return self.data.parent / f"{self.name}.output"

    def start_agent(self, *flags: str) -> None:
        """Run `kaon agent` in the foreground of a process of its own, and wait until it follows."""
        words = (sys.executable, "-m", "kaon.cli.main", "agent", "--data", str(self.data), *flags)
        with self.output.open("wb") as stream:
            self.agent = subprocess.Popen(
                self.command(*words),
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

        def greeted() -> bool:
            assert self.agent is not None
            text = self.output.read_text()
            assert self.agent.poll() is None, f"kaon agent ended with status {self.agent.returncode}:\n{text}"
            return re.search(r"^Kaon's agent of host \S+ follows", text, re.MULTILINE) is not None

        until(greeted, 20, "kaon agent follows its server")

    def stop_agent(self) -> None:
        """End it by SIGTERM."""
        if self.agent is not None:
            self.agent.terminate()
            self.agent.wait(20)
            self.agent = None


@contextmanager
def node(name: str, data: Path, here: str, there: str) -> Iterator[Node]:
    """A host at the end of a cable: `here` is the address (with its prefix) of the sandbox's end, `there` its own.

    What Kaon made there is removed in the end, and all of it with its namespaces.
    """
    process = subprocess.Popen(
        ["unshare", "--net", "--mount", "sh", "-c", _SETUP], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    made = Node(name, process, data, f"to-{name}")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"there\n"
        ends = ("type", "veth", "peer", "name", "eth0", "netns", str(process.pid))
        for words in (
            ("link", "add", made.uplink, *ends),
            ("addr", "add", here, "dev", made.uplink),
            ("link", "set", made.uplink, "up"),
        ):
            subprocess.run(["ip", *words], check=True)
        made.run("ip", "addr", "add", there, "dev", "eth0")
        made.run("ip", "link", "set", "eth0", "up")
        yield made
    finally:
        made.stop_agent()
        if (data / "agent").is_dir():
            made.kaon("down", "--remove")
        process.kill()
        process.wait()
        subprocess.run(["ip", "link", "del", made.uplink], check=False, capture_output=True)


def on_server(server: Running, *words: str) -> str:
    command = [sys.executable, "-m", "kaon.cli.main", *words, "--data", str(server.data)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def agents(admin: Cloud, host: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = admin.call("GET", f"/v2.0/agents?host={host}")["agents"]
    return found


def alive(admin: Cloud, host: str) -> bool:
    found = agents(admin, host)
    return bool(found) and all(agent["alive"] for agent in found)


def attached(host: Node, admin: Cloud, network: dict[str, Any], netns: str) -> dict[str, Any]:
    """A port of a network in a namespace of the host, with its address."""
    port = admin.create("ports", network_id=network["id"])
    host.run("ip", "netns", "add", netns)
    host.kaon("attach", port["id"], "--netns", netns)
    address = port["fixed_ips"][0]["ip_address"]
    host.run("ip", "-n", netns, "addr", "add", f"{address}/24", "dev", "eth0")
    until(lambda: admin.show("ports", port["id"])["status"] == "ACTIVE", SOON, "the port is ACTIVE")
    bound = dict(admin.show("ports", port["id"]))
    assert bound["binding:host_id"] == host.name
    return bound


def address(port: dict[str, Any]) -> str:
    return str(port["fixed_ips"][0]["ip_address"])
