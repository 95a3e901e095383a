"""A Kaon of the benchmark's own: started on an empty folder and a free port, without quotas, and stopped at the end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

PATIENCE = 30.0


class Server(NamedTuple):
    """A server to measure. `processes` are those of server and agent, `ready` the seconds from nothing to /healthz.

    `project` is the token's, named only where its quotas may be lifted.
    """

    url: str
    token: str
    project: str = ""
    processes: tuple[int, ...] = ()
    ready: float = 0.0


def free_port() -> int:
    """A TCP port of the loopback on which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"kaon up ended with status {process.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/healthz", timeout=5) as reply:
                if reply.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            time.sleep(0.01)
    sys.exit(f"{url}/healthz did not answer 200 within {PATIENCE:.0f} s")


def _token(url: str, password: str) -> tuple[str, str]:
    """A token of the administrator, and the id of the project that it is for."""
    user = {"name": "admin", "domain": {"id": "default"}, "password": password}
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    identity = {"methods": ["password"], "password": {"user": user}}
    body = json.dumps({"auth": {"identity": identity, "scope": scope}}).encode()
    request = urllib.request.Request(f"{url}/identity/v3/auth/tokens", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        return str(reply.headers["X-Subject-Token"]), str(json.load(reply)["token"]["project"]["id"])


@contextmanager
def started(engine: str) -> Iterator[Server]:
    """Run `kaon up` for as long as the context lasts; its log is shown only when it fails."""
    with tempfile.TemporaryDirectory(prefix="kaon-bench-") as folder:
        Path(folder).chmod(0o755)  # the server may run as another user
        port, data = free_port(), Path(folder) / "data"
        command = [sys.executable, "-m", "kaon.cli.main", "up", "--data", str(data), "--engine", engine]
        url = f"http://127.0.0.1:{port}"
        begun = time.monotonic()
        with (
            (Path(folder) / "log").open("wb") as log,
            subprocess.Popen([*command, "--listen", f"127.0.0.1:{port}"], stdout=log, stderr=log) as up,
        ):
            try:
                _wait_until_ready(url, up)
                ready = time.monotonic() - begun
                state = json.loads((data / "kaon.json").read_text())
                token, project = _token(url, (data / "admin-password").read_text().strip())
                yield Server(url, token, project, (state["server"], state["agent"]), ready)
            finally:
                up.send_signal(signal.SIGTERM)
                up.wait(PATIENCE)
