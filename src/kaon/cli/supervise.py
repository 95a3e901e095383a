"""One loop that starts server and agent, restarts the one that ends, and stops both.

It waits in a selector on three things: a child that says "ready" on its pipe, a signal, a restart that is due. The
children are process groups of their own, so that Ctrl-C reaches the supervisor alone and it decides the order.
"""

from __future__ import annotations

import logging
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from kaon.launch import VARIABLE, Launch

log = logging.getLogger("kaon.supervisor")

FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0
STEADY = 10.0
"""Seconds that a process must have run for its next restart to be immediate again."""

STOP_PATIENCE = 10.0
"""Seconds that a process may take to end after SIGTERM."""


@dataclass(slots=True)
class Child:
    """One of the two processes, and what is known of it."""

    name: str
    module: str
    launch: Launch
    process: subprocess.Popen[bytes] | None = None
    ready_pipe: int = -1
    ready: bool = False
    ever_ready: bool = False
    started: float = 0.0
    delay: float = 0.0
    due: float = 0.0

    @property
    def pid(self) -> int:
        """Process id, 0 while it does not run."""
        return self.process.pid if self.process is not None else 0


@dataclass(slots=True)
class Supervisor:
    """The loop's state. `changed` is called after each start, readiness and end of a child."""

    children: list[Child]
    changed: Callable[[], None]
    selector: selectors.BaseSelector = field(default_factory=selectors.DefaultSelector)
    stopping: bool = False

    def run(self) -> int:
        """Keep both running until SIGTERM or SIGINT; 0 then, 1 if one of them never got ready at all."""
        read, write = socket.socketpair()
        read.setblocking(False)
        write.setblocking(False)
        self.selector.register(read, selectors.EVENT_READ)
        signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        # A handler, if an empty one, is what makes Python write to the wakeup descriptor.
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        status = 0
        try:
            while not self.stopping:
                self._start_due()
                for key, _ in self.selector.select(self._patience()):
                    if key.fileobj is read:
                        read.recv(4096)
                    else:
                        self._heard(key.data)
                if not self._reap():
                    status = 1
                    break
        finally:
            self._end_all()
        return status

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopping = True

    def _patience(self) -> float | None:
        waiting = [child.due for child in self.children if child.process is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _start_due(self) -> None:
        for child in self.children:
            if child.process is None and child.due <= time.monotonic():
                self._start(child)

    def _start(self, child: Child) -> None:
        """Start a process with its launch order in a pipe; an order is far smaller than a pipe's buffer of 64 KiB."""
        ready_read, ready_write = os.pipe()
        order_read, order_write = os.pipe()
        launch = msgspec.structs.replace(child.launch, ready_fd=ready_write, parent=os.getpid())
        os.write(order_write, msgspec.json.encode(launch))
        os.close(order_write)
        given = [order_read, *launch.api_fds, launch.agent_fd, launch.remote_fd, launch.ready_fd, launch.lock_fd]
        child.process = subprocess.Popen(
            # -P: the current folder is no place to import from.
            [sys.executable, "-P", "-m", child.module],
            env=os.environ | {VARIABLE: str(order_read)},
            pass_fds=[descriptor for descriptor in given if descriptor >= 0],
            stdin=subprocess.DEVNULL,
            process_group=0,
        )
        os.close(order_read)
        os.close(ready_write)
        child.ready, child.ready_pipe, child.started = False, ready_read, time.monotonic()
        self.selector.register(ready_read, selectors.EVENT_READ, child)
        log.debug("started", extra={"child": child.name, "pid": child.pid})
        self.changed()

    def _heard(self, child: Child) -> None:
        """The ready pipe has a word, or was closed without one by an end that `_reap` will see."""
        said = os.read(child.ready_pipe, 64)
        self._close_pipe(child)
        if said:
            child.ready = child.ever_ready = True
            seconds = round(time.monotonic() - child.started, 3)
            log.info("ready", extra={"child": child.name, "pid": child.pid, "seconds": seconds})
            self.changed()

    def _close_pipe(self, child: Child) -> None:
        if child.ready_pipe >= 0:
            self.selector.unregister(child.ready_pipe)
            os.close(child.ready_pipe)
            child.ready_pipe = -1

    def _reap(self) -> bool:
        """Note the children that ended; False if one ended by itself before it was ever ready: that is no accident."""
        for child in self.children:
            if child.process is None or child.process.poll() is None:
                continue
            ended, pid, lived = child.process.returncode, child.pid, time.monotonic() - child.started
            self._close_pipe(child)
            child.process, child.ready = None, False
            if ended >= 0 and not child.ever_ready:
                log.error("did not start", extra={"child": child.name, "pid": pid, "status": ended})
                return False
            child.delay = 0.0 if lived > STEADY else min(LONGEST_DELAY, child.delay * 2 or FIRST_DELAY)
            child.due = time.monotonic() + child.delay
            how = {"signal": signal.Signals(-ended).name} if ended < 0 else {"status": ended}
            log.warning(
                "ended, is restarted", extra={"child": child.name, "pid": pid, **how, "after": round(child.delay, 2)}
            )
            self.changed()
        return True

    def _end_all(self) -> None:
        """The server first, so that nobody is told of a change that no agent will make any more."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        running = [child for child in self.children if child.process is not None]
        for child in running:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_PATIENCE
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(max(0.01, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("did not end, is killed", extra={"child": child.name, "pid": child.pid})
                _signal(child, signal.SIGKILL)
                child.process.wait()
            child.process, child.ready = None, False
        self.changed()


def _signal(child: Child, number: signal.Signals) -> None:
    if child.process is not None and child.process.poll() is None:
        child.process.send_signal(number)
