"""Times as Keystone writes them: UTC, ISO 8601, always six digits of microseconds and a Z."""

from __future__ import annotations

from datetime import UTC, datetime

from kaon.identity.tokens import MICROSECONDS


def write(microseconds: int) -> str:
    """Microseconds since the epoch as `2026-01-01T00:00:00.000000Z`."""
    seconds, rest = divmod(microseconds, MICROSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06}Z"


def read(text: str) -> int:
    """The inverse, for any ISO 8601 time; one without a zone is UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * MICROSECONDS)
