"""Whole physical devices in an instance: such a port takes the MAC address of the device, not the device the port's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kaon.resources import types
from kaon.resources.declare import Extension
from kaon.resources.errors import invalid
from kaon.resources.port_binding.attributes import is_bound
from kaon.store.journal import Record

WHOLE_DEVICE = "direct-physical"
BINDING = ("binding:host_id", "binding:vnic_type", "binding:profile")


def of_device(port: Mapping[str, Any]) -> str | None:
    """The MAC address of the device that a port is bound to, from its binding profile; 400 for what is none."""
    if port["binding:vnic_type"] != WHOLE_DEVICE or not port.get("binding:host_id"):
        return None
    wanted = port["binding:profile"].get("device_mac_address")
    if not wanted:
        return None
    try:
        return str(types.MAC.parse(wanted))
    except ValueError as error:
        raise invalid(f"device_mac_address in binding:profile: {error}") from None


def changed(port: Record, body: dict[str, Any]) -> dict[str, Any]:
    """An update with the MAC address that follows from it, null for a new one.

    A port that is bound to a device without naming its address, or that leaves one, gives the address free.
    """
    after = {**port, **body}
    if after["binding:vnic_type"] != WHOLE_DEVICE or is_bound(port):
        return body
    if after["binding:host_id"] and any(after[name] != port[name] for name in BINDING):
        return {**body, "mac_address": of_device(after)}
    released = body.get("device_id") == body.get("device_owner") == "" and port["device_id"]
    return {**body, "mac_address": None} if released else body


EXTENSIONS = (
    Extension(
        "port-mac-override",
        "Neutron Port MAC address override",
        "Allow overriding the MAC address of a direct-physical Port via the active binding profile",
        "2022-03-18T10:00:00-00:00",
    ),
)
