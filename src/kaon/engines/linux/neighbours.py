"""Rows of the tables fdb and neigh: where a tunnel sends frames, and the MAC address behind an IP address.

Both are neighbours to the kernel (linux/neighbour.h). An fdb row has two halves: an entry of the VXLAN device, which
names the remote endpoint, and one of its bridge, which is sticky, so that no port can draw the address to itself.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from kaon.engines.base import Failed, Operation, Scope
from kaon.engines.linux import link as ln
from kaon.engines.linux import netlink as nl
from kaon.engines.linux.links import is_ours
from kaon.engines.linux.namespaces import MissingNamespaceError, Namespace, Namespaces
from kaon.rows import Fdb, Neigh, Row, row

NEWNEIGH, DELNEIGH, GETNEIGH = 28, 29, 30
FLOOD = "00:00:00:00:00:00"
_DST, _LLADDR, _MASTER = 1, 2, 9
_NDMSG = struct.Struct("=BxxxiHBB")
_SELF, _TO_MASTER, _STICKY = 0x02, 0x04, 0x40
_REACHABLE, _NOARP, _PERMANENT = 0x02, 0x40, 0x80
_APPEND = 0x800
_AF_BRIDGE = 7
_TOGETHER = 256
"""Messages sent in one go."""
_GONE = (2, 19, 99)
"""Error numbers that mean that what is to be removed is not there."""


class Entry(NamedTuple):
    """One neighbour of the kernel's: of a bridge (`remote` empty), of a VXLAN device, or (`mac` apart) of IP."""

    family: int
    device: int
    address: str
    remote: str = ""


class NeighbourManager:
    """Rows of the tables fdb and neigh."""

    tables = frozenset({Fdb.table, Neigh.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._held: dict[str, dict[Entry, str]] = {}
        """Entries of ours by namespace, with the MAC address of each: what notices are compared with."""
        self.writes = 0

    # ------------------------------------------------------------ reading

    def read(self) -> list[Row]:
        """Entries in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """Entries of VXLAN devices of ours, and lasting neighbours of interfaces of ours, in one namespace."""
        self._held.pop(netns, None)
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError:
            return []
        links = {link.number: link for link in ln.dump(namespace).values() if is_ours(netns, link)}
        held: dict[Entry, str] = {}
        bodies = namespace.route.dump(GETNEIGH, _NDMSG.pack(0, 0, 0, 0, 0))
        if any(link.kind == "vxlan" for link in links.values()):
            bodies += namespace.route.dump(GETNEIGH, _NDMSG.pack(_AF_BRIDGE, 0, 0, 0, 0))
        for body in bodies:
            entry, mac, lasting = _parse(body)
            link = links.get(entry.device)
            if link is not None and lasting and (entry.family != _AF_BRIDGE or link.kind == "vxlan"):
                held[entry] = mac
        self._held[netns] = held
        return list(_rows(netns, {number: link.name for number, link in links.items()}, held))

    def news(self, netns: str, messages: Sequence[nl.Message]) -> set[Scope]:
        """What must be read again because of notices; those of what the engine did itself say nothing new."""
        held = self._held.get(netns, {})
        tunnels = {entry.device for entry in held if entry.family == _AF_BRIDGE}
        for message in messages:
            if message.kind not in (NEWNEIGH, DELNEIGH):
                continue
            entry, mac, lasting = _parse(message.body)
            known = held.get(entry)
            if message.kind == DELNEIGH:
                changed = known is not None
            elif known is not None:
                changed = not lasting or known != mac
            else:
                # What a bridge learns on its other ports, and what IP finds out, is no matter of ours.
                changed = lasting and (entry.family != _AF_BRIDGE or entry.device in tunnels)
            if changed:
                return {Scope(table, netns) for table in self.tables}
        return set()

    # ------------------------------------------------------------ applying

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Remove, then make and change, many messages at a time."""
        failed: list[Failed] = []
        ordered = sorted(operations, key=lambda operation: (operation.new is not None, operation.id.key[0]))
        for start in range(0, len(ordered), _TOGETHER):
            part = ordered[start : start + _TOGETHER]
            for netns in dict.fromkeys(operation.id.key[0] for operation in part):
                failed += self._apply(netns, [each for each in part if each.id.key[0] == netns])
        return failed

    def _apply(self, netns: str, operations: Sequence[Operation]) -> list[Failed]:
        try:
            namespace = self._namespaces.get(netns)
        except MissingNamespaceError as error:
            return [_failure(each, error) for each in operations if each.new is not None]
        held = self._held.setdefault(netns, {})
        indexes: dict[str, int] = {}
        failed = []
        requests: list[tuple[Operation, ln.Request]] = []
        for operation in operations:
            dev = operation.id.key[1]
            try:
                if dev not in indexes:
                    indexes[dev] = _index(namespace, dev)
                if not indexes[dev]:
                    if operation.new is not None:
                        ln.index_of(namespace, dev)
                    continue
                requests += [(operation, each) for each in _requests(operation, indexes[dev], held)]
            except (OSError, ValueError) as error:
                failed.append(_failure(operation, error))
        if not requests:
            return failed
        self.writes += 1
        errors = namespace.route.requests([request for _, request in requests])
        for (operation, _), refusal in zip(requests, errors, strict=True):
            if refusal is not None and (operation.new is not None or refusal.errno not in _GONE):
                failed.append(_failure(operation, refusal))
        return list({each.id: each for each in failed}.values())


def _rows(netns: str, names: Mapping[int, str], held: Mapping[Entry, str]) -> Iterator[Row]:
    named = {entry._replace(remote="") for entry in held if entry.remote}
    for entry, mac in held.items():
        name = names[entry.device]
        if entry.family != _AF_BRIDGE:
            yield row(Neigh(mac), netns, name, entry.address)
        elif entry.remote:
            yield row(Fdb(entry._replace(remote="") in held), netns, name, entry.address, entry.remote)
        elif entry not in named:
            # Half of a row, which nobody can want.
            yield row(Fdb(), netns, name, entry.address, "")


def _index(namespace: Namespace, dev: str) -> int:
    found = ln.find(namespace, dev)
    return 0 if found is None else found.number


def _failure(operation: Operation, error: Exception) -> Failed:
    known = operation.new or operation.old
    what = " ".join(operation.id.key[2:])
    reason = f"{operation.id.table} {what} on {operation.id.key[1]}: {getattr(error, 'strerror', None) or error}"
    return Failed(operation.id, known.origin if known else "", reason)


def _requests(operation: Operation, index: int, held: dict[Entry, str]) -> list[ln.Request]:
    """The messages of an operation; what will be held afterwards is noted first, as the notices may come at once."""
    if operation.id.table == Neigh.table:
        return [_neighbour(operation, index, held)]
    _, _, mac, remote = operation.id.key
    make = operation.new is not None
    # One for all that has no row may have several remotes, each of the others has one.
    flags = (nl.CREATE | (_APPEND if mac == FLOOD else nl.REPLACE)) if make else 0
    requests = []
    for half, address in ((_SELF, remote), (_TO_MASTER, "")):
        wanted = bool(remote) if half == _SELF else _is_bridged(operation)
        if not wanted:
            continue
        entry = Entry(_AF_BRIDGE, index, mac, address)
        body = _NDMSG.pack(_AF_BRIDGE, index, _NOARP | _REACHABLE, half | (_STICKY if half != _SELF and make else 0), 0)
        body += nl.attr(_LLADDR, bytes.fromhex(mac.replace(":", "")))
        if address:
            body += nl.attr(_DST, ipaddress.ip_address(address).packed)
        requests.append((NEWNEIGH if make else DELNEIGH, flags, body))
        _note(held, entry, mac if make else None)
    return requests


def _is_bridged(operation: Operation) -> bool:
    known = operation.new or operation.old
    return known is not None and isinstance(known.value, Fdb) and known.value.bridged


def _neighbour(operation: Operation, index: int, held: dict[Entry, str]) -> ln.Request:
    address = ipaddress.ip_address(operation.id.key[2])
    family = 2 if address.version == 4 else 10
    entry = Entry(family, index, str(address))
    body = _NDMSG.pack(family, index, _PERMANENT, 0, 0) + nl.attr(_DST, address.packed)
    if operation.new is None:
        _note(held, entry, None)
        return DELNEIGH, 0, body
    value = operation.new.value
    assert isinstance(value, Neigh)
    _note(held, entry, value.mac)
    return NEWNEIGH, nl.CREATE | nl.REPLACE, body + nl.attr(_LLADDR, bytes.fromhex(value.mac.replace(":", "")))


def _note(held: dict[Entry, str], entry: Entry, mac: str | None) -> None:
    if mac is None:
        held.pop(entry, None)
    else:
        held[entry] = mac


def _parse(body: bytes) -> tuple[Entry, str, bool]:
    """An entry, its MAC address, and whether somebody set it for good (rather than that the kernel found it out)."""
    family, index, state, flags, _ = _NDMSG.unpack_from(body)
    found = nl.attrs(body, _NDMSG.size)
    mac = found.get(_LLADDR, b"").hex(":")
    raw = found.get(_DST, b"")
    address = str(ipaddress.ip_address(raw)) if len(raw) in (4, 16) else ""
    if family != _AF_BRIDGE:
        return Entry(family, index, address), mac, bool(state & _PERMANENT)
    if _MASTER in found and not flags & _SELF:
        # Permanent ones are the bridge's own and its ports' addresses.
        return Entry(family, index, mac), mac, bool(state & _NOARP) and not state & _PERMANENT
    return Entry(family, index, mac, address), mac, bool(address)
