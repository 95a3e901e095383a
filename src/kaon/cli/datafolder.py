"""The data folder: who owns what in it, the lock that keeps it to one Kaon, the admin's password, clouds.yaml.

```
DATA/kaon.lock        locked by the supervisor and its processes; holds the supervisor's process id
DATA/kaon.json        process ids and the URL, for `kaon status`
DATA/agent.sock       where agents of this machine meet the server
DATA/admin-password   mode 0600; the server is told it at its start, and need not read it
DATA/clouds.yaml      for OpenStack clients, mode 0600
DATA/server/          belongs to the server's user, mode 0700: database, keys, hosts that have joined
DATA/agent/           the agent's; others may go through it, to the folders of their DHCP servers, but see nothing
```
"""

from __future__ import annotations

import base64
import fcntl
import os
import pwd
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from kaon.config import Settings

LOCK_PATIENCE = 12.0
"""Seconds for which the processes of a supervisor that was killed may take to end."""


class DataFolderError(Exception):
    """The data folder cannot be used: which, why, and the way out."""


class DataFolder(NamedTuple):
    """The paths in a data folder."""

    root: Path

    @property
    def lock(self) -> Path:
        return self.root / "kaon.lock"

    @property
    def state(self) -> Path:
        return self.root / "kaon.json"

    @property
    def socket(self) -> Path:
        return self.root / "agent.sock"

    @property
    def clouds(self) -> Path:
        return self.root / "clouds.yaml"

    @property
    def server(self) -> Path:
        return self.root / "server"

    @property
    def agent(self) -> Path:
        return self.root / "agent"

    @property
    def password(self) -> Path:
        return self.root / "admin-password"


class State(msgspec.Struct, kw_only=True):
    """What runs on a data folder, as `kaon.json` tells it. A process id is 0 while the process does not run.

    `url` is that of the API; `follows` is, where an agent runs alone, that of its server on another host.
    """

    url: str = ""
    follows: str = ""
    supervisor: int
    server: int = 0
    agent: int = 0


def prepare(folder: DataFolder, user: str) -> None:
    """Make the folders with their owners; `user` is the server's, "" for one's own. Raises DataFolderError."""
    _make(folder, (folder.server, user, 0o700), (folder.agent, "", 0o711))
    if user:
        _check_reachable(folder.server, user)


def prepare_agent(folder: DataFolder) -> None:
    """Make the folders of a host that has an agent and no server. Raises DataFolderError."""
    _make(folder, (folder.agent, "", 0o711))


def _make(folder: DataFolder, *parts: tuple[Path, str, int]) -> None:
    try:
        folder.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        for path, owner, mode in parts:
            path.mkdir(mode=0o700, exist_ok=True)
            path.chmod(mode)
            if owner:
                entry = pwd.getpwnam(owner)
                _give(path, entry.pw_uid, entry.pw_gid)
    except OSError as error:
        raise DataFolderError(f"data folder {folder.root}: {error.strerror}; name another by --data") from error


def _give(path: Path, uid: int, gid: int) -> None:
    """Change the owner of a folder, and of what is in it when another user's server wrote it before."""
    if path.stat().st_uid == uid:
        return
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(Path(parent) / name, uid, gid, follow_symlinks=False)
    os.chown(path, uid, gid)


def _check_reachable(path: Path, user: str) -> None:
    entry = pwd.getpwnam(user)
    for parent in path.parents:
        status = parent.stat()
        bit = 0o100 if status.st_uid == entry.pw_uid else 0o010 if status.st_gid == entry.pw_gid else 0o001
        if not status.st_mode & bit:
            raise DataFolderError(
                f"data folder {path.parent}: the server runs as user {user}, who may not enter {parent}; "
                f"name a folder elsewhere by --data, or `chmod o+x {parent}`"
            )


def lock(folder: DataFolder) -> int:
    """Lock the folder for this process and those that inherit the descriptor, which is returned.

    Waits for the processes of a supervisor that is gone. Raises DataFolderError while another Kaon runs on it.
    """
    descriptor = os.open(folder.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            if (owner.isdigit() and _alive(int(owner))) or time.monotonic() > deadline:
                os.close(descriptor)
                raise DataFolderError(
                    f"data folder {folder.root}: Kaon runs on it already (process {owner or 'unknown'}); "
                    f"stop it by `kaon down --data {folder.root}`, or name another by --data"
                ) from None
            time.sleep(0.02)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def holder(folder: DataFolder) -> int:
    """Process id of the supervisor that runs on the folder, 0 if none does."""
    try:
        descriptor = os.open(folder.lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        return int(text) if text.isdigit() and _alive(int(text)) else 0
    finally:
        os.close(descriptor)
    return 0


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def admin_password(folder: DataFolder, chosen: str) -> str:
    """The password of admin: the chosen one, else the one of earlier starts, else a new random one; then stored."""
    path = folder.password
    stored = path.read_text().strip() if path.exists() else ""
    password = chosen or stored or base64.urlsafe_b64encode(os.urandom(18)).decode()
    if password != stored:
        write_private(path, password + "\n")
    return password


def write_clouds(folder: DataFolder, settings: Settings, password: str, cacert: str) -> None:
    """Write clouds.yaml with the one cloud `kaon`: its administrator, or the service user where a real Keystone is.

    `password` is the administrator's. Strings are JSON's, which YAML 1.2 contains.
    """
    remote = settings.identity
    cloud = {"region_name": remote.region, "identity_api_version": "3"}
    auth = {
        "auth_url": f"{settings.public_url}/identity/v3",
        "username": "admin",
        "password": password,
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    if remote.url:
        auth = {
            "auth_url": remote.url,
            "username": remote.username,
            "password": remote.password,
            "project_name": remote.project_name,
            "user_domain_name": remote.user_domain_name,
            "project_domain_name": remote.project_domain_name,
        }
        # Its catalog is its administrator's, who need not have entered Kaon there yet.
        cloud["network_endpoint_override"] = settings.public_url
        cacert = remote.cacert or cacert
    if cacert:
        cloud["cacert"] = cacert
    lines = ["clouds:", "  kaon:"]
    lines += [f"    {name}: {_quoted(value)}" for name, value in cloud.items()]
    lines += ["    auth:", *(f"      {name}: {_quoted(value)}" for name, value in auth.items())]
    write_private(folder.clouds, "\n".join(lines) + "\n")


def write_state(folder: DataFolder, state: State) -> None:
    """Replace kaon.json at once, so that a reader sees the old or the new one."""
    fresh = folder.state.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(state) + b"\n")
    fresh.replace(folder.state)


def read_state(folder: DataFolder) -> State | None:
    """What runs, or None where nothing ever did."""
    try:
        return msgspec.json.decode(folder.state.read_bytes(), type=State)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, replacing an older one at once; it is never readable to others."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(descriptor, "w") as file:  # noqa: PTH123 (a descriptor, not a path)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    fresh.replace(path)


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
