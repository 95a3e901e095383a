"""How long Neutron's own API tests take on Kaon. On Neutron itself, on such a machine, it is half an hour."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure

_SCRIPT = (sys.executable, str(Path(__file__).parents[1] / "scripts" / "contract.py"))
NEUTRON = 1800
"""Seconds."""


def install() -> None:
    """Install the tests; needs the network, so it comes before this process leaves it."""
    subprocess.run([*_SCRIPT, "--install"], check=True)


def run() -> list[Figure]:
    """Run them all, two at a time. Raises RuntimeError unless the whole yardstick passed: a wrong answer is fast."""
    done = subprocess.run(_SCRIPT, stdout=subprocess.PIPE, text=True)
    told = done.stdout.rstrip().rpartition("\n")[2]
    found = re.search(r"; (\d+) s$", told)
    if done.returncode or found is None:
        raise RuntimeError(f"make contract: {told or 'no answer'}")
    seconds = int(found.group(1))
    note = f"{round(NEUTRON / max(seconds, 1))} times as fast as Neutron's half hour"
    return [Figure("tempest's API tests, whole", seconds, "s", reach=NEUTRON / 10, note=note)]
