"""Hints for one kind of engine: how Open vSwitch spreads the packets that a port sends over its transmit queues."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension
from kaon.resources.roles import ADMIN

_OTHER_CONFIG = types.object_of({"tx-steering": types.one_of("thread", "hash")})
_HINTS = types.nullable(types.object_of({"openvswitch": types.object_of({"other_config": _OTHER_CONFIG})}))


def _some_or_none(value: Any) -> Any:
    return _HINTS.parse(value) or None


ATTRIBUTES = (
    Attribute(
        "hints",
        replace(_HINTS, parse=_some_or_none),
        default=None,
        post=True,
        put=True,
        post_rule=ADMIN,
        put_rule=ADMIN,
        get_rule=ADMIN,
        filter=False,
        sort=False,
        alias="port-hints",
    ),
)

EXTENSIONS = (
    Extension(
        "port-hints",
        "Port hints",
        "Backend specific port hints to allow backend specific tuning",
        "2023-01-01T00:00:00-00:00",
        awaits="no engine takes hints",
    ),
    Extension(
        "port-hint-ovs-tx-steering",
        "Port hint: Open vSwitch Tx steering",
        "Enable Port hint: Open vSwitch Tx steering",
        "2023-01-01T00:00:00-00:00",
        awaits="no engine steers transmission",
    ),
)
