"""One HTTP call to Keystone: who asks, its JSON body, its answer. Every handler is `async def (call) -> Response`."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from sqlalchemy.exc import DBAPIError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from kaon.caller import INTERNAL, Caller
from kaon.identity import errors
from kaon.identity.context import TokenFacts, with_request
from kaon.identity.errors import IdentityError
from kaon.identity.state import Identity
from kaon.store.transaction import Transaction

T = TypeVar("T")
log = logging.getLogger("kaon.identity")

MOUNT = "/identity"
"""Where the API lies below the server's public URL."""

MAX_BODY = 114_688
"""Bytes: oslo.middleware's default limit, which Keystone uses."""


class Call:
    """A request being served. `facts` authenticates it; `write` commits and makes remembered tokens look again."""

    __slots__ = ("_facts", "identity", "request", "request_id")

    def __init__(self, identity: Identity, request: Request, request_id: str) -> None:
        self.identity = identity
        self.request = request
        self.request_id = request_id
        self._facts: TokenFacts | None = None

    @property
    def server_url(self) -> str:
        """The server's own URL, without a slash at the end."""
        return self.identity.public_url or f"{self.request.url.scheme}://{self.request.url.netloc}"

    @property
    def base(self) -> str:
        """The URL below which the resources lie, without a slash at the end."""
        return f"{self.server_url}{MOUNT}/v3"

    @property
    def source(self) -> str:
        """The address that the request came from."""
        return self.request.client.host if self.request.client else ""

    def param(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def event(self, response: Response) -> dict[str, str | int]:
        """What the log says of this call: who did what, from where, and how it ended."""
        return {
            "request_id": self.request_id,
            "source": self.source,
            "user_id": self._facts.user_id if self._facts else "",
            "method": self.request.method,
            "path": self.request.url.path,
            "status": response.status_code,
        }

    async def facts(self) -> TokenFacts:
        """The token in X-Auth-Token; 401 if there is none or it is not valid."""
        if self._facts is None:
            token = self.request.headers.get("x-auth-token")
            if not token:
                raise errors.unauthorized()
            self._facts = await self.identity.validator.facts(token)
        return self._facts

    def authenticated(self, facts: TokenFacts) -> None:
        """Note who has just proved to be whom, so that the log says whose login this was."""
        self._facts = facts

    async def caller(self) -> Caller:
        """Who asks; 401 if nobody that we know."""
        return (await self.facts()).caller

    async def write(self, fn: Callable[[Transaction], T]) -> T:
        """Run `fn` in a transaction; afterwards no remembered token is trusted without another look."""
        caller = self._facts.caller if self._facts else INTERNAL
        try:
            return await self.identity.store.write(fn, with_request(caller, self.request_id))
        finally:
            self.identity.validator.forget()

    async def body(self, kind: str) -> dict[str, Any]:
        """The object under `kind` in the JSON body; 400 if it is not there, 413 if the body is too long."""
        document = parse(await read_body(self.request))
        value = document.get(kind, msgspec.UNSET)
        if value is msgspec.UNSET:
            raise errors.bad_request(f"'{kind}' is a required property")
        if not isinstance(value, dict):
            raise errors.bad_request(f"Invalid input for field '{kind}': it must be an object")
        return value


async def read_body(request: Request) -> bytes:
    """The body, never reading more than a chunk beyond MAX_BODY."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise errors.too_large(MAX_BODY)
    chunks = bytearray()
    try:
        async for chunk in request.stream():
            chunks += chunk
            if len(chunks) > MAX_BODY:
                raise errors.too_large(MAX_BODY)
    except ClientDisconnect:
        raise errors.bad_request("The client went away before its request was complete.") from None
    return bytes(chunks)


def parse(data: bytes) -> dict[str, Any]:
    """A JSON object."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise errors.bad_request(f"The request body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise errors.bad_request("The request body must be a JSON object")
    return document


def reply(body: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(body), status, headers, "application/json")


def no_content() -> Response:
    """204."""
    return Response(status_code=HTTPStatus.NO_CONTENT)


def error_reply(error: IdentityError, call_url: str = "") -> Response:
    """The answer that carries an error."""
    status = HTTPStatus(error.status)
    headers = dict(error.headers)
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = f'Keystone uri="{call_url}"'
    body = {"error": {"code": int(status), "message": error.message, "title": status.phrase}}
    return reply(body, status, headers)


Handler = Callable[[Call], Awaitable[Response]]


def route(identity: Identity, methods: str, path: str, handler: Handler) -> Route:
    """A route that serves `handler` for `methods` (comma separated), answering errors in Keystone's form."""

    async def endpoint(request: Request) -> Response:
        request_id = f"req-{uuid.uuid4()}"
        call = Call(identity, request, request_id)
        try:
            response = await handler(call)
        except IdentityError as error:
            response = error_reply(error, f"{call.server_url}{MOUNT}")
            log.info("refused", extra={**call.event(response), "reason": error.message})
        except DBAPIError as error:
            log.error("store_failed", extra={"request_id": request_id, "reason": str(error.orig)})
            response = error_reply(errors.unavailable("The identity store cannot serve this now; nothing was changed."))
        else:
            if request.method not in ("GET", "HEAD"):
                log.info("changed", extra=call.event(response))
        response.headers["Vary"] = "X-Auth-Token"
        response.headers["x-openstack-request-id"] = request_id
        return response

    return Route(path, endpoint, methods=methods.split(","))
