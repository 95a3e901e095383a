"""Established connections as ctnetlink tells of them, and their deletion when what admitted them is gone.

Formats: linux/netfilter/nfnetlink_conntrack.h. A deletion names the original tuple, the zone and, where it is known,
the kernel's own id of the connection, so that a newer connection with the same tuple is not hit.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from kaon.engines.linux import netlink as nl
from kaon.engines.linux.namespaces import Namespace

_GET, _DELETE = (1 << 8) | 1, (1 << 8) | 2
_TUPLE_ORIG, _TUPLE_REPLY, _ID, _ZONE = 1, 2, 12, 18
_IP, _PROTO = 1, 2
_ICMP = frozenset({1, 58})
_GONE = 2


class Connection(NamedTuple):
    """One connection as its originator sent it; `answered_by` is the reply's source, another address behind NAT.

    Addresses are packed. For ICMP the ports are type and code. `handle` is how ctnetlink names it, where that told it.
    """

    family: int
    zone: int
    protocol: int
    source: bytes
    destination: bytes
    source_port: int
    destination_port: int
    answered_by: bytes
    answered_to: bytes
    icmp_id: int = 0
    handle: bytes = b""


def dump(namespace: Namespace, zones: Collection[int] | None = None, family: int = 0) -> Iterator[Connection]:
    """Connections of a namespace, in some zones or in all, of one address family (AF_INET, AF_INET6) or of both.

    The kernel locks every bucket of the machine's hash table in turn for it: with the 262,144 that are usual that
    takes 9 ms however few connections there are. It filters by zone itself since Linux 6.8.
    """
    only = b""
    if zones is not None and len(zones) == 1:
        only = nl.attr(_ZONE, struct.pack("!H", *zones))
    for body in _socket(namespace).dump(_GET, struct.pack("!BBH", family, 0, 0) + only):
        found = _parse(body)
        if found is not None and (zones is None or found.zone in zones):
            yield found


def delete(namespace: Namespace, gone: Iterable[Connection]) -> int:
    """Delete connections; those that ended by themselves are fine. Returns how many there were."""
    batch = [(_DELETE, 0, struct.pack("!BBH", item.family, 0, 0) + (item.handle or _handle(item))) for item in gone]
    for start in range(0, len(batch), 256):
        for error in _socket(namespace).requests(batch[start : start + 256]):
            if error is not None and error.errno != _GONE:
                raise error
    return len(batch)


def _handle(item: Connection) -> bytes:
    """What names a connection in a deletion, when the kernel's number of it is not known.

    A newer connection of the same tuple is hit as well, but no policy tells the two apart.
    """
    first = 1 if item.family == socket.AF_INET else 3
    addresses = nl.attr(first, item.source) + nl.attr(first + 1, item.destination)
    transport = nl.attr(1, bytes([item.protocol]))
    if item.protocol in _ICMP:
        kind = _icmp_attributes(item.protocol)
        transport += nl.attr(kind, struct.pack("!H", item.icmp_id))
        transport += nl.attr(kind + 1, bytes([item.source_port])) + nl.attr(kind + 2, bytes([item.destination_port]))
    else:
        transport += nl.attr(2, struct.pack("!H", item.source_port))
        transport += nl.attr(3, struct.pack("!H", item.destination_port))
    tuple_ = nl.nest(_TUPLE_ORIG, nl.nest(_IP, addresses), nl.nest(_PROTO, transport))
    return tuple_ + (nl.attr(_ZONE, struct.pack("!H", item.zone)) if item.zone else b"")


def _icmp_attributes(protocol: int) -> int:
    """The first of the attributes id, type and code: 4, 5, 6 of ICMP and 7, 8, 9 of ICMPv6."""
    return 4 if protocol == 1 else 7


def _socket(namespace: Namespace) -> nl.NetlinkSocket:
    kept = namespace.kept.get("conntrack")
    if not isinstance(kept, nl.NetlinkSocket):
        with namespace.entered():
            kept = namespace.kept["conntrack"] = nl.NetlinkSocket(nl.NETLINK_NETFILTER)
    return kept


def _parse(body: bytes) -> Connection | None:
    found = nl.attrs(body, 4)
    original, reply = found.get(_TUPLE_ORIG), found.get(_TUPLE_REPLY)
    if original is None or reply is None:
        return None
    parts = nl.attrs(original)
    addresses, transport = nl.attrs(parts.get(_IP, b"")), nl.attrs(parts.get(_PROTO, b""))
    back = nl.attrs(nl.attrs(reply).get(_IP, b""))
    source, destination = addresses.get(1) or addresses.get(3), addresses.get(2) or addresses.get(4)
    protocol = transport.get(1, b"\0")[0]
    if source is None or destination is None:
        return None
    icmp_id = 0
    if protocol in _ICMP:
        kind = _icmp_attributes(protocol)
        icmp_id = _port(transport.get(kind))
        ports = transport.get(kind + 1, b"\0")[0], transport.get(kind + 2, b"\0")[0]
    else:
        ports = _port(transport.get(2)), _port(transport.get(3))
    zone = found.get(_ZONE, b"")
    handle = nl.attr(_TUPLE_ORIG | nl.NESTED, original)
    if zone:
        handle += nl.attr(_ZONE, zone)
    if _ID in found:
        handle += nl.attr(_ID, found[_ID])
    return Connection(
        body[0],
        int.from_bytes(zone, "big"),
        protocol,
        source,
        destination,
        *ports,
        back.get(1) or back.get(3) or b"",
        back.get(2) or back.get(4) or b"",
        icmp_id,
        handle,
    )


def _port(raw: bytes | None) -> int:
    return int.from_bytes(raw or b"", "big")
