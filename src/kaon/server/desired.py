"""The desired rows of one host, kept up to date by compiling only what a change concerns.

A scope that cannot be compiled keeps the rows that it had, so that what works goes on working; it is named in `broken`
until a change to what it was compiled from mends it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import NamedTuple

from kaon.channel import Failure
from kaon.compile import facts, l2
from kaon.compile.config import HostConfig
from kaon.compile.scopes import HOST, compile_scope, exists, scopes_of
from kaon.compile.view import UNREADABLE, Scope, View
from kaon.rows import Row, RowId
from kaon.world.world import Change, Record, World, policy_key

STEP = 50
"""Scopes compiled at a time where others wait for the same thread; some 10 ms."""


class Difference(NamedTuple):
    """What a change means for a host: rows that are new or changed, and ids of rows that must go."""

    put: list[Row]
    delete: list[RowId]


class PortState(NamedTuple):
    """ACTIVE or DOWN, with a reason for administrators when there is one to tell."""

    status: str
    reason: str = ""


def _concerning(port: Record) -> list[Scope]:
    """The scopes without whose rows a port does not work as asked."""
    scopes = [Scope("port", port["id"]), Scope("network", port["network_id"]), HOST]
    owner = port.get("device_owner") or ""
    if owner == "network:dhcp":
        scopes.append(Scope("services", port["network_id"]))
    elif owner.startswith("network:router_"):
        scopes.append(Scope("router", port["device_id"]))
    elif facts.is_filtered(port):
        scopes.append(Scope("policy", policy_key(port)))
        scopes += [Scope("security_group", group) for group in port.get("security_groups") or ()]
    return scopes


class Desired:
    """The rows of a host, by scope. It owns the world that it is given: changes go through `apply`."""

    def __init__(self, world: World, config: HostConfig) -> None:
        self.view = View(world, config)
        self.compiled = 0
        """How many scopes have been compiled so far."""
        self.broken: dict[Scope, str] = {}
        """Scopes whose rows are not those that intent asks for, and why."""
        self._collided: set[Scope] = set()
        self._scopes: dict[Scope, dict[RowId, Row]] = {}
        self._rows: dict[RowId, Row] = {}
        self._owner: dict[RowId, Scope] = {}
        everything = {HOST}
        for kind in world.kinds():
            for record in world.all(kind):
                everything.update(self._scopes_of(kind, record))
        _finish(self._recompile(everything))

    @property
    def seq(self) -> int:
        """The sequence number of the last change that the rows take account of."""
        return self.view.world.seq

    def snapshot(self) -> list[Row]:
        """All rows, ordered by table and key: the same intent gives the same list, in whatever order it came."""
        return [self._rows[id] for id in sorted(self._rows)]

    def apply(self, changes: Iterable[Change]) -> Difference:
        """Take changes over and compile the scopes that they concern."""
        return _finish(self.steps(changes))

    def steps(self, changes: Iterable[Change]) -> Generator[None, None, Difference]:
        """`apply` in steps: yields after every `STEP` scopes. The rows change at the end, all at once."""
        changes = list(changes)
        dirty = self.view.apply(changes)
        for change in changes:
            if change.after is not None:
                dirty.update(scope for scope in self._scopes_of(change.kind, change.after) if scope not in self.view)
        return (yield from self._recompile(dirty))

    def _scopes_of(self, kind: str, record: Record) -> list[Scope]:
        try:
            return list(scopes_of(kind, record))
        except UNREADABLE as error:
            scope = Scope(kind, record["id"])
            self.broken[scope] = _reason(error)
            return [scope]

    def port_states(self, failures: Iterable[Failure], port_ids: Iterable[str] | None = None) -> dict[str, PortState]:
        """What has become of ports (all, unless told which), given the rows that the host could not make real.

        A port that is realised here is ACTIVE when no row of its own, of its network, of its router, of its security
        policy or of the host itself has failed. The others are DOWN; a reason says which row failed it, and why.
        """
        failed: dict[Scope, Failure] = {}
        for failure in failures:
            owner = self._owner.get(RowId(failure.table, tuple(failure.key)))
            if owner is not None:
                failed.setdefault(owner, failure)
        reasons = {scope: f"{scope.kind}/{scope.id}: {reason}" for scope, reason in self.broken.items()}
        reasons |= {scope: f"{item.origin or item.table}: {item.reason}" for scope, item in failed.items()}
        world = self.view.world
        ports = world.all("port") if port_ids is None else (world.get("port", id) for id in port_ids)
        return {port["id"]: self._port_state(port, reasons) for port in ports if port is not None}

    def decides(self, port_id: str) -> bool | None:
        """Whether what has become of a port is known here; None when no host may have it, and any one can say so."""
        place = self.view.world.get("attachment", port_id)
        if place is not None:
            return bool(place["host"] == self.view.config.host)
        return True if self._realised(port_id) or Scope("port", port_id) in self.broken else None

    def _realised(self, port_id: str) -> bool:
        return any(id.table in ("veth", "tap") for id in self._scopes.get(Scope("port", port_id), ()))

    def _port_state(self, port: Record, reasons: dict[Scope, str]) -> PortState:
        if Scope("port", port["id"]) in self.broken:
            return PortState("DOWN", reasons[Scope("port", port["id"])])
        if not self._realised(port["id"]):
            return PortState("DOWN")
        if not l2.carries(self.view, port):
            return PortState("DOWN", "administratively down")
        for scope in _concerning(port) if reasons else ():
            if scope in reasons:
                return PortState("DOWN", reasons[scope])
        return PortState("ACTIVE")

    def _compile(self, scope: Scope) -> dict[RowId, Row]:
        self.compiled += 1
        try:
            rows = {row.id: row for row in compile_scope(self.view, scope)}
        except UNREADABLE as error:
            self.broken[scope] = _reason(error)
            return self._scopes.get(scope, {})
        self.broken.pop(scope, None)
        return rows

    def _recompile(self, dirty: Iterable[Scope]) -> Generator[None, None, Difference]:
        before: dict[RowId, Row | None] = {}
        after: dict[Scope, dict[RowId, Row]] = {}
        # Who holds the name that they want is not among what they were compiled from, so they try each time.
        dirty = {*dirty, *self._collided}
        self._collided.clear()
        for number, scope in enumerate(sorted(dirty), 1):
            after[scope] = self._compile(scope)
            if number % STEP == 0:
                yield
        # All that goes is gone before anything comes: a row may pass from one scope to another in one change.
        for scope in after:
            for id, row in self._scopes.pop(scope, {}).items():
                before[id] = row
                del self._rows[id], self._owner[id]
        for scope, rows in after.items():
            for id, row in rows.items():
                if id in self._owner:
                    self._collided.add(scope)
                    self.broken[scope] = f"{id} is claimed by {self._owner[id]} as well: names collide"
                    continue
                before.setdefault(id, None)
                self._rows[id], self._owner[id] = row, scope
            kept = {id: row for id, row in rows.items() if self._owner[id] == scope}
            if kept:
                self._scopes[scope] = kept
            elif not exists(self.view.world, scope):
                self.view.forget(scope)
        changed = sorted(id for id, row in before.items() if self._rows.get(id) != row)
        put = [self._rows[id] for id in changed if id in self._rows]
        return Difference(put, [id for id in changed if id not in self._rows])


def _finish(steps: Generator[None, None, Difference]) -> Difference:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: Difference = done.value
            return result


def _reason(error: Exception) -> str:
    """An error in words for administrators: one that only names a key says nothing without its type."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
