"""Rows of table route: unicast routes of the main table, marked as ours by their protocol number (rtnetlink(7))."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence

from kaon.engines.base import Failed, Operation
from kaon.engines.linux import link as ln
from kaon.engines.linux import netlink as nl
from kaon.engines.linux.namespaces import OURS, MissingNamespaceError, Namespaces
from kaon.rows import Route, Row, RowId, row

NEWROUTE, DELROUTE, GETROUTE = 24, 25, 26
PROTOCOL = 75
_RTMSG = struct.Struct("=BBBBBBBBI")
_NEXTHOP = struct.Struct("=HBBi")
_DST, _OIF, _GATEWAY, _PRIORITY, _MULTIPATH, _TABLE = 1, 4, 5, 6, 9, 15
_MAIN = 254
_UNICAST = 1
_LINK_SCOPE = 253
_ONLINK = 4
_KERNEL, _RA, _REDIRECT = 2, 9, 1
_INET, _INET6 = 2, 10
_GONE = (3, 2, 19)


class RouteManager:
    """Rows of table route."""

    tables = frozenset({Route.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.writes = 0

    def canonical(self, item: Row) -> Row:
        """The row with its prefix and next hops in RFC 5952 text, several next hops in order."""
        value = item.value
        assert isinstance(value, Route)
        via, *more = _in_order(ipaddress.ip_address(hop) for hop in (value.via, *value.more) if hop) or [""]
        form = Route(via, value.dev, tuple(more))
        row_id = self.canonical_id(item.id)
        return item if form == value and row_id is item.id else Row(row_id, form, item.origin)

    def canonical_id(self, row_id: RowId) -> RowId:
        """The id with its prefix in RFC 5952 text."""
        netns, destination = row_id.key
        form = str(ipaddress.ip_network(destination, strict=False))
        return row_id if form == destination else RowId(row_id.table, (netns, form))

    def read(self) -> list[Row]:
        """Routes of ours in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """Routes in one namespace: all but the kernel's own in one of ours, else those that we marked."""
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            return []
        names: dict[int, str] = {}
        rows = []
        for family in (_INET, _INET6):
            for body in namespace.route.dump(
                GETROUTE, _RTMSG.pack(family, 0, 0, 0, _MAIN, 0, 0, 0, 0) + nl.attr(_TABLE, _MAIN)
            ):
                of, length, _, _, table, protocol, _, kind, flags = _RTMSG.unpack_from(body)
                found = nl.attrs(body, _RTMSG.size)
                table = nl.number(found.get(_TABLE, bytes([table])))
                if of != family or table != _MAIN or kind != _UNICAST or protocol in (_KERNEL, _RA, _REDIRECT):
                    continue
                if protocol != PROTOCOL and not netns.startswith(OURS):
                    continue
                raw = found.get(_DST, bytes(4 if family == _INET else 16))
                hops = [found[_GATEWAY]] if _GATEWAY in found else list(_gateways(found.get(_MULTIPATH, b"")))
                via, *more = _in_order(map(ipaddress.ip_address, hops)) or [""]
                dev = ""
                if not via or flags & _ONLINK:
                    names = names or {link.number: link.name for link in ln.dump(namespace).values()}
                    dev = names.get(nl.number(found.get(_OIF, b"")), "")
                rows.append(row(Route(via, dev, tuple(more)), netns, f"{ipaddress.ip_address(raw)}/{length}"))
        return rows

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Remove, then add: routes on link before those through a next hop that they reach."""
        failed = []
        for operation in sorted(operations, key=_order):
            try:
                self._apply(operation)
            except OSError as error:
                known = operation.new or operation.old
                reason = f"route {operation.id.key[1]}: {error.strerror or error}"
                failed.append(Failed(operation.id, known.origin if known else "", reason))
        return failed

    def _apply(self, operation: Operation) -> None:
        netns, destination = operation.id.key
        network = ipaddress.ip_network(destination)
        family = _INET if network.version == 4 else _INET6
        to = nl.attr(_DST, network.network_address.packed)
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            if operation.new is None:
                return
            raise
        if operation.new is None or (operation.old is not None and family == _INET6):
            # IPv6 replaces only the route of the same next hop kind, so the old one goes first.
            self.writes += 1
            body = _RTMSG.pack(family, network.prefixlen, 0, 0, _MAIN, 0, _NOWHERE, 0, 0) + to
            try:
                namespace.route.request(DELROUTE, 0, body)
            except nl.NetlinkError as error:
                if error.errno not in _GONE:
                    raise
        if operation.new is None:
            return
        value = operation.new.value
        assert isinstance(value, Route)
        flags = _ONLINK if value.via and value.dev else 0
        scope = 0 if value.via or family == _INET6 else _LINK_SCOPE
        body = _RTMSG.pack(family, network.prefixlen, 0, 0, _MAIN, PROTOCOL, scope, _UNICAST, flags) + to
        if value.more:
            gateways = (nl.attr(_GATEWAY, ipaddress.ip_address(hop).packed) for hop in (value.via, *value.more))
            hops = (_NEXTHOP.pack(_NEXTHOP.size + len(gateway), 0, 0, 0) + gateway for gateway in gateways)
            body += nl.attr(_MULTIPATH, b"".join(hops))
        elif value.via:
            body += nl.attr(_GATEWAY, ipaddress.ip_address(value.via).packed)
        if value.dev:
            body += nl.attr(_OIF, ln.index_of(namespace, value.dev))
        self.writes += 1
        namespace.route.request(NEWROUTE, nl.CREATE | nl.REPLACE, body)


_NOWHERE = 255
"""RT_SCOPE_NOWHERE: a deletion matches a route of any scope."""


def _in_order(hops: Iterable[ipaddress.IPv4Address | ipaddress.IPv6Address]) -> list[str]:
    """Next hops as text, in an order that does not depend on who tells of them."""
    return [str(hop) for hop in sorted(hops, key=lambda hop: hop.packed)]


def _gateways(multipath: bytes) -> Iterable[bytes]:
    """The next hops of a route that has several (struct rtnexthop, each with its attributes)."""
    offset = 0
    while offset + _NEXTHOP.size <= len(multipath):
        length = _NEXTHOP.unpack_from(multipath, offset)[0]
        if length < _NEXTHOP.size:
            return
        gateway = nl.attrs(multipath[offset : offset + length], _NEXTHOP.size).get(_GATEWAY)
        if gateway is not None:
            yield gateway
        offset += (length + 3) & ~3


def _order(operation: Operation) -> tuple[int, bool]:
    if operation.new is None:
        return 0, False
    value = operation.new.value
    return 1, isinstance(value, Route) and bool(value.via) and not value.dev
