"""From the journal to each host's rows, and from what agents report back to the status of ports."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial

import msgspec
import sqlalchemy as sa

from kaon.channel import Failure
from kaon.compile.config import HostConfig
from kaon.compile.view import Scope
from kaon.resources import records
from kaon.resources.catalog import resources
from kaon.resources.ports import port
from kaon.server.backlog import Backlog
from kaon.server.desired import Desired, Difference, PortState
from kaon.store import journal
from kaon.store.engine import Store
from kaon.store.transaction import Transaction
from kaon.world.world import Change, World

log = logging.getLogger("kaon.server.hosts")


@dataclass(slots=True)
class Host:
    """One host: its rows, what changed lately, and the ports whose status waits for an acknowledgement."""

    desired: Desired
    backlog: Backlog
    waiting: dict[str, int] = field(default_factory=dict)
    failed: tuple[Failure, ...] = ()


class Hosts:
    """Every host that an agent has spoken for. `follow` runs as long as the server does."""

    def __init__(self, store: Store, config: HostConfig) -> None:
        self._store = store
        self._config = config
        self._states: asyncio.Queue[Mapping[str, PortState]] = asyncio.Queue()
        self._known: dict[str, PortState] = {}
        """The status of every port as it is stored, or about to be."""
        self.hosts: dict[str, Host] = {}
        self.seq = store.read_now(journal.last)

    async def source(self, name: str, physical_networks: Mapping[str, str] | None = None) -> Backlog:
        """The rows of a host, for its agent to follow; compiled from the whole intent when it first comes.

        `physical_networks` are those that the host reaches (None: as the server's own); when they are others than
        before, everything is compiled anew. Raises ValueError for a mapping that means nothing.
        """
        config = msgspec.structs.replace(self._config, host=name)
        if physical_networks is not None:
            config = msgspec.structs.replace(config, physical_networks=dict(physical_networks))
        host = self.hosts.get(name)
        if host is None or host.desired.view.config != config:
            host = self.hosts[name] = self._load(config)
        return host.backlog

    def _load(self, config: HostConfig) -> Host:
        """Compile a host from the store as of the last change that `follow` has handed out."""
        found = self._store.read_now(lambda conn: (list(records.load_all(conn, resources())), journal.last(conn)))
        loaded, seq = found
        world = World(Change(kind, record["id"], None, record, seq) for kind, record in loaded)
        desired = Desired(world, config)
        rows = desired.snapshot()
        log.info("compiled", extra={"host": config.host, "rows": len(rows), "scopes": desired.compiled, "seq": seq})
        _tell_broken(config.host, {}, desired.broken)
        ports = {record["id"]: PortState(record["status"]) for kind, record in loaded if kind == "port"}
        self._known = {**ports, **self._known}
        return Host(desired, Backlog(seq, rows), dict.fromkeys(ports, seq))

    async def follow(self, changed: Callable[[str], None]) -> None:
        """Take every change over as it is journalled, and say for which hosts there is something new."""
        async for batch in self._store.follow(self.seq):
            self._take_note(batch)
            for name, host in list(self.hosts.items()):
                news = [
                    Change(change.kind, change.id, change.before, change.after, change.seq)
                    for change in batch
                    if change.seq > host.backlog.seq
                ]
                if news:
                    await _take_over(name, host, news)
                    changed(name)
            self.seq = batch[-1].seq

    def _take_note(self, batch: Iterable[journal.Change]) -> None:
        """Note ports that come and go; one that comes is as the API has stored it, and need not be stored again."""
        for change in batch:
            if change.kind == "port" and change.after is None:
                self._known.pop(change.id, None)
            elif change.kind == "port" and change.before is None and change.after is not None:
                self._known.setdefault(change.id, PortState(change.after["status"]))

    def acknowledged(self, name: str, seq: int, failed: tuple[Failure, ...]) -> None:
        """Take an agent's acknowledgement: queue the status of the ports for which it means something new."""
        host = self.hosts.get(name)
        if host is None:
            return  # it speaks of rows that it kept from before; it will speak again of those that it is sent now
        ports: Iterable[str] | None = None
        if failed == host.failed:
            ports = [id for id, since in host.waiting.items() if since <= seq]
        host.failed = failed
        found = host.desired.port_states(failed, ports)
        for id in found:
            if host.waiting.get(id, 0) <= seq:
                host.waiting.pop(id, None)
        news = {id: state for id, state in found.items() if self._known.get(id) != state and self._decides(name, id)}
        self._known.update(news)
        if news:
            self._states.put_nowait(news)

    def _decides(self, name: str, port_id: str) -> bool:
        """Whether this host is to say what has become of a port: it has it, or no host has."""
        decides = self.hosts[name].desired.decides(port_id)
        if decides is None:
            return not any(host.desired.decides(port_id) for host in self.hosts.values())
        return decides

    async def store_states(self) -> None:
        """Store what has become of ports, all that waits at a time. It is derived, so the journal does not hold it."""
        while True:
            news = dict(await self._states.get())
            while not self._states.empty():
                news.update(self._states.get_nowait())
            try:
                await self._store.write(partial(_store_states, news))
            except sa.exc.OperationalError as error:
                log.error("port status not stored", extra={"ports": len(news), "reason": str(error.orig)})


def _store_states(states: Mapping[str, PortState], tx: Transaction) -> None:
    port.set_status(tx, {id: (state.status, state.reason) for id, state in states.items()})


async def _take_over(name: str, host: Host, news: list[Change]) -> None:
    """Compile what changes concern; a change that concerns much lets others have the event loop in between."""
    broken = dict(host.desired.broken)
    steps = host.desired.steps(news)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            difference: Difference = done.value
            break
        await asyncio.sleep(0)
    host.backlog.update(news[-1].seq, difference.put, difference.delete)
    _await_report(host, news)
    if host.desired.broken != broken:
        _tell_broken(name, broken, host.desired.broken)
        every = (port["id"] for port in host.desired.view.world.all("port"))
        host.waiting.update(dict.fromkeys(every, news[-1].seq))


def _tell_broken(name: str, before: Mapping[Scope, str], after: Mapping[Scope, str]) -> None:
    """Log what cannot be compiled any more, and what can again; each by its API id."""
    for scope, reason in after.items():
        if before.get(scope) != reason:
            row = f"{scope.kind}/{scope.id}"
            log.error("not compiled, its rows stay as they were", extra={"host": name, "origin": row, "reason": reason})
    for scope in before.keys() - after.keys():
        log.info("compiled again", extra={"host": name, "origin": f"{scope.kind}/{scope.id}"})


def _await_report(host: Host, changes: Iterable[Change]) -> None:
    """Note which ports' status may change once the agent has converged these changes."""
    world = host.desired.view.world
    for change in changes:
        if change.kind in ("port", "attachment"):
            ports: Iterable[str] = (change.id,)
        elif change.kind == "network":
            ports = world.ids_by("port", "network_id", change.id)
        elif change.kind == "router":
            ports = world.ids_by("port", "device_id", change.id)
        elif change.kind == "agent_placement":
            id = (change.after or change.before or {})["resource_id"]
            ports = {*world.ids_by("port", "network_id", id), *world.ids_by("port", "device_id", id)}
        elif change.kind == "agent":
            ports = [port["id"] for port in world.all("port")]
        else:
            continue
        host.waiting.update(dict.fromkeys(ports, change.seq))
