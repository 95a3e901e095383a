"""Which hosts belong to this cloud, and which may join it: one small file a host and a token, in the server's folder.

`kaon host` and the server work on the same files, so a token can be made, and a host be removed, whether the server
runs or not. A token is known by the hash of its secret alone. A host's certificate counts as long as the host has a
file, and only with the key that is named there.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from kaon.joining import HOST, JoinError, new_secret
from kaon.server.authority import make_folder, write_private

TOKEN_LIFETIME = 3600
"""Seconds for which a token is good, unless told otherwise."""
REMEMBERED = 7 * 86400
"""Seconds for which a token that is over is known as such, so that whoever tries it hears why it fails."""


T = TypeVar("T")


class Invitation(msgspec.Struct, frozen=True):
    """A token: for which host ("": any), until when (Unix time), and who has used it, by the id of its key."""

    host: str
    expires: float
    used_by: str = ""
    key: str = ""


class Member(msgspec.Struct, frozen=True):
    """A host that has joined: the id of its key, when that was, and when its certificate expires (Unix times)."""

    host: str
    key: str
    joined: float
    expires: float


def members_folder(server: Path) -> Path:
    """Where a server, whose own files are in `server`, keeps its authority, its tokens and its hosts."""
    return server / "members"


def prepare(folder: Path) -> None:
    """Make the folders where they are not there yet."""
    for path in (folder, _tokens(folder), hosts_folder(folder)):
        make_folder(path)


def hosts_folder(folder: Path) -> Path:
    """The folder with a file a host; its time changes whenever one joins, renews or is removed."""
    return folder / "hosts"


def _tokens(folder: Path) -> Path:
    return folder / "tokens"


def checked(host: str) -> str:
    """The name, if a host may have it; raises JoinError."""
    if not HOST.fullmatch(host):
        raise JoinError(
            f"host {host!r}: a name has at most 64 letters, digits, dots, hyphens and underscores, and begins and "
            "ends with a letter or digit; name the host so by --host"
        )
    return host


def invite(folder: Path, host: str, seconds: float) -> str:
    """Make a token for a host ("": for any one) and return its secret, which is stored nowhere."""
    prepare(folder)
    now = time.time()
    for path in _invitations(folder):
        if _read(path, Invitation).expires < now - REMEMBERED:
            path.unlink(missing_ok=True)
    secret = new_secret(os.urandom(32))
    _write(_token(folder, secret), Invitation(checked(host) if host else "", now + seconds))
    return secret


def redeem(folder: Path, secret: str, host: str, key: str) -> None:
    """Use a token up for a host and its key; the same host with the same key may try again until it expires.

    Raises JoinError, and the token stays as it was, when it is not good for that.
    """
    path = _token(folder, secret)
    again = f"make a new one by `kaon host token {host}` on the server"
    if not path.exists():
        raise JoinError(f"the server does not know this join token: {again}")
    found = _read(path, Invitation)
    if found.expires < time.time():
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(found.expires))
        raise JoinError(f"this join token expired at {when} UTC by the server's clock: {again}")
    if found.host not in ("", host):
        raise JoinError(
            f"this join token is for host {found.host}, not for {host}: {again}, or say --host {found.host}"
        )
    if found.used_by and (found.used_by, found.key) != (host, key):
        raise JoinError(f"this join token has been used, by host {found.used_by}: {again}")
    held = find(folder, host)
    if held is not None and held.key != key:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(held.joined))
        raise JoinError(
            f"the name {host} is taken by a host that joined at {when} UTC: choose another by --host, or, if it is "
            f"gone for good, `kaon host remove {host}` on the server"
        )
    _write(path, Invitation(found.host, found.expires, host, key))


def _invitations(folder: Path) -> list[Path]:
    """The files of all tokens; one that is being written has another name."""
    return [path for path in _tokens(folder).glob("*") if not path.name.startswith(".")]


def _token(folder: Path, secret: str) -> Path:
    return _tokens(folder) / hashlib.sha256(secret.encode()).hexdigest()


def find(folder: Path, host: str) -> Member | None:
    """The host of this name, if it has joined."""
    path = hosts_folder(folder) / host
    return _read(path, Member) if HOST.fullmatch(host) and path.exists() else None


def members(folder: Path) -> list[Member]:
    """Every host that has joined, by name."""
    try:
        paths = sorted(path for path in hosts_folder(folder).iterdir() if HOST.fullmatch(path.name))
    except FileNotFoundError:
        return []
    return [_read(path, Member) for path in paths]


def keep(folder: Path, host: str, key: str, expires: float) -> None:
    """Note that a host has got a certificate, its first or a new one."""
    held = find(folder, host)
    joined = held.joined if held is not None and held.key == key else time.time()
    _write(hosts_folder(folder) / host, Member(host, key, joined, expires))


def remove(folder: Path, host: str) -> None:
    """Take a host's right to be served, and the tokens that it used; raises JoinError when there is no such host."""
    for path in _invitations(folder):
        if _read(path, Invitation).used_by == host:
            path.unlink(missing_ok=True)
    try:
        (hosts_folder(folder) / checked(host)).unlink()
    except FileNotFoundError:
        raise JoinError(f"no host {host} has joined: `kaon host list` shows those that have") from None


def _read(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise JoinError(f"{path} cannot be read ({error}): remove it, and make a new token for what it was") from error


def _write(path: Path, record: msgspec.Struct) -> None:
    write_private(path, msgspec.json.encode(record) + b"\n")
