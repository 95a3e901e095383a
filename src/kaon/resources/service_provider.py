"""Service providers: who serves routers. There is one, Kaon itself."""

from __future__ import annotations

from typing import Any

from kaon.resources.declare import Ask, Call, Extension
from kaon.store.transaction import Transaction


def _index(_tx: Transaction, _ask: Ask) -> dict[str, Any]:
    return {"service_providers": [{"service_type": "L3_ROUTER_NAT", "name": "kaon", "default": True}]}


CALLS = (Call("GET", "service-providers", _index, "get_service_provider", "role:reader"),)

EXTENSIONS = (
    Extension(
        "service-type",
        "Neutron Service Type Management",
        "API for retrieving service providers for Neutron advanced services",
        "2013-01-20T00:00:00-00:00",
    ),
)
