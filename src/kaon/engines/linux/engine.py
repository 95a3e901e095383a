"""The linux engine: its managers composed in the order in which things depend on each other.

A pass goes down the list below once. The new packet filter is in place before a new link comes up, and a link goes
before the namespace that it is in.
"""

from __future__ import annotations

import select
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from kaon.engines.base import Fact, Failed, Manager, Operation, Scope
from kaon.engines.linux.acl import AclManager, arrives
from kaon.engines.linux.addresses import AddressManager
from kaon.engines.linux.connections import delete_by_destination, delete_of_address
from kaon.engines.linux.links import LinkManager
from kaon.engines.linux.namespaces import OURS, Namespaces, NetnsManager
from kaon.engines.linux.neighbours import NeighbourManager
from kaon.engines.linux.nftables import NftablesManager
from kaon.engines.linux.proxies import NeighbourProxyManager
from kaon.engines.linux.rate_limits import RateLimitManager
from kaon.engines.linux.routes import RouteManager
from kaon.engines.linux.sysctl import SysctlManager
from kaon.engines.linux.watch import NamespaceWatch, NameWatch
from kaon.rows import Netns, RateLimit, Row, RowId, Sysctl, Tap, Veth

_IN_NAMESPACES = (
    LinkManager,
    NeighbourManager,
    AddressManager,
    RouteManager,
    NeighbourProxyManager,
    SysctlManager,
    RateLimitManager,
    NftablesManager,
)
"""Managers that read one namespace at a time."""
Apply = Callable[[Sequence[Operation]], list[Failed]]


class _Counting(Manager, Protocol):
    writes: int


class LinuxEngine:
    """Rows of one host in its kernel. Make and use it on one thread. Raises OSError when netlink is not to be had.

    `extra` are managers of services (dnsmasq …): applied last, their removals first. `watch` false leaves outside
    changes to audits.
    """

    def __init__(self, extra: Sequence[Manager] = (), *, watch: bool = True) -> None:
        self._namespaces = Namespaces()
        self._netns = NetnsManager(self._namespaces)
        self._links = LinkManager(self._namespaces)
        self._neighbours = NeighbourManager(self._namespaces)
        self._addresses = AddressManager(self._namespaces, delete_of_address)
        self._routes = RouteManager(self._namespaces)
        self._proxies = NeighbourProxyManager(self._namespaces)
        self._sysctls = SysctlManager(self._namespaces)
        self._rate_limits = RateLimitManager(self._namespaces)
        self._nft = NftablesManager(self._namespaces, delete_by_destination)
        self._acl = AclManager(self._namespaces)
        self._extra = tuple(extra)
        self._kernel: tuple[_Counting, ...] = (
            self._netns,
            self._links,
            self._neighbours,
            self._addresses,
            self._routes,
            self._proxies,
            self._sysctls,
            self._rate_limits,
            self._nft,
            self._acl,
        )
        self._all: tuple[Manager, ...] = (*self._kernel, *self._extra)
        self._managers = {table: manager for manager in self._all for table in manager.tables}
        self.tables = frozenset(self._managers)
        self._in_kernel_namespaces = frozenset(
            table for manager in self._kernel if isinstance(manager, _IN_NAMESPACES) for table in manager.tables
        )
        self._watching = watch
        self._epoll = select.epoll()
        self._names = NameWatch(self._epoll)

    @property
    def writes(self) -> int:
        """Messages sent to change the kernel, and files written, ever; services are not counted."""
        return sum(manager.writes for manager in self._kernel)

    # ------------------------------------------------------------ comparing and reading

    def canonical(self, item: Row) -> Row:
        """See the manager of the row's table."""
        manager = self._managers.get(item.id.table)
        if isinstance(manager, NftablesManager | AddressManager | RouteManager | SysctlManager | RateLimitManager):
            return manager.canonical(item)
        return item

    def canonical_id(self, row_id: RowId) -> RowId:
        """See the manager of the row's table."""
        manager = self._managers.get(row_id.table)
        if isinstance(manager, NftablesManager | AddressManager | RouteManager):
            return manager.canonical_id(row_id)
        return row_id

    def read(self, scopes: Sequence[Scope] | None = None) -> list[Row]:
        """All rows of ours, or those in the scopes. Watching starts before reading, so that nothing falls between."""
        if scopes is None:
            self._watch_all()
            return [found for manager in self._all for found in manager.read()]
        rows: list[Row] = []
        for manager, netns in dict.fromkeys((self._managers[scope.table], scope.netns) for scope in scopes):
            if isinstance(manager, _IN_NAMESPACES):
                found: Iterable[Row] = manager.read_in(netns)
            else:
                found = manager.read()
            rows += (item for item in found if any(scope.holds(item.id) for scope in scopes))
        return rows

    # ------------------------------------------------------------ applying

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Make the operations happen in dependency order."""
        dying = {
            operation.id.key[0]
            for operation in operations
            if operation.id.table == Netns.table and operation.new is None
        }
        left = [
            operation
            for operation in operations
            # What is in a namespace goes with it, but for links, whose other ends may be elsewhere.
            if not (
                operation.new is None
                and operation.id.key[0] in dying
                and operation.id.table in self._in_kernel_namespaces - {Veth.table, Tap.table}
            )
        ]
        failed: list[Failed] = []

        def step(apply: Apply, which: Callable[[Operation], bool]) -> None:
            mine = [operation for operation in left if which(operation)]
            if mine:
                failed.extend(apply(mine))

        def of(manager: Manager, *, new: bool | None = None) -> Callable[[Operation], bool]:
            def which(operation: Operation) -> bool:
                return operation.id.table in manager.tables and new in (None, operation.new is not None)

            return which

        for manager in reversed(self._extra):
            step(manager.apply, of(manager, new=False))
        step(self._netns.apply, of(self._netns, new=True))
        if any(operation.id.table == Netns.table and operation.new is not None for operation in operations):
            self._watch_all()
        step(self._sysctls.apply, lambda operation: operation.id.table == Sysctl.table and not _of_link(operation))
        step(self._nft.apply, of(self._nft))
        step(self._acl.apply, lambda operation: operation.id.table in self._acl.tables and not arrives(operation))
        step(self._routes.apply, of(self._routes, new=False))
        step(self._proxies.apply, of(self._proxies, new=False))
        step(self._addresses.apply, of(self._addresses, new=False))
        step(self._neighbours.apply, of(self._neighbours, new=False))
        step(self._links.apply, of(self._links))
        step(self._neighbours.apply, of(self._neighbours, new=True))
        step(self._rate_limits.apply, of(self._rate_limits))
        step(self._sysctls.apply, _of_link)
        step(self._addresses.apply, of(self._addresses, new=True))
        step(self._routes.apply, of(self._routes, new=True))
        step(self._proxies.apply, of(self._proxies, new=True))
        step(self._acl.apply, arrives)
        for manager in self._extra:
            step(manager.apply, of(manager, new=True))
        step(self._netns.apply, of(self._netns, new=False))
        return failed

    # ------------------------------------------------------------ watching

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """Outside changes since the last call."""
        facts: list[Fact] = []
        scopes, self._nft.stale = self._nft.stale, set()
        for name in self._names.names():
            self._namespaces.check(name)
            if name.startswith(OURS):
                # Whatever was in a namespace went with it.
                scopes |= {Scope(table, name) for table in (*self._netns.tables, *self._in_kernel_namespaces)}
        for namespace in self._namespaces.opened():
            watch = namespace.kept.get("watch")
            if not isinstance(watch, NamespaceWatch):
                continue
            messages, lost = watch.neighbours.news()
            if lost:
                scopes |= {Scope(table, watch.netns) for table in self._neighbours.tables}
            scopes |= self._neighbours.news(watch.netns, messages)
            messages, lost, more = watch.news()
            scopes |= more
            if lost:
                scopes |= {Scope(table, watch.netns) for table in self._links.tables}
            elif messages:
                known, more, made = self._links.news(watch.netns, messages)
                facts += known
                scopes |= more
                if any(self._sysctls.concerns(watch.netns, name) for name in made):
                    # A link that is made anew has none of the settings of the one before it.
                    scopes.add(Scope(Sysctl.table, watch.netns))
                if any(self._rate_limits.concerns(watch.netns, name) for name in made):
                    scopes.add(Scope(RateLimit.table, watch.netns))
        return facts, scopes

    def fileno(self) -> int:
        """An epoll descriptor over all that is watched."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Close all descriptors; the kernel's objects stay."""
        self._names.close()
        self._namespaces.close()
        self._epoll.close()

    def _watch_all(self) -> None:
        if not self._watching:
            return
        for name in self._namespaces.names():
            namespace = self._namespaces.get(name)
            if "watch" not in namespace.kept:
                port = self._nft.context(namespace).port
                namespace.kept["watch"] = NamespaceWatch(namespace, port, self._epoll)
                # What notices are compared with.
                self._links.read_in(name)


def _of_link(operation: Operation) -> bool:
    """Whether the operation is about a setting of a single interface, which must exist first."""
    if operation.id.table != Sysctl.table:
        return False
    parts = operation.id.key[1].split("/")
    return len(parts) > 3 and parts[2] in ("conf", "neigh") and parts[3] not in ("all", "default")
