"""How near to a port's device Nova places an instance's memory and processors."""

from __future__ import annotations

from typing import Any

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension
from kaon.resources.errors import conflict
from kaon.resources.port_binding.attributes import is_bound
from kaon.store.journal import Record

ATTRIBUTES = (
    Attribute(
        "numa_affinity_policy",
        types.nullable(types.one_of("required", "preferred", "legacy", "socket")),
        default=None,
        post=True,
        put=True,
        filter=False,
        sort=False,
        alias="port-numa-affinity-policy",
    ),
)


def demand_changeable(port: Record, body: dict[str, Any]) -> None:
    """Raise 409 for a change on a port that is bound: the instance has been placed by then."""
    if "numa_affinity_policy" in body and is_bound(port):
        raise conflict(
            "PortBoundNUMAAffinityPolicy",
            f"Unable to complete operation on port {port['id']}, port is already bound to host "
            f"{port['binding:host_id']}, numa_affinity_policy value given {body['numa_affinity_policy']}.",
        )


EXTENSIONS = (
    Extension(
        "port-numa-affinity-policy",
        "Port NUMA affinity policy",
        "Expose the port NUMA affinity policy",
        "2020-07-08T10:00:00-00:00",
    ),
    Extension(
        "port-numa-affinity-policy-socket",
        'Port NUMA affinity policy "socket"',
        'Adds "socket" to the supported port NUMA affinity policies',
        "2024-02-09T10:00:00-00:00",
    ),
)
