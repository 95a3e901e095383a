"""The Network API as a Starlette application: versions, extensions, and the routes of every declared resource."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from kaon.api import call, crud, openapi, tags
from kaon.api.crud import Service
from kaon.api.http import Answer, Authenticate, Handler, endpoint, error_body, place_of, read_body
from kaon.api.policy import Policy
from kaon.caller import Caller
from kaon.resources import types
from kaon.resources.catalog import calls, extensions, resources
from kaon.resources.declare import Action, Extension
from kaon.resources.errors import ApiError, bad_request, invalid_input, not_found
from kaon.resources.live import Live
from kaon.store.engine import Store

_encode = msgspec.json.Encoder().encode

DOCUMENT = f"{openapi.ROOT}/openapi.json"
"""Where the OpenAPI document is."""


def base_url(request: Request) -> str:
    """The URL under which the client reached the server."""
    return f"{request.url.scheme}://{request.url.netloc}"


def _parent_id(request: Request) -> str:
    return str(request.path_params.get("parent_id", ""))


def _index(service: Service) -> Handler:
    async def handle(request: Request, caller: Caller) -> Answer:
        url = f"{base_url(request)}{request.url.path}"
        return Answer(
            200, await crud.index(service, url, request.query_params.multi_items(), caller, _parent_id(request))
        )

    return handle


def _show(service: Service) -> Handler:
    async def handle(request: Request, caller: Caller) -> Answer:
        pairs = request.query_params.multi_items()
        return Answer(200, await crud.show(service, place_of(request), pairs, caller))

    return handle


def _create(service: Service) -> Handler:
    async def handle(request: Request, caller: Caller) -> Answer:
        return Answer(201, await crud.create(service, await read_body(request), caller, _parent_id(request)))

    return handle


def _update(service: Service) -> Handler:
    async def handle(request: Request, caller: Caller) -> Answer:
        if_match = request.headers.get("if-match", "")
        raw = await read_body(request)
        return Answer(200, await crud.update(service, place_of(request), raw, caller, if_match))

    return handle


def _delete(service: Service) -> Handler:
    async def handle(request: Request, caller: Caller) -> Answer:
        if_match, asked = request.headers.get("if-match", ""), request.query_params.get("cascade", "false")
        try:
            cascade = service.resource.cascade is not None and types.BOOLEAN.parse(asked)
        except ValueError as error:
            raise invalid_input("cascade", str(error)) from None
        if await read_body(request):
            raise bad_request("Request body is not supported in DELETE.")
        await crud.delete(service, place_of(request), caller, if_match, cascade)
        return Answer(204)

    return handle


def _act(service: Service, action: Action) -> Handler:
    async def handle(request: Request, caller: Caller) -> Answer:
        raw = await read_body(request)
        body = await crud.act(service, action, place_of(request), raw, caller)
        return Answer(action.status, body)

    return handle


def _extension(item: Extension) -> dict[str, Any]:
    return {
        "alias": item.alias,
        "name": item.name,
        "description": item.description,
        "updated": item.updated,
        "links": [],
    }


async def _extensions(_request: Request, _caller: Caller) -> Answer:
    return Answer(200, _encode({"extensions": [_extension(item) for item in extensions().values()]}))


async def _one_extension(request: Request, _caller: Caller) -> Answer:
    found = extensions().get(request.path_params["alias"])
    if found is None:
        raise not_found("HTTPNotFound", f"Extension with alias {request.path_params['alias']} does not exist")
    return Answer(200, _encode({"extension": _extension(found)}))


async def _versions(request: Request) -> Response:
    links = [{"rel": "self", "href": f"{base_url(request)}/v2.0/"}]
    return Response(
        _encode({"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]}), media_type="application/json"
    )


async def _version(request: Request, _caller: Caller) -> Answer:
    url = f"{base_url(request)}/v2.0"
    served = [
        {"name": item.one, "collection": item.many, "links": [{"rel": "self", "href": f"{url}/{item.url}"}]}
        for item in resources()
        if "list" in item.methods and item.within is None
    ]
    return Answer(200, _encode({"resources": served}))


async def _openapi(_request: Request) -> Response:
    return Response(openapi.encoded(), media_type="application/json")


async def _unknown(request: Request, error: Exception) -> Response:
    status = getattr(error, "status_code", 404)
    kind, message = ("HTTPNotFound", "The resource could not be found.")
    if status == 405:
        kind, message = ("HTTPMethodNotAllowed", f"{request.method} is not allowed on {request.url.path}.")
    return Response(error_body(ApiError(status, kind, message)), status, media_type="application/json")


async def _failed(_request: Request, _error: Exception) -> Response:
    """A fault of Kaon's own: the log has it, the client learns only that it was not their request."""
    error = ApiError(500, "HTTPInternalServerError", "Request Failed: internal server error; its log tells more.")
    return Response(error_body(error), 500, media_type="application/json")


def routes(store: Store, policy: Policy, authenticate: Authenticate, identity_url: str, live: Live) -> list[BaseRoute]:
    """The routes of the Network API. Longer paths come first, so that none hides another."""

    def route(path: str, method: str, handler: Handler) -> Route:
        return Route(path, endpoint(handler, authenticate, identity_url), methods=[method])

    found: list[BaseRoute] = [
        Route("/", _versions, methods=["GET"]),
        Route(DOCUMENT, _openapi, methods=["GET"]),
        route("/v2.0", "GET", _version),
        route("/v2.0/extensions", "GET", _extensions),
        route("/v2.0/extensions/{alias}", "GET", _one_extension),
    ]
    found += [route(f"/v2.0/{item.path}", item.method, call.handler(item, store, policy, live)) for item in calls()]
    for resource in resources():
        service = crud.serve(resource, store, policy, live)
        collection = f"/v2.0/{resource.url}"
        found += [
            route(f"/v2.0/{url}{path}", method, handler)
            for url in resource.tagged_at
            for path, method, handler in tags.handlers(service)
        ]
        found += [
            route(f"{collection}/{{id}}/{action.name}", action.method, _act(service, action))
            for action in resource.actions
        ]
        for name, path, method, handler in (
            ("list", collection, "GET", _index),
            ("create", collection, "POST", _create),
            ("show", f"{collection}/{{id}}", "GET", _show),
            ("update", f"{collection}/{{id}}", "PUT", _update),
            ("delete", f"{collection}/{{id}}", "DELETE", _delete),
        ):
            if name in resource.methods:
                found.append(route(path, method, handler(service)))
    return found


@cache
def _spellings() -> dict[str, str]:
    """The first word of a path as it is served, by how it is also spelled: with hyphens or with underscores."""
    words = {path.partition("/")[0] for path in [item.url for item in resources()] + [item.path for item in calls()]}
    spelled = {word.replace(*pair): word for word in words for pair in (("-", "_"), ("_", "-"))}
    return {other: word for other, word in spelled.items() if other not in words}


def _tolerant(app: ASGIApp) -> ASGIApp:
    """Serve paths as Neutron tolerates them: with a slash at the end, collections and members with `.json`, and
    collections of several words spelled either way."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        path = tolerated = scope.get("path", "")
        if path.startswith("/v2.0/") and path != DOCUMENT:
            tolerated = path.rstrip("/")
            # A tag may end in it, an id does not.
            if tolerated.count("/") <= 3:
                tolerated = tolerated.removesuffix(".json")
            word = tolerated.split("/")[2:3]
            if word and word[0] in _spellings():
                tolerated = tolerated.replace(word[0], _spellings()[word[0]], 1)
            if tolerated != path:
                scope = {**scope, "path": tolerated}
        await app(scope, receive, send)

    return serve


def create_app(
    store: Store,
    authenticate: Authenticate,
    policy: Policy,
    identity_url: str = "/identity",
    extra: Sequence[BaseRoute] = (),
    live: Live | None = None,
) -> Starlette:
    """The application: the Network API and whatever routes are added (identity, health, metrics).

    `live` is what this process knows and no table holds.
    """
    found = routes(store, policy, authenticate, identity_url, live or Live())
    return Starlette(
        middleware=[Middleware(_tolerant)],
        routes=[*extra, *found],
        exception_handlers={404: _unknown, 405: _unknown, Exception: _failed},
    )
