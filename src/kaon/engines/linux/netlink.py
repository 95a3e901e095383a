"""Netlink, as little of it as the engine needs: attributes, requests that are acknowledged, dumps, multicast.

Raw sockets rather than a library, because wiring a port is a handful of messages: on the machines measured, one veth
in its place costs 3.5 ms this way and 41 ms with stock pyroute2 (which also forks to open a namespace).
Formats: linux/netlink.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

REQUEST = 0x1
ACK = 0x4
EXCL = 0x200
CREATE = 0x400
REPLACE = 0x100
DUMP = 0x300
_CAPPED = 0x100
_ACK_TLVS = 0x200

_ERROR = 2
_DONE = 3
_OVERRUN = 4
_SOL_NETLINK = 270
_CAP_ACK = 10
_EXT_ACK = 11
_STRICT = 12
_SO_RCVBUFFORCE = 33
_SO_ATTACH_FILTER = 26
_HEADER = struct.Struct("=IHHII")
_ATTR = struct.Struct("=HH")
_BUFFER = 1 << 18
_QUEUE = 8 << 20
NESTED = 0x8000
_TYPE_MASK = 0x3FFF


class Message(NamedTuple):
    """One netlink message: its type, flags, the port id of the socket that caused it, and its body."""

    kind: int
    flags: int
    port: int
    body: bytes


class NetlinkError(OSError):
    """The kernel refused a request; the text carries the kernel's own explanation when it gave one."""


def attr(kind: int, value: bytes | str | int) -> bytes:
    """An attribute: bytes as they are, text with its final zero, integers as 32 bits in host order."""
    if isinstance(value, str):
        value = value.encode() + b"\0"
    elif isinstance(value, int):
        value = struct.pack("=I", value)
    return _ATTR.pack(len(value) + 4, kind) + value + bytes(-len(value) % 4)


def nest(kind: int, *parts: bytes) -> bytes:
    """An attribute made of attributes."""
    return attr(kind | NESTED, b"".join(parts))


def attrs(data: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes in `data` from `offset` on, by type."""
    found: dict[int, bytes] = {}
    end = len(data)
    while offset + 4 <= end:
        length, kind = _ATTR.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & _TYPE_MASK] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


def text(value: bytes) -> str:
    """Text of a zero-terminated attribute."""
    return value.rstrip(b"\0").decode(errors="replace")


def number(value: bytes) -> int:
    """An unsigned integer in host order, of whatever size."""
    return int.from_bytes(value, "little" if _HOST_IS_LITTLE else "big")


_HOST_IS_LITTLE = struct.pack("=H", 1) == b"\x01\x00"


class NetlinkSocket:
    """A netlink socket of the namespace that the thread is in when it is made, for one thread at a time."""

    def __init__(self, family: int, groups: Sequence[int] = (), ignore_port: int | None = None) -> None:
        """Join multicast `groups`; with `ignore_port` the kernel drops what that socket (ours) caused."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, family)
        self._socket.setsockopt(_SOL_NETLINK, _CAP_ACK, 1)
        self._socket.setsockopt(_SOL_NETLINK, _EXT_ACK, 1)
        if groups:
            try:
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE)
            except PermissionError:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _QUEUE)
            self._socket.setblocking(False)
        else:
            # The kernel answers at once; a thread that waits for ever on a lost answer would be worse than an error.
            self._socket.settimeout(10)
            # So that a dump of routes is one of the table asked for; kernels before 4.20 give all of them.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(_SOL_NETLINK, _STRICT, 1)
        self._socket.bind((0, 0))
        self.port: int = self._socket.getsockname()[0]
        self._sequence = 0
        if ignore_port is not None:
            _drop_port(self._socket, ignore_port)
        for group in groups:
            self._socket.setsockopt(_SOL_NETLINK, 1, group)

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes) -> None:
        """Send one request and wait for its acknowledgement; raises NetlinkError."""
        (error,) = self.requests([(kind, flags, body)])
        if error is not None:
            raise error

    def requests(self, batch: Sequence[tuple[int, int, bytes]]) -> list[NetlinkError | None]:
        """Send requests in one go; the kernel does them in order, failed or not. Errors in the same order."""
        first = self._sequence + 1
        parts: list[bytes] = []
        for kind, flags, body in batch:
            self._sequence += 1
            parts += (_HEADER.pack(16 + len(body), kind, flags | REQUEST | ACK, self._sequence, 0), body)
            parts.append(bytes(-len(body) % 4))
        self._socket.send(b"".join(parts))
        errors: dict[int, NetlinkError | None] = {}
        while len(errors) < len(batch):
            for message, sequence in self._receive():
                if message.kind == _ERROR and sequence >= first:
                    errors[sequence] = _error(message)
        return [errors[first + index] for index in range(len(batch))]

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """Bodies of all the objects that a dump request yields; raises NetlinkError."""
        self._sequence += 1
        header = _HEADER.pack(16 + len(body), kind, REQUEST | DUMP, self._sequence, 0)
        self._socket.send(header + body)
        bodies: list[bytes] = []
        while True:
            for message, sequence in self._receive():
                if sequence != self._sequence:
                    continue
                if message.kind == _DONE:
                    code = struct.unpack_from("=i", message.body)[0] if len(message.body) >= 4 else 0
                    if code < 0:
                        raise NetlinkError(-code, os.strerror(-code))
                    return bodies
                if message.kind == _ERROR:
                    error = _error(message)
                    if error is not None:
                        raise error
                    return bodies
                bodies.append(message.body)

    def query(self, kind: int, body: bytes) -> list[bytes]:
        """Bodies of the answers to a request about one object; raises NetlinkError, ENODEV or ENOENT without one."""
        self._sequence += 1
        self._socket.send(_HEADER.pack(16 + len(body), kind, REQUEST | ACK, self._sequence, 0) + body)
        answers: list[bytes] = []
        while True:
            for message, sequence in self._receive():
                if sequence != self._sequence:
                    continue
                if message.kind != _ERROR:
                    answers.append(message.body)
                    continue
                error = _error(message)
                if error is not None:
                    raise error
                return answers

    def news(self) -> tuple[list[Message], bool]:
        """Multicast messages that have arrived, without waiting, and whether some were lost for lack of room."""
        messages: list[Message] = []
        lost = False
        while True:
            try:
                messages += (message for message, _ in self._receive())
            except BlockingIOError:
                return messages, lost
            except OSError as error:
                if error.errno != _ENOBUFS:
                    raise
                lost = True

    def _receive(self) -> list[tuple[Message, int]]:
        data = self._socket.recv(_BUFFER)
        messages = []
        offset = 0
        while offset + 16 <= len(data):
            length, kind, flags, sequence, port = _HEADER.unpack_from(data, offset)
            if length < 16:
                break
            messages.append((Message(kind, flags, port, data[offset + 16 : offset + length]), sequence))
            offset += (length + 3) & ~3
        return messages


_ENOBUFS = 105


def _error(message: Message) -> NetlinkError | None:
    code = -struct.unpack_from("=i", message.body)[0]
    if code == 0:
        return None
    words = os.strerror(code)
    if message.flags & _ACK_TLVS:
        size = 16 if message.flags & _CAPPED else struct.unpack_from("=I", message.body, 4)[0]
        explanation = attrs(message.body, 4 + size).get(1)
        if explanation:
            words = f"{words} ({text(explanation)})"
    return NetlinkError(code, words)


def _drop_port(sock: socket.socket, port: int) -> None:
    """Attach a classic BPF filter that drops messages whose nlmsg_pid (offset 12, host order) is `port`."""
    wanted = socket.htonl(port & 0xFFFFFFFF) if _HOST_IS_LITTLE else port
    program = b"".join(
        struct.pack("=HBBI", code, yes, no, k)
        for code, yes, no, k in ((0x20, 0, 0, 12), (0x15, 0, 1, wanted), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
    )
    memory = ctypes.create_string_buffer(program)
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(memory)))
