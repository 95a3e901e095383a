"""`kaon log`: who changed what, and when."""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from kaon.cli.client import Client, ClientError, connected
from kaon.cli.options import add_settings

AGAIN = 1.0
"""Seconds after which a stream that broke off is asked for again."""
QUIET = 45.0
"""Seconds without a word, heartbeats included, after which a stream counts as broken."""
LONGEST = 120
"""Characters of one value."""

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_UNTOLD = frozenset({"id", "project_id", "tenant_id", "created_at", "updated_at", "revision_number"})
"""Attributes that every change changes, or that the line tells otherwise."""
_DONE = {"create": "created", "update": "updated", "delete": "deleted"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument("--resource", metavar="WHICH", help="only changes of this: KIND, ID or KIND/ID (port/5e0c…)")
    parser.add_argument("--project", metavar="PROJECT", help="only changes of what is this project's (id or name)")
    parser.add_argument(
        "--since",
        metavar="WHEN",
        help="changes after a time (2026-01-31T12:00:00Z), lately (90s, 10m, 2h, 1d) or entry",
    )
    parser.add_argument("--limit", metavar="N", type=int, default=20, help="how many, without --since (20)")
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="print one JSON object a line, with all that is known")


def run(arguments: argparse.Namespace) -> int:
    """Print entries of the history."""
    with connected(arguments) as client:
        query = {}
        if arguments.resource:
            query["resource"] = arguments.resource
        if arguments.project:
            query["project"] = client.id_of("project", arguments.project)
        for entry in entries(client, query, moment(arguments.since), arguments.limit, arguments.follow):
            print(json.dumps(entry) if arguments.json else line(entry), flush=arguments.follow)
    return 0


def moment(text: str | None) -> str | None:
    """What the API takes for the `--since` of the command line: ``10m`` becomes the time of ten minutes ago."""
    short = re.fullmatch(r"(\d+)([smhd])", text or "")
    if short is None:
        return text
    ago = timedelta(**{_UNITS[short[2]]: int(short[1])})
    return (datetime.now(UTC) - ago).isoformat()


def entries(
    client: Client, query: dict[str, str], since: str | None, limit: int, follow: bool
) -> Iterator[dict[str, Any]]:
    """What there is, page by page; and then what comes, where that is wanted."""
    url = f"{client.url}/kaon/v1/history"
    # Taken before the first page is: what comes in between is told by the stream.
    newest = client.get(url, limit="1")["history"]
    last = newest[-1]["sequence"] if newest else 0
    page = client.get(url, **query, **({"limit": str(limit)} if since is None else {"since": since, "limit": "1000"}))
    while page["history"] or page["history_links"]:
        for entry in page["history"]:
            last = max(last, entry["sequence"])
            yield entry
        following = [link["href"] for link in page["history_links"] if link["rel"] == "next"]
        if since is None or not following:
            break
        page = client.get(following[0])
    if follow:
        yield from stream(client, url, query, last)


def stream(client: Client, url: str, query: dict[str, str], last: int) -> Iterator[dict[str, Any]]:
    """What comes behind entry `last`, for ever; a connection that breaks off is made again, nothing is missed."""
    while True:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        try:
            with client.http.stream("GET", url, params=query, headers=headers, timeout=QUIET) as answer:
                if answer.status_code == 401:
                    client.login()
                    continue
                if answer.status_code not in (200, 503):
                    answer.read()
                    raise ClientError(f"{url} answers {answer.status_code}: {answer.text}")
                for text in answer.iter_lines():
                    if text.startswith("data: "):
                        entry = json.loads(text.removeprefix("data: "))
                        last = entry["sequence"]
                        yield entry
        except httpx.HTTPError as error:
            print(f"kaon log: {error}; trying again", file=sys.stderr)
        time.sleep(AGAIN)


def line(entry: dict[str, Any]) -> str:
    """One entry for people: when, which, who, what, and how it changed."""
    before, after = entry["before"] or {}, entry["after"] or {}
    who = entry["who"]["user_name"] or entry["who"]["user_id"] or "somebody"
    name = (after or before).get("name")
    what = f"{entry['kind']} {entry['id']}" + (f" ({value(name)})" if name else "")
    told = "" if entry["action"] == "delete" else ", ".join(changes(before, after))
    if entry["action"] == "update" and not told:  # what belongs to it has changed
        told = f"revision_number: {before.get('revision_number')} -> {after.get('revision_number')}"
    return f"{entry['time']} {entry['sequence']} {value(who)} {_DONE[entry['action']]} {what}" + (
        f": {told}" if told else ""
    )


def changes(before: dict[str, Any], after: dict[str, Any]) -> Iterator[str]:
    """``name: a -> b`` of each attribute that differs; of a new record, what it has."""
    for name in sorted(after):
        if name in _UNTOLD or before.get(name) == after[name]:
            continue
        old, new = before.get(name), after[name]
        if name not in before:
            if new and name != "name":
                yield f"{name}: {value(new)}"
        elif isinstance(old, list) and isinstance(new, list):
            gone = [f"-{value(item)}" for item in old if item not in new]
            come = [f"+{value(item)}" for item in new if item not in old]
            yield f"{name}: {' '.join([*gone, *come]) or 'in another order'}"
        else:
            yield f"{name}: {value(old)} -> {value(new)}"


def value(item: Any) -> str:
    """A value in short; what would do something else to a terminal than write is escaped."""
    if isinstance(item, str) and item and item.isprintable():
        text = item
    elif isinstance(item, dict):
        text = "{" + " ".join(f"{value(name)}={value(held)}" for name, held in item.items()) + "}"
    elif isinstance(item, list):
        text = "[" + " ".join(value(held) for held in item) + "]"
    else:
        text = json.dumps(item)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
