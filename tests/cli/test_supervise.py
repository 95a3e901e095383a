"""The supervisor: restarts what ends, stops what runs, and is not outlived."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.wait import until

ROOT = Path(__file__).parents[2]

States = dict[str, tuple[int, bool]]


class Supervised:
    """A running supervisor, its output and the state that it told last."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.folder = folder
        self.output = (folder / "output").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.supervisor_process", str(folder), *hosts],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )

    @property
    def text(self) -> str:
        return (self.folder / "output").read_text()

    def states(self) -> States:
        lines = [line for line in self.text.splitlines() if line.startswith("{")]
        return json.loads(lines[-1]) if lines else {}

    def all_ready(self) -> States:
        """The states once each process is ready, else nothing."""
        states = self.states()
        return states if states and all(ready for _, ready in states.values()) else {}

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.output.close()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    running: list[Supervised] = []

    def start(*hosts: str) -> Supervised:
        running.append(Supervised(tmp_path, *hosts))
        return running[-1]

    yield start
    for item in running:
        item.stop()


def lives(process: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_one_that_is_killed_is_started_again_and_the_other_is_left_alone(
    supervised: Callable[..., Supervised],
) -> None:
    up = supervised("server", "agent")
    before = until(up.all_ready)
    os.kill(before["server"][0], signal.SIGKILL)
    after = until(lambda: up.all_ready() if up.all_ready() != before else {})
    assert after["agent"] == before["agent"]
    assert after["server"][0] != before["server"][0]
    assert "signal=SIGKILL" in up.text


def test_sigterm_ends_both_and_leaves_nothing(supervised: Callable[..., Supervised]) -> None:
    up = supervised("server", "agent")
    pids = [pid for pid, _ in until(up.all_ready).values()]
    up.process.terminate()
    assert up.process.wait(5) == 0
    assert not any(map(lives, pids))


def test_one_that_does_not_end_when_asked_is_killed(supervised: Callable[..., Supervised]) -> None:
    up = supervised("stubborn", "agent")
    pids = [pid for pid, _ in until(up.all_ready).values()]
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(5) == 0
    assert not any(map(lives, pids))
    assert "did not end, is killed" in up.text


def test_when_the_supervisor_is_killed_its_processes_end(supervised: Callable[..., Supervised]) -> None:
    up = supervised("server", "agent")
    pids = [pid for pid, _ in until(up.all_ready).values()]
    up.process.kill()
    until(lambda: not any(map(lives, pids)))


def test_one_that_never_starts_ends_all_with_a_status(supervised: Callable[..., Supervised]) -> None:
    up = supervised("failing", "agent")
    assert up.process.wait(5) == 1
    assert "did not start" in up.text
    assert "status=3" in up.text
    assert not any(lives(pid) for pid, _ in up.states().values() if pid)


def test_the_password_travels_where_nobody_else_reads(supervised: Callable[..., Supervised], tmp_path: Path) -> None:
    up = supervised("server")
    until(up.all_ready)
    (path,) = tmp_path.glob("server.*json")
    told = json.loads(path.read_text())
    assert told["password"] == "geheim"
    assert "geheim" not in "".join(told["arguments"] + told["environment"])
