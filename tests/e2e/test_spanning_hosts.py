"""Hosts that have joined carry networks between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon.demo.cloud import Cloud
from tests.e2e.node import SOON, Node, address, agents, alive, attached, node, on_server
from tests.packets.lab import log_in_as_admin
from tests.running import Running, running
from tests.wait import until

pytestmark = [pytest.mark.slow, pytest.mark.root]

CABLES = {"beta": ("198.51.100.1", "198.51.100.2"), "gamma": ("198.51.100.5", "198.51.100.6")}
"""Host -> the sandbox's end of its cable, which is its way to the others, and its own."""
SERVER = CABLES["beta"][0]


@pytest.fixture(scope="module")
def hosts(folder: Path) -> Iterator[dict[str, Node]]:
    """Two hosts that reach each other by way of the server's."""
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    (here, there), (other_here, other_there) = CABLES["beta"], CABLES["gamma"]
    with (
        node("beta", folder / "beta", f"{here}/30", f"{there}/30") as beta,
        node("gamma", folder / "gamma", f"{other_here}/30", f"{other_there}/30") as gamma,
    ):
        beta.run("ip", "route", "add", "default", "via", here)
        gamma.run("ip", "route", "add", "default", "via", other_here)
        yield {"beta": beta, "gamma": gamma}


@pytest.fixture(scope="module")
def server(folder: Path, hosts: dict[str, Node]) -> Iterator[Running]:
    flags = ("--engine", "fake", "--host", "alpha", "--agent-listen", f"{SERVER}:9697")
    with running(folder / "alpha", *flags) as kaon:
        yield kaon


@pytest.fixture(scope="module")
def admin(server: Running, hosts: dict[str, Node]) -> Iterator[Cloud]:
    """An administrator of a cloud that both hosts have joined."""
    http, admin = log_in_as_admin(server)
    for name, host in hosts.items():
        token = on_server(server, "host", "token", name).strip()
        host.start_agent("--server", f"tls://{SERVER}", "--host", name, "--join", token)
    for name, (_, there) in CABLES.items():
        until(lambda name=name: alive(admin, name), SOON, f"{name} lives")  # type: ignore[misc]
        assert there in {agent["configurations"].get("tunneling_ip") for agent in agents(admin, name)}
    yield admin
    http.close()


def test_ports_of_one_network_reach_each_other_across_hosts_and_those_of_another_do_not(
    admin: Cloud, hosts: dict[str, Node]
) -> None:
    beta, gamma = hosts["beta"], hosts["gamma"]
    networks = {}
    for name in ("blue", "red"):
        networks[name] = admin.create("networks", name=name)
        admin.create("subnets", network_id=networks[name]["id"], ip_version=4, cidr="10.0.0.0/24")
    blue_here, blue_there = (
        attached(beta, admin, networks["blue"], "b1"),
        attached(gamma, admin, networks["blue"], "b2"),
    )
    attached(beta, admin, networks["red"], "r1")
    red_there = attached(gamma, admin, networks["red"], "r2")
    until(lambda: beta.pings("b1", address(blue_there)), SOON, "blue reaches blue on the other host")
    until(lambda: gamma.pings("b2", address(blue_here)), SOON, "and back")
    until(lambda: beta.pings("r1", address(red_there)), SOON, "so does red, which has the same addresses")
    # Nobody but the own network answers: red has one port there that blue has not.
    lone = attached(gamma, admin, networks["red"], "r3")
    until(lambda: beta.pings("r1", address(lone)), SOON, "red reaches its new port")
    assert address(lone) not in {address(blue_here), address(blue_there)}
    assert not beta.pings("b1", address(lone))

    # Away from the other host, a port is reached no more, and nobody is told that it was.
    gamma.kaon("detach", blue_there["id"])
    assert not beta.pings("b1", address(blue_there))
    until(lambda: admin.show("ports", blue_there["id"])["status"] == "DOWN", SOON, "it is DOWN")
    assert admin.show("ports", blue_here["id"])["status"] == "ACTIVE"
