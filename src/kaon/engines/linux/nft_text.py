"""One canonical text for what nft can say in several ways, so that desired and actual rows can be compared.

Elements: fields joined by `` . ``, interface names quoted, addresses and prefixes as RFC 5952 has them (one of full
length is an address, a range that is a prefix is written so), protocols and other symbols as numbers. Rules and set
declarations cannot be compared as text, since the kernel forgets their text: they carry a digest of it in a comment.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from functools import lru_cache
from typing import Any

from kaon.rows import Chain, Rule, Set

COMMENT_BYTES = 127
_SYMBOLS = {
    "ah": 51, "dccp": 33, "esp": 50, "gre": 47, "icmp": 1, "icmpv6": 58, "igmp": 2, "ipv6-icmp": 58, "ospf": 89,
    "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136, "vrrp": 112,
    "arp": 0x0806, "ip": 0x0800, "ip6": 0x86DD,
}  # fmt: skip
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
_BRIDGE_PRIORITIES = {"dstnat": -300, "filter": -200, "out": 100, "srcnat": 300}
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_ADDRESS = re.compile(r"[0-9a-f]*[.:][0-9a-f.:]*")
_WIDE = re.compile(r"0x[0-9a-f]{16,}")
"""Numbers of 64 bits and more come as text, longer than any interface's name can be."""
_HOOK = re.compile(r"type\s+(\w+)\s+hook\s+(\w+)(?:\s+devices?\s+\S+)?\s+priority\s+(\w+)?\s*([+-]?\s*\d+)?")
_POLICY = re.compile(r"policy\s+(\w+)")


def element(text: str) -> str:
    """The canonical text of an element, or of its data."""
    return " . ".join(map(_field, re.split(r"\s+\.\s+", text.strip())))


@lru_cache(maxsize=1 << 16)
def _field(text: str) -> str:
    if text.startswith('"'):
        return text
    lower = text.lower()
    if _MAC.fullmatch(lower):
        return lower
    try:
        return str(int(text, 0))
    except ValueError:
        pass
    if lower in _SYMBOLS:
        return str(_SYMBOLS[lower])
    first, dash, last = lower.partition("-")
    if dash:
        one, other = _field(first), _field(last)
        if not (one.startswith('"') or other.startswith('"')):
            return _range(one, other)
    try:
        return _prefix(ipaddress.ip_network(lower, strict=False))
    except ValueError:
        return f'"{text}"'


def _range(first: str, last: str) -> str:
    if first == last:
        return first
    if first.isdigit():
        return f"{first}-{last}"
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    bits = (int(low) ^ int(high)).bit_length()
    whole = int(low) & ((1 << bits) - 1) == 0 and int(high) & ((1 << bits) - 1) == (1 << bits) - 1
    return _prefix(ipaddress.ip_network((low, low.max_prefixlen - bits))) if whole else f"{first}-{last}"


def _prefix(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def element_from_json(value: Any) -> str:
    """The canonical text of an element as libnftables' JSON has it (libnftables-json(5))."""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        if _WIDE.fullmatch(value):
            return str(int(value, 16))
        return value if _ADDRESS.fullmatch(value) else f'"{value}"'
    if "concat" in value:
        return " . ".join(map(element_from_json, value["concat"]))
    if "prefix" in value:
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    if "range" in value:
        first, last = map(element_from_json, value["range"])
        return _range(first, last)
    if "elem" in value:
        return element_from_json(value["elem"]["val"])
    raise ValueError(f"nft tells of an element in a form that is not known: {value}")


def comment_from_json(value: Any) -> str:
    """The comment of an element, empty when it has none."""
    return str(value["elem"].get("comment", "")) if isinstance(value, dict) and "elem" in value else ""


def data(text: str) -> str:
    """The canonical text of what a map holds for an element: a verdict, or a value as in elements."""
    words = text.split()
    if not words or words[0] in ("accept", "drop", "continue", "return", "jump", "goto"):
        return " ".join(words)
    return element(text)


def data_from_json(value: Any) -> str:
    """The same from JSON."""
    if isinstance(value, dict) and len(value) == 1:
        ((verdict, target),) = value.items()
        if verdict in ("jump", "goto"):
            return f"{verdict} {target['target']}"
        if verdict in ("accept", "drop", "continue", "return"):
            return str(verdict)
    return element_from_json(value)


def hook(family: str, text: str) -> str:
    """The canonical text of a base chain's hook; text that does not parse stays as it is, for nft to refuse."""
    if not text.strip():
        return ""
    found = _HOOK.search(text)
    if found is None:
        return text.strip()
    kind, point, name, offset = found.groups()
    names = _BRIDGE_PRIORITIES if family == "bridge" else _PRIORITIES
    base = names.get(name, 0) if name and not name.isdigit() else int(name or 0)
    policy = _POLICY.search(text)
    return hook_words(kind, point, base + int((offset or "0").replace(" ", "")), policy[1] if policy else "accept")


def hook_words(kind: str, point: str, priority: int, policy: str) -> str:
    """The canonical text of a hook from its parts."""
    return f"type {kind} hook {point} priority {priority}; policy {policy};"


def digest(*parts: str) -> str:
    """Twelve hexadecimal digits that stand for text that the kernel does not keep."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=6).hexdigest()


def rule_comment(rule: Rule) -> str:
    """What a rule carries in the kernel: the API id that it serves, and the digest of its text."""
    return _comment(rule.origin, digest(rule.text))


def set_comment(value: Set, origin: str) -> str:
    """What a set carries in the kernel."""
    return _comment(origin, digest(value.key_type, value.data_type, *sorted(value.flags)))


def _comment(origin: str, of_text: str) -> str:
    return f"{origin.replace(chr(34), '')[: COMMENT_BYTES - 14]} {of_text}"


def element_comment(origin: str) -> str:
    """What an exclusive element carries in the kernel; that it carries anything marks it as one."""
    return origin.replace(chr(34), "")[:COMMENT_BYTES] or "exclusive"


def parse_comment(comment: str) -> tuple[str, str]:
    """Origin and digest from a comment; no digest when it is none of ours."""
    origin, _, of_text = comment.rpartition(" ")
    return (origin, of_text) if len(of_text) == 12 else (comment, "")


def chain_form(family: str, value: Chain) -> Chain:
    """A chain as it is compared: its hook canonical, each rule replaced by its digest."""
    return Chain(hook=hook(family, value.hook), rules=tuple(Rule(digest(rule.text)) for rule in value.rules))


def set_form(value: Set) -> Set:
    """A set declaration as it is compared: its digest."""
    return Set(key_type=digest(value.key_type, value.data_type, *sorted(value.flags)))
