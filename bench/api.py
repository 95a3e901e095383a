"""How fast the Network API is, durable commits included.

The load comes from one event loop over a few connections that stay open, in a process of its own that shares the
cores with the server: `cpu_ms` is what the server alone used, and the note of the first line what the load cost.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import aiohttp

from bench import measure
from bench.figures import Figure, times
from bench.server import Kaon

CONCURRENCY = 8
BULK = 100
FILLED = 10
"""Networks that the ports of the list phases are spread over."""

REACH = {
    "create port": 3.0,
    "create port, 8 at once": 500.0,
    "create 100 ports in bulk": 60.0,
    "list 1000 ports": 15.0,
    "list 5000 ports": 60.0,
    "get port": 1.0,
    "update port": 3.0,
    "add router interface": 8.0,
}
"""What is to be reached, by phase: milliseconds in the median, or requests a second where several run at once."""

Job = Callable[[], Awaitable[bytes]]


class Load:
    """Requests to one server over a few connections that stay open, and the figures of all phases so far."""

    def __init__(self, http: aiohttp.ClientSession, kaon: Kaon, show: Callable[[str], None]) -> None:
        self._http, self._kaon, self._show = http, kaon, show
        self._base = f"{kaon.url}/v2.0"
        self.figures: list[Figure] = []

    async def send(self, method: str, path: str, body: Any = None, **query: str) -> bytes:
        """One request; its answer as it came. A status that is no success ends the measurement."""
        async with self._http.request(method, f"{self._base}/{path}", json=body, params=query) as reply:
            raw = await reply.read()
            if reply.status >= 300:
                sys.exit(f"{method} /v2.0/{path}: {reply.status} {raw.decode(errors='replace')[:300]}")
        return raw

    async def ask(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """One request; its decoded answer."""
        return _decode(await self.send(method, path, body, **query))

    async def make(self, path: str, **values: Any) -> str:
        """Create one resource; its id."""
        return _id(await self.ask("POST", path, {_single(path): values}))

    def creation(self, path: str, **values: Any) -> Job:
        """A request for `phase` that creates one resource."""
        return self.asking("POST", path, {_single(path): values})

    def asking(self, method: str, path: str, body: Any = None, **query: str) -> Job:
        """A request for `phase`."""
        return lambda: self.send(method, path, body, **query)

    async def phase(self, name: str, jobs: Iterable[Job], concurrency: int = 1) -> list[Any]:
        """Run the requests, `concurrency` at once, and note the figures; the answers, decoded afterwards."""
        self._show(name)
        found: list[bytes] = []
        taken: list[float] = []
        waiting = iter(jobs)
        server, client = self._kaon.processes[:1], [os.getpid()]

        async def work() -> None:
            for job in waiting:
                begun = time.perf_counter()
                answer = await job()
                taken.append((time.perf_counter() - begun) * 1000)
                found.append(answer)

        before, of_load, begun = measure.cpu_seconds(server), measure.cpu_seconds(client), time.perf_counter()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        wall, cpu = time.perf_counter() - begun, (measure.cpu_seconds(server) - before) * 1000 / len(taken)
        load = (measure.cpu_seconds(client) - of_load) * 1000 / len(taken)
        note = f"CPU of the load {load:.2f} ms"
        if concurrency == 1:
            self.figures.append(times(name, taken, REACH.get(name), round(cpu, 2), note))
        else:
            worst = f"p50 {measure.quantile(taken, 0.5):.1f} ms, p99 {measure.quantile(taken, 0.99):.1f} ms; "
            rate = round(len(taken) / wall, 1)
            self.figures.append(Figure(name, rate, "/s", None, round(cpu, 2), REACH.get(name), worst + note))
        return [_decode(raw) for raw in found]


def _decode(raw: bytes) -> Any:
    return json.loads(raw) if raw else None


def _single(path: str) -> str:
    return path.removesuffix("s").replace("-", "_")


def _id(answer: dict[str, dict[str, str]]) -> str:
    """The id of the one resource that an answer is about."""
    ((_, resource),) = answer.items()
    return resource["id"]


async def singles(load: Load, count: int) -> tuple[str, list[str]]:
    """One request after another; the network of the ports, and the ports."""
    networks = await load.phase("create network", [load.creation("networks", name=f"n{i}") for i in range(count)])
    subnets = await load.phase(
        "create subnet",
        [
            load.creation("subnets", network_id=_id(network), ip_version=4, cidr=f"10.{i // 256}.{i % 256}.0/24")
            for i, network in enumerate(networks)
        ],
    )
    network = await load.make("networks", name="ports")
    await load.make("subnets", network_id=network, ip_version=4, cidr="172.16.0.0/16")
    made = await load.phase(
        "create port", [load.creation("ports", network_id=network, name=f"p{i}") for i in range(count)]
    )
    ports = [_id(port) for port in made]
    group = await load.make("security-groups", name="bench")
    rule = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}
    await load.phase(
        "create security group rule",
        [
            load.creation("security-group-rules", **rule, port_range_min=1000 + i, port_range_max=1000 + i)
            for i in range(count)
        ],
    )
    await load.phase("get port", [load.asking("GET", f"ports/{id}") for id in ports])
    rename = {"port": {"name": "renamed"}}
    await load.phase("update port", [load.asking("PUT", f"ports/{id}", rename) for id in ports])
    router = await load.make("routers", name="bench")
    adding = f"routers/{router}/add_router_interface"
    await load.phase(
        "add router interface", [load.asking("PUT", adding, {"subnet_id": _id(it)}) for it in subnets[:50]]
    )
    return network, ports


def bulk(load: Load, network: str, count: int = BULK) -> Job:
    """A request for `phase` that creates many ports at once."""
    # Two ports have a device in common, as a server with two interfaces has.
    ports = [{"network_id": network, "device_id": f"device-{network}-{i // 2}"} for i in range(count)]

    return load.asking("POST", "ports", {"ports": ports})


async def lists(load: Load, sizes: Iterable[int]) -> None:
    """Lists of ever more ports: all of them, those of a network, those of a device, and a page from the middle."""
    filled = [await load.make("networks", name=f"filled{i}") for i in range(FILLED)]
    for i, network in enumerate(filled):
        await load.make("subnets", network_id=network, ip_version=4, cidr=f"172.{17 + i}.0.0/16")
    turn = 0
    for size in sizes:
        while missing := size - len((await load.ask("GET", "ports", fields="id"))["ports"]):
            if missing < 0:
                sys.exit(f"{-missing} ports too many are there for a list of {size}: start on an empty server")
            await bulk(load, filled[turn % FILLED], min(BULK, missing))()
            turn += 1
        ids = sorted(port["id"] for port in (await load.ask("GET", "ports", fields="id"))["ports"])
        page = {"limit": "100", "marker": ids[size // 2], "sort_key": "id", "sort_dir": "asc"}
        queries: dict[str, dict[str, str]] = {
            f"list {size} ports": {},
            f"list by network, of {size}": {"network_id": filled[0]},
            f"list by device, of {size}": {"device_id": f"device-{filled[0]}-0"},
            f"list a page of 100, of {size}": page,
        }
        for name, query in queries.items():
            await load.phase(name, [load.asking("GET", "ports", **query) for _ in range(15)])


async def run(kaon: Kaon, count: int, sizes: list[int], show: Callable[[str], None]) -> list[Figure]:
    """All phases on a Kaon that runs, in the order in which their objects add up; `count` requests a phase."""
    connector = aiohttp.TCPConnector(limit=CONCURRENCY)
    headers = {"X-Auth-Token": kaon.token}
    async with aiohttp.ClientSession(headers=headers, connector=connector) as http:
        load = Load(http, kaon, show)
        for _ in range(40):  # connections, prepared statements, caches
            await load.ask("GET", "networks", limit="1")
        network, ports = await singles(load, count)
        together = await load.phase(
            f"create port, {CONCURRENCY} at once",
            [load.creation("ports", network_id=network) for _ in range(2 * count)],
            CONCURRENCY,
        )
        await load.phase(f"create {BULK} ports in bulk", [bulk(load, network) for _ in range(3)])
        await lists(load, sizes)
        await load.phase("delete port", [load.asking("DELETE", f"ports/{id}") for id in ports])
        await load.phase(
            f"delete port, {CONCURRENCY} at once",
            [load.asking("DELETE", f"ports/{_id(port)}") for port in together],
            CONCURRENCY,
        )
        return load.figures
