"""A request and what a client learns from a refusal: its status and the name of its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.api.cloud import Cloud

ADMIN, RED = "admin:ops", "member:red"
NOTHING = "11111111-2222-3333-4444-555555555555"


async def answer(
    cloud: Cloud, token: str, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The status, and the error's type where there is one."""
    status, found = await cloud(token, method, path, body, headers)
    return status, found["NeutronError"]["type"] if status >= 400 else ""
