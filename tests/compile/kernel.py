"""A host to try compiled rows on: private namespaces, and a plain translation of rows to `ip` and `nft` commands.

It knows nothing of the engines, so that what the compiler says is judged by the kernel alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from kaon import privileges
from kaon.rows import (
    Address,
    Bridge,
    Chain,
    DhcpHost,
    DhcpServer,
    Element,
    Member,
    Netns,
    Route,
    Row,
    Set,
    Sysctl,
    Tap,
    Veth,
)


class Kernel:
    """A private network and mount namespace with named namespaces of its own."""

    def __init__(self) -> None:
        script = "mount -t tmpfs none /run && mkdir /run/netns && ip link set lo up && echo && exec sleep 3600"
        self._init = _start(["unshare", "-nm", "sh", "-c", script], stdout=subprocess.PIPE)
        assert self._init.stdout is not None
        self._init.stdout.readline()
        self._children: list[subprocess.Popen[bytes]] = []
        self.folder = Path(tempfile.mkdtemp(prefix="kaon-test-"))

    def close(self) -> None:
        for child in [*self._children, self._init]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            child.wait()
        shutil.rmtree(self.folder)

    def command(self, script: str, netns: str = "") -> list[str]:
        inner = ["ip", "netns", "exec", netns] if netns else []
        return ["nsenter", "-t", str(self._init.pid), "-n", "-m", *inner, "sh", "-c", script]

    def run(self, script: str, netns: str = "") -> str:
        """Run a shell script; raises AssertionError with its output when it fails."""
        done = subprocess.run(self.command(script, netns), capture_output=True, text=True)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout

    def holds(self, script: str, netns: str = "") -> bool:
        """Whether a shell script succeeds."""
        return subprocess.run(self.command(script, netns), capture_output=True).returncode == 0

    def start(self, script: str, netns: str = "") -> subprocess.Popen[bytes]:
        """Start something that runs until the end of the test."""
        child = _start(self.command(f"exec {script}", netns), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._children.append(child)
        return child

    def ping(self, netns: str, address: str) -> bool:
        """Whether an answer comes back, within a second."""
        return self.holds(f"ping -c1 -W1 -n {address}", netns)

    def listen(self, netns: str, port: int) -> None:
        """Answer every TCP connection to a port, over IPv4 and IPv6."""
        program = (
            "import socket\n"
            f"s = socket.create_server(('::', {port}), family=socket.AF_INET6, dualstack_ipv6=True)\n"
            "print(flush=True)\n"
            "while True:\n    c, peer = s.accept(); c.sendall(peer[0].encode()); c.close()\n"
        )
        path = self.folder / f"listen-{netns}-{port}"
        path.write_text(program)
        child = self.start(f"python3 {path}", netns)
        assert child.stdout is not None
        child.stdout.readline()

    def connect(self, netns: str, address: str, port: int) -> str:
        """The address under which a TCP listener sees a client of the namespace; empty when it does not answer."""
        program = (
            "import socket,sys\n"
            f"s = socket.create_connection(('{address}', {port}), 1)\n"
            "sys.stdout.write(s.recv(99).decode().removeprefix('::ffff:'))\n"
        )
        done = subprocess.run(self.command(f'python3 -c "{program}"', netns), capture_output=True, text=True)
        return done.stdout

    def realise(self, rows: Iterable[Row]) -> None:
        """Make rows real on a host that has none of them."""
        rows = list(rows)
        self.run("\n".join(["set -e", *_commands(rows)]))
        for netns in dict.fromkeys(row.id.key[0] for row in rows if isinstance(row.value, Chain | Set)):
            self.nft(_nft_text([row for row in rows if row.id.key[0] == netns]), netns)
        for row in rows:
            if isinstance(row.value, DhcpServer):
                self._dnsmasq(row.id.key[0], row.value, [other for other in rows if other.id.key[0] == row.id.key[0]])

    def nft(self, text: str, netns: str = "") -> None:
        path = self.folder / "rules.nft"
        path.write_text(text)
        self.run(f"nft -f {path}", netns)

    def replace_nft(self, rows: Iterable[Row]) -> None:
        """Bring the host's tables to these rows, in one transaction."""
        host = [row for row in rows if row.id.key[0] == ""]
        self.nft("delete table bridge kaon\ndelete table inet kaon\n" + _nft_text(host))

    def _dnsmasq(self, netns: str, server: DhcpServer, rows: list[Row]) -> None:
        name = f"{self.folder}/{netns}"
        hosts = [(row.id.key[1], row.value) for row in rows if isinstance(row.value, DhcpHost)]
        Path(f"{name}.hosts").write_text(
            "".join(
                ",".join(
                    [host.mac, f"set:{port}", *(f"[{a}]" if ":" in a else a for a in host.addresses), host.names[0]]
                )
                + "\n"
                for port, host in hosts
            )
        )
        Path(f"{name}.opts").write_text(
            "".join(f"tag:{port},{option}\n" for port, host in hosts for option in host.options)
        )
        files = f"--dhcp-hostsfile={name}.hosts --dhcp-optsfile={name}.opts"
        self._daemon(netns, f"{name}.conf", server.options, f"{files} --dhcp-leasefile={name}.leases")
        if server.leaseless:
            files += " --leasefile-ro --dhcp-lease-max=0"
            self._daemon(netns, f"{name}.conf6", ("port=0", *server.leaseless), files)

    def _daemon(self, netns: str, config: str, lines: tuple[str, ...], more: str) -> None:
        Path(config).write_text("\n".join(lines) + "\n")
        own = "--user= --group="
        child = self.start(
            f"dnsmasq --keep-in-foreground --log-facility=- --conf-file={config} --pid-file= {own} {more}", netns
        )
        assert child.stdout is not None
        line = child.stdout.readline().decode()
        assert "started" in line, line + child.stdout.read().decode()


def _start(command: list[str], **streams: int) -> subprocess.Popen[bytes]:
    """A process that does not outlive the tests, even if they are killed."""
    return subprocess.Popen(command, preexec_fn=partial(privileges.die_with_parent, os.getpid()), **streams)


def _commands(rows: list[Row]) -> Iterator[str]:
    def of(*types: type) -> Iterator[tuple[Row, str, str]]:
        for row in rows:
            if isinstance(row.value, types):
                yield row, f"-n {row.id.key[0]}" if row.id.key[0] else "", row.id.key[1] if len(row.id.key) > 1 else ""

    for row, _, _ in of(Netns):
        yield f"ip netns add {row.id.key[0]}; ip -n {row.id.key[0]} link set lo up"
    for row, _, name in of(Sysctl):
        yield f"{_in(row)} sh -c 'echo {row.value.value} > /proc/sys/{name}'"
    for row, n, name in of(Bridge):
        yield f"ip {n} link add {name} mtu {row.value.mtu} type bridge; ip {n} link set {name} up"
        yield f"ip {n} link set {name} type bridge nf_call_iptables 1 nf_call_ip6tables 1"
        yield f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6"
    for row, n, name in of(Veth):
        value = row.value
        peer = f"netns {value.peer_netns}" if value.peer_netns else ""
        yield (
            f"ip {n} link add {name} mtu {value.mtu} type veth peer name {value.peer_name} mtu {value.mtu} "
            f"address {value.peer_mac} {peer}"
        )
        yield f"ip {n} link set {name} {f'master {value.master}' if value.master else ''} up"
        yield f"ip {f'-n {value.peer_netns}' if value.peer_netns else ''} link set {value.peer_name} up"
    for row, n, name in of(Tap):
        yield f"ip {n} tuntap add {name} mode tap; ip {n} link set {name} master {row.value.master} up"
    for row, n, name in of(Member):
        yield f"ip {n} link set {name} master {row.value.master} up"
    for row, n, name in of(Address):
        yield f"ip {n} addr replace {row.id.key[2]} dev {name} nodad"
    for row, n, name in of(Route):
        via = f"via {row.value.via}" if row.value.via else ""
        dev = f"dev {row.value.dev}" if row.value.dev else ""
        yield f"ip {n} route replace {name} {via} {dev}"


def _in(row: Row) -> str:
    return f"ip netns exec {row.id.key[0]}" if row.id.key[0] else ""


def _nft_text(rows: list[Row]) -> str:
    """The nft tables of one namespace: declarations first, then contents, so that every order of rows loads."""
    lines: list[str] = []
    for row in rows:
        if isinstance(row.value, Set):
            _, family, table, name = row.id.key
            value = row.value
            data = f" : {value.data_type}" if value.data_type else ""
            keyword = "" if value.key_type.startswith("typeof") else "type "
            flags = f"flags {','.join(value.flags)};" if value.flags else ""
            lines.append(f"add table {family} {table}")
            kind = "map" if value.data_type else "set"
            lines.append(f"add {kind} {family} {table} {name} {{ {keyword}{value.key_type}{data}; {flags} }}")
        elif isinstance(row.value, Chain):
            _, family, table, name = row.id.key
            lines.append(f"add table {family} {table}")
            lines.append(f"add chain {family} {table} {name} {f'{{ {row.value.hook} }}' if row.value.hook else ''}")
    for row in rows:
        if isinstance(row.value, Chain):
            _, family, table, name = row.id.key
            lines.extend(f"add rule {family} {table} {name} {rule.text}" for rule in row.value.rules)
    for row in rows:
        if isinstance(row.value, Element):
            _, family, table, name, text = row.id.key
            data = f" : {row.value.data}" if row.value.data else ""
            lines.append(f"add element {family} {table} {name} {{ {text}{data} }}")
    return "\n".join(lines) + "\n"
