"""`kaon down --remove` and the one Kaon that a network has, on the Linux engine in a network of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from kaon.cli import datafolder, networklock
from kaon.cli.datafolder import DataFolder
from tests import sandbox
from tests.running import Running, environment, running
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

IN_A_NETWORK_OF_ITS_OWN = (
    *("unshare", "--net", "--mount", "--", "sh", "-c"),
    'mount -t tmpfs none /run/netns && ip link set lo up && ip link add br-mine type bridge && exec "$@"',
    "sh",
)
TENANT = """
import sys, httpx
from pathlib import Path
from kaon.demo.cloud import log_in
url, password = sys.argv[1:]
cloud = log_in(httpx.Client(base_url=url, timeout=30), "admin", password, "admin")
network = cloud.create("networks", name="blue")
subnet = cloud.create("subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
subnet6 = cloud.create("subnets", network_id=network["id"], ip_version=6, cidr="fd00::/64",
                       ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
router = cloud.create("routers")
for each in (subnet, subnet6):
    cloud.call("PUT", f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": each["id"]})
"""


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that the server's user can enter, which pytest's own folders are not."""
    with tempfile.TemporaryDirectory(prefix="kaon-down-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


@pytest.fixture
def up(data: Path) -> Iterator[Running]:
    with running(data, prefix=IN_A_NETWORK_OF_ITS_OWN) as kaon:
        yield kaon


@pytest.fixture
def network(up: Running) -> Iterator[int]:
    """A process that keeps the network, and its mounts, when Kaon has ended; its id."""
    keeper = subprocess.Popen(["nsenter", *_of(up.process.pid), "sleep", "600"])
    try:
        own, its = (Path(f"/proc/{process}/ns/net") for process in (keeper.pid, up.process.pid))
        until(lambda: own.readlink() == its.readlink(), what="the keeper is in the network")
        yield keeper.pid
    finally:
        up.process.terminate()
        up.process.wait(15)
        kaon(keeper.pid, "down", "--remove", "--data", str(up.data))
        keeper.kill()
        keeper.wait()


def _of(process: int) -> tuple[str, ...]:
    return "--target", str(process), "--net", "--mount", "--"


def inside(process: int, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the network of a process."""
    return subprocess.run(
        ["nsenter", *_of(process), *words], env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


def kaon(process: int, *words: str) -> subprocess.CompletedProcess[str]:
    return inside(process, sys.executable, "-m", "kaon.cli.main", *words)


def built(process: int) -> str:
    """All that Kaon can have made: links, namespaces, tables of filters."""
    shown = inside(process, "sh", "-c", "ip -o link; ls /run/netns; nft list tables").stdout
    return "\n".join(line for line in shown.splitlines() if "kaon" in line or "kbr" in line or "kq" in line)


def daemons(data: Path) -> list[str]:
    lines = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        # One that ends meanwhile is none.
        with suppress(FileNotFoundError, ProcessLookupError):
            lines.append(entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if line.startswith("dnsmasq") and str(data) in line]


def make_a_cloud(up: Running, network: int) -> None:
    password = DataFolder(up.data).password.read_text().strip()
    done = inside(network, sys.executable, "-c", TENANT, up.url, password)
    assert done.returncode == 0, done.stderr
    until(lambda: daemons(up.data), 10, "the router advertises itself")


def test_what_kaon_made_is_removed_on_request_and_made_again_by_the_next_start(up: Running, network: int) -> None:
    make_a_cloud(up, network)
    assert kaon(network, "down", "--data", str(up.data)).returncode == 0
    assert "kaon-router" in built(network)
    assert daemons(up.data)
    done = kaon(network, "down", "--remove", "--data", str(up.data))
    assert (done.returncode, done.stderr) == (0, "")
    assert built(network) == ""
    assert daemons(up.data) == []
    assert "br-mine" in inside(network, "ip", "-o", "link").stdout
    with running(up.data, prefix=("nsenter", *_of(network))):
        until(lambda: "kaon-router" in built(network) and daemons(up.data), 10, "everything is back")
        done = kaon(network, "down", "--remove", "--data", str(up.data))
        assert (done.returncode, done.stderr) == (0, "")
        assert built(network) == ""


def test_a_folder_that_kaon_never_ran_on_is_no_reason_to_remove_anything(up: Running, network: int) -> None:
    make_a_cloud(up, network)
    done = kaon(network, "down", "--remove", "--data", str(up.data.parent / "mistyped"))
    assert done.returncode == 1
    assert "no data folder of Kaon's" in done.stderr
    assert "kaon-router" in built(network)


def test_a_second_kaon_does_not_undo_what_the_first_one_makes(up: Running, network: int) -> None:
    make_a_cloud(up, network)
    state = datafolder.read_state(DataFolder(up.data))
    assert state is not None
    for words in (("up", "--listen", "127.0.0.1:0"), ("down", "--remove")):
        other = up.data.parent / "other"
        (other / "agent").mkdir(parents=True, exist_ok=True)
        done = kaon(network, *words, "--data", str(other))
        assert done.returncode == 1
        assert f"another Kaon (process {state.supervisor}) builds in this network" in done.stderr
    assert "kaon-router" in built(network)


def test_the_network_is_free_again_when_its_holder_lets_go() -> None:
    with sandbox.namespace("locked"), sandbox.inside("locked"):
        descriptor = networklock.lock()
        with pytest.raises(networklock.NetworkLockError, match="kaon down"):
            networklock.lock()
        os.close(descriptor)
        os.close(networklock.lock())
