"""Waiting on state with a deadline, never on time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(predicate: Callable[[], T], seconds: float = 5.0, what: str = "") -> T:
    """Call `predicate` until its result is true and return it; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what or predicate}")
        time.sleep(0.005)
