"""Attribute types: what a value may be, its canonical form, its column and its JSON schema, said once.

A type's `parse` takes what a client sent and returns the canonical value or raises ValueError with the reason, in the
words that Neutron's clients know (neutron-lib's validators are the reference for what is accepted).
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from kaon.resources.errors import InvalidValue

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Type:
    """How one kind of value is checked, stored and described. `column` is None for values that are never stored."""

    parse: Callable[[Any], Any]
    column: sa.types.TypeEngine[Any]
    schema: Schema
    structured: bool = False
    """Stored as JSON: no ordinary filter or sort key."""
    shown: tuple[Callable[[Any], Any], Schema] | None = None
    """From the canonical value to what the API shows, and the schema of that, where it differs."""


def unconverted(reason: str) -> InvalidValue:
    """What Neutron answers where it converts a value before it looks at it: booleans, numbers, prefixes."""
    return InvalidValue("InvalidInput", f"Invalid input for operation: {reason}.")


def converted(inner: Type) -> Type:
    """The same type, but what it refuses is InvalidInput."""

    def parse(value: Any) -> Any:
        try:
            return inner.parse(value)
        except InvalidValue:
            raise
        except ValueError as error:
            raise unconverted(str(error)) from None

    return replace(inner, parse=parse)


def converted_list(inner: Type) -> Type:
    """The same list of objects, but what is no list of objects at all is InvalidInput."""

    def parse(value: Any) -> Any:
        if value is not None and not (isinstance(value, list) and all(isinstance(item, dict) for item in value)):
            raise unconverted(f"'{value}' is not a list of dictionaries")
        return inner.parse(value)

    return replace(inner, parse=parse)


def unchanged(inner: Type) -> Type:
    """The same type where Neutron only looks at a value and converts nothing: what it refuses is HTTPBadRequest."""

    def parse(value: Any) -> Any:
        try:
            return inner.parse(value)
        except InvalidValue as error:
            raise ValueError(error.message) from None

    return replace(inner, parse=parse)


def _text(limit: int) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is not a valid string")
        if len(value) > limit:
            raise ValueError(f"'{value}' exceeds maximum length of {limit}")
        if "\x00" in value:
            raise ValueError("a string must not hold the NUL character")
        return value

    return parse


def text(limit: int = 255) -> Type:
    """A string of at most `limit` characters."""
    return Type(_text(limit), sa.String(limit), {"type": "string", "maxLength": limit})


def name(least: int = 0) -> Type:
    """A display name of `least` characters or more: printable, and without blanks around it."""
    of_text = _text(255)

    def parse(value: Any) -> str:
        string = of_text(value)
        hidden = not string.isprintable() and any(unicodedata.category(character)[0] == "C" for character in string)
        if hidden or string != string.strip():
            raise ValueError(f"'{value}' is not a valid string")
        if len(string) < least:
            raise ValueError(f"'{value}' Blank strings are not permitted")
        return string

    return Type(parse, sa.String(255), {"type": "string", "minLength": least, "maxLength": 255})


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and value.lower() in ("true", "1"):
        return True
    if isinstance(value, str) and value.lower() in ("false", "0"):
        return False
    raise unconverted(f"'{value}' cannot be converted to boolean")


BOOLEAN = Type(_boolean, sa.Boolean(), {"type": "boolean"})


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise unconverted(f"'{value}' is not an integer")
    try:
        return int(value)
    except ValueError:
        raise unconverted(f"'{value}' is not an integer") from None


def natural(text: str) -> int | None:
    """The number that decimal digits write; None for other text, and for more digits than any number here has."""
    return int(text) if text.isdecimal() and len(text) <= 18 else None


def integer(least: int = -(2**31), most: int = 2**31 - 1) -> Type:
    """A whole number within inclusive bounds; text that reads as one is taken too."""

    def parse(value: Any) -> int:
        number = _whole(value)
        if number < least:
            raise ValueError(f"'{value}' is too small - must be at least '{least}'")
        if number > most:
            raise ValueError(f"'{value}' is too large - must be no larger than '{most}'")
        return number

    return Type(parse, sa.BigInteger(), {"type": "integer", "minimum": least, "maximum": most})


def one_of(*values: str | int) -> Type:
    """One of a few fixed values; numbers are also taken as text."""
    numeric = isinstance(values[0], int)

    def parse(value: Any) -> Any:
        candidate = _whole(value) if numeric else value
        if isinstance(candidate, bool) or not isinstance(candidate, (int, str)) or candidate not in values:
            raise ValueError(f"'{value}' is not in {list(values)}")
        return candidate

    column: sa.types.TypeEngine[Any] = sa.Integer() if numeric else sa.String(64)
    return Type(parse, column, {"enum": list(values)})


_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


def _uuid(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError(f"'{value}' is not a valid UUID")
    return value


ANY_ID = Type(_text(255), sa.String(36), {"type": "string", "maxLength": 255})
"""An id whose form nobody looks at: any other text is the id of nothing."""

UUID = Type(_uuid, sa.String(36), {"type": "string", "format": "uuid"})


def new_id() -> str:
    """A fresh random id, in the form that the API shows."""
    return str(uuid.uuid4())


def _mac(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"'{value}' is not a valid MAC address")
    digits = value.lower().replace("-", ":")
    if not re.fullmatch(r"([0-9a-f]{2}:){5}[0-9a-f]{2}", digits):
        raise ValueError(f"'{value}' is not a valid MAC address")
    if digits == "00:00:00:00:00:00" or int(digits[:2], 16) & 1:
        raise ValueError(f"'{value}' is not a unicast MAC address")
    return digits


MAC = Type(_mac, sa.String(17), {"type": "string", "pattern": "^[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}$"})


def _ip(value: Any) -> str:
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"'{value}' is not a valid IP address") from None


IP_ADDRESS = Type(_ip, sa.String(45), {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]})


def _cidr(value: Any) -> str:
    try:
        if not isinstance(value, str) or "/" not in value or "%" in value:
            raise ValueError
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"'{value}' is not a valid IP subnet") from None


CIDR = Type(_cidr, sa.String(49), {"type": "string"})
"""A prefix; host bits are cleared as Neutron does."""


def nullable(inner: Type) -> Type:
    """The same type, or null."""
    return replace(
        inner,
        parse=lambda value: None if value is None else inner.parse(value),
        schema={"anyOf": [inner.schema, {"type": "null"}]},
    )


def or_null(inner: Type) -> Type:
    """The same type, shown as null where nobody has set it: null itself is not taken."""
    return replace(inner, schema={"anyOf": [inner.schema, {"type": "null"}]})


def list_of(inner: Type, most: int = 10_000, unique: bool = True, null_is_empty: bool = False) -> Type:
    """A JSON list of values of one type, duplicates refused when `unique`."""

    def parse(value: Any) -> list[Any]:
        if value is None and null_is_empty:
            return []
        if not isinstance(value, list):
            raise ValueError(f"'{value}' is not a list")
        if len(value) > most:
            raise ValueError(f"a list of {len(value)} items is over the limit of {most}")
        items = [inner.parse(item) for item in value]
        if unique:
            for index, item in enumerate(items):
                if item in items[:index] if len(items) < 50 else items.count(item) > 1:
                    raise ValueError(f"Duplicate items in the list: '{item}'")
        return items

    return Type(parse, sa.JSON(), {"type": "array", "items": inner.schema, "maxItems": most}, structured=True)


def object_of(fields: Mapping[str, Type], required: Sequence[str] = (), empty: bool = False) -> Type:
    """A JSON object with known fields; absent optional ones stay absent. `empty`: ``{}`` is taken even so."""

    def parse(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"'{value}' is not a dictionary")
        if empty and not value:
            return {}
        unknown = sorted(str(key) for key in value if key not in fields)
        if unknown:
            raise ValueError(f"Unexpected keys supplied: {', '.join(unknown)}")
        missing = [key for key in required if key not in value]
        if missing:
            raise ValueError(f"Expected keys not found: {', '.join(missing)}")
        return {key: fields[key].parse(item) for key, item in value.items()}

    schema = {
        "type": "object",
        "properties": {key: inner.schema for key, inner in fields.items()},
        "required": list(required),
        "additionalProperties": False,
    }
    return Type(parse, sa.JSON(), schema, structured=True)


def _mapping(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    return value


MAPPING = Type(_mapping, sa.JSON(), {"type": "object"}, structured=True)
"""A free JSON object (binding:profile and the like); null is an empty one."""
