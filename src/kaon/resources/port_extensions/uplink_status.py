"""Whether a virtual function goes down with the wire of its physical device."""

from __future__ import annotations

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension

ATTRIBUTES = (
    Attribute(
        "propagate_uplink_status",
        types.BOOLEAN,
        default=True,
        post=True,
        put=True,
        filter=False,
        sort=False,
        alias="uplink-status-propagation",
    ),
)

EXTENSIONS = (
    Extension(
        "uplink-status-propagation",
        "Uplink status propagation extension",
        "Provides ability to propagate port uplink status.",
        "2018-05-31T18:00:00-00:00",
        awaits="no engine has virtual functions with an uplink",
    ),
    Extension(
        "uplink-status-propagation-updatable",
        "Uplink status propagation updatable extension",
        "Provides ability to update the port uplink status.",
        "2024-09-03T18:00:00-00:00",
    ),
)
