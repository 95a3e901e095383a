"""What identity knows of a valid token: the `Caller` that all of Kaon uses, and what only identity needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Protocol

import msgspec

from kaon.caller import Caller
from kaon.identity.effective import RoleRef
from kaon.identity.errors import IdentityError
from kaon.identity.tokens import Payload
from kaon.resources.errors import ApiError


class Validator(Protocol):
    """What the network API needs of identity, embedded or remote."""

    async def validate(self, token: str) -> Caller:
        """The caller behind a token. Raises IdentityError: 401 if it is no valid token, 503 if nobody can tell."""
        ...


class TokenFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A validated token: its payload, the caller it stands for, and the names that only token bodies show."""

    payload: Payload
    caller: Caller
    roles: tuple[RoleRef, ...] = ()
    user_domain_name: str = ""
    project_domain_name: str = ""
    domain_name: str = ""
    application_credential_name: str = ""
    restricted: bool = False

    @property
    def user_id(self) -> str:
        """Whose token it is."""
        return self.payload.user_id


def with_request(caller: Caller, request_id: str) -> Caller:
    """The same caller, asking in this request."""
    return msgspec.structs.replace(caller, request_id=request_id)


def authenticator(validator: Validator) -> Callable[[str, str], Awaitable[Caller]]:
    """What the network API calls with a token and a request id. Raises ApiError: 401, or 503 when nobody can tell."""

    async def authenticate(token: str, request_id: str) -> Caller:
        try:
            return with_request(await validator.validate(token), request_id)
        except IdentityError as error:
            kind = "Unauthorized" if error.status is HTTPStatus.UNAUTHORIZED else "ServiceUnavailable"
            raise ApiError(error.status, kind, error.message) from None

    return authenticate
