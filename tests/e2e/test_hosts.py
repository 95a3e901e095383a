"""A second host joins a running Kaon, carries ports, and goes on through all that can happen to its server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kaon.cli import datafolder
from kaon.cli.datafolder import DataFolder
from kaon.demo.cloud import Cloud
from tests.e2e.conftest import server_pid
from tests.e2e.node import SOON, Node, address, agents, alive, attached, node, on_server
from tests.packets.lab import log_in_as_admin
from tests.running import Running, environment, running
from tests.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.root]

SERVER, BETA = "198.51.100.1", "198.51.100.2"


@pytest.fixture(scope="module")
def beta(folder: Path) -> Iterator[Node]:
    """A host with a cable to that of the server, and nothing else."""
    with node("beta", folder / "beta", f"{SERVER}/24", f"{BETA}/24") as made:
        yield made


@pytest.fixture(scope="module")
def server(folder: Path, beta: Node) -> Iterator[Running]:
    """A Kaon that awaits agents at its end of the cable; its own host has no networks."""
    flags = ("--engine", "fake", "--host", "alpha", "--agent-listen", f"{SERVER}:9697")
    with running(folder / "alpha", *flags) as kaon:
        yield kaon


@pytest.fixture(scope="module")
def admin(server: Running) -> Iterator[Cloud]:
    http, admin = log_in_as_admin(server)
    yield admin
    http.close()


def dead(admin: Cloud, host: str) -> bool:
    return not any(agent["alive"] for agent in agents(admin, host))


def status(beta: Node) -> dict[str, Any]:
    """What `kaon status` says on the host; its exit status is 1 where the agent does not hear from its server."""
    words = beta.command(sys.executable, "-m", "kaon.cli.main", "status", "--json", "--data", str(beta.data))
    done = subprocess.run(words, env=environment(), capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def answers(admin: Cloud) -> bool:
    """Whether the API does; a connection to the server of before is of no use."""
    try:
        return admin.http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_a_host_joins_carries_ports_and_outlives_its_server_and_its_link(
    server: Running, beta: Node, admin: Cloud
) -> None:
    token = on_server(server, "host", "token", "beta").strip()
    beta.start_agent("--server", f"tls://{SERVER}", "--host", "beta", "--join", token)
    until(lambda: alive(admin, "beta"), SOON, "beta lives")
    assert {agent["configurations"].get("tunneling_ip") for agent in agents(admin, "beta")} == {None, BETA}
    assert status(beta)["follows"] == f"tls://{SERVER}"

    network = admin.create("networks", name="blue")
    admin.create("subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    one, two = (attached(beta, admin, network, netns) for netns in ("vm1", "vm2"))
    until(lambda: beta.pings("vm1", address(two)), SOON, "the ports of the host reach each other")

    # The server dies: the host resumes by its certificate, and what it has built is not touched.
    state = datafolder.read_state(DataFolder(server.data))
    assert state is not None
    os.kill(state.server, signal.SIGKILL)
    until(lambda: server_pid(server) not in (0, state.server), SOON, "another process is the server")
    until(lambda: status(beta)["ready"] and answers(admin), 2 * SOON, "the host follows the new one")
    three = attached(beta, admin, network, "vm3")
    until(lambda: beta.pings("vm3", address(one)), SOON, "a port that came after the restart works")

    assert {admin.show("ports", port["id"])["status"] for port in (one, two, three)} == {"ACTIVE"}

    # The link is cut: its death is known, traffic goes on, and what changed meanwhile takes effect afterwards.
    subprocess.run(["ip", "link", "set", beta.uplink, "down"], check=True)
    until(lambda: dead(admin, "beta"), SOON, "beta is known to be dead")
    assert beta.pings("vm1", address(two))
    admin.delete("ports", three["id"])
    assert beta.pings("vm3", address(one))
    subprocess.run(["ip", "link", "set", beta.uplink, "up"], check=True)
    until(lambda: alive(admin, "beta"), 2 * SOON, "beta lives again")
    until(lambda: not beta.pings("vm3", address(one)), 2 * SOON, "the deleted port is gone")
    assert beta.pings("vm1", address(two))

    # It is restarted without a token, finds everything in place, and lets a port go.
    beta.stop_agent()
    assert beta.pings("vm1", address(two))
    beta.start_agent()
    until(lambda: status(beta)["agent_says"] == "everything is as it should be", SOON, "it is at work again")
    beta.kaon("detach", two["id"])
    assert admin.show("ports", two["id"])["binding:host_id"] == ""
    assert not beta.pings("vm1", address(two))

    assert on_server(server, "host", "list").startswith("beta  joined ")
    on_server(server, "host", "remove", "beta")
    until(lambda: "host beta has been removed" in status(beta)["agent_says"], SOON, "it is refused")
    until(lambda: dead(admin, "beta"), SOON, "a removed host is dead to the cloud")
    assert "imported after privileges" not in server.output.read_text()
    for output in (server.output, beta.output):
        assert "Traceback" not in output.read_text()
