#!/usr/bin/env python3
"""Neutron's own API tests against a Kaon of this moment: tempest.api.network and neutron_tempest_plugin.api.

    make contract                          # all of them, two at a time
    make contract ARGS=test_security_group # those whose name matches

The tests live in a virtual environment of their own, .venv-tempest. What counts is tests/contract/yardstick.txt: the
tests that Neutron itself passes. Every one of them that did not pass is named, and then the exit status is 1: one that
was skipped for want of an extension counts as one that failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx
import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.running import Running, running  # noqa: E402 (found only from the root of the tree)

VENV = ROOT / ".venv-tempest"
FILES = ROOT / "tests" / "contract"
PACKAGES = ("tempest", "neutron-tempest-plugin")
SUITES = r"^(?=.*(?:{wanted}))(?:tempest\.api\.network|neutron_tempest_plugin\.api)\."
SHOWN_REASON = 150
"""Characters of a reason that are printed; the whole of it is in the log."""


class Outcome(NamedTuple):
    """How a test, or the set-up of its whole class, ended: success, fail, skip …; and the reason given."""

    status: str
    reason: str


def install() -> None:
    """Fill the tests' virtual environment, unless what is pinned is there already."""
    constraints = FILES / "constraints.txt"
    stamp = VENV / "kaon-contract"
    if stamp.exists() and stamp.read_text() == constraints.read_text():
        return
    print(f"contract: filling {VENV}", file=sys.stderr)
    stamp.unlink(missing_ok=True)
    venv.create(VENV, clear=True, with_pip=True)
    pip = (VENV / "bin" / "python", "-m", "pip", "-q", "--disable-pip-version-check")
    subprocess.run([*pip, "install", "-c", constraints, *PACKAGES], check=True, env=_own_environment())
    stamp.write_text(constraints.read_text())


def _own_environment(**more: str) -> dict[str, str]:
    """This process's environment without what would lead another Python or OpenStack client astray."""
    foreign = ("PYTHON", "OS_", "KAON_", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE", "PIP_CONSTRAINT")
    return {name: value for name, value in os.environ.items() if not name.startswith(foreign)} | more


class Cloud(NamedTuple):
    """What the tests must know of the cloud that they run on."""

    identity_url: str
    admin_password: str
    public_network_id: str
    api_extensions: str


def prepare(kaon: Running) -> Cloud:
    """Make what the tests take for granted: a public network, and a default subnet pool of each address family."""
    auth = yaml.safe_load((kaon.data / "clouds.yaml").read_text())["clouds"]["kaon"]["auth"]
    domain = {"domain": {"name": "Default"}}
    question = {
        "identity": {
            "methods": ["password"],
            "password": {"user": {"name": auth["username"], "password": auth["password"], **domain}},
        },
        "scope": {"project": {"name": auth["project_name"], **domain}},
    }
    identity_url = f"{kaon.url}/identity/v3"
    token = httpx.post(f"{identity_url}/auth/tokens", json={"auth": question}).headers["x-subject-token"]
    with httpx.Client(base_url=f"{kaon.url}/v2.0/", headers={"x-auth-token": token}) as client:

        def create(kind: str, collection: str, **values: object) -> str:
            answer = client.post(collection, json={kind: values})
            answer.raise_for_status()
            return str(answer.json()[kind]["id"])

        flat = {"provider:network_type": "flat", "provider:physical_network": "public"}
        external = {"router:external": True, "is_default": True}
        public = create("network", "networks", name="public", **flat, **external)
        create(
            "subnet",
            "subnets",
            network_id=public,
            name="public",
            ip_version=4,
            cidr="203.0.113.0/24",
            enable_dhcp=False,
        )
        for name, prefix, length in (("v4", "10.0.0.0/20", 26), ("v6", "fd12:67:1::/56", 64)):
            sizes = {"prefixes": [prefix], "default_prefixlen": length}
            create("subnetpool", "subnetpools", name=f"default-{name}", is_default=True, shared=True, **sizes)
        extensions = client.get("extensions").json()["extensions"]
    aliases = ",".join(item["alias"] for item in extensions)
    return Cloud(identity_url, auth["password"], public, aliases)


def run(cloud: Cloud, folder: Path, wanted: str, workers: int) -> dict[str, Outcome]:
    """Run the tests whose names match; outcomes by test, and by class where its set-up ended it."""
    for name in ("logs", "lock"):
        (folder / name).mkdir()
    settings = (FILES / "tempest.conf").read_text().format(workdir=folder, **cloud._asdict())
    (folder / "tempest.conf").write_text(settings)
    discover = next(VENV.glob("lib/python*/site-packages/tempest/test_discover"))
    (folder / "stestr.conf").write_text(
        f"[DEFAULT]\ntest_path={discover}\ntop_dir={discover.parent.parent}\ngroup_regex=([^\\.]*\\.)*\n"
    )
    environment = _own_environment(
        TEMPEST_CONFIG_DIR=str(folder), TEMPEST_CONFIG="tempest.conf", PATH=f"{VENV / 'bin'}:{os.environ['PATH']}"
    )
    stestr = (VENV / "bin" / "stestr", "--config", folder / "stestr.conf")
    log = folder / "stestr.log"
    command = (*stestr, "run", "--concurrency", str(workers), SUITES.format(wanted=wanted))
    subprocess.run(command, cwd=folder, env=environment, stdout=log.open("wb"), check=False)
    stream = subprocess.run((*stestr, "last", "--subunit"), cwd=folder, env=environment, stdout=subprocess.PIPE).stdout
    found = outcomes(stream, environment)
    if not found:
        raise SystemExit(f"contract: no test has run:\n{log.read_text()}")
    return found


def outcomes(stream: bytes, environment: Mapping[str, str]) -> dict[str, Outcome]:
    """What a subunit stream tells of each test, and of each class whose set-up ended it."""
    reader = (VENV / "bin" / "python", FILES / "read_results.py")
    lines = subprocess.run(reader, input=stream, stdout=subprocess.PIPE, env=environment, check=True).stdout
    rows = (json.loads(line) for line in lines.splitlines())
    return {_name(id): Outcome(status, reason) for id, status, reason in rows}


def _name(id: str) -> str:
    """A test's name without its attributes; a class's name for ``setUpClass (…)``."""
    of_class = re.fullmatch(r"(?:setUpClass|tearDownClass) \((.*)\)", id)
    return of_class.group(1) if of_class else id.partition("[")[0]


def judged(wanted: Iterable[str], found: Mapping[str, Outcome]) -> dict[str, Outcome]:
    """The outcome of each wanted test: its own, else its class's."""
    absent = Outcome("missing", "it is not among the tests, or was never run")
    return {name: found.get(name) or found.get(name.rpartition(".")[0], absent) for name in wanted}


def report(yardstick: Mapping[str, Outcome], found: Mapping[str, Outcome], seconds: float) -> bool:
    """Print what has passed and what has not; whether everything of the yardstick passed."""
    amiss = {name: outcome for name, outcome in yardstick.items() if outcome.status != "success"}
    for name, outcome in amiss.items():
        print(f"{outcome.status}: {name}\n    {_last_line(outcome.reason)}")
    others = {name: found[name] for name in sorted(found) if name not in yardstick and ".test_" in name}
    for name, outcome in others.items():
        if outcome.status == "success":
            print(f"passed beyond the yardstick: {name}")
        else:
            print(f"{outcome.status} beyond the yardstick: {name}\n    {_last_line(outcome.reason)}")
    beyond = sum(outcome.status == "success" for outcome in others.values())
    kinds = Counter("skipped" if outcome.status == "skip" else "failed" for outcome in amiss.values())
    print(
        f"yardstick: {len(yardstick)} tests, {len(yardstick) - len(amiss)} passed, {kinds['failed']} failed, "
        f"{kinds['skipped']} skipped; beyond it {beyond} of {len(others)} passed; {seconds:.0f} s"
    )
    return not amiss


def _last_line(reason: str) -> str:
    lines = [line for line in reason.splitlines() if line.strip()]
    return lines[-1].strip()[:SHOWN_REASON] if lines else "no reason is given"


def main() -> int:
    """Install, start Kaon, prepare, run, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wanted", nargs="?", default="", help="a regular expression that the tests' names must match")
    parser.add_argument("--install", action="store_true", help="only install the tests")
    parser.add_argument("--concurrency", type=int, default=2, help="tests that run at a time")
    parser.add_argument("--keep", type=Path, help="a new folder for the settings, logs and results of this run")
    arguments = parser.parse_args()
    names = (FILES / "yardstick.txt").read_text().split()
    install()
    if arguments.install:
        return 0
    with tempfile.TemporaryDirectory(prefix="kaon-contract-") as temporary:
        folder = (arguments.keep or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)  # Kaon's server, which is not root, passes through it
        with running(folder / "kaon", "--engine", "fake", "--config", str(FILES / "kaon.toml")) as kaon:
            began = time.monotonic()
            found = run(prepare(kaon), folder, arguments.wanted, arguments.concurrency)
            seconds = time.monotonic() - began
    wanted = [name for name in names if re.search(arguments.wanted, name)]
    return 0 if report(judged(wanted, found), found, seconds) else 1


if __name__ == "__main__":
    sys.exit(main())
