"""Outside changes: what the kernel multicasts of links, queues, addresses, routes and nft tables, inotify of names.

Sockets of two kinds a namespace. Links and neighbours are followed whoever changed them, so that what the engine knows
of them is always complete; for the rest the kernel drops what our own sockets caused and any other news means reading
again.
"""

from __future__ import annotations

import ctypes
import os
import select
import struct

from kaon.engines.base import Scope
from kaon.engines.linux.namespaces import NETNS_FOLDER, Namespace
from kaon.engines.linux.netlink import NETLINK_NETFILTER, NETLINK_ROUTE, Message, NetlinkSocket
from kaon.rows import Address, Chain, ConntrackHelper, Element, RateLimit, Route, Set

_LINK, _NEIGHBOUR, _TRAFFIC_CONTROL, _IPV4_ADDRESS, _IPV4_ROUTE, _IPV6_ADDRESS, _IPV6_ROUTE = 1, 3, 4, 5, 7, 9, 11
_NFTABLES = 7
_ROUTES = (24, 25)
_TRAFFIC_CONTROL_KINDS = (36, 37, 44, 45)
"""Queueing disciplines and filters, new and gone."""
_MAIN_TABLE = 254
_CREATE, _DELETE, _MOVED = 0x100, 0x200, 0xC0
_libc = ctypes.CDLL(None, use_errno=True)
NFT_TABLES = (Chain.table, Set.table, Element.table, ConntrackHelper.table)


class NamespaceWatch:
    """The multicast sockets of one namespace."""

    def __init__(self, namespace: Namespace, nft_port: int | None, epoll: select.epoll) -> None:
        self.netns = namespace.name
        self._epoll = epoll
        with namespace.entered():
            self.links = NetlinkSocket(NETLINK_ROUTE, (_LINK,))
            self.neighbours = NetlinkSocket(NETLINK_ROUTE, (_NEIGHBOUR,))
            groups = (_TRAFFIC_CONTROL, _IPV4_ADDRESS, _IPV6_ADDRESS, _IPV4_ROUTE, _IPV6_ROUTE)
            self.route = NetlinkSocket(NETLINK_ROUTE, groups, ignore_port=namespace.route.port)
            self.nft = NetlinkSocket(NETLINK_NETFILTER, (_NFTABLES,), ignore_port=nft_port)
        self._sockets = (self.links, self.neighbours, self.route, self.nft)
        for one in self._sockets:
            epoll.register(one.fileno(), select.EPOLLIN)

    def news(self) -> tuple[list[Message], bool, set[Scope]]:
        """Messages about links, whether some were lost, and scopes to read again."""
        links, lost = self.links.news()
        scopes: set[Scope] = set()
        messages, overflow = self.route.news()
        for message in messages:
            if message.kind in _TRAFFIC_CONTROL_KINDS:
                scopes.add(Scope(RateLimit.table, self.netns))
            elif message.kind not in _ROUTES:
                scopes.add(Scope(Address.table, self.netns))
            elif message.body[4] == _MAIN_TABLE:
                scopes.add(Scope(Route.table, self.netns))
        if overflow:
            scopes |= {Scope(table, self.netns) for table in (Route.table, Address.table, RateLimit.table)}
        messages, overflow = self.nft.news()
        if messages or overflow:
            scopes |= {Scope(table, self.netns) for table in NFT_TABLES}
        return links, lost, scopes

    def close(self) -> None:
        """Close the sockets, which takes them out of the epoll as well."""
        for one in self._sockets:
            one.close()


class NameWatch:
    """Tells when a namespace's name comes or goes below /run/netns; silent when that folder does not exist yet."""

    def __init__(self, epoll: select.epoll) -> None:
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watching = False
        if self._descriptor >= 0:
            epoll.register(self._descriptor, select.EPOLLIN)
        self.ensure()

    def ensure(self) -> None:
        """Start watching once the folder is there."""
        if not self._watching and self._descriptor >= 0 and NETNS_FOLDER.is_dir():
            mask = _CREATE | _DELETE | _MOVED
            self._watching = _libc.inotify_add_watch(self._descriptor, bytes(NETNS_FOLDER), mask) >= 0

    def names(self) -> set[str]:
        """Names that came or went since the last call."""
        self.ensure()
        found: set[str] = set()
        while self._descriptor >= 0:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                break
            offset = 0
            while offset + 16 <= len(data):
                (length,) = struct.unpack_from("=I", data, offset + 12)
                found.add(data[offset + 16 : offset + 16 + length].rstrip(b"\0").decode(errors="replace"))
                offset += 16 + length
        return found

    def close(self) -> None:
        """Close the descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
