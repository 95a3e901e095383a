"""Metadata that Nova knows better: the request is passed on, with who asks in headers that Nova can trust.

The headers are those of Neutron's metadata agent, the signature is by Nova's metadata_proxy_shared_secret.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import ssl
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from kaon.agent.http import Request, Response
from kaon.rows import MetadataInstance

log = logging.getLogger("kaon.agent.metadata")

PATIENCE = 30.0
"""Seconds that Nova may take for an answer."""
MAX_ANSWER = 16 * 2**20
"""Bytes of an answer."""

_UNSIGNED = frozenset({"accept", "user-agent", "content-type", "x-aws-ec2-metadata-token"})
"""Headers of an instance that are passed on; all others would be the instance's word against ours."""


class Nova(NamedTuple):
    """Where Nova's metadata service is, and the secret shared with it."""

    url: str
    secret: str


class NovaError(Exception):
    """Nova did not give an answer that can be passed on."""


def identity_headers(nova: Nova, instance: MetadataInstance, source: str) -> dict[str, str]:
    """Who asks, signed."""
    signature = hmac.new(nova.secret.encode(), instance.instance_id.encode(), hashlib.sha256).hexdigest()
    return {
        "X-Forwarded-For": source,
        "X-Instance-ID": instance.instance_id,
        "X-Tenant-ID": instance.project_id,
        "X-Instance-ID-Signature": signature,
    }


async def forward(nova: Nova, request: Request, instance: MetadataInstance, source: str) -> Response:
    """Nova's answer to an instance's request; 503 with one line in the log when it gives none."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _exchange(nova, request, identity_headers(nova, instance, source))
    except (OSError, TimeoutError, NovaError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        reason = str(error) or type(error).__name__
        log.warning(
            "no answer from nova", extra={"url": nova.url, "origin": f"port/{instance.port_id}", "reason": reason}
        )
        return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"The metadata service is not available, try again.\n")


async def _exchange(nova: Nova, request: Request, headers: dict[str, str]) -> Response:
    url = urlsplit(nova.url)
    port = url.port or (443 if url.scheme == "https" else 80)
    context = ssl.create_default_context() if url.scheme == "https" else None
    reader, writer = await asyncio.open_connection(url.hostname, port, ssl=context)
    try:
        target = url.path.rstrip("/") + request.path + (f"?{request.query}" if request.query else "")
        passed = {name: value for name, value in request.headers.items() if name in _UNSIGNED}
        # HTTP/1.0 and close: the answer comes in one piece, as long as the connection lives.
        lines = [f"{request.method} {target} HTTP/1.0", f"Host: {url.netloc}", "Connection: close"]
        lines += (f"{name}: {value}" for name, value in (passed | headers).items())
        if request.body:
            lines.append(f"Content-Length: {len(request.body)}")
        writer.write("\r\n".join((*lines, "", "")).encode("latin-1") + request.body)
        return await _answer(reader)
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    parts = head[0].split(" ", 2)
    if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not parts[1].isdigit() or len(parts[1]) != 3:
        raise NovaError(f"not an HTTP answer: {head[0]!r}")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
    length = fields.get("content-length")
    if length is not None and length.isdigit() and int(length) <= MAX_ANSWER:
        body = await reader.readexactly(int(length))
    else:
        body = await _until_end(reader)
    if fields.get("transfer-encoding"):
        raise NovaError("a transfer coding in an answer to HTTP/1.0")
    return Response(int(parts[1]), body, fields.get("content-type", "text/plain"))


async def _until_end(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while part := await reader.read(65536):
        body += part
        if len(body) > MAX_ANSWER:
            raise NovaError(f"an answer of more than {MAX_ANSWER} bytes")
    return body
