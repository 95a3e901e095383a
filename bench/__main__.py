"""How fast Kaon is on this machine, and what is to be reached: `python -m bench`, one table.

It starts a Kaon of its own, in a network and mount namespace of its own: no interface of the machine is touched, and
nothing stays. The parts: `start` (an empty Kaon until /healthz), `api` (requests, durable commits included), `policy`
(its part of a request), `crowd` (a project's lists among 100,000 foreign ports), `wiring` (packets: attach, security
groups, restart, memory), `contract` (Neutron's own API tests). Load and server share the cores of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Callable

from rich.console import Console

from bench import api, contract, crowd, measure, policy, wiring
from bench.figures import Figure, table
from bench.server import kaon
from kaon.cli import rootless

PARTS = ("start", "api", "policy", "crowd", "wiring", "contract")
WIDTH = 170
"""Columns of the table where there is no terminal to say."""
Show = Callable[[str], None]


def starts(engine: str, rounds: int, show: Show) -> list[Figure]:
    """From nothing to the first 200 of /healthz, on an empty folder each time: the median."""
    taken = []
    for turn in range(rounds):
        show(f"start {turn + 1} of {rounds}")
        with kaon(engine) as one:
            taken.append(one.start())
    value = round(measure.quantile(taken, 0.5), 2)
    return [Figure("start to /healthz, empty", value, "s", round(max(taken), 2), reach=1.0)]


def requests(engine: str, count: int, sizes: list[int], show: Show) -> list[Figure]:
    """The API's figures."""
    with kaon(engine) as one:
        one.start()
        return asyncio.run(api.run(one, count, sizes, show))


def among_others(engine: str, foreign: int, show: Show) -> list[Figure]:
    """The figures of lists in a big cloud."""
    with kaon(engine) as one:
        one.start()
        return asyncio.run(crowd.run(one, foreign, show))


def packets(sizes: list[int], rounds: int, show: Show) -> list[Figure]:
    """The figures of the wiring."""
    with kaon("linux") as one:
        one.start()
        return wiring.run(one, sizes, rounds, show)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part (may be repeated)")
    parser.add_argument("--quick", action="store_true", help="fewer requests and ports: a first impression")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    parts = arguments.only or PARTS
    quick: bool = arguments.quick
    if "contract" in parts:
        contract.install()
    rootless.enter()
    console = Console(stderr=True)
    figures: list[Figure] = []
    with console.status("start") as status:
        where = measure.machine()
        if "start" in parts:
            figures += starts("linux", 1 if quick else 5, status.update)
        if "api" in parts:
            figures += requests("fake", 50 if quick else 200, [1000] if quick else [1000, 5000], status.update)
        if "policy" in parts:
            status.update("policy")
            figures += policy.run(50 if quick else 200)
        if "crowd" in parts:
            figures += among_others("fake", 10_000 if quick else 100_000, status.update)
        if "wiring" in parts:
            figures += packets([10, 100] if quick else [10, 1000], 5 if quick else 15, status.update)
        if "contract" in parts:
            status.update("contract")
            figures += contract.run()
    load = round(os.getloadavg()[0], 2)
    if arguments.json:
        lines = [{**figure._asdict(), "held": figure.held} for figure in figures]
        print(json.dumps({"machine": where._asdict(), "load_after": load, "figures": lines}))
    else:
        out = Console()
        if not out.is_terminal:
            out = Console(width=WIDTH)
        out.print(table(figures, where, load))


if __name__ == "__main__":
    main()
