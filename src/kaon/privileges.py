"""Giving privileges up for good, and not outliving the process that holds the reins.

capabilities(7), prctl(2), user_namespaces(7). Capabilities and prctl settings belong to a thread and are inherited by
threads started later: drop before the first one starts.
"""

from __future__ import annotations

import ctypes
import importlib
import logging
import os
import pkgutil
import pwd
import signal
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

log = logging.getLogger("kaon.privileges")

SERVICE_USERS = ("kaon", "nobody")
"""Whom the server becomes when root starts it: the first of these that exists."""
DHCP_USERS = ("dnsmasq", "nobody")
"""Whom the DHCP servers become: another one than the server where there is a choice, since both hear from tenants."""

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

_libc = ctypes.CDLL(None, use_errno=True)


class PrivilegeError(Exception):
    """Privileges could not be given up; the process must not go on."""


def can_change_user() -> bool:
    """Whether this process is root and other users exist for it: not so for the root of a one-user namespace."""
    if os.geteuid() != 0:
        return False
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return sum(int(line.split()[2]) for line in lines) > 1


def service_user(names: Sequence[str] = SERVICE_USERS) -> str:
    """The first of these users that exists, or "" where users cannot be changed. Raises PrivilegeError."""
    if not can_change_user():
        return ""
    for name in names:
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise PrivilegeError(f"there is no user {' or '.join(names)}: create one, such as by `useradd --system {names[0]}`")


def drop(user: str = "") -> None:
    """Become `user` ("": stay as one is) without any capability, and without a way back; files made are private.

    Raises PrivilegeError where something is left.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 (names are all that is wanted)
    if threads != 1:
        raise PrivilegeError(f"{threads} threads run already, each with its own privileges; drop them before")
    os.umask(0o077)
    _clear_bounding_set()
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if user:
        entry = pwd.getpwnam(user)
        os.setgroups([])
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    _clear_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    left = remaining()
    if left:
        raise PrivilegeError(f"still privileged after the drop: {', '.join(left)}")


def remaining() -> list[str]:
    """What a process that has dropped its privileges must not have, from /proc/self/status; empty when all is well."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line)
    found = [f"{name}={status[name]}" for name in ("CapInh", "CapPrm", "CapEff", "CapAmb") if int(status[name], 16)]
    if status.get("NoNewPrivs", "1") != "1":
        found.append("NoNewPrivs=0")
    if can_change_user():
        found.append("Uid=0")
    return found


def die_with_parent(parent: int) -> None:
    """Get SIGTERM when the process `parent` ends, however it ends. Call it after `drop`, which would cancel it."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if parent and os.getppid() != parent:
        raise PrivilegeError(f"the supervisor (process {parent}) is gone")


def preload(packages: Iterable[str]) -> None:
    """Import these packages with all their submodules, but for `__main__` ones.

    After a drop the files of Python itself may be out of reach, such as a virtual environment under a home folder of
    mode 0700; so a server imports everything that it will ever need before.
    """
    for name in packages:
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(getattr(package, "__path__", []), f"{name}."):
            if not module.name.endswith(".__main__"):
                importlib.import_module(module.name)


class LateImports:
    """A finder that finds nothing, and logs each module that is looked for in files after the drop."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Note the name and let the next finder look."""
        self.names.append(name)
        log.warning("imported after privileges were dropped", extra={"imported": name})
        return None


def watch_imports() -> LateImports:
    """Log what is imported from now on; costs nothing while nothing is. `names` of the result tells them."""
    watch = LateImports()
    sys.meta_path.insert(0, watch)
    return watch


def _prctl(option: int, argument: int) -> int:
    result: int = _libc.prctl(option, ctypes.c_ulong(argument), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))
    if result < 0:
        error = ctypes.get_errno()
        raise PrivilegeError(f"prctl({option}, {argument}): {os.strerror(error)}")
    return result


def _clear_bounding_set() -> None:
    """Only a process with CAP_SETPCAP can, and only there is it of use: without, nothing can be gained anyway."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in range(last + 1):
        if os.geteuid() == 0 and _prctl(_PR_CAPBSET_READ, capability):
            _prctl(_PR_CAPBSET_DROP, capability)


def _clear_capabilities() -> None:
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc.capset(header, nothing) < 0:
        raise PrivilegeError(f"capset: {os.strerror(ctypes.get_errno())}")
