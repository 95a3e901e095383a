"""Rows that are links: bridge, veth, tap, vxlan, and member (an interface of the operator's in a bridge of ours).

All five are read from one dump of the links of a namespace, and from the notices that the kernel sends of single
links, so that one changed link never costs reading a thousand.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable, Sequence

from kaon.engines.base import Fact, Failed, Operation, Scope
from kaon.engines.linux import link as ln
from kaon.engines.linux.link import Link
from kaon.engines.linux.namespaces import OURS, MissingNamespaceError, Namespace, Namespaces
from kaon.engines.linux.netlink import Message, NetlinkError
from kaon.rows import Bridge, Member, NeighbourProxy, RateLimit, Route, Row, RowId, Tap, Value, Veth, Vxlan, row

_EEXIST, _ENODEV, _ENOENT = 17, 19, 2
_DAMAGED = -1
"""An MTU that no desired row has: the row exists and differs."""
_TOGETHER = 4
"""From how many links on removal goes by group."""
_DOOMED = 0x6B616F6E
"""The link group of what is about to be removed."""
_TUNSETIFF, _TUNSETPERSIST, _TUNSETOWNER = 0x400454CA, 0x400454CB, 0x400454CC
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR, _IFF_TUN_EXCL = 0x2, 0x1000, 0x4000, 0x8000


class LinkManager:
    """Rows of the tables that are links."""

    tables = frozenset({Bridge.table, Veth.table, Tap.table, Vxlan.table, Member.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._seen: dict[str, dict[int, Link]] = {}
        self.writes = 0

    # ------------------------------------------------------------ reading

    def read(self) -> list[Row]:
        """The links of ours in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """The links of ours in one namespace; none when it does not exist."""
        try:
            links = ln.dump(self._namespaces.get(netns))
        except MissingNamespaceError:
            self._seen.pop(netns, None)
            return []
        seen = self._seen[netns] = {link.number: link for link in links.values()}
        far: dict[str, dict[str, Link]] = {netns: links}
        return [found for link in links.values() if (found := self._row(netns, link, seen, far)) is not None]

    def news(self, netns: str, messages: Sequence[Message]) -> tuple[list[Fact], set[Scope], set[str]]:
        """What notices about links of a namespace mean for rows, and the names of links that are new."""
        seen = self._seen.get(netns)
        if seen is None:
            return [], {Scope(table, netns) for table in self.tables}, set()
        facts: dict[RowId, Fact] = {}
        scopes: set[Scope] = set()
        made: set[str] = set()
        for message in messages:
            if message.kind not in (ln.NEWLINK, ln.DELLINK) or message.body[0] != 0:
                # Family AF_BRIDGE tells of bridge ports, which the link's own message tells as well.
                continue
            link = ln.parse(message.body)
            before = seen.pop(link.number, None)
            if message.kind == ln.NEWLINK:
                seen[link.number] = link
            if message.kind == ln.NEWLINK and link == before:
                continue
            for one in {before, link} - {None}:
                assert one is not None
                if one.alias.startswith(ln.FAR):
                    near = one.alias.removeprefix(ln.FAR).partition("/")[0]
                    scopes.add(Scope(Veth.table, near))
            if link.kind == "ifb" and link.ours:
                scopes.add(Scope(RateLimit.table, netns))
            if message.kind == ln.NEWLINK and (before is None or before.name != link.name):
                made.add(link.name)
            if before is not None and before.up and (message.kind == ln.DELLINK or not link.up):
                # The kernel drops IPv4 routes and proxies of a link that goes down and says nothing of it.
                scopes |= {Scope(Route.table, netns), Scope(NeighbourProxy.table, netns)}
            if before is not None and (gone := self._row(netns, before, seen, {})) is not None:
                facts[gone.id] = Fact(gone.id, None)
            if message.kind == ln.NEWLINK and (now := self._row(netns, link, seen, {})) is not None:
                facts[now.id] = Fact(now.id, now)
        return list(facts.values()), scopes, made

    def _row(self, netns: str, link: Link, seen: dict[int, Link], far: dict[str, dict[str, Link]]) -> Row | None:
        master = seen.get(link.master)
        if not link.ours:
            # The far end of a veth pair of ours may be in a bridge of the operator's: a patch between two bridges.
            patch = link.alias.startswith(ln.FAR)
            if master is None or master.kind != "bridge" or not (master.ours or patch):
                return None
            return row(Member(master=master.name), netns, link.name)
        words = link.words
        mtu = link.mtu if link.up and link.fit else _DAMAGED
        name = "" if master is None else master.name
        value: Value
        if link.kind == "bridge":
            value = Bridge(mtu=mtu)
        elif link.kind == "tun":
            value = Tap(mtu=mtu, master=name, owner_uid=link.owner)
        elif link.kind == "vxlan":
            value = Vxlan(vni=link.vni, local=link.local, mtu=mtu, master=name)
        elif link.kind == "veth" and len(words) == 5:
            owned = words[4] == "owned"
            if owned and not self._far_end_fits(words, link.mtu, far):
                mtu = _DAMAGED
            value = Veth(
                peer_netns=words[1], peer_name=words[2], peer_mac=words[3], mtu=mtu, master=name, peer_owned=owned
            )
        else:
            return None
        return row(value, netns, link.name, origin=words[0])

    def _far_end_fits(self, words: Sequence[str], mtu: int, far: dict[str, dict[str, Link]]) -> bool:
        netns, name, mac = words[1:4]
        try:
            namespace = self._namespaces.get(netns)
            link = far[netns].get(name) if netns in far else ln.find(namespace, name)
        except OSError:
            return False
        return link is not None and link.up and link.mtu == mtu and (not mac or link.mac == mac)

    # ------------------------------------------------------------ applying

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Remove, then make and change, bridges before what goes into them."""
        failed = []
        gone = self._remove_together(operations)
        for operation in sorted(operations, key=_order):
            if operation.id in gone:
                continue
            try:
                self._apply(operation)
            except OSError as error:
                known = operation.new or operation.old
                reason = f"{operation.id.table} {operation.id.key[1]}: {error.strerror or error}"
                failed.append(Failed(operation.id, known.origin if known else "", reason))
        return failed

    def _remove_together(self, operations: Sequence[Operation]) -> set[RowId]:
        """Remove links in bulk where there are several, since the kernel waits some milliseconds for each alone."""
        by_netns: dict[str, list[Operation]] = {}
        for operation in operations:
            if operation.new is None and operation.id.table != Member.table:
                by_netns.setdefault(operation.id.key[0], []).append(operation)
        gone: set[RowId] = set()
        for netns, mine in by_netns.items():
            try:
                namespace = self._namespaces.get(netns)
                links = ln.dump(namespace) if len(mine) >= _TOGETHER else {}
            except OSError:
                continue
            marked = [operation.id for operation in mine if (it := links.get(operation.id.key[1])) and it.ours]
            for start in range(0, len(marked), 256):
                part = marked[start : start + 256]
                errors = namespace.route.requests([ln.put_in_group(row_id.key[1], _DOOMED) for row_id in part])
                self.writes += 1
                if not any(errors) and namespace.route.requests([ln.delete_group(_DOOMED)]) == [None]:
                    gone.update(part)
        return gone

    def _apply(self, operation: Operation) -> None:
        netns, name = operation.id.key
        if operation.new is None:
            try:
                namespace = self._namespaces.get(netns)
            except MissingNamespaceError:
                return
            self._remove(namespace, name, release=operation.id.table == Member.table)
            return
        namespace = self._namespaces.get(netns)
        value, origin = operation.new.value, operation.new.origin
        if isinstance(value, Bridge):
            self._bridge(namespace, name, value, origin)
        elif isinstance(value, Veth):
            self._veth(namespace, name, value, origin, operation.old)
        elif isinstance(value, Tap):
            self._tap(namespace, name, value, origin)
        elif isinstance(value, Vxlan):
            self._vxlan(namespace, name, value, origin)
        elif isinstance(value, Member):
            self.writes += 1
            index = ln.index_of(namespace, name)
            namespace.route.request(*ln.enslave(index, ln.index_of(namespace, value.master)))

    def _remove(self, namespace: Namespace, name: str, *, release: bool = False) -> None:
        found = ln.find(namespace, name)
        if found is None or (not found.ours and not release):
            return
        self.writes += 1
        try:
            if release:
                namespace.route.request(*ln.enslave(found.number, 0))
            else:
                namespace.route.request(*ln.delete(name))
        except NetlinkError as error:
            if error.errno not in (_ENODEV, _ENOENT):
                raise

    def _send(self, namespace: Namespace, *requests: ln.Request) -> None:
        self.writes += 1
        for error in namespace.route.requests(requests):
            if error is not None:
                raise error

    def _clear(self, namespace: Namespace, name: str) -> None:
        """Make room for a link of that name, taking away only what is ours."""
        found = ln.find(namespace, name)
        if found is None:
            return
        if not (found.ours or found.alias.startswith(ln.FAR)):
            where = f"namespace {namespace.name}" if namespace.name else "the agent's namespace"
            raise OSError(_EEXIST, f"{where} has an interface {name} that is not Kaon's: rename or remove it")
        self._send(namespace, ln.delete(name))

    def _bridge(self, namespace: Namespace, name: str, value: Bridge, origin: str) -> None:
        found = ln.find(namespace, name)
        if found is None or not found.ours or found.kind != "bridge":
            self._clear(namespace, name)
            self._send(namespace, ln.create_bridge(name, value.mtu))
        else:
            self._send(namespace, ln.change_bridge(name))
        # The host must take no address from what tenants say on its bridge. Before it is up, so there is no gap.
        with namespace.entered():
            try:
                with open(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6", "w") as file:  # noqa: PTH123
                    file.write("1")
            except FileNotFoundError:
                pass
        self._send(namespace, ln.settle(name, _alias(origin), mtu=value.mtu), ln.bring_up(name))

    def _veth(self, namespace: Namespace, name: str, value: Veth, origin: str, old: Row | None) -> None:
        peer = self._namespaces.get(value.peer_netns)
        ownership = "owned" if value.peer_owned else "tenant"
        alias = _alias(origin, value.peer_netns, value.peer_name, value.peer_mac, ownership)
        master = ln.index_of(namespace, value.master) if value.master else 0
        near = ln.settle(name, alias, mtu=value.mtu, master=master), ln.bring_up(name)
        found = ln.find(namespace, name)
        if found is not None and found.ours and found.words[1:] == alias.split(" ")[1:]:
            far = ln.find(peer, value.peer_name)
            if far is not None or not value.peer_owned:
                self._send(namespace, *near)
                if far is not None:
                    self._settle_far_end(peer, namespace, name, value)
                return
        self._clear(namespace, name)
        # The far end of a patch between two bridges is the host's own, and gets no address on its way up.
        patch = peer is namespace
        made = ln.create_veth(name, value.mtu, peer, value.peer_name, value.peer_mac, up=not patch)
        try:
            self._send(namespace, made, *near)
        except NetlinkError as error:
            if error.errno != _EEXIST:
                raise
            if not value.peer_owned:
                where = f"namespace {value.peer_netns}"
                raise OSError(
                    _EEXIST,
                    f"interface {value.peer_name} exists already in {where}: remove it or attach under another name",
                ) from None
            self._clear(peer, value.peer_name)
            self._send(namespace, made, *near)
        if value.peer_owned:
            self._settle_far_end(peer, namespace, name, value)

    def _settle_far_end(self, peer: Namespace, namespace: Namespace, name: str, value: Veth) -> None:
        alias = f"{ln.FAR}{namespace.name}/{name}" if value.peer_owned else None
        quiet = peer is namespace
        request = ln.settle(value.peer_name, alias, mtu=value.mtu, mac=value.peer_mac, quiet=quiet)
        self._send(peer, request, ln.bring_up(value.peer_name))

    def _tap(self, namespace: Namespace, name: str, value: Tap, origin: str) -> None:
        found = ln.find(namespace, name)
        if found is None or not found.ours or found.kind != "tun" or found.owner != value.owner_uid or not found.fit:
            self._clear(namespace, name)
            self.writes += 1
            with namespace.entered():
                _make_tap(name, value.owner_uid)
        master = ln.index_of(namespace, value.master) if value.master else 0
        self._send(namespace, ln.settle(name, _alias(origin), mtu=value.mtu, master=master), ln.bring_up(name))

    def _vxlan(self, namespace: Namespace, name: str, value: Vxlan, origin: str) -> None:
        found = ln.find(namespace, name)
        held = None if found is None or not found.ours else (found.kind, found.vni, found.local, found.fit)
        if held != ("vxlan", value.vni, value.local, True):
            self._clear(namespace, name)
            self._send(namespace, ln.create_vxlan(name, value.vni, value.local, value.mtu))
        master = ln.index_of(namespace, value.master)
        settled = ln.settle(name, _alias(origin), mtu=value.mtu, master=master)
        self._send(namespace, settled, ln.settle_tunnel_port(name), ln.bring_up(name))


def _make_tap(name: str, owner_uid: int) -> None:
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise OSError(error.errno, f"cannot open /dev/net/tun ({error.strerror}): taps need it readable") from None
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_TUN_EXCL
        fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        if owner_uid >= 0:
            fcntl.ioctl(device, _TUNSETOWNER, owner_uid)
        fcntl.ioctl(device, _TUNSETPERSIST, 1)
    finally:
        os.close(device)


def _alias(origin: str, *words: str) -> str:
    alias = ln.MARK + " ".join((origin.replace(" ", "_"), *words))
    if len(alias.encode()) > ln.ALIAS_BYTES or any(" " in word for word in words):
        raise OSError(22, f"names too long or with spaces for the alias that marks the link: {alias!r}")
    return alias


_RANK = {Bridge.table: 0, Veth.table: 1, Tap.table: 1, Vxlan.table: 1, Member.table: 2}


def _order(operation: Operation) -> tuple[bool, int]:
    rank = _RANK[operation.id.table]
    return (True, rank) if operation.new is not None else (False, -rank)


def is_ours(netns: str, link: Link) -> bool:
    """Whether what is configured on a link is ours to change: all of it in our namespaces, else on links of ours."""
    return netns.startswith(OURS) or link.ours or link.alias.startswith(ln.FAR)
