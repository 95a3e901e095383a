"""Where a port is bound, as the port itself shows it: its active binding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from kaon.resources import types
from kaon.resources.declare import UNSET, Attribute, Extension
from kaon.resources.errors import InvalidValue, conflict
from kaon.resources.roles import ADMIN_OR_MEMBER, ADMIN_OR_SERVICE, SERVICE, either
from kaon.store.journal import Record

UNBOUND = {"binding:host_id": "", "binding:vif_type": "unbound", "binding:vif_details": {}}

VNIC_TYPES = (
    "normal",
    "direct",
    "macvtap",
    "baremetal",
    "direct-physical",
    "virtio-forwarder",
    "smart-nic",
    "vdpa",
    "accelerator-direct",
    "accelerator-direct-physical",
    "remote-managed",
)

MAX_PROFILE = 4095
"""Bytes of a binding profile as JSON."""

_OWNER = either(ADMIN_OR_MEMBER, SERVICE)


def _profile(value: Any) -> Any:
    parsed = types.MAPPING.parse(value)
    if len(msgspec.json.encode(parsed)) > MAX_PROFILE:
        raise InvalidValue("InvalidInput", "Invalid input for operation: binding:profile value too large.")
    return parsed


PROFILE = replace(types.MAPPING, parse=_profile)
"""What drivers on the host need to know; null is an empty one."""

ATTRIBUTES = (
    Attribute(
        "binding:host_id",
        types.nullable(types.text(255)),
        default=UNSET,
        post=True,
        put=True,
        post_rule=ADMIN_OR_SERVICE,
        put_rule=ADMIN_OR_SERVICE,
        get_rule=ADMIN_OR_SERVICE,
        index=True,
        alias="binding",
    ),
    Attribute(
        "binding:vnic_type",
        types.one_of(*VNIC_TYPES),
        default="normal",
        post=True,
        put=True,
        post_rule=_OWNER,
        put_rule=_OWNER,
        filter=False,
        sort=False,
        alias="binding",
    ),
    Attribute(
        "binding:profile",
        PROFILE,
        default={},
        post=True,
        put=True,
        post_rule=SERVICE,
        put_rule=SERVICE,
        get_rule=ADMIN_OR_SERVICE,
        filter=False,
        sort=False,
        alias="binding",
    ),
    Attribute("binding:vif_type", types.text(64), get_rule=ADMIN_OR_SERVICE, filter=False, sort=False, alias="binding"),
    Attribute(
        "binding:vif_details",
        types.MAPPING,
        get_rule=ADMIN_OR_SERVICE,
        filter=False,
        sort=False,
        alias="binding",
    ),
)


def is_bound(port: Record) -> bool:
    """Whether the port appears on a host."""
    return bool(port["binding:vif_type"] != UNBOUND["binding:vif_type"])


def demand_changeable(port: Record, changes: Record) -> None:
    """Raise 409 for a change that a port which appears on a host cannot have: it would have to be plugged anew."""
    if not is_bound(port):
        return
    if changes.get("binding:host_id", port["binding:host_id"]) != port["binding:host_id"]:
        raise conflict(
            "PortBound",
            f"Port {port['id']} is attached on host {port['binding:host_id']}. Detach it there before it is bound "
            "elsewhere, or activate its binding there.",
        )
    if changes.get("binding:vnic_type", port["binding:vnic_type"]) != port["binding:vnic_type"]:
        raise conflict(
            "PortInUse",
            f"Unable to complete operation on port {port['id']} for network {port['network_id']}. Port already has an "
            f"attached device {port['device_id']}.",
        )


EXTENSIONS = (
    Extension(
        "binding",
        "Port Binding",
        "Expose port bindings of a virtual port to external application",
        "2014-02-03T10:00:00-00:00",
    ),
)
