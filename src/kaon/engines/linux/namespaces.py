"""Network namespaces: entered for a moment by the engine's thread, remembered by descriptor, made and removed.

A namespace is a mount of its nsfs file below /run/netns, as `ip netns` makes it (ip-netns(8)). The thread enters one
with setns only to open sockets or files; the sockets stay bound to it afterwards, so nothing is forked.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from kaon.engines.base import Failed, Operation
from kaon.engines.linux.netlink import NETLINK_ROUTE, NetlinkSocket
from kaon.rows import Netns, Row, row

NETNS_FOLDER = Path("/run/netns")
OURS = "kaon-"
"""Namespaces whose names begin so are ours: made, repaired and removed."""

_CLONE_NEWNET = 0x40000000
_MS_BIND, _MS_REC, _MS_SHARED = 4096, 16384, 1 << 20
_MNT_DETACH = 2
_EINVAL = 22
_libc = ctypes.CDLL(None, use_errno=True)

_DEFAULTS = {
    # Duplicate address detection would hold an address back for a second; Kaon allocates, so there are no duplicates.
    "net/ipv6/conf/all/accept_dad": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    # Addresses come from rows only, never from a router advertisement that some tenant sends.
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/autoconf": "0",
    # Removing the first address of a prefix must not take the others with it.
    "net/ipv4/conf/all/promote_secondaries": "1",
}


class MissingNamespaceError(OSError):
    """A named namespace does not exist."""


class Closeable(Protocol):
    """A socket or context that lives as long as its namespace is remembered."""

    def close(self) -> None:
        """Release it."""


def _call(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def setns(descriptor: int) -> None:
    """Move the calling thread into the network namespace behind a descriptor."""
    _call(_libc.setns(descriptor, _CLONE_NEWNET), "cannot enter the network namespace")


class Namespace:
    """A namespace that is open: its descriptor, its routing socket, and what else managers keep open in it."""

    def __init__(self, name: str, descriptor: int, home: int) -> None:
        self.name = name
        self.descriptor = descriptor
        status = os.fstat(descriptor)
        self.identity = (status.st_dev, status.st_ino)
        self.kept: dict[str, Closeable] = {}
        self._home = home
        with self.entered():
            self.route = NetlinkSocket(NETLINK_ROUTE)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is inside the namespace for the time of the block."""
        if self.name:
            setns(self.descriptor)
        try:
            yield
        finally:
            if self.name:
                setns(self._home)

    def close(self) -> None:
        """Close everything kept open in it, so that the kernel can free it once its name is gone."""
        for kept in self.kept.values():
            kept.close()
        self.kept.clear()
        self.route.close()
        if self.name:
            os.close(self.descriptor)


class Namespaces:
    """The namespaces that the engine has open. Belongs to one thread, whose own namespace is named ``""``."""

    def __init__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._open: dict[str, Namespace] = {}

    def get(self, name: str) -> Namespace:
        """The open namespace of that name; raises MissingNamespaceError, OSError."""
        known = self._open.get(name)
        if not name:
            return known or self._open.setdefault("", Namespace("", self._home, self._home))
        try:
            status = os.stat(NETNS_FOLDER / name)  # noqa: PTH116 (on the path of every operation)
        except OSError:
            self.forget(name)
            raise _missing(name) from None
        if known is not None:
            if known.identity == (status.st_dev, status.st_ino):
                return known
            self.forget(name)
        descriptor = os.open(NETNS_FOLDER / name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            made = Namespace(name, descriptor, self._home)
        except OSError:
            os.close(descriptor)
            # The file is left behind when a mount of it is gone: no namespace by that name in this mount namespace.
            raise _missing(name) from None
        return self._open.setdefault(name, made)

    def check(self, name: str) -> None:
        """Forget a namespace whose name is gone or means another one now, so that nothing of ours keeps it alive."""
        if name in self._open:
            with contextlib.suppress(OSError):
                self.get(name)

    def opened(self) -> list[Namespace]:
        """Those open now."""
        return list(self._open.values())

    def names(self) -> list[str]:
        """Our namespaces that exist, and ``""``."""
        listed = sorted(path.name for path in NETNS_FOLDER.iterdir()) if NETNS_FOLDER.is_dir() else []
        return ["", *(name for name in listed if name.startswith(OURS) and self._alive(name))]

    def forget(self, name: str) -> None:
        """Close what is open in a namespace."""
        known = self._open.pop(name, None)
        if known is not None:
            known.close()

    def close(self) -> None:
        """Forget all of them."""
        for name in list(self._open):
            self.forget(name)
        os.close(self._home)

    def make(self, name: str) -> None:
        """Make a namespace, loopback up. Raises OSError; nothing is left behind then."""
        _share_folder()
        path = NETNS_FOLDER / name
        path.touch(mode=0o444)
        try:
            # A thread's own nsfs file is the only handle on a namespace that has no name yet.
            _call(_libc.unshare(_CLONE_NEWNET), "cannot make a network namespace")
            try:
                bound = _libc.mount(b"/proc/thread-self/ns/net", bytes(path), b"none", _MS_BIND, None)
                _call(bound, f"cannot name the network namespace {name}")
                _configure()
            finally:
                setns(self._home)
        except OSError:
            _libc.umount2(bytes(path), _MNT_DETACH)
            path.unlink(missing_ok=True)
            raise
        self.get(name).route.request(16, 0, _LOOPBACK_UP)

    def remove(self, name: str) -> None:
        """Remove a namespace; its links go with it when the last process in it ends. Gone already is fine."""
        self.forget(name)
        path = NETNS_FOLDER / name
        _libc.umount2(bytes(path), _MNT_DETACH)
        path.unlink(missing_ok=True)

    def _alive(self, name: str) -> bool:
        try:
            self.get(name)
        except OSError:
            return False
        return True


_LOOPBACK_UP = struct.pack("=BxHiII", 0, 0, 1, 1, 1)
"""An ifinfomsg: family, type, index 1 (loopback is the first link of every namespace), flags and mask IFF_UP."""


def _missing(name: str) -> MissingNamespaceError:
    return MissingNamespaceError(2, f"network namespace {name} does not exist: make it with `ip netns add {name}`")


def _configure() -> None:
    for setting, value in _DEFAULTS.items():
        path = Path("/proc/sys") / setting
        if path.exists():
            path.write_text(value)


def _share_folder() -> None:
    """Make /run/netns a shared mount, so that namespaces appear in every mount namespace, as ip-netns does."""
    NETNS_FOLDER.mkdir(parents=True, exist_ok=True)
    folder = bytes(NETNS_FOLDER)
    if _libc.mount(b"", folder, b"none", _MS_SHARED | _MS_REC, None) == 0 or ctypes.get_errno() != _EINVAL:
        return
    _call(_libc.mount(folder, folder, b"none", _MS_BIND | _MS_REC, None), "cannot bind /run/netns")
    _call(_libc.mount(b"", folder, b"none", _MS_SHARED | _MS_REC, None), "cannot share /run/netns")


class NetnsManager:
    """Rows of table netns."""

    tables = frozenset({Netns.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.writes = 0

    def read(self) -> list[Row]:
        """Our namespaces."""
        return [row(Netns(), name) for name in self._namespaces.names() if name]

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Make and remove namespaces."""
        failed = []
        for operation in operations:
            (name,) = operation.id.key
            self.writes += 1
            try:
                if operation.new is None:
                    self._namespaces.remove(name)
                elif not name.startswith(OURS):
                    raise ValueError(f"the name of a namespace that Kaon makes begins with {OURS}, {name} does not")
                else:
                    # A dead file of that name, or a namespace that lost its mount, gives way to a new one.
                    self._namespaces.remove(name)
                    self._namespaces.make(name)
            except (OSError, ValueError) as error:
                known = operation.new or operation.old
                failed.append(Failed(operation.id, known.origin if known else "", f"namespace {name}: {error}"))
        return failed
