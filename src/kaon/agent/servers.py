"""How an agent reaches its server: by a unix socket on the same machine, by mutual TLS on another one."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from kaon.joining import SERVER_NAME, server_address

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

PATIENCE = 4.0
"""Seconds for a TCP connection and its TLS handshake: a cut link drops packets, and the next attempt is soon."""
SILENT = 6_000
"""Milliseconds after which a connection whose peer acknowledges nothing is given up."""

_NOT_YET, _EXPIRED = 9, 10
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED of openssl-verification-options(1)."""


class Server(NamedTuple):
    """Where the server is, in words, and how to connect to it (raises OSError)."""

    name: str
    connect: Callable[[], Awaitable[Streams]]


def local_server(path: Path) -> Server:
    """The server behind a unix socket."""

    async def connect() -> Streams:
        return await asyncio.open_unix_connection(str(path))

    return Server(str(path), connect)


def server_context(authority: str) -> ssl.SSLContext:
    """What believes a server of this authority (PEM) alone, under whatever address it is reached."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=authority)
    return context


async def open_tls(url: str, context: ssl.SSLContext) -> Streams:
    """Connect to a server on another machine; raises OSError, and JoinError for a URL that is none."""
    host, port = server_address(url)
    try:
        async with asyncio.timeout(PATIENCE):
            streams = await asyncio.open_connection(host, port, ssl=context, server_hostname=SERVER_NAME)
    except TimeoutError:
        raise TimeoutError(f"no answer within {PATIENCE:g} seconds") from None
    found = streams[1].get_extra_info("socket")
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENT)
    return streams


def explain(url: str, error: OSError) -> str:
    """Why a server cannot be reached or believed, and the way out."""
    clock = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    match error:
        case ssl.SSLCertVerificationError(verify_code=code) if code in (_NOT_YET, _EXPIRED):
            when = "not yet" if code == _NOT_YET else "no longer"
            return f"the certificate of {url} is {when} valid by this host's clock ({clock}): set the clocks right"
        case ssl.SSLCertVerificationError():
            return (
                f"{url} is not the server that this host has joined ({error.verify_message}): see --server, or join "
                "the one that is there by --join TOKEN"
            )
        case ssl.SSLError() if "ALERT" in str(error.reason):
            return (
                f"{url} does not accept this host's certificate ({str(error.reason).lower()}): compare the clocks, or "
                "join anew by a token that `kaon host token` prints on the server"
            )
        case ssl.SSLError():
            return f"{url} does not speak TLS as agents do ({error.reason}): --server is the server's agent_listen"
    return f"{url} cannot be reached: {error.strerror or error}"


def local_ip(writer: asyncio.StreamWriter) -> str:
    """The address of this host on the network by which it reaches its server, else by which it reaches others.

    "" where there is none but the machine's own.
    """
    name = writer.get_extra_info("sockname")
    if isinstance(name, tuple):
        own = ipaddress.ip_address(str(name[0]).partition("%")[0])
        if isinstance(own, ipaddress.IPv6Address) and own.ipv4_mapped is not None:
            own = own.ipv4_mapped
        if not own.is_loopback:
            return str(own)
    return _outward()


def _outward() -> str:
    """The address from which this host would speak to the world; choosing it sends nothing."""
    for family, anywhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((anywhere, 9))
            except OSError:
                continue  # no route of this version
            return str(probe.getsockname()[0])
    return ""
