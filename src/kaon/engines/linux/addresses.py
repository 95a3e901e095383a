"""Rows of table address: what an interface is called on the network, announced when it is new (rtnetlink(7)).

Protocol numbers mark our addresses in the kernel (IFA_PROTO, Linux 5.18 and later): one for plain, one for exclusive.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable, Iterable, Sequence

from kaon.engines.base import Failed, Operation
from kaon.engines.linux import link as ln
from kaon.engines.linux import netlink as nl
from kaon.engines.linux.announce import announce
from kaon.engines.linux.link import Link
from kaon.engines.linux.links import is_ours
from kaon.engines.linux.namespaces import OURS, MissingNamespaceError, Namespace, Namespaces
from kaon.rows import Address, Row, RowId, row

NEWADDR, DELADDR, GETADDR = 20, 21, 22
_ADDRESS, _LOCAL, _FLAGS, _PROTOCOL = 1, 2, 8, 11
_IFADDR = struct.Struct("=BBBBI")
_NODAD, _PERMANENT = 0x02, 0x80
_LINK_LOCAL = 253
PLAIN, EXCLUSIVE = 75, 76
_INET, _INET6 = 2, 10


class AddressManager:
    """Rows of table address. `cut` deletes the connections of a namespace that name an address."""

    tables = frozenset({Address.table})

    def __init__(self, namespaces: Namespaces, cut: Callable[[Namespace, str], int]) -> None:
        self._namespaces = namespaces
        self._cut = cut
        self.writes = 0

    def canonical(self, item: Row) -> Row:
        """What the kernel can tell back: an announcement leaves no trace."""
        value = item.value
        assert isinstance(value, Address)
        form = Address(exclusive=value.exclusive) if value.announce else value
        row_id = self.canonical_id(item.id)
        return item if form is value and row_id is item.id else Row(row_id, form, item.origin)

    def canonical_id(self, row_id: RowId) -> RowId:
        """The id with the address in RFC 5952 text."""
        netns, dev, cidr = row_id.key
        form = str(ipaddress.ip_interface(cidr))
        return row_id if form == cidr else RowId(row_id.table, (netns, dev, form))

    def read(self) -> list[Row]:
        """Addresses of ours in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """Addresses in one namespace: all in one of ours, else those that we marked or that are on links of ours."""
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            return []
        rows = []
        links: dict[int, Link | None] = {}
        for body in namespace.route.dump(GETADDR, _IFADDR.pack(0, 0, 0, 0, 0)):
            family, length, flags, scope, index = _IFADDR.unpack_from(body)
            found = nl.attrs(body, _IFADDR.size)
            flags = nl.number(found.get(_FLAGS, bytes([flags])))
            protocol = nl.number(found.get(_PROTOCOL, b""))
            if family not in (_INET, _INET6) or not flags & _PERMANENT:
                continue
            if index not in links:
                # Few links have addresses where many have none, so they are asked for one by one.
                links[index] = ln.find(namespace, index)
            link = links[index]
            if link is None:
                continue
            if protocol not in (PLAIN, EXCLUSIVE):
                kernel_made = scope == _LINK_LOCAL or link.name == "lo"
                if kernel_made or not (netns.startswith(OURS) or is_ours(netns, link)):
                    continue
            raw = found.get(_LOCAL) or found.get(_ADDRESS, b"")
            cidr = f"{ipaddress.ip_address(raw)}/{length}"
            rows.append(row(Address(exclusive=protocol == EXCLUSIVE), netns, link.name, cidr, origin=""))
        return rows

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Remove, then add and announce."""
        failed = []
        for operation in sorted(operations, key=lambda operation: operation.new is not None):
            try:
                self._apply(operation)
            except OSError as error:
                known = operation.new or operation.old
                reason = f"address {operation.id.key[2]} on {operation.id.key[1]}: {error.strerror or error}"
                failed.append(Failed(operation.id, known.origin if known else "", reason))
        return failed

    def _apply(self, operation: Operation) -> None:
        netns, dev, cidr = operation.id.key
        interface = ipaddress.ip_interface(cidr)
        raw = interface.ip.packed
        family = _INET if interface.version == 4 else _INET6
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            if operation.new is None:
                return
            raise
        link = ln.find(namespace, dev)
        if operation.old is not None and link is not None:
            self.writes += 1
            body = _IFADDR.pack(family, interface.network.prefixlen, 0, 0, link.number) + nl.attr(_LOCAL, raw)
            try:
                namespace.route.request(DELADDR, 0, body + nl.attr(_ADDRESS, raw))
            except nl.NetlinkError as error:
                if error.errno not in (99, 19):
                    raise
        if operation.old is not None and operation.new is None:
            old = operation.old.value
            if isinstance(old, Address) and old.exclusive:
                self._cut(namespace, str(interface.ip))
        if operation.new is None:
            return
        index = ln.index_of(namespace, dev) if link is None else link.number
        value = operation.new.value
        assert isinstance(value, Address)
        self.writes += 1
        body = _IFADDR.pack(family, interface.network.prefixlen, 0, 0, index) + nl.attr(_LOCAL, raw)
        body += nl.attr(_ADDRESS, raw) + nl.attr(_FLAGS, _NODAD)
        body += nl.attr(_PROTOCOL, bytes([EXCLUSIVE if value.exclusive else PLAIN]))
        namespace.route.request(NEWADDR, nl.CREATE | nl.REPLACE, body)
        if value.announce and link is not None:
            announce(namespace, link, interface.ip)
