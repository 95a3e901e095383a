"""The embedded Keystone as routes: version discovery, tokens, and every collection, below `/identity`."""

from __future__ import annotations

from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from kaon.identity import (
    application_credentials,
    assignments,
    auth,
    catalog,
    crud,
    grants,
    groups,
    project_tags,
    roles,
)
from kaon.identity.call import MOUNT, Call, error_reply, reply, route
from kaon.identity.domains import DOMAINS
from kaon.identity.errors import IdentityError
from kaon.identity.projects import PROJECTS
from kaon.identity.resource import Values
from kaon.identity.state import Identity
from kaon.identity.users import USERS, change_password


def _version(call: Call) -> Values:
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{call.base}/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


async def _versions(call: Call) -> Response:
    """GET /identity: 300 with the versions, as Keystone has it."""
    body = {"versions": {"values": [_version(call)]}}
    return reply(body, HTTPStatus.MULTIPLE_CHOICES, {"Location": f"{call.base}/"})


async def _v3(call: Call) -> Response:
    """GET /identity/v3."""
    return reply({"version": _version(call)})


async def _no_such_path(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, in Keystone's form."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    message = f"Could not find: {request.url.path}." if status is HTTPStatus.NOT_FOUND else status.description
    return error_reply(IdentityError(status, message, error.headers))


def _by_path(routes: list[Route]) -> list[Route]:
    """One route a path, so that a method that none of them serves is answered with all that are."""
    paths: dict[str, dict[str, Route]] = {}
    for one in routes:
        paths.setdefault(one.path, {}).update(dict.fromkeys(one.methods or (), one))
    return [_dispatching(path, methods) for path, methods in paths.items()]


def _dispatching(path: str, methods: dict[str, Route]) -> Route:
    async def endpoint(request: Request) -> Response:
        response: Response = await methods[request.method].endpoint(request)
        return response

    return Route(path, endpoint, methods=list(methods))


def routes(identity: Identity) -> list[BaseRoute]:
    """The routes to add to the server's application. They answer everything at and below `/identity`."""
    inner: list[Route] = [
        route(identity, "GET", "/", _versions),
        route(identity, "GET", "/v3", _v3),
        route(identity, "GET", "/v3/", _v3),
        *auth.routes(identity),
        *crud.routes(identity, PROJECTS),
        *project_tags.routes(identity),
        *crud.routes(identity, USERS),
        route(identity, "POST", "/v3/users/{id}/password", change_password),
        *crud.routes(identity, DOMAINS),
        *grants.routes(identity),
        *roles.routes(identity),
        *assignments.routes(identity),
        *groups.routes(identity),
        *catalog.routes(identity),
        *application_credentials.routes(identity),
    ]
    handlers = {HTTPStatus.NOT_FOUND: _no_such_path, HTTPStatus.METHOD_NOT_ALLOWED: _no_such_path}
    # The path without a slash is answered as well, not redirected: clients append to whatever URL they were given.
    return [
        route(identity, "GET", MOUNT, _versions),
        Mount(MOUNT, app=Starlette(routes=_by_path(inner), exception_handlers=handlers)),
    ]
