"""What an operator's own monitoring says of the network below a port; it changes nothing but what is shown."""

from __future__ import annotations

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension
from kaon.resources.roles import ADMIN, either

ATTRIBUTES = (
    Attribute(
        "data_plane_status",
        types.nullable(types.one_of("ACTIVE", "DOWN")),
        put=True,
        put_rule=either(ADMIN, "role:data_plane_integrator"),
        filter=False,
        sort=False,
        alias="data-plane-status",
    ),
)

EXTENSIONS = (
    Extension(
        "data-plane-status",
        "Port data plane status extension",
        "Expose status of underlying data plane",
        "2017-01-24T10:00:00-00:00",
    ),
)
