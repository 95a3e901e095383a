"""The `openstack` command as its users have it, in a process that runs one command after another.

Starting a Python that knows every command takes a second and a half; a person's script would pay it for each line, and
a test that runs a hundred need not.
"""

from __future__ import annotations

import contextlib
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

SHOWS = frozenset({"create", "list", "show", "issue", "unset"})
"""Last words of commands that print what can be read as JSON."""


class Done(NamedTuple):
    """A command that has run: its exit status, and what it printed (and logged) for a person."""

    status: int
    output: str
    errors: str


class Shell:
    """Runs `openstack` commands against the cloud that `OS_` variables name; close it with `close`."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.shell"],
            env={**environment, "COLUMNS": "400"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=10)

    def run(self, line: str) -> Done:
        """Run one command, whatever comes of it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(shlex.split(line)) + "\n")
        self._process.stdin.flush()
        return Done(*json.loads(self._process.stdout.readline()))

    def __call__(self, line: str) -> Any:
        """Run a command that must succeed; what it shows, read from JSON, or None where it shows nothing."""
        shows = not SHOWS.isdisjoint(shlex.split(line)) and " unset " not in line
        done = self.run(f"{line} -f json" if shows else line)
        assert done.status == 0, f"openstack {line}\n{done.output}{done.errors}"
        return json.loads(done.output) if done.output.strip() and shows else None


def main() -> None:
    """Read command lines as JSON lists, and answer with [status, output, errors] each."""
    from openstackclient.shell import OpenStackShell

    answers = sys.stdout
    for line in sys.stdin:
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            shell = OpenStackShell()
            shell.stdout, shell.stderr = output, errors
            try:
                status = shell.run(json.loads(line))
            except SystemExit as end:  # so it refuses options that it does not know
                status = end.code
        print(json.dumps([status or 0, output.getvalue(), errors.getvalue()]), file=answers, flush=True)


if __name__ == "__main__":
    main()
