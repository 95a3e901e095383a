"""Daemons inside network namespaces: started there, found again by who comes later, watched, and ended.

A daemon is known by its command line, which names a configuration file that is Kaon's alone. It outlives the process
that started it; no process-id file must be believed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

NETNS = Path("/run/netns")
"""Where `ip netns` keeps named namespaces."""
STOP_PATIENCE = 2.0
"""Seconds that a daemon may take to end after SIGTERM."""
START_PATIENCE = 10.0
"""Seconds that a daemon may take to go to the background."""

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class DaemonError(Exception):
    """A daemon could not be started; the message holds what it said."""


def identity(netns: str) -> tuple[int, int] | None:
    """Device and inode of a named namespace, or of the calling thread's (""); None where there is none."""
    try:
        status = os.stat(NETNS / netns if netns else "/proc/thread-self/ns/net")  # noqa: PTH116 (one system call)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextlib.contextmanager
def inside(netns: str) -> Iterator[None]:
    """Have the calling thread in a named namespace; what it opens or starts belongs there. Raises OSError."""
    if not netns:
        yield
        return
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        target = os.open(NETNS / netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(target, f"network namespace {netns}")
        finally:
            os.close(target)
        try:
            yield
        finally:
            _setns(home, "the agent's own network namespace")
    finally:
        os.close(home)


def _setns(descriptor: int, what: str) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot enter {what}: {os.strerror(code)}")


def start(netns: str, command: Sequence[str]) -> None:
    """Run a command, which goes to the background by itself, in a namespace. Raises DaemonError, OSError."""
    with inside(netns):
        # A child starts in the namespace of the thread that it is forked from.
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=START_PATIENCE,
                check=False,
                cwd="/",
            )
        except FileNotFoundError as error:
            raise DaemonError(f"{command[0]} is not installed: `apt install {command[0]}-base` or the like") from error
        except subprocess.TimeoutExpired as error:
            raise DaemonError(f"{command[0]} did not start within {START_PATIENCE:g} seconds") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise DaemonError(said or f"{command[0]} ended with status {done.returncode}")


def running(argument_prefix: str) -> dict[str, list[int]]:
    """Process ids by the rest of the argument that starts with this prefix, of all processes that have one."""
    prefix = argument_prefix.encode()
    found: dict[str, list[int]] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 (names are all that is wanted)
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            for argument in Path("/proc", entry, "cmdline").read_bytes().split(b"\0"):
                if argument.startswith(prefix):
                    found.setdefault(argument.removeprefix(prefix).decode(), []).append(int(entry))
    return found


class Process:
    """A daemon by a descriptor of its process: no other one can take its place (pidfd_open(2))."""

    def __init__(self, pid: int) -> None:
        """Raises ProcessLookupError when it is gone."""
        self.pid = pid
        self.descriptor = os.pidfd_open(pid)

    def netns(self) -> tuple[int, int] | None:
        """Device and inode of the namespace that it runs in; None when it has ended."""
        try:
            status = os.stat(f"/proc/{self.pid}/ns/net")  # noqa: PTH116 (one system call)
        except OSError:
            return None
        return None if self.ended() else (status.st_dev, status.st_ino)

    def ended(self, within: float = 0.0) -> bool:
        """Whether it has ended, or does so within so many seconds."""
        poll = select.poll()
        poll.register(self.descriptor, select.POLLIN)
        return bool(poll.poll(within * 1000))

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.descriptor, number)

    def stop(self) -> None:
        """End it, by SIGKILL if it does not listen, and wait until it has."""
        self.signal(signal.SIGTERM)
        if not self.ended(STOP_PATIENCE):
            self.signal(signal.SIGKILL)
            self.ended(STOP_PATIENCE)

    def close(self) -> None:
        """Release the descriptor; the daemon goes on."""
        os.close(self.descriptor)
