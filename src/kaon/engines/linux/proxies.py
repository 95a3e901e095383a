"""Rows of table neighbour_proxy: addresses for which an interface answers neighbour solicitations (RFC 4389's idea).

The kernel tells nobody when a proxy goes; of those that go since their link goes down, the link's own notice tells.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence

from kaon.engines.base import Failed, Operation
from kaon.engines.linux import link as ln
from kaon.engines.linux import netlink as nl
from kaon.engines.linux.announce import announce
from kaon.engines.linux.namespaces import OURS, MissingNamespaceError, Namespaces
from kaon.rows import NeighbourProxy, Row, row

_NEW, _DELETE, _GET = 28, 29, 30
_NDMSG = struct.Struct("=BBHiHBB")
_DST = 1
_PROXY = 0x08
_PERMANENT = 0x80
_FAMILIES = {4: 2, 6: 10}
_GONE = (2, 19)


class NeighbourProxyManager:
    """Rows of table neighbour_proxy. Only namespaces of ours have any of ours."""

    tables = frozenset({NeighbourProxy.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self.writes = 0

    def read(self) -> list[Row]:
        """Proxies in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """Proxies in one namespace."""
        if not netns.startswith(OURS):
            return []
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            return []
        names: dict[int, str] = {}
        rows = []
        for family in _FAMILIES.values():
            for body in namespace.route.dump(_GET, _NDMSG.pack(family, 0, 0, 0, 0, _PROXY, 0)):
                _, _, _, index, _, flags, _ = _NDMSG.unpack_from(body)
                if not flags & _PROXY:
                    continue
                names = names or {link.number: link.name for link in ln.dump(namespace).values()}
                address = ipaddress.ip_address(nl.attrs(body, _NDMSG.size)[_DST])
                rows.append(row(NeighbourProxy(), netns, names.get(index, ""), str(address)))
        return rows

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Remove, then add and announce."""
        failed = []
        for operation in sorted(operations, key=lambda operation: operation.new is not None):
            try:
                self._apply(operation)
            except OSError as error:
                known = operation.new or operation.old
                reason = f"neighbour proxy {operation.id.key[2]} on {operation.id.key[1]}: {error.strerror or error}"
                failed.append(Failed(operation.id, known.origin if known else "", reason))
        return failed

    def _apply(self, operation: Operation) -> None:
        netns, dev, text = operation.id.key
        address = ipaddress.ip_address(text)
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            if operation.new is None:
                return
            raise
        link = ln.find(namespace, dev)
        if operation.new is None and link is None:
            return
        index = ln.index_of(namespace, dev) if link is None else link.number
        self.writes += 1
        body = _NDMSG.pack(_FAMILIES[address.version], 0, 0, index, _PERMANENT, _PROXY, 0)
        body += nl.attr(_DST, address.packed)
        if operation.new is not None:
            namespace.route.request(_NEW, nl.CREATE | nl.REPLACE, body)
            if link is not None:
                announce(namespace, link, address)
            return
        try:
            namespace.route.request(_DELETE, 0, body)
        except nl.NetlinkError as error:
            if error.errno not in _GONE:
                raise
