"""What identity knows of a valid token: the `Caller` that all of Kaon uses, and what only identity needs."""

from __future__ import annotations

import msgspec

from kaon.caller import Caller
from kaon.identity.effective import RoleRef
from kaon.identity.tokens import Payload


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
