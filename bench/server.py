"""A Kaon of the benchmark's own: on an empty folder and a free port, started again as often as one likes."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kaon.agent import control

PATIENCE = 60.0


@dataclass(slots=True)
class Kaon:
    """`kaon up` and its client. `processes` are those of server and agent while it runs."""

    folder: Path
    engine: str
    port: int
    up: subprocess.Popen[bytes] | None = None
    token: str = ""
    project: str = ""
    processes: tuple[int, ...] = ()

    @property
    def url(self) -> str:
        """Root of the API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def data(self) -> Path:
        """Its data folder."""
        return self.folder / "data"

    @property
    def control(self) -> Path:
        """The agent's control socket."""
        return self.data / "agent" / control.SOCKET

    def start(self) -> float:
        """Start it and log in; the seconds from nothing to the first 200 of /healthz."""
        begun = time.monotonic()
        command = [sys.executable, "-m", "kaon.cli.main", "up", "--data", str(self.data), "--engine", self.engine]
        with (self.folder / "log").open("ab") as log:
            self.up = subprocess.Popen([*command, "--listen", f"127.0.0.1:{self.port}"], stdout=log, stderr=log)
        self._await_ready()
        ready = time.monotonic() - begun
        state = json.loads((self.data / "kaon.json").read_text())
        self.processes = (state["server"], state["agent"])
        self._log_in()
        return ready

    def settled(self) -> control.Status:
        """The agent's status, once all that it has heard of is real."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                status = asyncio.run(control.status(self.control))
            except control.AgentError:
                time.sleep(0.005)
                continue
            if status.connected and status.converged == status.seq > 0:
                return status
            time.sleep(0.005)
        sys.exit(f"the agent has not settled within {PATIENCE:.0f} s; its log ends:\n{self.tail()}")

    def stop(self) -> None:
        """End it; networks stay."""
        if self.up is not None:
            self.up.send_signal(signal.SIGTERM)
            self.up.wait(PATIENCE)
            self.up = None

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-10:])

    def _await_ready(self) -> None:
        """The supervisor listens before the server runs, so one request waits there until it is answered."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            assert self.up is not None
            if self.up.poll() is not None:
                sys.exit(f"kaon up ended with status {self.up.returncode}; its log ends:\n{self.tail()}")
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
            try:
                connection.request("GET", "/healthz")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            finally:
                connection.close()
            time.sleep(0.005)
        sys.exit(f"{self.url}/healthz did not answer 200 within {PATIENCE:.0f} s; the log ends:\n{self.tail()}")

    def _log_in(self) -> None:
        password = (self.data / "admin-password").read_text().strip()
        self.token, self.project = self._authenticate("admin", password, "admin")
        self._unlimited(self.project)

    def tenant(self, name: str) -> str:
        """The token of a new user, member of a new project of the same name that may have as much as it wants."""
        keystone = "/identity/v3"
        project = self._request("POST", f"{keystone}/projects", {"project": {"name": name}})[1]["project"]["id"]
        user = self._request("POST", f"{keystone}/users", {"user": {"name": name, "password": name}})[1]["user"]["id"]
        role = self._request("GET", f"{keystone}/roles?name=member")[1]["roles"][0]["id"]
        self._request("PUT", f"{keystone}/projects/{project}/users/{user}/roles/{role}")
        self._unlimited(project)
        return self._authenticate(name, name, name)[0]

    def _authenticate(self, user: str, password: str, project: str) -> tuple[str, str]:
        """A token and the id of its project."""
        who = {"name": user, "domain": {"id": "default"}, "password": password}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        identity = {"methods": ["password"], "password": {"user": who}}
        wanted = {"auth": {"identity": identity, "scope": scope}}
        reply, answer = self._request("POST", "/identity/v3/auth/tokens", wanted)
        return reply.headers["X-Subject-Token"], answer["token"]["project"]["id"]

    def _unlimited(self, project: str) -> None:
        limits = self.ask("GET", f"quotas/{project}")["quota"]
        self.ask("PUT", f"quotas/{project}", {"quota": dict.fromkeys(limits, -1)})

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One request to the Network API on a connection of its own; a status that is no success ends the run."""
        return self._request(method, f"/v2.0/{path}", body)[1]

    def make(self, path: str, **values: Any) -> dict[str, Any]:
        """Create one resource."""
        name = path.removesuffix("s").replace("-", "_")
        made: dict[str, Any] = self.ask("POST", path, {name: values})[name]
        return made

    def _request(self, method: str, path: str, body: Any = None) -> tuple[http.client.HTTPResponse, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            reply = connection.getresponse()
            raw = reply.read()
        finally:
            connection.close()
        if reply.status >= 300:
            sys.exit(f"{method} {path}: {reply.status} {raw.decode(errors='replace')[:300]}")
        return reply, json.loads(raw) if raw else None


def free_port() -> int:
    """A TCP port of the loopback on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def kaon(engine: str) -> Iterator[Kaon]:
    """A Kaon that is not started yet, on an empty folder, stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="kaon-bench-") as folder:
        Path(folder).chmod(0o755)  # the server may run as another user
        made = Kaon(Path(folder), engine, free_port())
        try:
            yield made
        finally:
            made.stop()
