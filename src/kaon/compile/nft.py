"""Short ways to write nftables rows of Kaon's tables."""

from __future__ import annotations

from collections.abc import Iterable

from kaon.compile.names import HOST, TABLE
from kaon.rows import Chain, Element, Row, Rule, Set, row


def chain(family: str, name: str, *rules: str | Rule, hook: str = "", netns: str = HOST, origin: str = "") -> Row:
    """A chain; rules given as text serve no API id of their own."""
    texts = tuple(each if isinstance(each, Rule) else Rule(each) for each in rules)
    return row(Chain(hook, texts), netns, family, TABLE, name, origin=origin)


def base(hook: str, priority: int, type: str = "filter") -> str:
    """What makes a chain a base chain; every base chain of Kaon accepts what no rule drops."""
    return f"type {type} hook {hook} priority {priority}; policy accept;"


def named_set(
    family: str, name: str, key: str, data: str = "", *flags: str, netns: str = HOST, origin: str = ""
) -> Row:
    """A set, or a map when `data` is given."""
    return row(Set(key, data, tuple(flags)), netns, family, TABLE, name, origin=origin)


def element(
    family: str,
    set_name: str,
    key: str | Iterable[str],
    data: str = "",
    *,
    exclusive: bool = False,
    netns: str = HOST,
    origin: str = "",
) -> Row:
    """An element; the parts of a concatenated key are joined with dots."""
    text = key if isinstance(key, str) else " . ".join(key)
    return row(Element(data, exclusive), netns, family, TABLE, set_name, text, origin=origin)
