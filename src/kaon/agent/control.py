"""What a person or a tool on a host asks of its agent: attach and detach ports, status, resync.

One JSON object a line over a unix socket (mode 0600, in the agent's folder); each request has one answer. This module
is the caller's side.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from kaon.channel import Attachment, Failure

SOCKET = "control.sock"
"""Name of the socket in the agent's folder."""
PATIENCE = 10.0
"""Seconds that a port may take to converge."""
LIMIT = 2**20
"""Bytes of a line; user data has at most 64 KiB."""


class AgentError(Exception):
    """The agent could not do what was asked; the message says why, and the way out."""


class AttachRequest(msgspec.Struct, frozen=True, tag="attach"):
    """Make a port appear on this host; with `wait` > 0, answer when it works, or after so many seconds say why not."""

    attachment: Attachment
    wait: float = PATIENCE


class DetachRequest(msgspec.Struct, frozen=True, tag="detach"):
    """Remove a port from this host; `wait` as for attach."""

    port_id: str
    wait: float = PATIENCE


class StatusRequest(msgspec.Struct, frozen=True, tag="status"):
    """How is the agent?"""


class ResyncRequest(msgspec.Struct, frozen=True, tag="resync"):
    """Read everything that exists again, and repair what differs."""


Request = AttachRequest | DetachRequest | StatusRequest | ResyncRequest


class Status(msgspec.Struct, frozen=True):
    """How the agent is: `seq` is what it has heard of, `converged` what is real but for `failed`.

    `away` says why it is not `connected`.
    """

    host: str
    engine: str
    connected: bool
    seq: int
    converged: int
    failed: tuple[Failure, ...]
    figures: dict[str, float]
    away: str = ""


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to any request: `error` in words, else what was asked for. `repaired` counts rows of a resync."""

    error: str = ""
    port: dict[str, object] = {}
    status: Status | None = None
    repaired: int = 0


_encoder = msgspec.json.Encoder()
_answers = msgspec.json.Decoder(Answer)


async def ask(socket: Path, request: Request) -> Answer:
    """Send one request to the agent behind this socket and return its answer; raises AgentError."""
    try:
        reader, writer = await asyncio.open_unix_connection(str(socket), limit=LIMIT)
    except OSError as error:
        raise AgentError(
            f"no agent answers on {socket} ({error.strerror or error}): start Kaon by `kaon up`"
        ) from error
    try:
        writer.write(_encoder.encode(request) + b"\n")
        line = await reader.readline()
        if not line:
            raise AgentError(f"the agent on {socket} hung up before it answered: see its log")
        answer = _answers.decode(line)
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        raise AgentError(f"the agent on {socket} does not answer as it should ({error}): see its log") from error
    finally:
        writer.close()
    if answer.error:
        raise AgentError(answer.error)
    return answer


async def attach(socket: Path, attachment: Attachment, wait: float = PATIENCE) -> dict[str, object]:
    """Make a port appear on the agent's host, and return the port once it works (with `wait` 0: once it is bound).

    Raises AgentError with the reason where it cannot, or does not within `wait` seconds.
    """
    return (await ask(socket, AttachRequest(attachment, wait))).port


async def detach(socket: Path, port_id: str, wait: float = PATIENCE) -> None:
    """Remove a port from the agent's host; raises AgentError."""
    await ask(socket, DetachRequest(port_id, wait))


async def status(socket: Path) -> Status:
    """How the agent is; raises AgentError."""
    answer = await ask(socket, StatusRequest())
    if answer.status is None:
        raise AgentError(f"the agent on {socket} is of another version: restart it")
    return answer.status


async def resync(socket: Path) -> int:
    """Have the agent read everything that exists again; returns how many rows it repaired. Raises AgentError."""
    return (await ask(socket, ResyncRequest())).repaired
