"""Ports whose network device does the switching: Nova reads it as a capability in the binding profile."""

from __future__ import annotations

from typing import Any

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension

ATTRIBUTES = (
    Attribute(
        "hardware_offload_type",
        types.nullable(types.one_of("switchdev")),
        default=None,
        post=True,
        filter=False,
        sort=False,
        alias="port-hardware-offload-type",
    ),
)


def profile(kind: str | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """The binding profile of a new port, with the offload among its capabilities."""
    if kind is None:
        return wanted
    held = wanted.get("capabilities")
    capabilities = held if isinstance(held, list) else []
    return wanted if kind in capabilities else {**wanted, "capabilities": [*capabilities, kind]}


EXTENSIONS = (
    Extension(
        "port-hardware-offload-type",
        "Port hardware offload",
        "Expose port hardware offload extension",
        "2023-05-09T10:00:00-00:00",
        awaits="no engine offloads to hardware",
    ),
)
