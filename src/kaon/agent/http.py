"""A small HTTP/1.1 server for metadata: reads one request after the other from a stream, with limits on size and time.

RFC 9112. Requests with a body are read and their body is dropped; what is not understood is answered 400 and closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import NamedTuple

MAX_HEAD = 16 * 1024
"""Bytes of a request line and its headers."""
MAX_BODY = 64 * 1024
"""Bytes of a request's body."""
PATIENCE = 20.0
"""Seconds that a client may take to send a request."""


class Request(NamedTuple):
    """A request: `path` without the query, which is in `query` (without the question mark). Header names are lower."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


class Response(NamedTuple):
    """An answer."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"


class BadRequest(Exception):
    """What came is no HTTP request, or one that is too long; holds the status to answer with."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


Handler = Callable[[Request], Awaitable[Response]]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Answer requests until the client closes, takes too long, or sends what is no request."""
    # A client that goes away in the middle ends the connection and needs no answer.
    with contextlib.suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError):
        try:
            keep = True
            while keep:
                async with asyncio.timeout(PATIENCE):
                    request = await read_request(reader)
                if request is None:
                    return
                keep = request.headers.get("connection", "").lower() != "close"
                await _send(writer, await handler(request), request.method, keep)
        except BadRequest as error:
            await _send(writer, Response(error.status, str(error).encode()), "", False)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request, None at the end of the stream; raises BadRequest."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise BadRequest(HTTPStatus.BAD_REQUEST) from error
        return None
    except asyncio.LimitOverrunError as error:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from error
    line, *fields = head.decode("latin-1").strip("\r\n").split("\r\n")
    parts = line.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1.") or not parts[0].isalpha():
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    method, target, version = parts
    headers: dict[str, str] = {}
    for field in fields:
        name, colon, value = field.partition(":")
        key = name.lower()
        if not colon or not name or name != name.strip() or (key == "content-length" and key in headers):
            raise BadRequest(HTTPStatus.BAD_REQUEST)
        headers[key] = value.strip()
    if "transfer-encoding" in headers:
        raise BadRequest(HTTPStatus.LENGTH_REQUIRED)
    if version == "HTTP/1.0":
        headers["connection"] = "close"
    if target.startswith("http://"):
        target = "/" + target.removeprefix("http://").partition("/")[2]
    path, _, query = target.partition("?")
    if not path.startswith("/"):
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    return Request(method, path, query, headers, await _body(reader, headers.get("content-length", "0")))


async def _body(reader: asyncio.StreamReader, length: str) -> bytes:
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(HTTPStatus.BAD_REQUEST)
    # The number of digits first: int() of a very long one is work.
    if len(length) > 9 or int(length) > MAX_BODY:
        raise BadRequest(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return await reader.readexactly(int(length))


async def _send(writer: asyncio.StreamWriter, response: Response, method: str, keep: bool) -> None:
    phrase = HTTPStatus(response.status).phrase if response.status in HTTPStatus._value2member_map_ else ""
    head = (
        f"HTTP/1.1 {response.status} {phrase}\r\n"
        f"Content-Type: {response.content_type}\r\n"
        f"Content-Length: {len(response.body)}\r\n"
        f"Connection: {'keep-alive' if keep else 'close'}\r\n\r\n"
    )
    writer.write(head.encode("latin-1") + (b"" if method == "HEAD" else response.body))
    async with asyncio.timeout(PATIENCE):
        await writer.drain()
