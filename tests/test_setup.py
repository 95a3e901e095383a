"""The set-up: what it would ask apt for, that it does nothing twice, and that every Python package is pinned."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "setup.sh"
KEYSTONE = ("scripts/test-keystone.sh", "tests/identity/keystone-constraints.txt")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the script reads, without a virtual environment."""
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    return tmp_path


@pytest.fixture
def empty_system(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine on which dpkg knows of no package."""
    (tmp_path / "dpkg").mkdir()
    (tmp_path / "dpkg" / "status").touch()
    return os.environ | {"DPKG_ADMINDIR": str(tmp_path / "dpkg")}


def dry_run(checkout: Path, environment: dict[str, str]) -> dict[str, list[str]]:
    done = subprocess.run(
        [checkout / "scripts" / "setup.sh", "--dry-run"], env=environment, capture_output=True, text=True, check=True
    )
    return {name: words.split() for name, words in (line.split(":", 1) for line in done.stdout.splitlines())}


def test_a_bare_system_is_asked_for_every_package_by_name(checkout: Path, empty_system: dict[str, str]) -> None:
    planned = dry_run(checkout, empty_system)
    assert {"nftables", "dnsmasq-base", "iproute2", "iputils-ping"} <= set(planned["packages"])
    assert planned["python"] == ["install"]


@pytest.mark.parametrize(("module_exists", "asked"), [(True, False), (False, True)])
def test_debians_venv_package_is_asked_for_only_where_python_lacks_it(
    checkout: Path, empty_system: dict[str, str], module_exists: bool, asked: bool
) -> None:
    programs = checkout / "bin"
    programs.mkdir()
    (programs / "python3").write_text(f"#!/bin/sh\nexit {0 if module_exists else 1}\n")
    (programs / "python3").chmod(0o755)
    planned = dry_run(checkout, empty_system | {"PATH": f"{programs}:{os.environ['PATH']}"})
    assert ("python3-venv" in planned["packages"]) is asked


PROGRAMS = {
    "arping": "iputils-arping",
    "conntrack": "conntrack",
    "curl": "curl",
    "dhclient": "isc-dhcp-client",
    "dnsmasq": "dnsmasq-base",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "iperf3": "iperf3",
    "nc": "netcat-openbsd",
    "nft": "nftables",
    "nsenter": "util-linux",
    "openssl": "openssl",
    "ping": "iputils-ping",
    "ps": "procps",
    "rdisc6": "ndisc6",
    "socat": "socat",
    "ss": "iproute2",
    "tcpdump": "tcpdump",
    "udhcpc": "udhcpc",
    "unshare": "util-linux",
}
"""Programs of the system, and the Debian package of each."""


def test_each_program_that_is_run_is_installed_and_nothing_else_is() -> None:
    """A program is run where a list of words or a line of shell begins with its name."""
    text = "\n".join(path.read_text() for folder in ("src", "tests", "bench") for path in (ROOT / folder).rglob("*.py"))
    run = {
        name for name in PROGRAMS if re.search(rf"""[\[(*]f?["']{name}["' ,]|run\(f?["']{name} |f?"{name} -""", text)
    }
    listed = SCRIPT.read_text().partition("PACKAGES='")[2].partition("'\n")[0]
    assert {PROGRAMS[name] for name in run} == {line.split()[0] for line in listed.splitlines() if line}


def test_every_package_that_kaon_needs_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines if "==" in line}
    seen: set[str] = set()
    wanted = [Requirement(text) for text in project_requirements()]
    while wanted:
        requirement = wanted.pop()
        name = canonicalize_name(requirement.name)
        if name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        wanted += [Requirement(text) for text in importlib.metadata.requires(name) or []]
    assert len(seen) > 50
    assert seen - pinned == set()


def project_requirements() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["dev"]]


@pytest.mark.parametrize(
    "name", ["constraints.txt", "pyproject.toml", "Makefile", "scripts/setup.sh", ".ci/run", *KEYSTONE]
)
def test_no_address_of_a_package_index_is_written_down(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.findall(r"https?://|--(?:extra-)?index-url|--find-links|-i ", text) == []


@pytest.mark.parametrize("name", ["scripts/setup.sh", "scripts/test-keystone.sh", ".ci/run"])
def test_scripts_can_be_run(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    subprocess.run(["/bin/sh", "-n", ROOT / name], check=True)
