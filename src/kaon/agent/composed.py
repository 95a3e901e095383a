"""One engine out of the kernel's and the services': services come last and go first, and follow their namespace."""

from __future__ import annotations

import select
from collections.abc import Iterable, Sequence
from typing import Protocol

from kaon.engines.base import Engine, Fact, Failed, Operation, Scope
from kaon.rows import Netns, Row, RowId


class Service(Protocol):
    """A manager of services in namespaces, which can be read in parts and may have news of its own."""

    tables: frozenset[str]

    def read(self, scopes: Sequence[Scope] | None = None) -> Iterable[Row]:
        """All rows that exist and are ours, or those of the scopes."""

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Make these operations happen; never raises for a single row."""

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """What changed since the last call, without waiting."""

    def fileno(self) -> int:
        """A descriptor that is readable when `changes` has something to say; -1 for none."""

    def close(self) -> None:
        """Release descriptors; what lives on its own stays."""


class ComposedEngine:
    """An engine over a kernel engine and services. Owns them all."""

    def __init__(self, kernel: Engine, services: Sequence[Service]) -> None:
        self._kernel = kernel
        self._services = tuple(services)
        self._by_table = {table: service for service in services for table in service.tables}
        self.tables = kernel.tables | frozenset(self._by_table)
        self._suspect: set[str] = set()
        self._epoll = select.epoll()
        for part in (kernel, *services):
            if part.fileno() >= 0:
                self._epoll.register(part.fileno(), select.EPOLLIN)

    @property
    def writes(self) -> int:
        """Changes made to the kernel."""
        return self._kernel.writes

    def canonical(self, row: Row) -> Row:
        """See the kernel engine; services take rows as they are."""
        return row if row.id.table in self._by_table else self._kernel.canonical(row)

    def canonical_id(self, row_id: RowId) -> RowId:
        """The same for an id."""
        return row_id if row_id.table in self._by_table else self._kernel.canonical_id(row_id)

    def read(self, scopes: Sequence[Scope] | None = None) -> Iterable[Row]:
        """All rows, or those of the scopes."""
        if scopes is None:
            return [*self._kernel.read(), *(item for service in self._services for item in service.read())]
        rows: list[Row] = []
        kernel = [scope for scope in scopes if scope.table not in self._by_table]
        if kernel:
            rows += self._kernel.read(kernel)
        for service in self._services:
            mine = [scope for scope in scopes if scope.table in service.tables]
            if mine:
                rows += service.read(mine)
        return rows

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Stop services, change the kernel, start services."""
        failed: list[Failed] = []
        for service in reversed(self._services):
            self._step(service, operations, failed, new=False)
        kernel = [operation for operation in operations if operation.id.table not in self._by_table]
        if kernel:
            failed += self._kernel.apply(kernel)
        for service in self._services:
            self._step(service, operations, failed, new=True)
        # A namespace that was made anew has none of the services that ran in the old one.
        self._suspect |= {operation.id.key[0] for operation in kernel if operation.id.table == Netns.table}
        return failed

    @staticmethod
    def _step(service: Service, operations: Sequence[Operation], failed: list[Failed], *, new: bool) -> None:
        mine = [item for item in operations if item.id.table in service.tables and (item.new is not None) == new]
        if mine:
            failed += service.apply(mine)

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """Outside changes since the last call; a namespace that changed is a reason to look at its services."""
        facts, scopes = self._kernel.changes()
        for service in self._services:
            more_facts, more_scopes = service.changes()
            facts += more_facts
            scopes |= more_scopes
        names = self._suspect | {scope.netns for scope in scopes if scope.table == Netns.table}
        names |= {fact.id.key[0] for fact in facts if fact.id.table == Netns.table}
        self._suspect = set()
        return facts, scopes | {Scope(table, name) for name in names for table in self._by_table}

    def fileno(self) -> int:
        """An epoll descriptor over those of the parts."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Release all descriptors."""
        self._epoll.close()
        for service in self._services:
            service.close()
        self._kernel.close()
