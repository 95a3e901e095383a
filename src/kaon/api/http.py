"""From HTTP to plain functions and back: who asks, the body within its limit, and errors as Neutron writes them."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from kaon.api.body import MAX_BODY
from kaon.caller import Caller
from kaon.resources.errors import ApiError, bad_request

log = logging.getLogger("kaon.api")

Authenticate = Callable[[str, str], Awaitable[Caller]]
"""From a token and a request id to the caller; raises ApiError 401."""


class Answer(NamedTuple):
    """A response: status, JSON body, and headers; or server-sent events, as they come."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = MappingProxyType({})
    events: AsyncIterator[bytes] | None = None


Handler = Callable[[Request, Caller], Awaitable[Answer]]


class Place(NamedTuple):
    """Where a path says that a record is: its name there, and the parent below whose path it is."""

    id: str
    parent_id: str = ""


def place_of(request: Request) -> Place:
    """The place that a request's path names."""
    return Place(request.path_params["id"], request.path_params.get("parent_id", ""))


def error_body(error: ApiError) -> bytes:
    """Neutron's error document."""
    return msgspec.json.encode({"NeutronError": {"type": error.type, "message": error.message, "detail": error.detail}})


def unauthorized(url: str) -> Answer:
    """401 as keystonemiddleware answers it."""
    message = "The request you have made requires authentication."
    body = msgspec.json.encode({"error": {"code": 401, "title": "Unauthorized", "message": message}})
    return Answer(401, body, {"WWW-Authenticate": f'Keystone uri="{url}"'})


async def read_body(request: Request) -> bytes:
    """The request's body; 413 as soon as it is known to be over the limit."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > MAX_BODY:
                raise _too_large()
            chunks.append(chunk)
    except ClientDisconnect:  # nobody reads the answer, but requests are counted by it
        raise bad_request("The connection ended before the request's body did.") from None
    return b"".join(chunks)


def _too_large() -> ApiError:
    return ApiError(413, "HTTPRequestEntityTooLarge", f"A request's body may have {MAX_BODY} bytes at most.")


def endpoint(
    handler: Handler, authenticate: Authenticate, identity_url: str
) -> Callable[[Request], Awaitable[Response]]:
    """Wrap a handler: authenticate, run, and turn what it raises into the answer that a client understands."""

    async def handle(request: Request) -> Response:
        request_id = f"req-{uuid.uuid4()}"
        try:
            caller = await authenticate(request.headers.get("x-auth-token", ""), request_id)
            answer = await handler(request, caller)
        except ApiError as error:
            answer = unauthorized(identity_url) if error.status == 401 else Answer(error.status, error_body(error))
        except sa.exc.OperationalError as error:
            answer = _unavailable(error, request_id)
        headers = {"x-openstack-request-id": request_id, **answer.headers}
        if answer.events is not None:
            return StreamingResponse(answer.events, answer.status, headers, "text/event-stream")
        media = "application/json" if answer.body else None
        return Response(answer.body, answer.status, headers, media)

    return handle


def _unavailable(error: sa.exc.OperationalError, request_id: str) -> Answer:
    """The database cannot take it now (a full disk, say): the client may try again, nothing has been written."""
    log.error("store_unavailable", extra={"request_id": request_id, "reason": str(error.orig)})
    message = f"The store cannot complete the request now: {error.orig}. Nothing was changed; try again."
    return Answer(503, error_body(ApiError(503, "ServiceUnavailable", message)), {"Retry-After": "5"})
