"""Pools of free numbers kept as ranges: addresses of a subnet, segmentation ids, conntrack zones.

What is free is stored, not what is taken, so that the next free number is one index look-up however many are in use.
Numbers are stored as 32 hexadecimal digits, which sort as numbers do and hold an IPv6 address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

FREE = sa.Table(
    "free_ranges",
    metadata,
    sa.Column("pool", sa.String(80), primary_key=True),
    sa.Column("first", sa.String(32), primary_key=True),
    sa.Column("last", sa.String(32), nullable=False),
)

_pool: sa.BindParameter[str] = sa.bindparam("_pool")
_number: sa.BindParameter[str] = sa.bindparam("_number")
_of_pool = sa.select(FREE.c.first, FREE.c.last).where(FREE.c.pool == _pool)
_LOWEST: sa.Select[Any] = _of_pool.order_by(FREE.c.first).limit(1).with_for_update()
_BELOW: sa.Select[Any] = (
    _of_pool.where(FREE.c.first <= _number).order_by(FREE.c.first.desc()).limit(1).with_for_update()
)
_ABOVE: sa.Select[Any] = _of_pool.where(FREE.c.first > _number).order_by(FREE.c.first).limit(1).with_for_update()
_EVERY: sa.Select[Any] = _of_pool.order_by(FREE.c.first)
_KEYED = (FREE.c.pool == _pool) & (FREE.c.first == sa.bindparam("_first"))
_DELETE = sa.delete(FREE).where(_KEYED)
_MOVE = sa.update(FREE).where(_KEYED).values(first=sa.bindparam("_to_first"), last=sa.bindparam("_to_last"))


def _hex(number: int) -> str:
    return f"{number:032x}"


def _remove(tx: Transaction, pool: str, first: int) -> None:
    tx.execute(_DELETE, {"_pool": pool, "_first": _hex(first)})


def _add(tx: Transaction, pool: str, first: int, last: int) -> None:
    tx.execute(sa.insert(FREE), {"pool": pool, "first": _hex(first), "last": _hex(last)})


def _resize(tx: Transaction, pool: str, first: int, to_first: int, to_last: int) -> None:
    tx.execute(_MOVE, {"_pool": pool, "_first": _hex(first), "_to_first": _hex(to_first), "_to_last": _hex(to_last)})


def _around(tx: Transaction, statement: sa.Select[Any], pool: str, number: int) -> tuple[int, int] | None:
    row = tx.execute(statement, {"_pool": pool, "_number": _hex(number)}).first()
    return None if row is None else (int(row[0], 16), int(row[1], 16))


def fill(tx: Transaction, pool: str, ranges: Iterable[tuple[int, int]]) -> None:
    """Make these inclusive, disjoint ranges what is free in a pool, whatever it held before."""
    drop(tx, pool)
    for first, last in ranges:
        _add(tx, pool, first, last)


def drop(tx: Transaction, pool: str) -> None:
    """Forget a pool."""
    tx.execute(sa.delete(FREE).where(FREE.c.pool == pool))


def take_lowest(tx: Transaction, pool: str) -> int | None:
    """Take the lowest free number, or None when nothing is free."""
    row = tx.execute(_LOWEST, {"_pool": pool}).first()
    if row is None:
        return None
    first, last = int(row[0], 16), int(row[1], 16)
    if first == last:
        _remove(tx, pool, first)
    else:
        _resize(tx, pool, first, first + 1, last)
    return first


def is_empty(tx: Transaction, pool: str) -> bool:
    """Whether nothing is free in a pool."""
    return tx.execute(_LOWEST, {"_pool": pool}).first() is None


def take(tx: Transaction, pool: str, number: int) -> bool:
    """Take this number; false when it is not free in the pool (taken, or never part of it)."""
    found = _around(tx, _BELOW, pool, number)
    if found is None or found[1] < number:
        return False
    first, last = found
    if first == last:
        _remove(tx, pool, first)
    elif number == first:
        _resize(tx, pool, first, first + 1, last)
    else:
        _resize(tx, pool, first, first, number - 1)
        if number < last:
            _add(tx, pool, number + 1, last)
    return True


def take_within(tx: Transaction, pool: str, spans: Iterable[tuple[int, int]]) -> int | None:
    """Take the lowest free number of the first of these inclusive ranges that has one, or None."""
    for first, last in spans:
        below, above = _around(tx, _BELOW, pool, first), _around(tx, _ABOVE, pool, first)
        number = first if below is not None and below[1] >= first else above[0] if above is not None else None
        if number is not None and number <= last:
            take(tx, pool, number)
            return number
    return None


def give_back(tx: Transaction, pool: str, number: int) -> None:
    """Return a taken number, joining it with the free ranges beside it; a number that is free already stays so."""
    below, above = _around(tx, _BELOW, pool, number), _around(tx, _ABOVE, pool, number)
    if below is not None and below[1] >= number:
        return
    joins_below = below is not None and below[1] == number - 1
    joins_above = above is not None and above[0] == number + 1
    if joins_above and above is not None:
        _remove(tx, pool, above[0])
    last = above[1] if joins_above and above is not None else number
    if joins_below and below is not None:
        _resize(tx, pool, below[0], below[0], last)
    else:
        _add(tx, pool, number, last)


def free(conn: sa.Connection, pool: str) -> list[tuple[int, int]]:
    """What is free in a pool, as inclusive ranges in order."""
    return [(int(first, 16), int(last, 16)) for first, last in conn.execute(_EVERY, {"_pool": pool})]


def sizes(conn: sa.Connection, pools: Sequence[str]) -> dict[str, int]:
    """How many numbers are free in each of these pools; one in which nothing is free is not among them."""
    found: dict[str, int] = {}
    for start in range(0, len(pools), 500):
        chosen = sa.select(FREE).where(FREE.c.pool.in_(pools[start : start + 500]))
        for name, first, last in conn.execute(chosen):
            found[name] = found.get(name, 0) + int(last, 16) - int(first, 16) + 1
    return found
