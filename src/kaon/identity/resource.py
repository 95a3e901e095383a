"""How a Keystone collection is declared: its attributes, its rights, and the rules that are its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from kaon.caller import Caller
from kaon.identity import errors
from kaon.identity.policy import Policy
from kaon.identity.state import Identity
from kaon.store.transaction import Transaction

Values = dict[str, Any]
"""Attribute or column names and what they shall be."""

REQUIRED = msgspec.UNSET
"""The default of an attribute that must be given."""


class Attribute(NamedTuple):
    """One attribute of a resource.

    `kind` is str, bool, dict or list; `column` is empty for what is not kept in the resource's own table. `fixed` ones
    never change after creation; `hidden` ones are never shown.
    """

    name: str
    kind: type = str
    default: Any = None
    nullable: bool = False
    longest: int = 255
    shortest: int = 0
    choices: tuple[str, ...] = ()
    filter: bool = False
    fixed: bool = False
    hidden: bool = False
    stored: bool = True


NAME = Attribute("name", default=REQUIRED, shortest=1, filter=True)
DESCRIPTION = Attribute("description", default="", nullable=True, longest=65_535)
ENABLED = Attribute("enabled", bool, True, filter=True)
DOMAIN_ID = Attribute("domain_id", default="", nullable=True, longest=64, filter=True, fixed=True)


def _no_defaults(caller: Caller, values: Values) -> None:
    return


async def _no_preparation(identity: Identity, values: Values) -> None:
    return


def _admitted(tx: Transaction, before: Values | None, values: Values) -> None:
    return


def _nothing_hangs_on_it(tx: Transaction, row: Values) -> None:
    return


def _as_stored(conn: sa.Connection, bodies: Sequence[Values]) -> None:
    return


def _no_other_filters(statement: sa.Select[Any], query: Sequence[tuple[str, str]]) -> sa.Select[Any]:
    return statement


@dataclass(slots=True, frozen=True)
class Collection:
    """A collection of resources and the functions that make it different from any other, in the order they are called.

    `defaults` fills in what the caller did not say, before rights are checked; `prepare` does slow work (hashing) off
    the transaction; `admit` checks and completes values inside it (`before` is None on creation); `saved` stores what
    lies in other tables; `removed` deletes what hangs on a row, before the row itself; `decorate` completes bodies
    before they are shown; `narrow` adds filters that are no attribute; `duplicate` says what is wrong
    with a second one.
    """

    name: str
    kind: str
    table: sa.Table
    attributes: tuple[Attribute, ...]
    policy: Policy
    duplicate: str = "Duplicate entry found with name {name} at domain ID {domain_id}"
    defaults: Callable[[Caller, Values], None] = _no_defaults
    prepare: Callable[[Identity, Values], Awaitable[None]] = _no_preparation
    admit: Callable[[Transaction, Values | None, Values], None] = _admitted
    saved: Callable[[Transaction, Values], None] = _nothing_hangs_on_it
    removed: Callable[[Transaction, Values], None] = _nothing_hangs_on_it
    decorate: Callable[[sa.Connection, Sequence[Values]], None] = _as_stored
    narrow: Callable[[sa.Select[Any], Sequence[tuple[str, str]]], sa.Select[Any]] = _no_other_filters


_TYPE_NAMES = {str: "string", bool: "boolean", dict: "object", list: "array"}


def check(kind: str, attribute: Attribute, value: Any) -> Any:
    """`value` if the attribute may have it; 400 naming the path otherwise."""
    path = f"{kind}/{attribute.name}"
    if value is None and attribute.nullable:
        return attribute.default if attribute.kind is str else None
    if not isinstance(value, attribute.kind) or (isinstance(value, bool) and attribute.kind is not bool):
        raise errors.bad_request(
            f"Invalid input for field '{path}': {value!r:.100} is not of type '{_TYPE_NAMES[attribute.kind]}'"
        )
    if isinstance(value, str):
        if len(value) > attribute.longest:
            raise errors.bad_request(f"Invalid input for field '{path}': longer than {attribute.longest} characters")
        if len(value.strip()) < attribute.shortest:
            raise errors.bad_request(f"Invalid input for field '{path}': it must not be empty")
        if "\0" in value:
            raise errors.bad_request(f"Invalid input for field '{path}': it must not contain NUL")
        if attribute.choices and value not in attribute.choices:
            allowed = ", ".join(attribute.choices)
            raise errors.bad_request(f"Invalid input for field '{path}': {value!r:.100} is not one of {allowed}")
    return value


def accept(collection: Collection, body: Values, before: Values | None) -> Values:
    """The columns to write for `body`: on creation with defaults, on update only what was given.

    What Keystone does not know goes into `extra`, as clients expect to read it back.
    """
    values: Values = {}
    known = {attribute.name for attribute in collection.attributes}
    for attribute in collection.attributes:
        if attribute.name in body:
            value = check(collection.kind, attribute, body[attribute.name])
            if before is not None and attribute.fixed:
                if value != before.get(attribute.name, attribute.default):
                    raise errors.bad_request(f"Cannot change {attribute.name} of a {collection.kind}")
                continue
            values[attribute.name] = value
        elif before is None:
            if attribute.default is REQUIRED:
                raise errors.bad_request(f"'{attribute.name}' is a required property of '{collection.kind}'")
            values[attribute.name] = attribute.default
    if before is not None and body.get("id", before["id"]) != before["id"]:
        raise errors.bad_request(f"Cannot change the id of a {collection.kind}")
    extra = {name: value for name, value in body.items() if name not in known and name not in ("id", "links")}
    if before is None:
        values["extra"] = extra
    elif extra:
        values["extra"] = {**before["extra"], **extra}
    return values


def expire_tokens(before: Values | None, values: Values, now: float) -> None:
    """Make earlier tokens invalid for good when the row is being disabled: enabling it again shall not revive them."""
    if before is not None and before["enabled"] and values.get("enabled") is False:
        values["valid_after"] = int(now * 1_000_000)


def must_exist(tx: Transaction, table: sa.Table, kind: str, id: str) -> Values:
    """The row with this id; 404 naming `kind` if there is none."""
    row = tx.execute(sa.select(table).where(table.c.id == id)).mappings().first()
    if row is None:
        raise errors.not_found(kind, id)
    return dict(row)


def named_must_exist(tx: Transaction, table: sa.Table, kind: str, id: str) -> Values:
    """The row that a body names; 400 if there is none, because the path of the request was right."""
    try:
        return must_exist(tx, table, kind, id)
    except errors.IdentityError as error:
        raise errors.bad_request(error.message) from None
