"""Errors as the Network API answers them: a status, Neutron's name of the error's type, and a message."""

from __future__ import annotations


class ApiError(Exception):
    """A request that cannot be done; `type` is the exception's name as Neutron's clients know it."""

    def __init__(self, status: int, type: str, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.detail = detail


class InvalidValue(ApiError, ValueError):
    """400 with a name of its own, raised by a type that refuses a value."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(400, type, message)


def bad_request(message: str, type: str = "HTTPBadRequest") -> ApiError:
    """400: the request itself is wrong."""
    return ApiError(400, type, message)


def invalid_input(name: str, reason: str) -> ApiError:
    """400 for one attribute, in Neutron's words."""
    return ApiError(400, "HTTPBadRequest", f"Invalid input for {name}. Reason: {reason}.")


def invalid(message: str) -> ApiError:
    """400 InvalidInput: each attribute is well formed, but together or against the stored ones they make no sense."""
    return ApiError(400, "InvalidInput", f"Invalid input for operation: {message}.")


def forbidden(message: str, type: str = "PolicyNotAuthorized") -> ApiError:
    """403: known to exist for the caller, but not theirs to do."""
    return ApiError(403, type, message)


def not_found(type: str, message: str) -> ApiError:
    """404: no such thing, or none that the caller may know of."""
    return ApiError(404, type, message)


def conflict(type: str, message: str) -> ApiError:
    """409: the state of something else forbids it."""
    return ApiError(409, type, message)
