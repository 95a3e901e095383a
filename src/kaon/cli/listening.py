"""The sockets that the supervisor opens for its processes, and the URL at which clients find them."""

from __future__ import annotations

import os
import socket
from pathlib import Path

INHERITED = "KAON_INHERITED"
"""Descriptors of listening sockets, comma-separated, that whoever started this process opened in another network."""

BACKLOG = 1024

_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ListenError(Exception):
    """A socket could not be opened: the address, why, and the way out."""


def open_api(address: str, port: int, flag: str = "--listen") -> socket.socket:
    """A listening TCP socket; port 0 lets the kernel choose one. `flag` is the option that names the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ListenError(f"cannot listen on {address} port {port}: {reason}; name another by {flag}") from error
    listener.setblocking(False)
    return listener


def inherited() -> list[socket.socket]:
    """The sockets that INHERITED names; the variable is consumed."""
    text = os.environ.pop(INHERITED, "")
    return [socket.socket(fileno=int(part)) for part in text.split(",") if part]


def open_agents(path: Path) -> socket.socket:
    """A listening unix socket for the agents of this machine, for its owner only."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    path.unlink(missing_ok=True)
    mask = os.umask(0o177)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {path}: {error}; name a data folder with a shorter path") from error
    finally:
        os.umask(mask)
    listener.setblocking(False)
    return listener


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches the address."""
    return address == "::1" or address.startswith("127.") or address == "localhost"


def url(listener: socket.socket, *, tls: bool) -> str:
    """Where a client on this machine reaches a TCP listener."""
    address, port = listener.getsockname()[:2]
    address = _WILDCARDS.get(address, address)
    shown = f"[{address}]" if ":" in address else address
    return f"{'https' if tls else 'http'}://{shown}:{port}"
