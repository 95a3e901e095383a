"""Rows of tables dhcp_server and dhcp_host: one dnsmasq a namespace, or two, restarted only when it must be.

A server's folder holds the files that its daemons read, and `state`: the rows that they run by, written once they do.
Who comes later believes the state where the files are as it says and the daemons run in the right namespace.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import select
import shutil
import signal
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kaon.engines.base import Fact, Failed, Operation, Scope
from kaon.engines.linux import daemon, dnsmasq_config
from kaon.engines.linux.namespaces import OURS
from kaon.rows import DhcpHost, DhcpServer, Row, RowId, row

log = logging.getLogger("kaon.dnsmasq")

PROGRAM = "dnsmasq"
_CONFIG_FILE = "--conf-file="
STATE = "state"


class State(msgspec.Struct, kw_only=True):
    """What a daemon runs by. Origins are kept beside the values, by port; the server's own is under "".

    `served` maps each address to the MAC address that it belonged to since the daemon started.
    """

    server: DhcpServer | None = None
    hosts: dict[str, DhcpHost] = {}
    origins: dict[str, str] = {}
    served: dict[str, str] = {}


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(State)


@dataclass(slots=True)
class _Instance:
    folder: Path
    state: State = field(default_factory=State)
    processes: dict[str, daemon.Process] = field(default_factory=dict)
    """By the name of the configuration file."""


class DnsmasqManager:
    """The daemons of this host; their folders lie in `folder`. Made and used on one thread.

    They run as `user` with no more privileges than DHCP needs; "" leaves them who the caller is, for the root of a user
    namespace may be its only user. The user must be able to enter the parents of `folder`.

    `reloads` and `restarts` count what was done to daemons, ever, for figures and tests.
    """

    tables = frozenset({DhcpServer.table, DhcpHost.table})

    def __init__(self, folder: Path, user: str = "") -> None:
        self._folder = folder
        self._user = pwd.getpwnam(user) if user else None
        self._epoll = select.epoll()
        self._by_descriptor: dict[int, tuple[str, str]] = {}
        self._instances: dict[str, _Instance] = {}
        self.writes = self.reloads = self.restarts = 0
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        # Folders of daemons are entered by name; each is its user's alone.
        folder.chmod(0o711)
        self._adopt()

    def _adopt(self) -> None:
        for folder in self._folder.iterdir():
            try:
                state = _decoder.decode((folder / STATE).read_bytes())
            except (OSError, msgspec.MsgspecError) as error:
                log.warning("state of dnsmasq not usable", extra={"netns": folder.name, "reason": str(error)})
                state = State()
            self._instances[folder.name] = _Instance(folder, state)
        for path, pids in daemon.running(_CONFIG_FILE).items():
            folder, netns, name = Path(path).parent.parent, Path(path).parent.name, Path(path).name
            for pid in pids:
                if folder == self._folder:
                    self._watch(netns, self._instances.setdefault(netns, _Instance(folder / netns)), name, pid)
                elif netns.startswith(OURS) and folder.name == self._folder.name:
                    _end_stranger(netns, pid, path)

    def _argument(self, path: str) -> str:
        return f"{_CONFIG_FILE}{self._folder}/{path}"

    # ------------------------------------------------------------ reading

    def read(self, scopes: Sequence[Scope] | None = None) -> Iterable[Row]:
        """The rows by which daemons run now, all or those in the scopes."""
        names = list(self._instances) if scopes is None else {scope.netns for scope in scopes}
        found = [item for netns in names if netns in self._instances for item in self._read_one(netns)]
        return found if scopes is None else [item for item in found if any(scope.holds(item.id) for scope in scopes)]

    def _read_one(self, netns: str) -> Iterable[Row]:
        instance = self._instances[netns]
        state = instance.state
        if self._works(netns, instance, state):
            assert state.server is not None
            yield row(state.server, netns, origin=state.origins.get("", ""))
        if all(_text(instance.folder / name) == text for name, text in dnsmasq_config.hosts_files(state.hosts).items()):
            for port, host in state.hosts.items():
                yield row(host, netns, port, origin=state.origins.get(port, ""))

    def _works(self, netns: str, instance: _Instance, state: State) -> bool:
        """Whether the daemons run, where they should, by the configuration that this state makes."""
        if state.server is None:
            return False
        configs = dnsmasq_config.configs(instance.folder, state.server, state.hosts)
        here = daemon.identity(netns)
        return (
            here is not None
            and instance.processes.keys() == configs.keys()
            and all(process.netns() == here for process in instance.processes.values())
            and all(_text(instance.folder / name) == text for name, text in configs.items())
        )

    # ------------------------------------------------------------ applying

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Bring each daemon concerned to its new rows at once: at most one reload or restart."""
        by_netns: dict[str, list[Operation]] = {}
        for operation in operations:
            by_netns.setdefault(operation.id.key[0], []).append(operation)
        failed: list[Failed] = []
        for netns, mine in by_netns.items():
            good: list[Operation] = []
            for operation in mine:
                reason = _refusal(operation)
                if reason:
                    failed.append(_failed(operation, reason))
                else:
                    good.append(operation)
            try:
                self._change(netns, good)
            except (OSError, daemon.DaemonError) as error:
                failed += [_failed(operation, f"DHCP server of namespace {netns}: {error}") for operation in good]
        return failed

    def _change(self, netns: str, operations: Sequence[Operation]) -> None:
        if not operations:
            return
        instance = self._instances.setdefault(netns, _Instance(self._folder / netns))
        before = instance.state
        if not self._works(netns, instance, before):
            # Nobody was told of a server, so its removal is nobody's to ask for: it comes back by its own row only.
            before = msgspec.structs.replace(before, server=None)
        state = _changed(before, operations)
        if state.server is None and not state.hosts:
            self._remove(netns, instance)
            return
        instance.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._user is not None:
            # It may read what is here, and change nothing.
            os.chown(instance.folder, -1, self._user.pw_gid)
            instance.folder.chmod(0o750)
        for name, text in dnsmasq_config.hosts_files(state.hosts).items():
            self._write(instance.folder / name, text)
        if state.server is None:
            self._stop(instance)
        elif not self._works(netns, instance, state) or _moved(before, state):
            self._restart(netns, instance, state)
        else:
            self.reloads += 1
            state.served |= _owners(state)
            for process in instance.processes.values():
                process.signal(signal.SIGHUP)
        # Last, so that who is killed before finds files that the state does not explain, and does it all again.
        self._write_state(instance, state)

    def _restart(self, netns: str, instance: _Instance, state: State) -> None:
        assert state.server is not None
        self._stop(instance)
        if daemon.identity(netns) is None:
            raise daemon.DaemonError(f"there is no network namespace {netns}")
        self.restarts += 1
        for name, text in dnsmasq_config.configs(instance.folder, state.server, state.hosts).items():
            self._write(instance.folder / name, text)
            (instance.folder / dnsmasq_config.beside(name, "log")).unlink(missing_ok=True)
            daemon.start(netns, [PROGRAM, self._argument(f"{netns}/{name}"), *self._identity()])
            pid = int((instance.folder / dnsmasq_config.beside(name, "pid")).read_text())
            self._watch(netns, instance, name, pid)
        state.served = _owners(state)

    def _identity(self) -> tuple[str, str]:
        if self._user is None:
            return "--user=", "--group="
        return f"--user={self._user.pw_name}", f"--group={grp.getgrgid(self._user.pw_gid).gr_name}"

    def _remove(self, netns: str, instance: _Instance) -> None:
        self._stop(instance)
        self.writes += 1
        shutil.rmtree(instance.folder, ignore_errors=True)
        del self._instances[netns]

    def _write(self, path: Path, text: str) -> None:
        if _text(path) == text:
            return
        self.writes += 1
        # dnsmasq may read at any time: it finds the old file or the new one.
        temporary = path.with_suffix(".new")
        temporary.write_text(text)
        # Read by dnsmasq's user, in a folder that others cannot enter.
        temporary.chmod(0o644)
        temporary.replace(path)

    def _write_state(self, instance: _Instance, state: State) -> None:
        instance.state = state
        temporary = instance.folder / "state.new"
        temporary.write_bytes(_encoder.encode(state))
        temporary.replace(instance.folder / STATE)

    # ------------------------------------------------------------ watching

    def changes(self) -> tuple[list[Fact], set[Scope]]:
        """Daemons that have ended since the last call."""
        facts = []
        for descriptor, _ in self._epoll.poll(0):
            netns, name = self._by_descriptor[descriptor]
            self._forget_process(self._instances[netns], name)
            log.warning("dnsmasq ended", extra={"netns": netns, "origin": self._instances[netns].state.origins.get("")})
            facts.append(Fact(RowId(DhcpServer.table, (netns,)), None))
        return facts, set()

    def fileno(self) -> int:
        """Readable when a daemon has ended."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Release descriptors; the daemons go on."""
        for instance in self._instances.values():
            for name in list(instance.processes):
                self._forget_process(instance, name)
        self._epoll.close()

    def _watch(self, netns: str, instance: _Instance, name: str, pid: int) -> None:
        try:
            process = daemon.Process(pid)
        except ProcessLookupError:
            return
        if name in instance.processes:
            # A second daemon on the same files is one too many.
            self._stop_process(instance, name)
        instance.processes[name] = process
        self._by_descriptor[process.descriptor] = netns, name
        self._epoll.register(process.descriptor, select.EPOLLIN)

    def _stop(self, instance: _Instance) -> None:
        for name in list(instance.processes):
            self._stop_process(instance, name)

    def _stop_process(self, instance: _Instance, name: str) -> None:
        instance.processes[name].stop()
        self._forget_process(instance, name)

    def _forget_process(self, instance: _Instance, name: str) -> None:
        process = instance.processes.pop(name)
        self._epoll.unregister(process.descriptor)
        del self._by_descriptor[process.descriptor]
        process.close()


def _end_stranger(netns: str, pid: int, path: str) -> None:
    """End the daemon of another folder in a namespace of ours: a data folder that was moved or restored left it."""
    try:
        process = daemon.Process(pid)
    except ProcessLookupError:
        return
    if process.netns() == daemon.identity(netns) is not None:
        log.info("dnsmasq of another data folder ended", extra={"netns": netns, "config": path})
        process.stop()
    process.close()


def _text(path: Path) -> str | None:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def _refusal(operation: Operation) -> str:
    if operation.new is None:
        return ""
    value = operation.new.value
    try:
        if isinstance(value, DhcpHost):
            dnsmasq_config.check(operation.id.key[1], value)
        elif isinstance(value, DhcpServer):
            dnsmasq_config.configs(Path("/"), value, {})
    except ValueError as error:
        return f"not told to the DHCP server: {error}"
    return ""


def _failed(operation: Operation, reason: str) -> Failed:
    known = operation.new or operation.old
    return Failed(operation.id, known.origin if known is not None else "", reason)


def _changed(state: State, operations: Sequence[Operation]) -> State:
    """The state after the operations."""
    made = State(server=state.server, hosts=dict(state.hosts), origins=dict(state.origins), served=dict(state.served))
    for operation in operations:
        port = operation.id.key[1] if operation.id.table == DhcpHost.table else ""
        made.origins.pop(port, None)
        if operation.new is None:
            if port:
                made.hosts.pop(port, None)
            else:
                made.server = None
            continue
        made.origins[port] = operation.new.origin
        if isinstance(operation.new.value, DhcpHost):
            made.hosts[port] = operation.new.value
        elif isinstance(operation.new.value, DhcpServer):
            made.server = operation.new.value
    return made


def _owners(state: State) -> dict[str, str]:
    return {address: host.mac for host in state.hosts.values() for address in host.addresses}


def _moved(before: State, state: State) -> bool:
    """Whether an address has another owner than it had in the daemon's life: a lease may stand in the way of it.

    dnsmasq keeps leases in memory, and refuses an address to one that another one leased; a restart forgets leases.
    """
    return any(before.served.get(address, mac) != mac for address, mac in _owners(state).items())
