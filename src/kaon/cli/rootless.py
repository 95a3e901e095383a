"""Kaon without root: a user, network and mount namespace of one's own, in which one is root over networks.

user_namespaces(7), network_namespaces(7). The process itself moves, so that sockets it opened before still belong to
the network it came from: that is how the API stays reachable at the user's own loopback.

Nothing outlives it there: services such as dnsmasq stay when Kaon stops, but nobody could enter their network again.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1

_libc = ctypes.CDLL(None, use_errno=True)

_ENDING_PATIENCE = 2.0
"""Seconds that processes have to end when they are asked to."""


class RootlessError(Exception):
    """This machine does not let an ordinary user have a network; the message says who can change that, and how."""


def enter(temporary: str = "") -> None:
    """Move this process, which must have one thread only, into namespaces of its own, as root there.

    Root needs no user namespace for it, and keeps the users of the machine. `lo` is up inside, and /run/netns is empty
    and writable. However this process ends, what it leaves running inside is ended then, and the namespaces go with it;
    so does the folder `temporary`, if one is named. Raises RootlessError where the machine forbids it.
    """
    user, group = os.geteuid(), os.getegid()
    if user:
        _unshare(_CLONE_NEWUSER)
        # Before there is a network: its files below /proc/net belong for good to whoever is root when it is made, and
        # to nobody here where that is unknown yet.
        _become_root(user, group)
    _unshare(_CLONE_NEWNET | _CLONE_NEWNS)
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE)
    _own_run_netns()
    _loopback_up()
    _leave_a_guard(temporary)


def _unshare(flags: int) -> None:
    if _libc.unshare(flags) != 0:
        raise RootlessError(_refusal(ctypes.get_errno()))


def namespace(process: int, kind: str) -> str:
    """Which namespace of a kind (`user`, `net`, `mnt`) a process is in; raises OSError where one may not know."""
    return str(Path(f"/proc/{process}/ns/{kind}").readlink())


def _become_root(user: int, group: int) -> None:
    """Map the user to root of the new user namespace."""
    try:
        # gid_map may be written by an ordinary user only after setgroups is denied: user_namespaces(7).
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        raise RootlessError(_refusal(error.errno or 0)) from error


def _refusal(error: int) -> str:
    ways = ["or run the command as root"]
    clone = Path("/proc/sys/kernel/unprivileged_userns_clone")
    if clone.exists() and clone.read_text().strip() == "0":
        ways.insert(0, "allow it by `sudo sysctl kernel.unprivileged_userns_clone=1`")
    apparmor = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
    if apparmor.exists() and apparmor.read_text().strip() == "1":
        ways.insert(0, "allow it by `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`")
    limit = Path("/proc/sys/user/max_user_namespaces")
    if limit.exists() and limit.read_text().strip() == "0":
        ways.insert(0, "allow it by `sudo sysctl user.max_user_namespaces=10000`")
    if len(ways) == 1:
        ways.insert(0, "a container must be started so that it may make user namespaces")
    reason = os.strerror(error)
    return f"this machine refuses a user namespace to an ordinary user ({reason}): {', '.join(ways)}"


def _mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), options.encode())
    if _libc.mount(*arguments) != 0:
        raise RootlessError(f"mount of {kind or source} at {target}: {os.strerror(ctypes.get_errno())}")


def _own_run_netns() -> None:
    """An empty /run/netns. Where the folder does not exist, /run is rebuilt around it, everything else bound in."""
    netns = Path("/run/netns")
    if not netns.is_dir():
        _rebuild_run()
        netns.mkdir(mode=0o755)
    _mount("tmpfs", str(netns), "tmpfs", 0, "mode=0755")


def _rebuild_run() -> None:
    # A descriptor still reaches the old /run after the new one covers it.
    old = os.open("/run", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    _mount("tmpfs", "/run", "tmpfs", 0, "mode=0755")
    for entry in Path(f"/proc/self/fd/{old}").iterdir():
        place = Path("/run") / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
            continue
        if entry.is_dir():
            place.mkdir()
        else:
            place.touch()
        _mount(str(entry), str(place), "", _MS_BIND | _MS_REC)
    os.close(old)


def _leave_a_guard(temporary: str) -> None:
    """A process that waits for this one to end, by whatever cause, and then ends all that is left inside.

    It is nobody's child and in a session of its own, so that no signal to a terminal or a process group reaches it.
    """
    guarded = os.pidfd_open(os.getpid())
    child = os.fork()
    if child:
        os.close(guarded)
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _guard(guarded, temporary)
    finally:
        os._exit(0)


def _guard(guarded: int, temporary: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    # Listening sockets and pipes must close when their owners end, not when their guard does.
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    os.dup2(guarded, 3)
    os.closerange(4, os.sysconf("SC_OPEN_MAX"))
    ended = select.poll()
    ended.register(3, select.POLLIN)
    ended.poll()
    asked: set[int] = set()
    deadline = time.monotonic() + _ENDING_PATIENCE
    while found := set(_others()):
        late = time.monotonic() > deadline
        for process in found if late else found - asked:
            # It may have ended meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if late else signal.SIGTERM)
        asked |= found
        time.sleep(0.02)
    if temporary:
        shutil.rmtree(temporary, ignore_errors=True)


def _others() -> Iterator[int]:
    """Every other process in this mount namespace, in this network, or in one that is named in /run/netns."""
    networks = {
        namespace(os.getpid(), "net"),
        *(f"net:[{path.stat().st_ino}]" for path in Path("/run/netns").iterdir()),
    }
    mounts = namespace(os.getpid(), "mnt")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            # A process may end meanwhile; those of other users, which do not tell, are not in here.
            with contextlib.suppress(OSError):
                process = int(entry.name)
                if namespace(process, "mnt") == mounts or namespace(process, "net") in networks:
                    yield process


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
