"""One Kaon a network: two agents in one network namespace would each remove what the other one makes.

The lock is on the namespace itself (flock(2) of its nsfs file, namespaces(7)), so it is released with its holder.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class NetworkLockError(Exception):
    """Another Kaon builds in this network; the message says which process, and the way out."""


def lock() -> int:
    """Lock the network namespace of this process until the descriptor that is returned is closed."""
    descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        process = _holder(os.fstat(descriptor).st_ino)
        os.close(descriptor)
        raise NetworkLockError(
            f"another Kaon (process {process or 'unknown'}) builds in this network, and would undo what this one "
            "makes; stop it by `kaon down --data DIR`, or run this one in another network by `unshare --net --mount`"
        ) from None
    return descriptor


def _holder(inode: int) -> str:
    """The process that has a lock on a file, as /proc/locks tells (proc_locks(5)); "" when it does not."""
    for line in Path("/proc/locks").read_text().splitlines():
        fields = line.split()
        if "->" not in fields and fields[1] == "FLOCK" and fields[5].endswith(f":{inode}"):
            return fields[4]
    return ""
