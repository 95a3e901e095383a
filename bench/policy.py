"""What policy costs in one request: the time that requests of a member spend in it, measured inside the API."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from bench.figures import Figure
from bench.measure import quantile
from kaon.api.app import create_app
from kaon.api.checks import Target
from kaon.api.policy import Policy
from kaon.caller import Caller
from kaon.resources.catalog import first_starts, resources
from kaon.resources.declare import Resource
from kaon.store.migrate import open_store

REACH = 50.0
"""Microseconds of a request."""

MEMBER = Caller(user_id="u", user_name="u", project_id="p", roles=frozenset({"member", "reader"}))


class Timed(Policy):
    """A policy that adds up the time that it is asked for."""

    spent = 0.0
    _inside = False

    def _timed(self, ask: Callable[..., Any], *arguments: Any) -> Any:
        self._inside, begun = True, time.thread_time()
        try:
            return ask(*arguments)
        finally:
            self.spent += time.thread_time() - begun
            self._inside = False

    def allows(self, rule: str, target: Target, creds: Mapping[str, Any]) -> bool:
        if self._inside:  # a question of one that is timed
            return Policy.allows(self, rule, target, creds)
        return bool(self._timed(super().allows, rule, target, creds))

    def demand_write(
        self, verb: str, resource: Resource, body: Mapping[str, Any], target: Target, creds: Mapping[str, Any]
    ) -> None:
        self._timed(super().demand_write, verb, resource, body, target, creds)

    def hidden(self, resource: Resource, target: Target, creds: Mapping[str, Any]) -> frozenset[str]:
        return frozenset(self._timed(super().hidden, resource, target, creds))


async def _authenticate(_token: str, _request_id: str) -> Caller:
    return MEMBER


async def _measured(folder: Path, count: int) -> list[Figure]:
    resources()
    store = await open_store(folder / "kaon.db", first_starts())
    policy = Timed()
    app = create_app(store, _authenticate, policy)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kaon/v2.0") as http:

        async def ask(method: str, path: str, body: Any = None) -> tuple[float, dict[str, Any]]:
            policy.spent = 0.0
            answer = await http.request(method, path, json=body)
            answer.raise_for_status()
            return policy.spent * 1e6, answer.json()

        _, network = await ask("POST", "/networks", {"network": {"name": "n"}})
        network_id = network["network"]["id"]
        subnet = {"network_id": network_id, "ip_version": 4, "cidr": "10.0.0.0/16"}
        _, made = await ask("POST", "/subnets", {"subnet": subnet})
        fixed_ips = [{"subnet_id": made["subnet"]["id"]}]
        pairs = [{"ip_address": "10.0.255.1"}]
        port: dict[str, Any] = {
            "network_id": network_id,
            "name": "p",
            "fixed_ips": fixed_ips,
            "allowed_address_pairs": pairs,
        }
        port["device_owner"] = "compute:x"
        creations = [(await ask("POST", "/ports", {"port": port}))[0] for _ in range(count)]
        lists = [(await ask("GET", "/ports"))[0] for _ in range(count)]
    store.close()
    return [
        Figure(name, round(quantile(taken, 0.5), 1), "µs", round(quantile(taken, 0.99), 1), reach=REACH, note=note)
        for name, taken, note in (
            ("policy, create port", creations, "a member's, with addresses and address pairs"),
            (f"policy, list {count} ports", lists, "a member's own"),
        )
    ]


def run(count: int) -> list[Figure]:
    """The figures: `count` ports are made, and listed as often."""
    with tempfile.TemporaryDirectory(prefix="kaon-bench-") as folder:
        return asyncio.run(_measured(Path(folder), count))
