"""Tags of whatever resource has them: /v2.0/{collection}/{id}/tags and /tags/{tag}."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.requests import Request

from kaon.api import body as bodies
from kaon.api import crud
from kaon.api.crud import Service
from kaon.api.http import Answer, Handler, Place, place_of, read_body
from kaon.api.policy import credentials
from kaon.caller import Caller
from kaon.resources import types
from kaon.resources.declare import MAX_TAGS
from kaon.resources.errors import bad_request, invalid, not_found
from kaon.store.transaction import Transaction

_encode = msgspec.json.Encoder().encode
_TAG = types.text(255)
_TAGS = types.list_of(_TAG)

Change = Callable[[list[str]], list[str]]
"""From the tags that a record has to those that it shall have; raises 404 for one to remove that is not there."""


def _parsed(raw: bytes) -> list[str]:
    body = bodies.decode(raw)
    if "tags" not in body:
        raise invalid("Invalid tags body")
    try:
        tags: list[str] = _TAGS.parse(body["tags"])
    except ValueError as error:
        raise invalid(str(error)) from None
    return tags


def _tag(request: Request) -> str:
    try:
        tag: str = _TAG.parse(request.path_params["tag"])
    except ValueError as error:
        raise invalid(str(error)) from None
    return tag


async def _change(service: Service, verb: str, place: Place, caller: Caller, change: Change) -> list[str]:
    """Give a record other tags and return them."""
    resource = service.resource

    def run(tx: Transaction) -> list[str]:
        record, _ = crud.writable(service, tx, place, f"{resource.rule(verb)}:tags", "")
        tags = change(record["tags"])
        if len(tags) > MAX_TAGS:
            raise bad_request(
                f"Bad {resource.collection} request: The number of tags exceed the per-resource limit of {MAX_TAGS}.",
                "BadRequest",
            )
        return list(resource.update(tx, record, {"tags": tags})["tags"])

    return await service.store.write(run, caller)


def _read(service: Service, place: Place, caller: Caller) -> Callable[[Any], list[str]]:
    def read(conn: sa.Connection) -> list[str]:
        record, target = crud.readable(service, conn, place, caller)
        service.policy.demand(f"{service.resource.rule('get')}:tags", target, credentials(caller))
        return list(record["tags"])

    return read


def _missing(tag: str) -> Exception:
    return not_found("TagNotFound", f"Tag {tag} could not be found.")


def _without(tag: str) -> Change:
    def change(held: list[str]) -> list[str]:
        if tag not in held:
            raise _missing(tag)
        return [item for item in held if item != tag]

    return change


def _joined(added: list[str]) -> Change:
    return lambda held: [*held, *(tag for tag in added if tag not in held)]


def handlers(service: Service) -> Iterator[tuple[str, str, Handler]]:
    """Paths below the collection with their methods and handlers; none for a resource without tags."""
    if "tags" not in service.resource.by_name or not service.resource.methods:
        return

    async def index(request: Request, caller: Caller) -> Answer:
        tags = await service.store.read(_read(service, place_of(request), caller))
        return Answer(200, _encode({"tags": tags}))

    async def show(request: Request, caller: Caller) -> Answer:
        tag = _tag(request)
        if tag not in await service.store.read(_read(service, place_of(request), caller)):
            raise _missing(tag)
        return Answer(204)

    async def replace(request: Request, caller: Caller) -> Answer:
        wanted = _parsed(await read_body(request))
        tags = await _change(service, "update", place_of(request), caller, lambda _held: wanted)
        return Answer(200, _encode({"tags": tags}))

    async def create(request: Request, caller: Caller) -> Answer:
        added = _parsed(await read_body(request))
        tags = await _change(service, "create", place_of(request), caller, _joined(added))
        return Answer(200, _encode({"tags": tags}))

    async def add(request: Request, caller: Caller) -> Answer:
        await _change(service, "update", place_of(request), caller, _joined([_tag(request)]))
        return Answer(201)

    async def clear(request: Request, caller: Caller) -> Answer:
        await _change(service, "delete", place_of(request), caller, lambda _held: [])
        return Answer(204)

    async def remove(request: Request, caller: Caller) -> Answer:
        await _change(service, "delete", place_of(request), caller, _without(_tag(request)))
        return Answer(204)

    every, one = "/{id}/tags", "/{id}/tags/{tag}"
    yield from (
        (every, "GET", index),
        (every, "PUT", replace),
        (every, "POST", create),
        (every, "DELETE", clear),
        (one, "GET", show),
        (one, "PUT", add),
        (one, "DELETE", remove),
    )
