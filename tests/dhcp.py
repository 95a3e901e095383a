"""Real DHCP clients in namespaces: udhcpc for IPv4, dhclient for DHCPv6, and one DNS question over UDP."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import subprocess
import textwrap
from pathlib import Path
from typing import NamedTuple

from tests import sandbox
from tests.wait import until


class Lease(NamedTuple):
    """What a client was told: variables by name, as its script got them."""

    variables: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.variables.get(name, "")


def run(netns: str, command: list[str], seconds: float = 15.0) -> subprocess.CompletedProcess[str]:
    with sandbox.inside(netns):
        return subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False, cwd="/")


def udhcpc(netns: str, interface: str, folder: Path, *options: str, tries: int = 2) -> Lease | None:
    """Ask for an IPv4 lease and apply nothing; None when there is no offer."""
    script, output = folder / "script", folder / "told"
    output.unlink(missing_ok=True)
    script.write_text(f'#!/bin/sh\n[ "$1" = bound ] && env > {output}\nexit 0\n')
    script.chmod(0o755)
    wanted = [f"-O{option}" for option in ("mtu", "staticroutes", "router", "dns", "domain", "hostname")]
    command = ["udhcpc", "-i", interface, "-f", "-n", "-q", "-t", str(tries), "-T", "1", "-A", "1", "-s", str(script)]
    run(netns, [*command, *wanted, *options])
    return _lease(output)


def dhclient6(
    netns: str, interface: str, folder: Path, *options: str, duid: str = "LL", seconds: float = 15.0
) -> Lease | None:
    """Ask by DHCPv6 and apply nothing: for an IPv6 address, with the option ``-S`` for information only.

    None when there is no answer in time. `duid` is the kind of identifier that the client makes up for itself
    (RFC 8415, 11): LL or LLT.
    """
    script, output, conf = folder / "script6", folder / "told6", folder / "conf6"
    output.unlink(missing_ok=True)
    script.write_text(
        textwrap.dedent(f"""\
        #!/bin/sh
        case "$reason" in BOUND6|RENEW6) env > {output}.new; mv {output}.new {output};; esac
        exit 0
        """)
    )
    script.chmod(0o755)
    conf.write_text("request dhcp6.name-servers, dhcp6.domain-search;\n")
    until(lambda: _usable(netns, interface), what=f"link-local address of {interface}")
    files = ["-lf", str(folder / "leases6"), "-pf", str(folder / "pid6"), "-cf", str(conf), "-sf", str(script)]
    with sandbox.inside(netns):
        # In the foreground (-d): a daemon would be known only by a file that it writes some time after.
        client = subprocess.Popen(
            ["dhclient", "-6", "-1", "-d", *options, "-D", duid, *files, interface],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        with contextlib.suppress(AssertionError):  # no answer in time is an answer too
            until(lambda: output.exists() or client.poll() is not None, seconds)
    finally:
        # Asked to end, it would release its address.
        client.kill()
        client.wait()
    return _lease(output)


def _usable(netns: str, interface: str) -> bool:
    """Whether the interface has a link-local address that is not tentative (0x40)."""
    with sandbox.inside(netns):
        lines = Path("/proc/thread-self/net/if_inet6").read_text().splitlines()
    fields = [line.split() for line in lines]
    return any(f[5] == interface and f[0].startswith("fe80") and not int(f[4], 16) & 0x40 for f in fields)


def _lease(output: Path) -> Lease | None:
    if not output.exists():
        return None
    return Lease(dict(re.findall(r"^(\w+)=(.*)$", output.read_text(), re.MULTILINE)))


def resolve(netns: str, server: str, name: str, kind: int = 1) -> str | None:
    """The address that a DNS server tells for a name (kind 1: A, 28: AAAA); None when it knows none."""
    question = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0)
    question += b"".join(bytes((len(part),)) + part.encode() for part in name.split(".")) + b"\0"
    question += struct.pack("!HH", kind, 1)
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with sandbox.inside(netns):
        client = socket.socket(family, socket.SOCK_DGRAM)
    with client:
        client.settimeout(3)
        client.sendto(question, (server, 53))
        answer = client.recv(4096)
    if struct.unpack_from("!H", answer, 6)[0] == 0:
        return None
    length = 4 if kind == 1 else 16
    return socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, answer[-length:])


def command_lines() -> dict[int, str]:
    """Process ids of every dnsmasq of this machine, with its configuration file."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode().split("\0")
            except OSError:
                continue
            if words[0] == "dnsmasq" and len(words) > 1:
                found[int(entry.name)] = words[1]
    return found
