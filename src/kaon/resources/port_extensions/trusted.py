"""Virtual functions that their guest may change the MAC address of; drivers read it in the binding profile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaon.resources import types
from kaon.resources.declare import UNSET, Attribute, Extension
from kaon.resources.roles import ADMIN

_BOOLEAN = replace(types.BOOLEAN, shown=(lambda value: value, types.nullable(types.BOOLEAN).schema))
"""What nobody has said is shown as null, but null cannot be said."""

ATTRIBUTES = (
    Attribute(
        "trusted",
        _BOOLEAN,
        default=UNSET,
        post=True,
        put=True,
        post_rule=ADMIN,
        put_rule=ADMIN,
        get_rule=ADMIN,
        filter=False,
        sort=False,
        alias="port-trusted-vif",
    ),
)


def profile(trusted: bool | None, wanted: dict[str, Any]) -> dict[str, Any]:
    """A binding profile that says what the port says."""
    return wanted if trusted is None else {**wanted, "trusted": trusted}


EXTENSIONS = (
    Extension(
        "port-trusted-vif",
        "Port trusted vif",
        "Expose port 'trusted' attribute in the API",
        "2024-07-10T10:00:00-00:00",
        awaits="no engine has virtual functions to trust",
    ),
)
