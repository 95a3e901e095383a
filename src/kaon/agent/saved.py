"""The rows last heard from the server, kept on disk, so that an agent knows what must exist without a server.

One file holds a Snapshot and the Deltas since, in the order of their arrival; each is appended before it takes
effect. So an agent that is killed at any instant finds what it has done, and undoes nothing when it is back. Writes
are not synced: what a power failure takes from the page cache, it takes from the kernel's networks as well.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from kaon.channel import Delta, Snapshot, WireRow
from kaon.rows import RowId

log = logging.getLogger("kaon.agent.saved")

SLACK = 4 * 2**20
"""Bytes of Deltas that may follow a Snapshot, beyond its own size, before all is written anew."""

_LENGTH = struct.Struct("!I")
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Snapshot | Delta] = msgspec.msgpack.Decoder(Snapshot | Delta)


class Held(NamedTuple):
    """What is known: rows by id as of `seq` in the journal named by `epoch`; seq 0 and no epoch for nothing."""

    epoch: str
    seq: int
    rows: dict[RowId, WireRow]


class SavedRows:
    """The file. Not for two processes at once."""

    def __init__(self, path: Path, *, slack: int = SLACK) -> None:
        self._path = path
        self._slack = slack
        self._file: BinaryIO | None = None
        self._base = 0
        self._size = 0

    def load(self) -> Held:
        """Read the file; a torn end (a kill while it was written) is cut off."""
        held, end = _replay(self._path)
        if held.epoch:
            self._file = self._path.open("r+b")
            self._file.truncate(end)
            self._file.seek(end)
            self._base = self._size = end
        return held

    def snapshot(self, message: Snapshot) -> None:
        """Replace all that is held. Raises OSError where the disk does not take it; what was held remains."""
        frame = _frame(message)
        temporary = self._path.with_suffix(".new")
        # User data of instances is in the rows: nobody else's business.
        temporary.unlink(missing_ok=True)
        temporary.touch(mode=0o600)
        temporary.write_bytes(frame)
        temporary.replace(self._path)
        self.close()
        self._file = self._path.open("r+b")
        self._file.seek(len(frame))
        self._base = self._size = len(frame)

    def delta(self, message: Delta) -> None:
        """Append a difference, and write all anew where the differences outgrow what they change."""
        if self._file is None:
            return
        frame = _frame(message)
        try:
            self._file.write(frame)
            self._file.flush()
        except OSError as error:
            # Half a frame would hide all that follows it, and a gap would pass for the truth.
            self.forget()
            log.warning("rows not saved", extra={"path": str(self._path), "reason": str(error)})
            return
        self._size += len(frame)
        if self._size > 2 * self._base + self._slack:
            held, _ = _replay(self._path)
            self.snapshot(Snapshot(held.seq, held.epoch, tuple(held.rows.values())))

    def forget(self) -> None:
        """Remove the file: nothing is held until the next Snapshot."""
        self.close()
        self._path.unlink(missing_ok=True)

    def close(self) -> None:
        """Release the descriptor."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _frame(message: Snapshot | Delta) -> bytes:
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


def _replay(path: Path) -> tuple[Held, int]:
    """What the file says, and the number of bytes that are whole."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    epoch, seq, rows, end = "", 0, dict[RowId, WireRow](), 0
    while len(data) - end >= _LENGTH.size:
        (length,) = _LENGTH.unpack_from(data, end)
        body = memoryview(data)[end + _LENGTH.size : end + _LENGTH.size + length]
        if len(body) < length:
            break
        try:
            message = _decoder.decode(body)
        except msgspec.MsgspecError as error:
            log.warning("saved rows are damaged", extra={"path": str(path), "offset": end, "reason": str(error)})
            break
        if isinstance(message, Snapshot):
            epoch, rows = message.epoch, {}
            put = message.rows
        else:
            put = message.put
            for row_id in message.delete:
                rows.pop(RowId(*row_id), None)
        rows |= {RowId(row.table, row.key): row for row in put}
        seq = message.seq
        end += _LENGTH.size + length
    return Held(epoch, seq, rows), end
