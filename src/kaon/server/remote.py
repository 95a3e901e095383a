"""Agents on other hosts: mutual TLS around the channel, and the conversation by which a host joins.

TLS tells who a peer is: its certificate names its host, whatever it says itself. One without a certificate can do
nothing but ask for one, and one whose host has been removed is hung up on within a second.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from kaon import joining
from kaon.channel import Hello, send_message
from kaon.joining import Authority, First, Issued, Join, JoinError
from kaon.server import authority, membership
from kaon.server.authority import HOST_LIFETIME, CertificateAuthority
from kaon.server.channel import Channel, Refused

log = logging.getLogger("kaon.server.remote")

HANDSHAKE = 10.0
"""Seconds that a peer may take for its TLS handshake."""
GOODBYE = 2.0
"""Seconds for which a peer may take to return a farewell: one behind a cut link never will."""
LOOKS = 0.5
"""Seconds between looks at whether a host has been removed."""
SILENT = 6_000
"""Milliseconds after which a connection whose peer acknowledges nothing is given up."""


class Peer(NamedTuple):
    """Whose certificate a peer has shown: the host, and the id of its key."""

    host: str
    key: str


class RemoteAgents:
    """The listener for agents on other hosts. `folder` is that of `membership`, `own` the server's own host."""

    def __init__(self, channel: Channel, folder: Path, own: str, lifetime: timedelta = HOST_LIFETIME) -> None:
        self._channel, self._folder, self._own, self._lifetime = channel, folder, own, lifetime
        membership.prepare(folder)
        self._authority: CertificateAuthority = authority.open_authority(folder)
        if membership.find(folder, own) is not None:
            raise JoinError(
                f"host {own} has joined from elsewhere, and this server's own host has the same name: name this one "
                f"otherwise by --host, or remove that one by `kaon host remove {own}`"
            )
        self._keys: dict[str, str] = {}
        self._server: asyncio.Server | None = None

    async def listen(self, listener: socket.socket) -> None:
        """Accept agents on a listening TCP socket."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(authority.server_certificate(self._authority, self._folder))
        context.load_verify_locations(cadata=self._authority.pem)
        # Who joins has none yet; `_introduce` sees to what may be done without.
        context.verify_mode = ssl.CERT_OPTIONAL
        give_up_when_silent(listener)
        self._server = await asyncio.start_server(
            self._serve,
            sock=listener,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE,
            ssl_shutdown_timeout=GOODBYE,
        )

    def close(self) -> None:
        """Stop accepting; connections are the channel's to close."""
        if self._server is not None:
            self._server.close()

    async def watch(self) -> None:
        """Hang up on hosts that are removed, as long as the server runs."""
        hosts = membership.hosts_folder(self._folder)
        seen = 0
        while True:
            await asyncio.sleep(LOOKS)
            now = hosts.stat().st_mtime_ns
            if now == seen:
                continue
            seen = now
            for host, key in list(self._keys.items()):
                try:
                    self._admit(Peer(host, key))
                except Refused as error:
                    log.warning("agent removed", extra={"host": host, "reason": str(error)})
                    del self._keys[host]
                    self._channel.disconnect(host)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._channel.serve(reader, writer, self._introduce)

    async def _introduce(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Hello | None:
        first = await joining.receive_first(reader)
        try:
            peer = _peer(writer)
            if not isinstance(first, Hello):
                await send_message(writer, self._answer(first, peer))
                return None
        except JoinError as error:
            raise Refused(str(error)) from None
        if peer is None:
            raise Refused(
                "this takes a certificate, which a host gets when it joins: run `kaon host token NAME` on the server, "
                "then `kaon agent --server URL --host NAME --join TOKEN` here"
            )
        self._admit(peer)
        if first.host != peer.host:
            raise Refused(
                f"the certificate of this agent is for host {peer.host}, so it cannot speak for {first.host}: name "
                f"the host by --host {peer.host}, or have this one join under its own name"
            )
        self._keys[peer.host] = peer.key
        return first

    def _answer(self, first: First, peer: Peer | None) -> Authority | Issued:
        """The authority's certificate, or one for a host; raises JoinError or Refused."""
        if not isinstance(first, Join):
            return Authority(self._authority.pem)
        request = authority.read_request(first.csr)
        host, key = membership.checked(request.host), authority.key_id(request.key)
        if first.token:
            if host == self._own:
                raise JoinError(f"the name {host} is taken by the server's own host: choose another by --host")
            membership.redeem(self._folder, first.token, host, key)
        elif peer is None or peer != Peer(host, key):
            raise JoinError(f"host {host} needs a join token: run `kaon host token {host}` on the server")
        else:
            self._admit(peer)
        issued = authority.host_certificate(self._authority, request, self._lifetime)
        membership.keep(self._folder, host, key, issued.not_valid_after_utc.timestamp())
        expires = issued.not_valid_after_utc.isoformat()
        log.info("host joined" if first.token else "certificate renewed", extra={"host": host, "expires": expires})
        return Issued(authority.pem(issued))

    def _admit(self, peer: Peer) -> None:
        """Raises Refused unless the host of this certificate still belongs here, with this key."""
        try:
            member = membership.find(self._folder, peer.host)
        except JoinError as error:
            raise Refused(str(error)) from None
        if member is None or member.key != peer.key:
            raise Refused(
                f"host {peer.host} has been removed, or its name given to another: to have it back, run "
                f"`kaon host token {peer.host}` on the server, then `kaon agent --join TOKEN` here"
            )


def _peer(writer: asyncio.StreamWriter) -> Peer | None:
    """Who has shown a certificate that TLS found good; None for one who has shown none."""
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return Peer(*authority.owner(certificate)) if certificate else None


def give_up_when_silent(listener: socket.socket) -> None:
    """Have the kernel end connections whose peer is gone without a word; accepted sockets inherit it: tcp(7)."""
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, 4),
        (socket.TCP_KEEPINTVL, 2),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, SILENT),
    ):
        listener.setsockopt(socket.IPPROTO_TCP, option, value)
