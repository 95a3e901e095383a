"""Rows of tables metadata_listener and metadata_instance: sockets inside namespaces, served by the agent's event loop.

A listening socket belongs to the namespace of the thread that made it, for as long as it lives; so one process serves
every network, and knows who asks by namespace and source address, even where addresses collide. The sockets go with
the process, and the next one opens them again.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Iterable, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

from kaon.agent import http, metadata_tree, nova
from kaon.agent.http import Request, Response
from kaon.engines.base import Fact, Failed, Operation, Scope
from kaon.engines.linux import daemon
from kaon.rows import MetadataInstance, MetadataListener, Row, RowId

log = logging.getLogger("kaon.agent.metadata")

PORT = 80
MAX_CONNECTIONS = 256
"""Open connections of a namespace; more of them wait to be accepted."""

_IPV6_FREEBIND = 78
_IP_FREEBIND = 15


class _Listener(NamedTuple):
    row: Row
    netns: tuple[int, int]
    sockets: tuple[socket.socket, ...]


class MetadataManager:
    """The metadata service of this host. `loop` serves; reading and applying happen on the engine's thread."""

    tables = frozenset({MetadataListener.table, MetadataInstance.table})

    def __init__(self, loop: asyncio.AbstractEventLoop, forward_to: nova.Nova | None = None) -> None:
        self._loop = loop
        self._nova = forward_to
        self._listeners: dict[str, _Listener] = {}
        self._instances: dict[tuple[str, str], Row] = {}
        # Replaced as a whole, never changed in place: the event loop reads them at any time.
        self._addresses: dict[tuple[str, str], tuple[str, ...]] = {}
        self._connections: dict[socket.socket, set[asyncio.Task[None]]] = {}

    # ------------------------------------------------------------ on the engine's thread

    def read(self, scopes: Sequence[Scope] | None = None) -> Iterable[Row]:
        """What is served now; a listener whose namespace is not the one of that name any more is none."""
        rows = [item.row for netns, item in self._listeners.items() if item.netns == daemon.identity(netns)]
        rows += self._instances.values()
        return rows if scopes is None else [item for item in rows if any(scope.holds(item.id) for scope in scopes)]

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Take instances over, open and close sockets."""
        failed = []
        for operation in operations:
            try:
                if operation.id.table == MetadataInstance.table:
                    self._know(operation.id, operation.new)
                else:
                    self._listen(operation.id.key[0], operation.new)
            except (OSError, ValueError) as error:
                known = operation.new or operation.old
                origin = known.origin if known is not None else ""
                failed.append(Failed(operation.id, origin, f"metadata in namespace {operation.id.key[0]}: {error}"))
        return failed

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """Nobody but this process changes its sockets."""
        return [], set()

    def fileno(self) -> int:
        """None: there is never any news."""
        return -1

    def close(self) -> None:
        """Close all sockets."""
        for netns in list(self._listeners):
            self._close(netns)

    def _know(self, row_id: RowId, item: Row | None) -> None:
        netns, address = row_id.key
        before = self._instances.pop((netns, address), None)
        for changed in (before, item):
            if changed is not None and isinstance(changed.value, MetadataInstance):
                port = (netns, changed.value.port_id)
                others = tuple(other for other in self._addresses.get(port, ()) if other != address)
                self._addresses[port] = (*others, address) if changed is item else others
                if not self._addresses[port]:
                    del self._addresses[port]
        if item is not None:
            self._instances[netns, address] = item

    def _listen(self, netns: str, item: Row | None) -> None:
        self._close(netns)
        if item is None:
            return
        assert isinstance(item.value, MetadataListener)
        identity = daemon.identity(netns)
        if identity is None:
            raise ValueError("there is no such network namespace")
        sockets: list[socket.socket] = []
        try:
            with daemon.inside(netns):
                sockets += (_open(address) for address in item.value.addresses)
        except OSError:
            for opened in sockets:
                opened.close()
            raise
        self._listeners[netns] = _Listener(item, identity, tuple(sockets))
        for opened in sockets:
            self._loop.call_soon_threadsafe(self._start, netns, opened)

    def _close(self, netns: str) -> None:
        listener = self._listeners.pop(netns, None)
        if listener is not None:
            for opened in listener.sockets:
                # When the loop has ended, nobody serves the socket any more.
                try:
                    self._loop.call_soon_threadsafe(self._end, opened)
                except RuntimeError:
                    opened.close()

    # ------------------------------------------------------------ on the event loop

    def _start(self, netns: str, listener: socket.socket) -> None:
        self._connections[listener] = set()
        self._loop.add_reader(listener, self._accept, netns, listener)

    def _end(self, listener: socket.socket) -> None:
        self._loop.remove_reader(listener)
        for task in self._connections.pop(listener, set()):
            task.cancel()
        listener.close()

    def _accept(self, netns: str, listener: socket.socket) -> None:
        try:
            connection, _ = listener.accept()
        except OSError:
            # It was gone before it was accepted.
            return
        open_now = self._connections[listener]
        task = self._loop.create_task(self._converse(netns, connection))
        open_now.add(task)
        if len(open_now) >= MAX_CONNECTIONS:
            self._loop.remove_reader(listener)

        def done(ended: asyncio.Task[None]) -> None:
            open_now.discard(ended)
            if self._connections.get(listener) is open_now and len(open_now) == MAX_CONNECTIONS - 1:
                self._loop.add_reader(listener, self._accept, netns, listener)

        task.add_done_callback(done)

    async def _converse(self, netns: str, connection: socket.socket) -> None:
        connection.setblocking(False)
        try:
            source = _plain(connection.getpeername()[0])
            reader, writer = await asyncio.open_connection(sock=connection, limit=http.MAX_HEAD)
        except OSError:
            connection.close()
            return
        try:
            await http.serve(reader, writer, lambda request: self._answer(netns, source, request))
        finally:
            writer.close()

    async def _answer(self, netns: str, source: str, request: Request) -> Response:
        item = self._instances.get((netns, source))
        if item is None or not isinstance(item.value, MetadataInstance):
            log.info("metadata asked by an unknown source", extra={"netns": netns, "source": source})
            return Response(HTTPStatus.NOT_FOUND, b"No instance is known at this address.\n")
        instance = item.value
        if self._nova is not None:
            return await nova.forward(self._nova, request, instance, source)
        if request.method not in ("GET", "HEAD"):
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"Metadata can be read only.\n")
        addresses = self._addresses.get((netns, instance.port_id), (source,))
        found = metadata_tree.document(metadata_tree.Guest(instance, addresses, source), request.path)
        if found is None:
            return Response(HTTPStatus.NOT_FOUND, b"There is no such metadata.\n")
        body, content_type = found
        return Response(HTTPStatus.OK, body, content_type)


def _plain(address: str) -> str:
    """An address as rows write it: without a zone, IPv4 as such."""
    found = ipaddress.ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def _open(address: str) -> socket.socket:
    """A listening socket in the namespace of the calling thread; raises OSError."""
    v6 = ":" in address
    opened = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The address may be on its way still, or away for a moment: the socket waits for it.
        if v6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
            opened.bind((address, PORT, 0, _zone(address)))
        else:
            opened.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            opened.bind((address, PORT))
        opened.listen(128)
        opened.setblocking(False)
    except OSError:
        opened.close()
        raise
    return opened


def _zone(address: str) -> int:
    """The index of the interface that a link-local address is on, in the calling thread's namespace; else 0."""
    wanted = ipaddress.ip_address(address)
    if wanted.is_link_local:
        with suppress(OSError):
            for line in Path("/proc/thread-self/net/if_inet6").read_text().splitlines():
                digits, index, *_ = line.split()
                if bytes.fromhex(digits) == wanted.packed:
                    return int(index, 16)
    return 0
