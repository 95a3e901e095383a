"""Types of the attributes that only ports have."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import types
from kaon.resources.types import Type

MAX_ADDRESS_PAIRS = 10

_FIXED_IP = types.object_of({"subnet_id": types.UUID, "ip_address": types.IP_ADDRESS})
_fixed_ips = types.list_of(_FIXED_IP, unique=False)


def _distinct_addresses(value: Any) -> list[dict[str, str]]:
    items: list[dict[str, str]] = _fixed_ips.parse(value)
    seen: set[str] = set()
    for item in items:
        address = item.get("ip_address")
        if address in seen:
            raise ValueError(f"Duplicate IP address '{address}'")
        if address is not None:
            seen.add(address)
    return items


FIXED_IPS = Type(_distinct_addresses, sa.JSON(), _fixed_ips.schema, structured=True)
"""Addresses by subnet, by address or by both. A subnet may repeat, an address may not."""


def _prefix_or_address(value: Any) -> str:
    """Kept as an address or as a prefix, whichever the client wrote."""
    parse = types.CIDR.parse if isinstance(value, str) and "/" in value else types.IP_ADDRESS.parse
    return str(parse(value))


_PAIR = types.object_of(
    {
        "mac_address": types.MAC,
        "ip_address": Type(_prefix_or_address, sa.String(49), {"type": "string"}),
    }
)
ADDRESS_PAIRS = types.list_of(_PAIR, unique=False, null_is_empty=True)
"""Further addresses that a port may send from; rules beyond form are in `port_security`."""


def _line(value: Any) -> str:
    text: str = types.text(255).parse(value)
    if "\n" in text or "\r" in text:
        raise ValueError("Multi-line string is not allowed")
    return text


_OPTION = types.object_of(
    {
        "opt_name": Type(_line, sa.String(64), {"type": "string", "minLength": 1, "maxLength": 64}),
        "opt_value": types.nullable(Type(_line, sa.String(255), {"type": "string", "maxLength": 255})),
        "ip_version": types.one_of(4, 6),
    },
    required=("opt_name", "opt_value"),
)

_BLANK_ALLOWED = ("router", "classless-static-route")
"""Options that a client may send empty, which tells dnsmasq not to send them."""


def _options(value: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = types.list_of(_OPTION, unique=False, null_is_empty=True).parse(value)
    for item in items:
        if not item["opt_name"].strip():
            raise ValueError("'' Blank strings are not permitted")
        if item["opt_value"] is not None and not item["opt_value"].strip() and item["opt_name"] not in _BLANK_ALLOWED:
            raise ValueError(f"'{item['opt_value']}' Blank strings are not permitted")
    return items


DHCP_OPTIONS = Type(_options, sa.JSON(), types.list_of(_OPTION).schema, structured=True)
"""Extra DHCP options of a port."""
