"""The Fernet key repository: files named by number in one folder, as Keystone keeps them.

`0` is the staged key, the highest number the primary, the others secondary. All of them decrypt, only the primary
encrypts. `rotate` promotes the staged key, so that every server has known a primary key before it is first used:
https://docs.openstack.org/keystone/latest/admin/fernet-token-faq.html
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet

log = logging.getLogger("kaon.identity")

STAGED = 0
MAX_ACTIVE = 3
"""Keys kept by a rotation. A token outlives its key when (MAX_ACTIVE - 2) rotations take less than its lifetime."""


def keys_folder(server: Path) -> Path:
    """Where the keys of a server lie whose own files are in `server`."""
    return server / "keys"


def _numbers(folder: Path) -> tuple[int, ...]:
    """The numbers of the keys in `folder`, the primary first and the staged last. Empty when there is no folder."""
    try:
        return tuple(sorted((int(name) for name in os.listdir(folder) if name.isdecimal()), reverse=True))  # noqa: PTH208
    except FileNotFoundError:
        return ()


def _write(folder: Path, number: int) -> None:
    """A new key, whole or not at all: written beside its name (mode 0600) and renamed."""
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(Fernet.generate_key())
        file.flush()
        os.fsync(file.fileno())
        if os.geteuid() == 0:
            # Rotated by root for a server that has dropped its privileges: the key is its folder's owner's.
            owner = folder.stat()
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
    Path(temporary).rename(folder / str(number))


def create(folder: Path) -> None:
    """Make the repository with a primary and a staged key where there is none; otherwise do nothing."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    numbers = _numbers(folder)
    if STAGED not in numbers:
        _write(folder, STAGED)
    if not any(numbers):
        _write(folder, 1)


def rotate(folder: Path, max_active: int = MAX_ACTIVE) -> int:
    """Promote the staged key to primary, stage a new one, drop the oldest beyond `max_active`.

    Returns the number of the new primary. Servers that run notice by themselves.
    """
    create(folder)
    numbers = _numbers(folder)
    primary = numbers[0] + 1
    (folder / str(STAGED)).rename(folder / str(primary))
    _write(folder, STAGED)
    active = _numbers(folder)[:-1]  # without the staged key
    for number in active[max(1, max_active - 1) :]:
        (folder / str(number)).unlink()
    return primary


class KeyRing:
    """The keys of one repository, read again whenever its file names change (a rotation always changes them)."""

    def __init__(self, folder: Path) -> None:
        create(folder)
        self.folder = folder
        self._numbers = _numbers(folder)
        self._fernet = self._load(self._numbers)

    def _load(self, numbers: tuple[int, ...]) -> MultiFernet:
        keys = []
        for number in numbers:
            try:
                keys.append(Fernet((self.folder / str(number)).read_bytes()))
            except FileNotFoundError:  # renamed by a rotation under way; its new name is read next time
                continue
        if not keys:
            raise FileNotFoundError(f"No Fernet key in {self.folder}")
        return MultiFernet(keys)

    def fernet(self) -> MultiFernet:
        """What encrypts with the primary and decrypts with every key.

        Keys that cannot be read now change nothing: the server goes on with those that it has.
        """
        numbers = _numbers(self.folder)
        if numbers != self._numbers:
            self._numbers = numbers
            try:
                self._fernet = self._load(numbers)
            except (OSError, ValueError) as error:
                reason = f"{error}; the keys read before stay in use until the repository changes again"
                log.error("keys_unreadable", extra={"folder": str(self.folder), "reason": reason})
        return self._fernet
