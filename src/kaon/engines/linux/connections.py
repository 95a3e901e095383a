"""Established connections of a namespace, from whatever tells of them sooner, and those of an address cut.

/proc/net/nf_conntrack is text, but the kernel walks its hash table for it without locks: 0.2 ms where ctnetlink takes
9, for few connections. Kernels built without it (CONFIG_NF_CONNTRACK_PROCFS) are asked by ctnetlink, and those that
show it to the machine's root only, whose user namespace this is not (`unshare -Urn` makes such ones).
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

from kaon.engines.linux import conntrack
from kaon.engines.linux.conntrack import Connection
from kaon.engines.linux.namespaces import Namespace

_FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}
_LINE = re.compile(
    r"(ipv[46])\s+\d+ \S+\s+(\d+) .*?"
    r"src=(\S+) dst=(\S+) (?:(?:sport|srckey)=(\w+) (?:dport|dstkey)=(\w+) |type=(\d+) code=(\d+) id=(\d+) )?"
    r".*?src=(\S+) dst=(\S+) "
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
        if zones is not None and _zone(line) not in zones:
            continue
        found = parse(line)
        if found is not None and family in (0, found.family):
            yield found


def parse(line: str) -> Connection | None:
    """A connection from its line in /proc/net/nf_conntrack; None for one that is in another form."""
    found = _LINE.match(line)
    if found is None:
        return None
    family, protocol, source, destination, first, second, kind, code, icmp_id, answered_by, answered_to = found.groups()
    number = _FAMILIES[family]
    ports = (int(first, 0), int(second, 0)) if first else (int(kind or 0), int(code or 0))
    return Connection(
        number,
        _zone(line),
        int(protocol),
        socket.inet_pton(number, source),
        socket.inet_pton(number, destination),
        *ports,
        socket.inet_pton(number, answered_by),
        socket.inet_pton(number, answered_to),
        int(icmp_id or 0),
    )


def _zone(line: str) -> int:
    """The zone of a line; kernels that know no zones write none."""
    start = line.rfind(" zone=")
    return int(line[start + 6 :].partition(" ")[0]) if start >= 0 else 0


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


def delete_by_destination(namespace: Namespace, destinations: Mapping[str, str]) -> int:
    """Delete connections to destinations, but for those that the address answers that a destination is mapped to.

    A destination is nft text in canonical form, ``203.0.113.5 . 6 . 8000-8010``; an empty address answers nothing.
    Returns how many there were.
    """
    led: dict[tuple[bytes, int], list[tuple[int, int, bytes]]] = defaultdict(list)
    for destination, answers in destinations.items():
        address, protocol, ports = destination.split(" . ")
        first, _, last = ports.partition("-")
        kept = ipaddress.ip_address(answers).packed if answers else b""
        led[ipaddress.ip_address(address).packed, int(protocol)].append((int(first), int(last or first), kept))
    return conntrack.delete(
        namespace,
        [
            item
            for item in connections(namespace)
            if any(
                first <= item.destination_port <= last and item.answered_by != kept
                for first, last, kept in led.get((item.destination, item.protocol), ())
            )
        ],
    )
