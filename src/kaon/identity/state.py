"""The running embedded Keystone: what every handler needs, made once by `open_identity`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kaon.identity.keys import KeyRing
from kaon.identity.passwords import Passwords
from kaon.identity.throttle import Throttle
from kaon.identity.validate import LocalValidator
from kaon.store.engine import Store

TOKEN_LIFETIME = 4 * 3600
"""Seconds."""


@dataclass(slots=True, frozen=True)
class Identity:
    """`public_url` is the server's own (scheme, host, port; no slash at the end); None takes each request's Host."""

    store: Store
    keys: KeyRing
    passwords: Passwords
    throttle: Throttle
    validator: LocalValidator
    public_url: str | None = None
    token_lifetime: int = TOKEN_LIFETIME


def open_identity(
    store: Store,
    key_folder: Path,
    public_url: str | None = None,
    token_lifetime: int = TOKEN_LIFETIME,
    passwords: Passwords | None = None,
) -> Identity:
    """The embedded Keystone on `store` (its tables migrated), with its Fernet keys in `key_folder` (made if absent)."""
    keys = KeyRing(key_folder)
    return Identity(
        store=store,
        keys=keys,
        passwords=passwords or Passwords(),
        throttle=Throttle(),
        validator=LocalValidator(store, keys),
        public_url=public_url.rstrip("/") if public_url else None,
        token_lifetime=token_lifetime,
    )
