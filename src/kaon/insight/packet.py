"""The packet that is asked about, and how one asks for it in text."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from kaon.ip_protocols import NUMBERS

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
"""Protocols whose packets have ports: TCP, UDP, DCCP, SCTP, UDP-Lite."""
CLIENT_PORT = 40000
"""The port that a client sends from where nobody says: one of those that Linux gives out (32768 to 60999)."""
EXTERNAL = "external"
"""In the place of a port's id: whoever is outside, on an external network."""

_OTHER_WAY = {8: 0, 0: 8, 128: 129, 129: 128}
"""ICMP and ICMPv6 types of echo requests and of their replies."""
_NAMES = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmpv6", 132: "sctp"}


class Packet(NamedTuple):
    """What filters and routers look at. `protocol` is IANA's number; ports are -1 for protocols without any.

    For ICMP `port` is the type, and the code is 0: echoes are all that one asks about.
    """

    source: str
    destination: str
    protocol: int
    source_port: int = -1
    port: int = -1

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if ":" in self.destination else 4

    @property
    def reply(self) -> Packet:
        """The packet that answers this one."""
        if self.protocol in (ICMP, ICMPV6):
            return Packet(self.destination, self.source, self.protocol, -1, _OTHER_WAY[self.port])
        return Packet(self.destination, self.source, self.protocol, self.port, self.source_port)

    def __str__(self) -> str:
        name = _NAMES.get(self.protocol, f"protocol {self.protocol}")
        if self.protocol in WITH_PORTS:
            return f"{name} {_with(self.source, self.source_port)} > {_with(self.destination, self.port)}"
        if self.protocol in (ICMP, ICMPV6):
            name += " echo reply" if self.port in (0, 129) else " echo"
        return f"{name} {self.source} > {self.destination}"


def _with(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Question(NamedTuple):
    """What somebody wants to know: whether a packet from a port (or from outside) arrives.

    `sender` is a port's id or `EXTERNAL`. An empty `source` means the sender's own address. `project` narrows where
    several projects have the destination: an address from outside that no external network has.
    """

    sender: str
    destination: str
    protocol: int
    port: int = -1
    source: str = ""
    source_port: int = CLIENT_PORT
    project: str = ""

    def packet(self, source: str) -> Packet:
        """The packet, from this address."""
        if self.protocol in WITH_PORTS:
            return Packet(source, self.destination, self.protocol, self.source_port, self.port)
        return Packet(source, self.destination, self.protocol, -1, self.port)


def asked(sender: str, to: str, protocol: str = "", source: str = "", source_port: int = CLIENT_PORT) -> Question:
    """A question from text: `to` is ``IP``, ``IP:PORT`` or ``[IP]:PORT``. TCP is meant with a port, echoes without.

    Raises ValueError with what is wrong and how to say it.
    """
    address, port = _target(to)
    version = 6 if ":" in address else 4
    number = _protocol(protocol or ("tcp" if port >= 0 else "icmp"), version)
    if number in WITH_PORTS and not 0 < port <= 65535:
        raise ValueError(f"{protocol} needs a port: write {_with(address, 80)}")
    if number not in WITH_PORTS and port >= 0:
        raise ValueError(f"{protocol} has no ports: write {address}")
    if number in (ICMP, ICMPV6):
        port = 128 if version == 6 else 8
    if source:
        source = _address(source)
        if (6 if ":" in source else 4) != version:
            raise ValueError(f"source {source} and destination {address} are of different IP versions")
    if not 0 < source_port <= 65535:
        raise ValueError(f"{source_port} is no port: 1 to 65535 are")
    return Question(sender, address, number, port, source, source_port)


def _target(text: str) -> tuple[str, int]:
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    else:
        address, port = text, ""
    if port and not (port.isascii() and port.isdecimal()):
        raise ValueError(f"{text!r} has no port: write IP, IP:PORT or [IPv6]:PORT")
    return _address(address), int(port) if port else -1


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address: write IP, IP:PORT or [IPv6]:PORT") from None


def _protocol(text: str, version: int) -> int:
    number = int(text) if text.isascii() and text.isdecimal() else NUMBERS.get(text.lower(), 0)
    if not 0 < number < 256:
        raise ValueError(f"{text!r} is no protocol: a number from 1 to 255, or one of {', '.join(sorted(NUMBERS))}")
    # Whoever asks for ICMP means that of the IP version.
    if number in (ICMP, ICMPV6):
        return ICMPV6 if version == 6 else ICMP
    return number
