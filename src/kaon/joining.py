"""How a host joins: the token that an administrator carries to it, and what is said before it has a certificate.

The token holds the fingerprint of the server's authority, so the agent knows the right server before it says anything
secret. Over TLS without a certificate an agent may ask for the authority's certificate and, once it has checked that
against the token, for a certificate of its own; with one it may have that renewed. Everything else takes a certificate.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import msgspec

from kaon.channel import Hello, Refusal, decode_frame, send_message

SERVER_NAME = "kaon-server"
"""The name in the certificate of every server: it is known by its authority, under whatever address it is reached."""
PORT = 9697
"""Where a server awaits agents, unless its URL says otherwise."""
FIRST_LIMIT = 64 * 2**10
"""Bytes of the first frame: whoever sends it may be anybody."""
HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
"""Names that a host may have, which a certificate and a file name can hold."""

_PREFIX = "kaon1"
_SECRET_BYTES = 24


class JoinError(Exception):
    """A host cannot join, or cannot reach its server: why, and the way out."""


class Token(NamedTuple):
    """What a join token says: who the server is (`fingerprint` of its authority), and a secret that it knows."""

    fingerprint: str
    secret: str

    def __str__(self) -> str:
        return f"{_PREFIX}.{self.fingerprint}.{self.secret}"


class AskAuthority(msgspec.Struct, frozen=True, tag=True):
    """Asks for the certificate of the server's authority. Answered by Authority."""


class Join(msgspec.Struct, frozen=True, tag=True):
    """Asks for a certificate by a signing request (PEM) that names the host. Answered by Issued or a Refusal.

    What entitles to it is `token`, the secret of a join token, or else the certificate that the peer has shown.
    """

    csr: str
    token: str = ""


class Authority(msgspec.Struct, frozen=True, tag=True):
    """The certificate (PEM) by which all others are judged."""

    certificate: str


class Issued(msgspec.Struct, frozen=True, tag=True):
    """The certificate (PEM) of a host."""

    certificate: str


First = Hello | AskAuthority | Join
"""What the first word of an agent from another host may be."""
Answer = Authority | Issued | Refusal

_first: msgspec.msgpack.Decoder[First] = msgspec.msgpack.Decoder(First)
_answer: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)


async def receive_first(reader: asyncio.StreamReader) -> First:
    """Read the first word of an agent from another host; raises as the channel's own functions do."""
    return await decode_frame(reader, _first, FIRST_LIMIT)


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: AskAuthority | Join) -> Answer:
    """Say one thing to a server, and hear its answer."""
    await send_message(writer, message)
    return await decode_frame(reader, _answer, FIRST_LIMIT)


def fingerprint(certificate: str) -> str:
    """SHA-256 of a certificate (PEM), as URL-safe base64 of 43 characters. Raises ValueError for no certificate."""
    return _text(hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate)).digest())


def new_secret(random: bytes) -> str:
    """Random bytes as the secret of a token."""
    return _text(random[:_SECRET_BYTES])


def parse_token(text: str) -> Token:
    """The token that is written so; raises JoinError."""
    match text.strip().split("."):
        case [prefix, found, secret] if (
            prefix == _PREFIX and len(found) == 43 and len(secret) == _SECRET_BYTES * 4 // 3
        ):
            return Token(found, secret)
    raise JoinError("this is no join token, or not all of one: copy the whole line that `kaon host token` prints")


def server_address(url: str) -> tuple[str, int]:
    """Address and port of a server's URL, such as tls://controller:9697; raises JoinError with the way to write it."""
    parts = urlsplit(url if "://" in url else f"tls://{url}")
    try:
        host, port = parts.hostname, parts.port or PORT
    except ValueError:
        host, port = None, 0
    if parts.scheme != "tls" or not host or parts.path.strip("/"):
        raise JoinError(
            f"server {url!r}: write tls://ADDRESS:PORT, as the server's setting agent_listen names them "
            f"(not the URL of the API); without a port it is {PORT}"
        )
    return host, port


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
