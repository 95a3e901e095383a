"""Clients that create, change and delete without a pause, and remember what they were told."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import Any

import httpx

Record = dict[str, Any]


class Worker:
    """One client. `acknowledged` maps a path to the record that the server last told, None where it was deleted.

    A request that ended without an answer leaves its path in `unsure`, with every state that it may be in.
    """

    def __init__(self, url: str, token: str, name: str, network: Record, told: Callable[[], None]) -> None:
        self.name = name
        self.acknowledged: dict[str, Record | None] = {}
        self.unsure: dict[str, list[Record | None]] = {}
        self.unexpected: list[str] = []
        self.addresses: list[tuple[str, str]] = []
        self._http = httpx.Client(base_url=f"{url}/v2.0", headers={"X-Auth-Token": token}, timeout=30)
        self._network = network
        self._told = told
        self._random = random.Random(name)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the request under way."""
        self._stop.set()
        self._thread.join(60)
        self._http.close()

    def _work(self) -> None:
        count = 0
        while not self._stop.is_set():
            count += 1
            mine = [path for path, record in self.acknowledged.items() if record is not None]
            match self._random.choice(("create", "create", "update", "delete")) if len(mine) > 3 else "create":
                case "create":
                    self._create(f"{self.name}-{count}")
                case "update":
                    self._update(self._random.choice(mine), f"{self.name}-{count}")
                case _:
                    self._delete(self._random.choice(mine))

    def _create(self, name: str) -> None:
        kind = self._random.choice(("port", "port", "network", "security_group"))
        body = {"name": name, "network_id": self._network["id"]} if kind == "port" else {"name": name}
        collection = f"/{kind.replace('_', '-')}s"
        answer = self._ask("POST", collection, {kind: body})
        if answer is None:
            # Nobody knows its id: whether it is there is nobody's claim.
            return
        if answer.status_code == 201:
            made = answer.json()[kind]
            self.acknowledged[f"{collection}/{made['id']}"] = made

    def _update(self, path: str, name: str) -> None:
        before = self.acknowledged[path]
        assert before is not None
        kind = path.split("/")[1].removesuffix("s").replace("-", "_")
        answer = self._ask("PUT", path, {kind: {"name": name}})
        if answer is None:
            del self.acknowledged[path]
            self.unsure[path] = [before, {**before, "name": name}]
        elif answer.status_code == 200:
            self.acknowledged[path] = answer.json()[kind]

    def _delete(self, path: str) -> None:
        before = self.acknowledged[path]
        answer = self._ask("DELETE", path)
        if answer is None:
            del self.acknowledged[path]
            self.unsure[path] = [before, None]
        elif answer.status_code == 204:
            self.acknowledged[path] = None

    def _ask(self, method: str, path: str, body: Any = None) -> httpx.Response | None:
        """The answer, or None where the connection ended without one."""
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.TransportError:
            return None
        if answer.is_error:
            self.unexpected.append(f"{method} {path}: {answer.status_code} {answer.text}")
        self._told()
        return answer
