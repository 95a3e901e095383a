"""Waiting on state with a deadline, never on time."""

from __future__ import annotations

import asyncio
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


async def soon(predicate: Callable[[], T], what: str, seconds: float = 5.0) -> T:
    """`until` for what happens on the event loop of the test."""
    deadline = time.monotonic() + seconds
    while not (result := predicate()):
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        await asyncio.sleep(0.001)
    return result
