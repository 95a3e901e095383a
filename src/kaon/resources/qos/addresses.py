"""QoS policies of the addresses by which routers reach external networks: floating IPs, and gateways."""

from __future__ import annotations

from typing import Any

from kaon.resources import types
from kaon.resources.declare import Attribute, Extension
from kaon.resources.qos import following
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

GATEWAY_FIELD = types.nullable(types.UUID)
"""``qos_policy_id`` in ``external_gateway_info``."""


def demand_usable(tx: Transaction, floatingip: Record | None, body: dict[str, Any]) -> None:
    """Raise 403 or 404 when a floating IP is to follow, or no longer to follow, a policy that is not the caller's."""
    if "qos_policy_id" in body:
        following.changed(tx, floatingip["qos_policy_id"] if floatingip else None, body["qos_policy_id"])


def of_gateway(tx: Transaction, held: dict[str, Any] | None, wanted: dict[str, Any]) -> dict[str, str]:
    """``qos_policy_id`` for a gateway's new info: a request that does not name it keeps it, null takes it away."""
    before: str | None = (held or {}).get("qos_policy_id")
    after: str | None = wanted.get("qos_policy_id", before)
    following.changed(tx, before, after)
    return {} if after is None else {"qos_policy_id": after}


def gateway_policy(info: dict[str, Any] | None) -> str | None:
    """The policy that a router's gateway follows: what an attribute repeats, so that routers are found by it."""
    return info.get("qos_policy_id") if info else None


FLOATINGIP_ATTRIBUTE = Attribute(
    "qos_policy_id", types.nullable(types.UUID), default=None, post=True, put=True, index=True, alias="qos-fip"
)
ROUTER_ATTRIBUTE = Attribute("gateway_qos_policy_id", types.nullable(types.UUID), internal=True, index=True)

EXTENSIONS = (
    Extension(
        "qos-fip",
        "Floating IP QoS",
        "The floating IP Quality of Service extension",
        "2017-07-20T00:00:00-00:00",
    ),
    Extension(
        "qos-gateway-ip",
        "Router gateway IP QoS",
        "The Router gateway IP Quality of Service extension",
        "2018-02-24T00:00:00-00:00",
    ),
)
