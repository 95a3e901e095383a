"""Failed logins are counted by user and source address over a sliding window; too many, and none is even tried.

Only failures count, and a success forgets them, so a client that knows its password is never slowed down. Otherwise the
count goes down by itself as failures get older than the window; a restart forgets all of them.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

from kaon.identity import errors

MAX_FAILURES = 10
WINDOW = 60.0
"""Seconds."""
MAX_KEYS = 10_000
"""Names times addresses remembered; the least recently failing go first."""


class Throttle:
    """`check` before trying, `failed` or `succeeded` afterwards, all with the same key."""

    def __init__(
        self, most: int = MAX_FAILURES, window: float = WINDOW, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._window = window
        self._clock = clock
        self._failures: dict[tuple[str, ...], deque[float]] = {}

    def check(self, key: tuple[str, ...]) -> None:
        """Raise 429 if `key` has failed too often within the window."""
        failures = self._failures.get(key)
        if failures is None or len(failures) < self._most:
            return
        wait = failures[-self._most] + self._window - self._clock()
        if wait > 0:
            raise errors.too_many(math.ceil(wait))

    def failed(self, key: tuple[str, ...]) -> None:
        """Count a failure."""
        failures = self._failures.pop(key, None) or deque(maxlen=self._most)
        failures.append(self._clock())
        self._failures[key] = failures  # at the end: the most recent
        if len(self._failures) > MAX_KEYS:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, key: tuple[str, ...]) -> None:
        """Forget the failures of `key`."""
        self._failures.pop(key, None)
