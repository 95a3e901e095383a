"""The Cyborg device profile by which Nova finds an accelerator for a port."""

from __future__ import annotations

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension

ATTRIBUTES = (
    Attribute(
        "device_profile",
        types.nullable(types.text(255)),
        default=None,
        post=True,
        filter=False,
        sort=False,
        alias="port-device-profile",
    ),
)

EXTENSIONS = (
    Extension(
        "port-device-profile",
        "Port device profile",
        "Expose the port device profile (Cyborg)",
        "2020-12-17T10:00:00-00:00",
    ),
)
