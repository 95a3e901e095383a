"""Highly available routers: who may ask for one, and when one may become so."""

from __future__ import annotations

from typing import Any

from kaon.resources import types
from kaon.resources.declare import UNSET, Attribute, Extension
from kaon.resources.roles import ADMIN
from kaon.resources.routers.router_port import refused
from kaon.store.journal import Record


def demand_movable(router: Record, changes: dict[str, Any]) -> None:
    """Raise 400 when a router that is up would become highly available, or cease to be so."""
    wanted = changes.get("ha", router["ha"])
    if wanted != router["ha"] and changes.get("admin_state_up", router["admin_state_up"]):
        raise refused(
            "Cannot change HA attribute of active routers. Please set router admin_state_up to False prior to upgrade"
        )


ATTRIBUTE = Attribute(
    "ha",
    types.nullable(types.BOOLEAN),
    default=UNSET,
    post=True,
    put=True,
    post_rule=ADMIN,
    put_rule=ADMIN,
    get_rule=ADMIN,
    alias="l3-ha",
)

EXTENSIONS = (
    Extension(
        "l3-ha",
        "HA Router extension",
        "Adds HA capability to routers.",
        "2014-04-26T00:00:00-00:00",
        awaits="no standby takes over the way outside",
    ),
)
