"""The journal as the API serves it: who changed what, as the one who asks may see it.

A project sees the changes of its own resources, administrators see all. What a resource's own GET hides from the
caller, such as a port's host, is hidden here too, in the state before and in the one after.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import sqlalchemy as sa

from kaon.api.policy import Policy, credentials
from kaon.api.present import Presenter
from kaon.caller import Caller
from kaon.resources import types
from kaon.resources.catalog import resources
from kaon.resources.errors import ApiError, bad_request, forbidden
from kaon.store import journal
from kaon.store.journal import Entry, Record, Wanted

_encode = msgspec.json.Encoder().encode

PAGE = 100
"""Entries of a page, unless the client says how many."""
MAX_PAGE = 1000

PLAIN = frozenset({"quota"})
"""Kinds that are no resource: recorded under the API's own names, and no secret to the project that they are about."""

Moment = int | float
"""A sequence number, or a Unix time."""


class Query(NamedTuple):
    """What a client asks of the history. Without `since`, the last entries are meant."""

    wanted: Wanted
    since: Moment | None = None
    until: Moment | None = None
    limit: int = PAGE


def parse(pairs: Sequence[tuple[str, str]], caller: Caller) -> Query:
    """Read a query string. Raises 400 for what it does not understand, 403 for another project's history."""
    given = dict(pairs)
    unknown = sorted(given.keys() - {"resource", "project", "since", "until", "limit"})
    if unknown:
        raise bad_request(f"{unknown} is nothing to ask the history for: resource, project, since, until, limit are")
    limit = types.natural(given.get("limit", str(PAGE)))
    if not limit:
        raise bad_request(f"limit is '{given['limit']}': a number from 1 to {MAX_PAGE} is needed")
    kind, id = _resource(given.get("resource", ""))
    return Query(
        Wanted(kind, id, _owner(given.get("project", ""), caller)),
        _moment("since", given["since"]) if "since" in given else None,
        _moment("until", given["until"]) if "until" in given else None,
        min(limit, MAX_PAGE),
    )


def _owner(project: str, caller: Caller) -> str:
    """The project whose history is asked for; "" for that of all."""
    if caller.is_admin:
        return project
    if not caller.project_id:
        raise forbidden("The history of a project is for tokens of that project, and for administrators.")
    if project not in ("", caller.project_id):
        raise forbidden(f"The history of project {project} is for itself and for administrators.")
    return caller.project_id


def _resource(text: str) -> tuple[str, str]:
    """Kind and id from ``KIND``, ``ID`` or ``KIND/ID``."""
    kind, slash, id = text.partition("/")
    if slash:
        return kind, id
    return (text, "") if text in PLAIN or any(item.name == text for item in resources()) else ("", text)


def _moment(name: str, text: str) -> Moment:
    """A sequence number, or an ISO 8601 time, in UTC where it does not say otherwise."""
    number = types.natural(text)
    if number is not None:
        return number
    try:
        # A plus sign that nobody has escaped arrives as a blank.
        at = datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise bad_request(f"{name} is '{text}': a sequence number or a time like 2026-01-31T12:00:00Z") from None


def number(conn: sa.Connection, since: Moment | None) -> int | None:
    """The sequence number behind which entries are asked for.

    Raises 410 when entries behind it have been removed since: nothing shall be missed without a word.
    """
    if isinstance(since, float):
        return journal.number_at(conn, since)
    oldest = journal.first(conn)
    if since and since < oldest - 1:
        raise ApiError(
            410,
            "HistoryGone",
            f"The history is kept from entry {oldest} on (setting journal.keep_days), so what followed {since} is not "
            "known any more. Start from 0 for what there is.",
        )
    return since


class History:
    """Shows entries of the journal, over all requests."""

    def __init__(self, policy: Policy) -> None:
        self._presenters = {resource.name: Presenter(resource, policy) for resource in resources()}

    def shown(self, conn: sa.Connection, entries: Sequence[Entry], caller: Caller) -> Iterator[tuple[int, bytes]]:
        """Number and JSON of each entry that the caller may see."""
        creds = credentials(caller)
        for entry in entries:
            before, after = (self._state(conn, entry, state, caller, creds) for state in (entry.before, entry.after))
            if before is not None or after is not None:
                yield entry.seq, _encode(_document(entry, before, after))

    def _state(
        self, conn: sa.Connection, entry: Entry, state: Record | None, caller: Caller, creds: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        if state is None or entry.kind in PLAIN:
            return state
        presenter = self._presenters.get(entry.kind)
        return None if presenter is None else presenter.past(conn, state, caller, creds, entry.owner_id)


def _document(entry: Entry, before: Record | None, after: Record | None) -> dict[str, Any]:
    return {
        "sequence": entry.seq,
        "time": datetime.fromtimestamp(entry.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "who": {"user_id": entry.user_id, "user_name": entry.user_name, "project_id": entry.project_id},
        "request_id": entry.request_id,
        "kind": entry.kind,
        "id": entry.resource_id,
        "project_id": entry.owner_id,
        "action": "create" if entry.before is None else "delete" if entry.after is None else "update",
        "before": before,
        "after": after,
    }


def page(
    conn: sa.Connection, history: History, url: str, pairs: Sequence[tuple[str, str]], query: Query, caller: Caller
) -> bytes:
    """One page, oldest first, with links to what follows and to what went before."""
    after, before = number(conn, query.since), query.until
    if isinstance(before, float):
        before = journal.number_at(conn, before) + 1
    found = journal.page(conn, query.wanted, query.limit, after, before)
    rows = b",".join(row for _, row in history.shown(conn, found, caller))
    return b'{"history":[%s],"history_links":%s}' % (rows, _encode(_links(url, pairs, query, found)))


def _links(url: str, pairs: Sequence[tuple[str, str]], query: Query, found: Sequence[Entry]) -> list[dict[str, str]]:
    if not found:
        return []
    kept = [(name, value) for name, value in pairs if name not in ("since", "until")]
    links = [{"rel": "next", "href": f"{url}?{urlencode([*kept, ('since', str(found[-1].seq))])}"}]
    if found[0].seq > 1 and (query.since is not None or len(found) == query.limit):
        links.append({"rel": "previous", "href": f"{url}?{urlencode([*kept, ('until', str(found[0].seq))])}"})
    return links
