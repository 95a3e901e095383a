"""List queries: filters, fields, sorting and pages, from the query string to one SQL statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.declare import Attribute, Resource
from kaon.resources.errors import InvalidValue, bad_request, invalid
from kaon.resources.live import Live
from kaon.store.journal import Record

MAX_PAGE = 100_000
"""Rows of the largest page that a client may ask for in one request."""

_CONTROL = frozenset({"fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse"})
_TAGS = frozenset({"tags", "tags-any", "not-tags", "not-tags-any"})
EXTRA_FILTERS = _TAGS | {"changed_since"}
"""Filters that no attribute is behind by name."""


class Query(NamedTuple):
    """A parsed query string. `filters` maps names to the values of which one must match."""

    filters: Mapping[str, list[str]]
    fields: frozenset[str]
    sorts: Sequence[tuple[str, bool]]
    limit: int | None
    marker: str
    reverse: bool


def parse(resource: Resource, pairs: Sequence[tuple[str, str]]) -> Query:
    """Read a query string; raises the 400s that Neutron answers for unknown filters, keys and limits."""
    filters: dict[str, list[str]] = {}
    control: dict[str, list[str]] = {}
    for name, value in pairs:
        (control if name in _CONTROL else filters).setdefault(name, []).append(value)
    if "tenant_id" in filters:
        filters.setdefault("project_id", []).extend(filters.pop("tenant_id"))
    unknown = sorted(name for name in filters if not filterable(resource, name))
    if unknown:
        raise bad_request(f"{unknown} is invalid attribute for filtering")
    return Query(
        filters,
        frozenset(name for value in control.get("fields", []) for name in value.split(",") if name),
        _sorts(resource, control),
        _limit(control),
        control.get("marker", [""])[0],
        control.get("page_reverse", ["false"])[0].lower() in ("true", "1"),
    )


def filterable(resource: Resource, name: str) -> bool:
    """Whether a list can be filtered by this name."""
    if name in resource.live_filters:
        return True
    if name in resource.filters or name == "tenant_id":
        return name in resource.filters or "project_id" in resource.by_name
    if name in EXTRA_FILTERS:
        return ("updated_at" if name == "changed_since" else "tags") in resource.by_name
    attribute = resource.by_name.get(name)
    return attribute is not None and attribute.filter and attribute.stored and not attribute.internal


def sortable(resource: Resource, name: str) -> bool:
    """Whether a list can be sorted by this name."""
    attribute = resource.by_name.get("project_id" if name == "tenant_id" else name)
    return attribute is not None and attribute.sort and attribute.stored and not attribute.internal


def _sorts(resource: Resource, control: Mapping[str, list[str]]) -> list[tuple[str, bool]]:
    keys, directions = ([text for text in control.get(name, []) if text] for name in ("sort_key", "sort_dir"))
    if len(keys) != len(directions):
        raise bad_request("The number of sort_keys and sort_dirs must be same")
    keys = ["project_id" if key == "tenant_id" else key for key in keys]
    for key in keys:
        if not sortable(resource, key):
            raise bad_request(f"{key} is invalid attribute for sort_key")
    for direction in directions:
        if direction not in ("asc", "desc"):
            raise bad_request(f"{direction} is invalid value for sort_dirs, valid value is 'asc' and 'desc'")
    return [(key, direction == "asc") for key, direction in zip(keys, directions, strict=True)]


def _limit(control: Mapping[str, list[str]]) -> int | None:
    if "limit" not in control:
        return None
    text = control["limit"][0]
    number = types.natural(text)
    if number is None:
        raise bad_request(f"Bad limit request: Limit must be an integer 0 or greater and not '{text}'.", "BadRequest")
    return min(number, MAX_PAGE) or None


def _values(attribute: Attribute, texts: list[str]) -> list[Any]:
    """Filter values in the column's own type.

    What the attribute has an error of its own for is refused; what it merely does not take matches nothing.
    """
    values = []
    for text in texts:
        try:
            values.append(attribute.type.parse(text))
        except InvalidValue:
            raise
        except ValueError:
            if not isinstance(attribute.type.column, sa.Boolean | sa.Integer):
                values.append(text)
    return values


def conditions(resource: Resource, query: Query, caller: Caller, live: Live) -> list[sa.ColumnElement[bool]]:
    """The WHERE of a list: the client's filters, and what a caller without admin rights may see."""
    where: list[sa.ColumnElement[bool]] = []
    for name, texts in query.filters.items():
        if name in resource.filters:
            try:
                where.append(resource.filters[name](texts, caller))
            except ValueError as error:
                raise invalid(str(error)) from None
        elif name in resource.live_filters:
            where.append(resource.live_filters[name](texts, live))
        elif name in _TAGS:
            where.append(_tagged(resource, name, texts))
        elif name == "changed_since":
            where.append(resource.table.c.updated_at >= _moment(texts[0]))
        else:
            attribute = resource.by_name[name]
            column = resource.table.c[name]
            values = _values(attribute, texts)
            matched = column == values[0] if len(values) == 1 else column.in_(values)
            where.append(matched | column.is_(None) if "" in texts else matched)
    # What is below a parent is seen by whoever sees the parent, which has been asked for already.
    judged = resource.within is not None or caller.is_admin or caller.is_service
    if not judged and "project_id" in resource.by_name:
        own = resource.table.c.project_id == caller.project_id
        where.append(own if resource.visible is None else own | resource.visible(caller))
    return where


def _moment(text: str) -> str:
    """A time of a query in the form of those that records hold."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is None else moment.astimezone(UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise invalid("The input changed_since must be in the following format: YYYY-MM-DDTHH:MM:SSZ") from None


def _tagged(resource: Resource, name: str, texts: list[str]) -> sa.ColumnElement[bool]:
    wanted = [tag for text in texts for tag in text.split(",")]
    holds = [sa.cast(resource.table.c.tags, sa.Text).contains(_json_text(tag), autoescape=True) for tag in wanted]
    matched = sa.or_(*holds) if name.endswith("-any") else sa.and_(*holds)
    return ~matched if name.startswith("not-") else matched


def _json_text(tag: str) -> str:
    return '"' + tag.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _sortable(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """NULL sorts as the lowest value on every database, and compares as such behind a marker."""
    if isinstance(column.type, sa.Boolean):
        return sa.func.coalesce(sa.cast(column, sa.Integer), -1)
    return sa.func.coalesce(column, -1 if isinstance(column.type, sa.Integer) else "")


def statement(
    resource: Resource,
    columns: Sequence[sa.ColumnElement[Any]],
    query: Query,
    caller: Caller,
    live: Live,
    marker: Record | None,
) -> sa.Select[Any]:
    """The SELECT of one page. Rows of a reversed page come backwards; the caller turns them round."""
    table = resource.table
    chosen = sa.select(*columns).where(*conditions(resource, query, caller, live))
    sorts = list(query.sorts)
    if query.limit and not any(key == "id" for key, _ in sorts):
        sorts.append(("id", True))
    keys = [
        (table.c[key] if key == "id" else _sortable(table.c[key]), key, ascending != query.reverse)
        for key, ascending in sorts
    ]
    if marker is not None:
        chosen = chosen.where(_behind(keys, marker))
    chosen = chosen.order_by(*(key.asc() if ascending else key.desc() for key, _, ascending in keys))
    return chosen.limit(query.limit) if query.limit else chosen


def _behind(keys: Sequence[tuple[sa.ColumnElement[Any], str, bool]], marker: Record) -> sa.ColumnElement[bool]:
    """Rows that sort after the marker, which differ from it first at some key."""
    alternatives: list[sa.ColumnElement[bool]] = []
    equal: list[sa.ColumnElement[bool]] = []
    for key, name, ascending in keys:
        value = marker[name]
        if value is None:
            value = "" if isinstance(key.type, sa.String) else -1
        value = int(value) if isinstance(value, bool) else value
        alternatives.append(sa.and_(*equal, key > value if ascending else key < value))
        equal.append(key == value)
    return sa.or_(*alternatives)


def find_marker(conn: sa.Connection, resource: Resource, query: Query) -> Record | None:
    """The record that a page starts behind; 404 for an unknown one. Without a limit there are no pages."""
    return records.get(conn, resource, query.marker) if query.marker and query.limit else None


def links(url: str, pairs: Sequence[tuple[str, str]], query: Query, ids: Sequence[str]) -> list[dict[str, str]]:
    """Links to the next and the previous page, as Neutron gives them: only with a limit."""
    if not query.limit:
        return []
    kept = [(name, value) for name, value in pairs if name not in ("marker", "page_reverse")]
    short = len(ids) < query.limit
    found = []
    if not short or query.reverse:
        behind = [("marker", ids[-1])] if ids else []
        found.append({"rel": "next", "href": f"{url}?{urlencode([*kept, *behind])}"})
    if not short or not query.reverse:
        before = [("marker", ids[0])] if ids else []
        found.append({"rel": "previous", "href": f"{url}?{urlencode([*kept, *before, ('page_reverse', 'True')])}"})
    return found
