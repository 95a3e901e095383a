"""List filters of ports that are no plain columns: by address, by group, by address pair."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import types
from kaon.resources.declare import named
from kaon.resources.errors import invalid
from kaon.resources.ports.port_security import PORT_GROUPS
from kaon.resources.subnets.ipam import ALLOCATIONS


def _column() -> sa.sql.base.ReadOnlyColumnCollection[str, sa.Column[Any]]:
    return named("port").table.c


def _pairs(values: Iterable[str], name: str, keys: tuple[str, ...]) -> dict[str, list[str]]:
    """``fixed_ips=ip_address=10.0.0.5`` and the like: the values by key."""
    found: dict[str, list[str]] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or key not in keys:
            raise invalid(f"{name}: '{value}' is not one of {', '.join(keys)} = value")
        found.setdefault(key, []).append(text)
    return found


def fixed_ips(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    held = ALLOCATIONS.c
    wanted = _pairs(values, "fixed_ips", ("ip_address", "subnet_id", "ip_address_substr"))
    conditions = []
    for key, texts in wanted.items():
        matched: sa.ColumnElement[bool]
        if key == "ip_address":
            matched = held.ip.in_([_canonical_ip(text) for text in texts])
        elif key == "ip_address_substr":
            matched = sa.or_(*(held.ip.contains(text, autoescape=True) for text in texts))
        else:
            matched = held.subnet_id.in_(texts)
        conditions.append(_column().id.in_(sa.select(held.port_id).where(matched)))
    return sa.and_(*conditions)


def _canonical_ip(text: str) -> str:
    try:
        return str(types.IP_ADDRESS.parse(text))
    except ValueError:
        return text


def _holds_text(column: sa.ColumnElement[Any], texts: Iterable[str]) -> sa.ColumnElement[bool]:
    stored = sa.cast(column, sa.Text)
    return sa.or_(*(stored.contains(f'"{text}"', autoescape=True) for text in texts))


def security_groups(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    joined = PORT_GROUPS.c
    return _column().id.in_(sa.select(joined.port_id).where(joined.security_group_id.in_(values)))


def allowed_address_pairs(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    wanted = _pairs(values, "allowed_address_pairs", ("ip_address", "mac_address"))
    column = _column().allowed_address_pairs
    return sa.and_(*(_holds_text(column, texts) for texts in wanted.values()))


def mac_address(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    return _column().mac_address.in_([value.lower().replace("-", ":") for value in values])
