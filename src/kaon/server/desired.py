"""The desired rows of one host, kept up to date by compiling only what a change concerns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kaon.channel import Failure
from kaon.compile import facts, l2
from kaon.compile.config import HostConfig
from kaon.compile.scopes import HOST, compile_scope, exists, scopes_of
from kaon.compile.view import Scope, View
from kaon.rows import Row, RowId
from kaon.world.world import Change, Record, World, policy_key


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
        self._scopes: dict[Scope, dict[RowId, Row]] = {}
        self._rows: dict[RowId, Row] = {}
        self._owner: dict[RowId, Scope] = {}
        everything = {HOST}
        for kind in world.kinds():
            for record in world.all(kind):
                everything.update(scopes_of(kind, record))
        self._recompile(everything)

    @property
    def seq(self) -> int:
        """The sequence number of the last change that the rows take account of."""
        return self.view.world.seq

    def snapshot(self) -> list[Row]:
        """All rows, ordered by table and key: the same intent gives the same list, in whatever order it came."""
        return [self._rows[id] for id in sorted(self._rows)]

    def apply(self, changes: Iterable[Change]) -> Difference:
        """Take changes over and compile the scopes that they concern."""
        changes = list(changes)
        dirty = self.view.apply(changes)
        for change in changes:
            if change.after is not None:
                dirty.update(scope for scope in scopes_of(change.kind, change.after) if scope not in self.view)
        return self._recompile(dirty)

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
        world = self.view.world
        ports = world.all("port") if port_ids is None else (world.get("port", id) for id in port_ids)
        return {port["id"]: self._port_state(port, failed) for port in ports if port is not None}

    def _port_state(self, port: Record, failed: dict[Scope, Failure]) -> PortState:
        if not any(id.table in ("veth", "tap") for id in self._scopes.get(Scope("port", port["id"]), ())):
            return PortState("DOWN")
        if not l2.carries(self.view, port):
            return PortState("DOWN", "administratively down")
        for scope in _concerning(port) if failed else ():
            if scope in failed:
                failure = failed[scope]
                return PortState("DOWN", f"{failure.origin or failure.table}: {failure.reason}")
        return PortState("ACTIVE")

    def _recompile(self, dirty: Iterable[Scope]) -> Difference:
        before: dict[RowId, Row | None] = {}
        after: dict[Scope, dict[RowId, Row]] = {}
        for scope in sorted(dirty):
            self.compiled += 1
            after[scope] = {row.id: row for row in compile_scope(self.view, scope)}
        # All that goes is gone before anything comes: a row may pass from one scope to another in one change.
        for scope in after:
            for id, row in self._scopes.pop(scope, {}).items():
                before[id] = row
                del self._rows[id], self._owner[id]
        for scope, rows in after.items():
            for id, row in rows.items():
                if id in self._owner:
                    raise ValueError(f"{id} is claimed by {scope} and by {self._owner[id]}: names collide")
                before.setdefault(id, None)
                self._rows[id], self._owner[id] = row, scope
            if rows:
                self._scopes[scope] = rows
            elif not exists(self.view.world, scope):
                self.view.forget(scope)
        put = [self._rows[id] for id in sorted(before) if id in self._rows and self._rows[id] != before[id]]
        return Difference(put, [id for id in sorted(before) if id not in self._rows])
