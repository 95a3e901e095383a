"""Which rules cannot stand in one QoS policy."""

from __future__ import annotations

from typing import Any

from kaon.resources.errors import ApiError, conflict
from kaon.store.journal import Record


def demand_none(policy: Record, rule: dict[str, Any]) -> None:
    """Raise 409 when a new or changed rule cannot stand beside the policy's others."""
    for other in policy["rules"]:
        if other["id"] != rule["id"]:
            _demand_together(policy, other, rule)


def _demand_together(policy: Record, other: dict[str, Any], rule: dict[str, Any]) -> None:
    direction, same_direction = rule.get("direction"), other.get("direction") == rule.get("direction")
    if other["type"] == rule["type"]:
        if same_direction:
            raise conflict(
                "QoSRulesConflict",
                f"Rule {rule['type']} conflicts with rule {other['id']} which already exists in QoS Policy "
                f"{policy['id']}.",
            )
        # Placement has a resource class for packets of either direction, which excludes those for one of them.
        if rule["type"] == "minimum_packet_rate" and "any" in (direction, other["direction"]):
            raise _contradiction(policy, other, direction, other["direction"])
    if same_direction:
        by_type = {item["type"]: item for item in (other, rule)}
        least, most = by_type.get("minimum_bandwidth"), by_type.get("bandwidth_limit")
        if least is not None and most is not None and least["min_kbps"] > most["max_kbps"]:
            new, held = ("max_kbps", "min_kbps") if rule is most else ("min_kbps", "max_kbps")
            raise _contradiction(policy, other, rule[new], other[held])


def _contradiction(policy: Record, other: dict[str, Any], value: Any, held: Any) -> ApiError:
    return conflict(
        "QoSRuleParameterConflict",
        f"Unable to add the rule with value {value} to the policy {policy['id']} as the existing rule of type "
        f"{other['type']} has value {held}.",
    )
