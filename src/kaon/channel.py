"""What server and agent say to each other, and how it is framed: length-prefixed msgpack over any byte stream.

The agent connects (a unix socket on one machine, TLS between machines: the frames are the same), says Hello, and gets
a Snapshot of its host's rows, then Deltas by sequence number. It acknowledges what has converged and what has failed.
Attach and detach travel the other way as requests, because a port is bound by the host on which it appears.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TypeVar

import msgspec

from kaon.rows import TABLES, Key, Row, RowId

MAX_FRAME = 256 * 2**20
"""Bytes; a longer frame is a broken peer."""

_LENGTH = struct.Struct("!I")

T = TypeVar("T")


class WireRow(msgspec.Struct, frozen=True, array_like=True):
    """A row as it travels: the value stays undecoded until its table is known."""

    table: str
    key: Key
    value: msgspec.Raw
    origin: str


class Attachment(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Where a port appears on a host, and what its instance is to be told. Exactly one of `netns` and `tap` is set.

    `netns` is a named namespace that gets the port as interface `ifname`; `tap` names a tap device of the agent's
    namespace. `user_data` is base64.
    """

    port_id: str
    netns: str = ""
    ifname: str = "eth0"
    tap: str = ""
    instance_id: str = ""
    hostname: str = ""
    user_data: str = ""


class Failure(msgspec.Struct, frozen=True):
    """A row that could not be made real: which, for which API id, and why (a sentence for an administrator)."""

    table: str
    key: Key
    origin: str
    reason: str


# ---------------------------------------------------------------- from the agent


class Hello(msgspec.Struct, frozen=True, tag=True):
    """First message of an agent. `resume` is the last sequence number that it holds rows for, 0 for none.

    `local_ip` is the address at which other hosts reach this one, for tunnels; "" where it has none.
    `physical_networks` are those that this host reaches, as its setting of that name says.
    """

    host: str
    engine: str
    version: str
    resume: int = 0
    epoch: str = ""
    local_ip: str = ""
    physical_networks: dict[str, str] = {}


class Ack(msgspec.Struct, frozen=True, tag=True):
    """Everything up to `seq` has been converged, but for the rows in `failed` (the whole list, each time)."""

    seq: int
    failed: tuple[Failure, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, tag=True):
    """The agent lives; sent every few seconds with figures for the agents API and for /metrics."""

    figures: dict[str, float] = {}


class Attach(msgspec.Struct, frozen=True, tag=True):
    """Bind a port to this host. Answered by Reply once the intent is stored, before it has converged."""

    request: int
    attachment: Attachment


class Detach(msgspec.Struct, frozen=True, tag=True):
    """Release a port from this host."""

    request: int
    port_id: str


# ---------------------------------------------------------------- from the server


class Snapshot(msgspec.Struct, frozen=True, tag=True):
    """All rows of the host as of `seq`. `epoch` names the server's journal and run: another one makes `resume` void."""

    seq: int
    epoch: str
    rows: tuple[WireRow, ...]


class Delta(msgspec.Struct, frozen=True, tag=True):
    """What changed up to `seq`: rows to put (new or changed), ids to delete. Empty deltas only advance `seq`."""

    seq: int
    put: tuple[WireRow, ...] = ()
    delete: tuple[RowId, ...] = ()


class Reply(msgspec.Struct, frozen=True, tag=True):
    """Answer to Attach or Detach: the sequence number whose convergence completes it, or an error in words."""

    request: int
    seq: int = 0
    error: str = ""
    port: dict[str, object] = {}


class Refusal(msgspec.Struct, frozen=True, tag=True):
    """The last message before the server hangs up: why it does not serve this agent, and the way out."""

    reason: str


FromAgent = Hello | Ack | Heartbeat | Attach | Detach
FromServer = Snapshot | Delta | Reply | Refusal

_encoder = msgspec.msgpack.Encoder()
_from_agent: msgspec.msgpack.Decoder[FromAgent] = msgspec.msgpack.Decoder(FromAgent)
_from_server: msgspec.msgpack.Decoder[FromServer] = msgspec.msgpack.Decoder(FromServer)
_values = {table: msgspec.msgpack.Decoder(value) for table, value in TABLES.items()}


def to_wire(item: Row) -> WireRow:
    """Encode a row for a Snapshot or Delta."""
    return WireRow(item.id.table, item.id.key, msgspec.Raw(_encoder.encode(item.value)), item.origin)


def from_wire(item: WireRow) -> Row:
    """Decode a row; raises msgspec.ValidationError for an unknown table or a value that does not fit."""
    decoder = _values.get(item.table)
    if decoder is None:
        raise msgspec.ValidationError(f"row of unknown table {item.table!r}: server and agent differ in version")
    return Row(RowId(item.table, item.key), decoder.decode(item.value), item.origin)


async def send(writer: asyncio.StreamWriter, message: FromAgent | FromServer) -> None:
    """Write one message and wait until the peer's buffer has room."""
    await send_message(writer, message)


async def send_message(writer: asyncio.StreamWriter, message: msgspec.Struct) -> None:
    """The same for any message, such as those of `kaon.joining`."""
    body = _encoder.encode(message)
    writer.write(_LENGTH.pack(len(body)) + body)
    await writer.drain()


async def decode_frame(reader: asyncio.StreamReader, decoder: msgspec.msgpack.Decoder[T], limit: int = MAX_FRAME) -> T:
    """Read one frame of at most `limit` bytes and decode it; raises IncompleteReadError at the end of the stream."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > limit:
        raise ConnectionError(f"a frame of {length} bytes is over the limit of {limit}")
    return decoder.decode(await reader.readexactly(length))


async def receive_from_agent(reader: asyncio.StreamReader) -> FromAgent:
    """Read one message of an agent; raises IncompleteReadError at the end of the stream."""
    return await decode_frame(reader, _from_agent)


async def receive_from_server(reader: asyncio.StreamReader) -> FromServer:
    """Read one message of a server; raises IncompleteReadError at the end of the stream."""
    return await decode_frame(reader, _from_server)
