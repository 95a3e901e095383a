"""Types of QoS rules: which there are, and what the values of their attributes may be."""

from __future__ import annotations

from typing import Any

from kaon.resources import types
from kaon.resources.declare import Ask, Attribute, Call, Extension
from kaon.resources.errors import bad_request, forbidden, invalid, not_found
from kaon.resources.qos.rules import RULES
from kaon.store.transaction import Transaction

DRIVER = "kaon"
"""The one driver of QoS rules."""

ENFORCED = frozenset({"bandwidth_limit", "dscp_marking", "packet_rate_limit"})
"""The types that it enforces. What the others guarantee is told to Placement, and no packet waits for another."""

_FLAGS = frozenset({"all_rules", "all_supported"})


def _index(_tx: Transaction, ask: Ask) -> dict[str, Any]:
    """The types that rules may have; with ``all_supported`` those alone that are enforced."""
    flags = set()
    for name, value in ask.pairs:
        if name in _FLAGS:
            try:
                if types.BOOLEAN.parse(value):
                    flags.add(name)
            except ValueError as error:
                raise invalid(str(error)) from None
        elif name not in ("type", "fields"):
            raise bad_request(f"{[name]} is invalid attribute for filtering")
    kinds = [kind for kind in RULES if kind in ENFORCED or "all_supported" not in flags]
    wanted = {value for name, value in ask.pairs if name == "type"}
    return {"rule_types": [{"type": kind} for kind in kinds if not wanted or kind in wanted]}


def _show(tx: Transaction, ask: Ask) -> dict[str, Any]:
    kind = ask.params["type"]
    if not tx.caller.is_admin:
        raise forbidden("Not authorized: details of QoS rule types are for admins.", "NotAuthorized")
    if kind not in RULES:
        raise not_found("HTTPNotFound", f"There is no QoS rule type {kind}. There are {', '.join(RULES)}.")
    if kind not in ENFORCED:
        return {"rule_type": {"type": kind, "drivers": []}}
    parameters = [_parameter(attribute) for attribute in RULES[kind].attributes if attribute.post]
    return {"rule_type": {"type": kind, "drivers": [{"name": DRIVER, "supported_parameters": parameters}]}}


def _parameter(attribute: Attribute) -> dict[str, Any]:
    schema = attribute.type.schema
    if "enum" in schema:
        kind, values = "choices", schema["enum"]
    else:
        kind, values = "range", {"start": schema["minimum"], "end": schema["maximum"]}
    return {"parameter_name": attribute.name, "parameter_type": kind, "parameter_values": values}


CALLS = (
    Call("GET", "qos/rule-types", _index, "get_rule_type", "role:reader"),
    Call("GET", "qos/rule-types/{type}", _show, "get_rule_type", "role:reader"),
)

EXTENSIONS = (
    Extension(
        "qos-rule-type-details",
        "Details of QoS rule types",
        "Expose details about QoS rule types supported by loaded backend drivers",
        "2017-06-22T10:00:00-00:00",
    ),
    Extension(
        "qos-rule-type-filter",
        "Allow to filter the list of QoS rule types",
        "Allows to filter the list of QoS rule types: all_rules shows all that are implemented, all_supported those "
        "that a loaded driver supports",
        "2022-02-02T10:00:00-00:00",
    ),
)
