"""Trusting a real Keystone: tokens are validated by asking it, and the answers are remembered for a while.

https://docs.openstack.org/api-ref/identity/v3/#validate-and-show-information-for-token. Kaon asks as a service user,
whose token it gets by password and renews when it ends or is refused.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from datetime import datetime
from typing import NamedTuple

import httpx
import msgspec

from kaon.caller import Caller
from kaon.identity import errors
from kaon.identity.errors import IdentityError

log = logging.getLogger("kaon.identity")

MAX_TOKEN = 8192
"""Characters; Keystone's own limit is far below."""
MAX_ENTRIES = 20_000
RENEW_BEFORE = 60.0
"""Seconds before its end at which the service token is renewed."""


class ServiceCredentials(NamedTuple):
    """The user as whom Kaon asks Keystone; it needs the role `service` or `admin` in its project."""

    username: str
    password: str
    project_name: str = "service"
    user_domain_name: str = "Default"
    project_domain_name: str = "Default"


class _Named(msgspec.Struct):
    id: str
    name: str = ""


class _Owned(msgspec.Struct):
    id: str
    name: str
    domain: _Named


class _Token(msgspec.Struct):
    expires_at: datetime
    user: _Owned
    project: _Owned | None = None
    domain: _Named | None = None
    system: dict[str, bool] | None = None
    roles: list[_Named] = []


class _Answer(msgspec.Struct):
    token: _Token


class _Entry(NamedTuple):
    caller: Caller | None
    """None for what Keystone has said to be no valid token."""
    until: float


def _caller(token: _Token) -> Caller:
    return Caller(
        user_id=token.user.id,
        user_name=token.user.name,
        user_domain_id=token.user.domain.id,
        project_id=token.project.id if token.project else "",
        project_name=token.project.name if token.project else "",
        project_domain_id=token.project.domain.id if token.project else "",
        domain_id=token.domain.id if token.domain else "",
        system=bool(token.system and token.system.get("all")),
        roles=frozenset(role.name for role in token.roles),
    )


class RemoteValidator:
    """Validates tokens of the Keystone at `url` (with or without `/v3`). `ttl` is how long, in seconds, an answer is
    trusted: so much later at most a revocation elsewhere is noticed. Close it with `close`."""

    def __init__(
        self,
        url: str,
        credentials: ServiceCredentials,
        ttl: float = 60.0,
        timeout: float = 10.0,
        verify: ssl.SSLContext | bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = f"{url.rstrip('/').removesuffix('/v3')}/v3/auth/tokens"
        self._credentials = credentials
        self._ttl = ttl
        self._http = httpx.AsyncClient(timeout=timeout, verify=verify, transport=transport)
        self._entries: dict[str, _Entry] = {}
        self._asking: dict[str, asyncio.Task[Caller | None]] = {}
        self._own_token = ""
        self._own_until = 0.0
        self._renewing = asyncio.Lock()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def validate(self, token: str) -> Caller:
        """The caller behind `token`. Raises IdentityError: 401 if it is not valid, 503 if Keystone cannot say."""
        entry = self._entries.get(token)
        if entry is not None and entry.until > time.time():
            caller = entry.caller
        elif not token or len(token) > MAX_TOKEN or not token.isascii() or not token.isprintable():
            caller = None  # it cannot even be asked about
        else:
            caller = await self._ask_once(token)
        if caller is None:
            raise errors.unauthorized()
        return caller

    async def _ask_once(self, token: str) -> Caller | None:
        """Ask Keystone; requests with the same token meanwhile wait for the same answer."""
        task = self._asking.get(token)
        if task is None:
            task = asyncio.create_task(self._ask(token))
            self._asking[token] = task
            task.add_done_callback(lambda _: self._asking.pop(token, None))
        return await asyncio.shield(task)

    async def _ask(self, token: str) -> Caller | None:
        response = await self._get(token)
        if response.status_code == httpx.codes.UNAUTHORIZED:  # it is our own token that is refused
            self._own_token = ""
            response = await self._get(token)
        match response.status_code:
            case httpx.codes.OK:
                answer = _decoded(response)
                ends = answer.expires_at.timestamp()
                caller: Caller | None = _caller(answer)
            case httpx.codes.NOT_FOUND:
                ends, caller = float("inf"), None
            case status:
                raise self._unavailable(f"Keystone answered {status} when asked about a token")
        if ends <= time.time():
            caller = None
        self._entries.pop(token, None)
        self._entries[token] = _Entry(caller, time.time() + self._ttl if caller is None else _earlier(ends, self._ttl))
        if len(self._entries) > MAX_ENTRIES:
            del self._entries[next(iter(self._entries))]
        return caller

    async def _get(self, token: str) -> httpx.Response:
        headers = {"X-Auth-Token": await self._own(), "X-Subject-Token": token}
        return await self._send(self._http.build_request("GET", self._url, params={"nocatalog": ""}, headers=headers))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request)
        except httpx.HTTPError as error:
            raise self._unavailable(f"Keystone cannot be reached: {type(error).__name__} {error}") from None

    async def _own(self) -> str:
        """The service user's token."""
        async with self._renewing:
            if self._own_token and self._own_until - RENEW_BEFORE > time.time():
                return self._own_token
            who = self._credentials
            user = {"name": who.username, "password": who.password, "domain": {"name": who.user_domain_name}}
            scope = {"project": {"name": who.project_name, "domain": {"name": who.project_domain_name}}}
            body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
            request = self._http.build_request("POST", self._url, params={"nocatalog": ""}, json=body)
            response = await self._send(request)
            if response.status_code != httpx.codes.CREATED:
                raise self._unavailable(
                    f"Keystone answered {response.status_code} to the service user {who.username}; "
                    "check its password and project in the configuration"
                )
            self._own_until = _decoded(response).expires_at.timestamp()
            self._own_token = response.headers["x-subject-token"]
            return self._own_token

    def _unavailable(self, reason: str) -> IdentityError:
        """503; the reason is for the operator, who reads the log, not for the client."""
        log.error("keystone_unavailable", extra={"url": self._url, "reason": reason})
        return errors.unavailable("The identity service cannot validate tokens now. Try again later.")


def _earlier(ends: float, ttl: float) -> float:
    return min(ends, time.time() + ttl)


def _decoded(response: httpx.Response) -> _Token:
    try:
        return msgspec.json.decode(response.content, type=_Answer).token
    except msgspec.DecodeError as error:
        log.error("keystone_unavailable", extra={"url": str(response.url), "reason": f"not a token: {error}"})
        raise errors.unavailable("The identity service cannot validate tokens now. Try again later.") from None
