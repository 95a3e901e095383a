"""A running Kaon for tests: `kaon up` as its users start it, on a folder and a port of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import kaon
from tests.wait import until


class Running(NamedTuple):
    """Where a running Kaon is, and how to be its client."""

    url: str
    data: Path
    process: subprocess.Popen[bytes]
    output: Path

    @property
    def environment(self) -> dict[str, str]:
        """For OpenStack clients, and for `kaon` itself."""
        programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return environment() | {"OS_CLIENT_CONFIG_FILE": str(self.data / "clouds.yaml"), "PATH": programs}


def environment() -> dict[str, str]:
    """This process's own, without anything that would configure Kaon or a client, and with Kaon importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KAON_", "OS_"))}
    return kept | {"PYTHONPATH": str(Path(kaon.__file__).parents[1])}


@contextmanager
def running(data: Path, *flags: str, prefix: tuple[str, ...] = (), seconds: float = 20) -> Iterator[Running]:
    """Run `kaon up` with an empty or kept `data` folder on a free port; stopped by SIGTERM at the end.

    `prefix` is a command that runs it, such as one that enters a namespace. Raises AssertionError with Kaon's output.
    """
    data.mkdir(parents=True, exist_ok=True)
    output = data.parent / f"{data.name}.output"
    command = [*prefix, sys.executable, "-m", "kaon.cli.main", "up", "--data", str(data), "--listen", "127.0.0.1:0"]
    with output.open("wb") as stream:
        process = subprocess.Popen(
            [*command, *flags], env=environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT
        )
    try:

        def greeted() -> str:
            text = output.read_text(errors="replace")
            assert process.poll() is None, f"kaon up ended with status {process.returncode}:\n{text}"
            found = re.search(r"Kaon is ready at (\S+)", text)
            return found.group(1) if found else ""

        yield Running(until(greeted, seconds, "kaon up says that it is ready"), data, process, output)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
