"""How fast TCP gets from one namespace to another, after whatever may go at once has gone."""

from __future__ import annotations

import itertools
import threading
import time
from contextlib import closing

from tests import sandbox

_PORTS = itertools.count(20_000)
MOST = 6_000_000
"""Bytes that one measurement sends at most."""


def megabits(sender: str, receiver: str, bound: str, address: str = "", skip: int = 150_000) -> float:
    """Mbit/s from one namespace to another: for a second and a half, or until `MOST` has been sent.

    `bound` is the receiver's address and `address` the one to call, when that is another. The first `skip` bytes do
    not count, since a limit lets some go at once.
    """
    port = next(_PORTS)
    times: list[tuple[float, int]] = []
    with closing(sandbox.listen(receiver, bound, port)) as listener:
        client = sandbox.connect(sender, address or bound, port)
        accepted, _ = listener.accept()
        accepted.settimeout(3)

        def receive() -> None:
            total = 0
            with closing(accepted):
                while data := accepted.recv(1 << 16):
                    total += len(data)
                    times.append((time.monotonic(), total))

        thread = threading.Thread(target=receive, daemon=True)
        thread.start()
        with closing(client):
            sent, until = 0, time.monotonic() + 1.5
            while sent < MOST and time.monotonic() < until:
                sent += client.send(bytes(16384))
        thread.join()
    (start, before), (end, total) = next(item for item in times if item[1] >= skip), times[-1]
    return (total - before) * 8 / 1e6 / (end - start)
