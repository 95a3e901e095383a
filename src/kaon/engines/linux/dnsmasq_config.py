"""What dnsmasq is told, as text: its configuration file, and the files of hosts that it reads again on SIGHUP.

dnsmasq(8): --dhcp-hostsfile, --dhcp-optsfile and --addn-hosts. There is no lease file: every address belongs to a
port, so a lease says nothing that the hosts file does not, and nothing stale can outlive the port.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from kaon.rows import DhcpHost, DhcpServer

CONFIG, LEASELESS, HOSTS, OPTIONS, NAMES = "conf", "conf6", "hosts", "opts", "names"
"""Names of the files in a server's folder. Each of the first two is a daemon's own, all daemons read the others."""
RELOADED = (HOSTS, OPTIONS, NAMES)
"""Those that dnsmasq reads again on SIGHUP."""

_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_TAG = re.compile(r"[A-Za-z0-9-]+")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


def configs(folder: Path, server: DhcpServer, hosts: Mapping[str, DhcpHost]) -> dict[str, str]:
    """The configuration file of each daemon of a server, by file name; raises ValueError for a line that is none."""
    made = {CONFIG: _config(folder, CONFIG, server.options, hosts, 1000000)}
    if server.leaseless:
        # With no room for a lease dnsmasq 2.90 keeps none for DHCPv6 and answers all the same; a lease would only tie
        # the address to the client's DUID, which another system on the same instance does not know.
        made[LEASELESS] = _config(folder, LEASELESS, ("port=0", *server.leaseless), hosts, 0)
    return made


def beside(config: str, what: str) -> str:
    """The name of another file of the daemon whose configuration this is: its ``pid`` or its ``log``."""
    return config.replace(CONFIG, what, 1)


def _config(folder: Path, name: str, options: Iterable[str], hosts: Mapping[str, DhcpHost], leases: int) -> str:
    """A configuration file.

    Ports with options of their own get their tag here, by --dhcp-mac: a tag in the hosts file would do, but dnsmasq
    2.90 then frees what it does not own when it reads that file again after it has served the port, and crashes.
    """
    lines = tuple(options)
    for line in lines:
        _one_line(line)
        if line.partition("=")[0].strip() not in _ALLOWED:
            raise ValueError(f"{line!r} is none of the options that a network's dnsmasq is given")
    return "\n".join(
        (
            f"pid-file={folder / beside(name, 'pid')}",
            f"log-facility={folder / beside(name, 'log')}",
            "quiet-dhcp",
            "quiet-dhcp6",
            "quiet-ra",
            "no-hosts",
            "no-resolv",
            "no-ping",
            "leasefile-ro",
            "dhcp-authoritative",
            f"dhcp-lease-max={leases}",
            f"dhcp-hostsfile={folder / HOSTS}",
            f"dhcp-optsfile={folder / OPTIONS}",
            f"addn-hosts={folder / NAMES}",
            *dict.fromkeys(line for line in lines if line not in _ALWAYS),
            *(f"dhcp-mac=set:port-{port},{hosts[port].mac}" for port in sorted(hosts) if hosts[port].options),
            "",
        )
    )


_ALLOWED = frozenset(
    {
        *("port", "interface", "except-interface", "bind-dynamic", "no-hosts", "no-resolv", "no-ping", "leasefile-ro"),
        *("server", "domain", "local", "dhcp-range", "dhcp-option", "dhcp-authoritative", "dhcp-host", "dhcp-mac"),
        *("enable-ra", "quiet-ra", "ra-param", "address", "host-record"),
    }
)
"""Options that name addresses, names and interfaces only. Others run programs or read files, as root: a server that
somebody has taken over must not get that far."""
_ALWAYS = frozenset({"no-hosts", "no-resolv", "no-ping", "leasefile-ro", "dhcp-authoritative"})


def check(port: str, host: DhcpHost) -> None:
    """Raise ValueError for a host that would say more to dnsmasq than it should, or nothing that it understands."""
    if not _TAG.fullmatch(port):
        raise ValueError(f"port id {port!r} is no tag")
    if not _MAC.fullmatch(host.mac):
        raise ValueError(f"{host.mac!r} is no MAC address")
    for address in host.addresses:
        ipaddress.ip_address(address)
    for name in host.names:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no DNS name")
    for option in host.options:
        _one_line(option)


def _one_line(line: str) -> None:
    if not line or not line.isprintable():
        raise ValueError(f"{line!r} is no line of dnsmasq's configuration")


def hosts_files(hosts: Mapping[str, DhcpHost]) -> dict[str, str]:
    """Hosts, options and names files for ports by id, by file name; ports in the order of their ids."""
    lines: dict[str, list[str]] = {HOSTS: [], OPTIONS: [], NAMES: []}
    for port in sorted(hosts):
        host = hosts[port]
        lines[HOSTS] += _host_lines(host)
        lines[OPTIONS] += (f"tag:port-{port},{option}" for option in host.options)
        if host.names:
            lines[NAMES] += (f"{address} {' '.join(host.names)}" for address in host.addresses)
    return {name: "".join(f"{line}\n" for line in part) for name, part in lines.items()}


def _host_lines(host: DhcpHost) -> Iterable[str]:
    """One line an IPv4 address, since a line holds one; dnsmasq takes the one that fits the subnet asked from."""
    v4 = [address for address in host.addresses if ":" not in address]
    v6 = [f"[{address}]" for address in host.addresses if ":" in address]
    name = [host.names[0].split(".")[0]] if host.names else []
    for index, address in enumerate(v4 or [""]):
        known = ([address] if address else []) + (v6 if index == 0 else [])
        yield ",".join((host.mac, *known, *name))
