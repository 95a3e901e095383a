"""Password and secret hashing by argon2id, off the event loop.

The parameters are OWASP's second choice (19 MiB, 2 passes, 1 lane), about 30 ms on a small machine:
https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

MAX_PASSWORD = 4096
"""Characters, as Keystone's schema has it; argon2 takes any length, but nobody shall send megabytes to hash."""


class Passwords:
    """Hashes and checks on a few threads of its own (argon2 lets go of the interpreter lock while it works)."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(max(1, min(4, os.cpu_count() or 1)), "kaon-password")
        # Checked when there is no such user or no password, so that it takes as long as a wrong password.
        self._nobody = self._threads.submit(self._hasher.hash, os.urandom(16).hex())

    def hash_now(self, password: str) -> str:
        """`hash` for synchronous callers (bootstrap)."""
        return self._hasher.hash(password)

    async def hash(self, password: str) -> str:
        """The encoded hash to store: algorithm, parameters, salt and digest."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.hash_now, password)

    async def check(self, stored: str | None, password: str, admit: Callable[[], None] = lambda: None) -> bool:
        """Whether `password` is the one that was hashed; with nothing stored, false after the same work.

        `admit` is called on the worker when its turn comes and may raise: attempts that queued up before the first
        failure was counted are refused there.
        """
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._check, stored, password, admit)

    def _check(self, stored: str | None, password: str, admit: Callable[[], None]) -> bool:
        admit()
        try:
            return self._hasher.verify(stored or self._nobody.result(), password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)
