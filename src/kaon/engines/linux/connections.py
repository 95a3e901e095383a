"""Established connections of a namespace, from whatever tells of them sooner, and those of an address cut.

/proc/net/nf_conntrack is text, but the kernel walks its hash table for it without locks: 0.2 ms where ctnetlink takes
9, for few connections. Kernels built without it (CONFIG_NF_CONNTRACK_PROCFS) are asked by ctnetlink, and those that
show it to the machine's root only, whose user namespace this is not (`unshare -Urn` makes such ones).
"""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Collection, Iterator

from kaon.engines.linux import conntrack
from kaon.engines.linux import netlink as nl
from kaon.engines.linux.conntrack import Connection
from kaon.engines.linux.namespaces import Namespace

_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_LINE = re.compile(
    r"(?P<family>ipv[46])\s+\d+ \S+\s+(?P<protocol>\d+) .*?"
    r"src=(?P<source>\S+) dst=(?P<destination>\S+) "
    r"(?:(?:sport|srckey)=(?P<source_port>\w+) (?:dport|dstkey)=(?P<destination_port>\w+) "
    r"|type=(?P<type>\d+) code=(?P<code>\d+) id=(?P<id>\d+) )?"
    r".*?src=(?P<answered_by>\S+) dst=(?P<answered_to>\S+) .*?(?:\bzone=(?P<zone>\d+) |$)"
)
"""What seq_print_acct and ct_seq_show of net/netfilter/nf_conntrack_standalone.c write; the reply comes second."""


def connections(namespace: Namespace, zones: Collection[int] | None = None, family: int = 0) -> Iterator[Connection]:
    """Connections of a namespace, in some zones or in all, of one address family (AF_INET, AF_INET6) or of both."""
    with namespace.entered():
        try:
            with open("/proc/thread-self/net/nf_conntrack") as file:  # noqa: PTH123 (on the path of a change of policy)
                text = file.read()
        except (FileNotFoundError, PermissionError):
            text = None
    if text is None:
        yield from conntrack.dump(namespace, zones, family)
        return
    for line in text.splitlines():
        found = parse(line)
        if found is not None and (zones is None or found.zone in zones) and family in (0, found.family):
            yield found


def parse(line: str) -> Connection | None:
    """A connection from its line in /proc/net/nf_conntrack; None for one that is in another form."""
    found = _LINE.match(line)
    if found is None:
        return None
    family = _FAMILIES[found["family"]]
    protocol, zone = int(found["protocol"]), int(found["zone"] or 0)
    source, destination, answered_by, answered_to = (
        socket.inet_pton(family, found[name]) for name in ("source", "destination", "answered_by", "answered_to")
    )
    transport = nl.attr(1, bytes([protocol]))
    ports = 0, 0
    if found["type"]:
        ports = int(found["type"]), int(found["code"])
        # Attributes 4, 5, 6 are id, type and code of ICMP, and 7, 8, 9 those of ICMPv6.
        first = 4 if family == socket.AF_INET else 7
        transport += nl.attr(first, struct.pack("!H", int(found["id"])))
        transport += nl.attr(first + 1, bytes([ports[0]])) + nl.attr(first + 2, bytes([ports[1]]))
    elif found["source_port"]:
        ports = int(found["source_port"], 0), int(found["destination_port"], 0)
        transport += nl.attr(2, struct.pack("!H", ports[0])) + nl.attr(3, struct.pack("!H", ports[1]))
    return Connection(
        family,
        zone,
        protocol,
        source,
        destination,
        *ports,
        answered_by,
        answered_to,
        conntrack.handle(family, zone, source, destination, transport),
    )


def delete_of_address(namespace: Namespace, address: str) -> int:
    """Delete the connections that name an address in either direction; returns how many."""
    known = ipaddress.ip_address(address)
    packed, family = known.packed, socket.AF_INET if known.version == 4 else socket.AF_INET6
    return conntrack.delete(
        namespace,
        [
            item
            for item in connections(namespace, family=family)
            if packed in (item.source, item.destination, item.answered_by, item.answered_to)
        ],
    )
