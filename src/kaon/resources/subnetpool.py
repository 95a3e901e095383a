"""Subnet pools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kaon.resources.errors import bad_request
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def prefix_for(tx: Transaction, body: dict[str, Any]) -> dict[str, Any]:
    """The prefix of a new subnet."""
    if body.get("cidr") is None:
        raise bad_request("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", "BadRequest")
    return {}


def demand_affinity(tx: Transaction, values: Record, network: Record, siblings: Sequence[Record]) -> str | None:
    """The address scope."""
    return None
