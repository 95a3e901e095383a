"""What a Fernet token carries: who, in which scope, from when until when. Roles and names are looked up at validation.

The payload is a msgpack array encrypted and signed by Fernet. Ids of 32 hex digits take 16 bytes in it, so a token
stays under 255 characters.
"""

from __future__ import annotations

import base64
import secrets
from enum import IntEnum

import msgspec
from cryptography.fernet import InvalidToken

from kaon.identity.keys import KeyRing

MICROSECONDS = 1_000_000
MAX_TOKEN = 1024
"""Characters; nothing longer was issued here."""

METHODS = ("password", "token", "application_credential")
"""The ways to authenticate; a payload holds them as bits, so the order must stay."""


class Scope(IntEnum):
    """What a token's roles hold on."""

    UNSCOPED = 0
    PROJECT = 1
    DOMAIN = 2
    SYSTEM = 3


class Payload(msgspec.Struct, frozen=True, kw_only=True):
    """A token's content. Times are microseconds since the epoch; `scope_id` is empty unless a project or domain."""

    user_id: str
    methods: tuple[str, ...]
    scope: Scope = Scope.UNSCOPED
    scope_id: str = ""
    issued_at: int
    expires_at: int
    audit_id: str
    parent_audit_id: str = ""
    application_credential_id: str = ""


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    version: int
    methods: int
    user: bytes
    scope: int
    scope_id: bytes
    issued_at: int
    expires_at: int
    audit: str
    parent: str
    credential: bytes


_VERSION = 1
_HEX = frozenset("0123456789abcdef")


def new_audit_id() -> str:
    """A random id under which a token can be revoked: 22 characters of URL-safe base64."""
    return secrets.token_urlsafe(16)


def _pack_id(id: str) -> bytes:
    """`x` and 16 bytes for 32 hex digits, `s` and UTF-8 for any other id."""
    if len(id) == 32 and all(digit in _HEX for digit in id):
        return b"x" + bytes.fromhex(id)
    return b"s" + id.encode()


def _unpack_id(packed: bytes) -> str:
    return packed[1:].hex() if packed[:1] == b"x" else packed[1:].decode()


def pack(payload: Payload) -> bytes:
    """The payload's bytes, before encryption."""
    methods = sum(1 << METHODS.index(method) for method in payload.methods)
    return msgspec.msgpack.encode(
        _Packed(
            _VERSION,
            methods,
            _pack_id(payload.user_id),
            payload.scope,
            _pack_id(payload.scope_id),
            payload.issued_at,
            payload.expires_at,
            payload.audit_id,
            payload.parent_audit_id,
            _pack_id(payload.application_credential_id),
        )
    )


def unpack(data: bytes) -> Payload:
    """The inverse of `pack`. Raises msgspec.DecodeError or ValueError for anything else."""
    packed = msgspec.msgpack.decode(data, type=_Packed)
    if packed.version != _VERSION:
        raise ValueError(f"token version {packed.version} is unknown")
    return Payload(
        user_id=_unpack_id(packed.user),
        methods=tuple(method for bit, method in enumerate(METHODS) if packed.methods >> bit & 1),
        scope=Scope(packed.scope),
        scope_id=_unpack_id(packed.scope_id),
        issued_at=packed.issued_at,
        expires_at=packed.expires_at,
        audit_id=packed.audit,
        parent_audit_id=packed.parent,
        application_credential_id=_unpack_id(packed.credential),
    )


def seal(payload: Payload, keys: KeyRing) -> str:
    """The token as a client gets it."""
    # Padding is cut because some clients put tokens into URLs and quote them.
    return keys.fernet().encrypt(pack(payload)).decode().rstrip("=")


def unseal(token: str, keys: KeyRing) -> Payload | None:
    """What a token says, if one of the keys made it; None for a forged or foreign one. Expiry is not looked at."""
    if len(token) > MAX_TOKEN or not token.isascii():
        return None
    padded = token + "=" * (-len(token) % 4)
    try:
        # Python's decoder skips stray characters; a token shall have exactly one spelling.
        if base64.urlsafe_b64encode(base64.urlsafe_b64decode(padded)).decode() != padded:
            return None
        return unpack(keys.fernet().decrypt(padded.encode()))
    except (InvalidToken, msgspec.DecodeError, ValueError):
        return None
