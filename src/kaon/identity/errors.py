"""Keystone's errors: a status, a title and a sentence, as `{"error": {"code", "message", "title"}}`.

Messages follow Keystone's wording (keystone.exception), on which clients and tests match.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus


class IdentityError(Exception):
    """A request that cannot be served: the status to answer with and why, in words that are safe to show."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


def bad_request(message: str) -> IdentityError:
    """400: the request is malformed; `message` names the attribute by its path and what is wrong with it."""
    return IdentityError(HTTPStatus.BAD_REQUEST, message)


def unauthorized(message: str = "The request you have made requires authentication.") -> IdentityError:
    """401. The same sentence whatever was wrong, so that nothing can be learnt from it."""
    return IdentityError(HTTPStatus.UNAUTHORIZED, message)


def forbidden(action: str) -> IdentityError:
    """403: the caller is known but has no right to `action`, a policy name such as `identity:create_user`."""
    message = f"You are not authorized to perform the requested action: {action}."
    return IdentityError(HTTPStatus.FORBIDDEN, message)


def refused(message: str) -> IdentityError:
    """403 for what nobody may do in this state, such as deleting an enabled domain."""
    return IdentityError(HTTPStatus.FORBIDDEN, message)


def not_found(kind: str, id: str) -> IdentityError:
    """404: no `kind` with this id, or none that the caller may see."""
    return IdentityError(HTTPStatus.NOT_FOUND, f"Could not find {kind}: {id}.")


def conflict(kind: str, details: str) -> IdentityError:
    """409: something else has this name, or the like."""
    return IdentityError(HTTPStatus.CONFLICT, f"Conflict occurred attempting to store {kind} - {details}.")


def too_large(limit: int) -> IdentityError:
    """413: the body is longer than `limit` bytes."""
    return IdentityError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"Request is too large: at most {limit} bytes are read.")


def too_many(seconds: int) -> IdentityError:
    """429: too many failed logins under this name from this address; waiting `seconds` helps."""
    message = f"Too many failed authentication attempts. Try again in {seconds} seconds."
    return IdentityError(HTTPStatus.TOO_MANY_REQUESTS, message, {"Retry-After": str(seconds)})


def unavailable(message: str) -> IdentityError:
    """503: what is needed to answer cannot be reached now."""
    return IdentityError(HTTPStatus.SERVICE_UNAVAILABLE, message, {"Retry-After": "1"})
