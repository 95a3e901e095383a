"""The addresses by which a port may speak, from its fixed addresses and its allowed address pairs."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple


class Source(NamedTuple):
    """A hardware address and an IP address or prefix (canonical text) that a port may use together."""

    mac: str
    address: str


@lru_cache(maxsize=65536)
def canonical(text: str) -> str:
    """Canonical text of an address or prefix (RFC 5952); a prefix that holds one address becomes that address."""
    network = ipaddress.ip_network(text, strict=False)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def version(address: str) -> int:
    """4 or 6, of an address or prefix in text."""
    return 6 if ":" in address else 4


def is_prefix(address: str) -> bool:
    """Whether canonical text names more than one address."""
    return "/" in address


def link_local(mac: str) -> str:
    """The IPv6 link-local address that a MAC address leads to (modified EUI-64, RFC 4291 appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + interface))


def port_sources(port: Mapping[str, Any]) -> list[Source]:
    """What a port may send from, in order and without repetition: fixed addresses, allowed pairs, link-locals."""
    mac = port["mac_address"].lower()
    sources = [Source(mac, canonical(ip["ip_address"])) for ip in port.get("fixed_ips") or ()]
    sources += [
        Source((pair.get("mac_address") or mac).lower(), canonical(pair["ip_address"]))
        for pair in port.get("allowed_address_pairs") or ()
    ]
    macs = dict.fromkeys([mac, *(source.mac for source in sources)])
    sources += [Source(each, link_local(each)) for each in macs]
    return list(dict.fromkeys(sources))


def port_addresses(port: Mapping[str, Any]) -> list[str]:
    """Addresses and prefixes that stand for a port in remote groups: fixed addresses and allowed pairs."""
    texts = [ip["ip_address"] for ip in port.get("fixed_ips") or ()]
    texts += [pair["ip_address"] for pair in port.get("allowed_address_pairs") or ()]
    return list(dict.fromkeys(canonical(text) for text in texts))
