"""Metering: labels under which traffic is counted, and the rules that say which traffic a label counts."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, standard
from kaon.resources.errors import bad_request, conflict, not_found
from kaon.resources.roles import ADMIN_OR_MANAGER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

DIRECTIONS = ("ingress", "egress")
_OWN_PREFIXES = ("source_ip_prefix", "destination_ip_prefix")
_PREFIXES = ("remote_ip_prefix", *_OWN_PREFIXES)


def _create_label(tx: Transaction, body: dict[str, Any]) -> Record:
    return records.insert(tx, METERING_LABEL, {**body, "id": types.new_id()})


def _update_label(tx: Transaction, label: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, METERING_LABEL, label, body)


def _delete_label(tx: Transaction, label: Record) -> None:
    """Remove a label with its rules."""
    for rule in records.by(tx.conn, METERING_LABEL_RULE, metering_label_id=label["id"]):
        records.delete(tx, METERING_LABEL_RULE, rule)
    records.delete(tx, METERING_LABEL, label)


def _create_rule(tx: Transaction, body: dict[str, Any]) -> Record:
    label = records.find(tx.conn, METERING_LABEL, body["metering_label_id"])
    if label is None or not (tx.caller.is_admin or label["project_id"] == tx.caller.project_id):
        raise not_found("MeteringLabelNotFound", f"Metering label '{body['metering_label_id']}' does not exist.")
    _demand_prefixes(body)
    _demand_apart(tx, body)
    # A rule is its label's, whoever writes it.
    return records.insert(tx, METERING_LABEL_RULE, {**body, "project_id": label["project_id"], "id": types.new_id()})


def _demand_prefixes(rule: dict[str, Any]) -> None:
    """Raise 400 unless a rule says by prefixes what it counts, in one of the two ways."""
    named_own = any(rule[name] for name in _OWN_PREFIXES)
    if rule["remote_ip_prefix"] and named_own:
        raise bad_request(
            "Cannot use 'remote-ip-prefix' in conjunction with 'source-ip-prefix' or 'destination-ip-prefix'.",
            "Invalid",
        )
    if not rule["remote_ip_prefix"] and not named_own:
        raise bad_request(
            "You must define at least one of the following parameters 'remote_ip_prefix', or 'source_ip_prefix' or "
            "'destination_ip_prefix'.",
            "Invalid",
        )
    versions = {ipaddress.ip_network(rule[name]).version for name in _PREFIXES if rule[name]}
    if len(versions) > 1:
        raise bad_request("'source_ip_prefix' and 'destination_ip_prefix' are of different IP versions.", "Invalid")


def _demand_apart(tx: Transaction, rule: dict[str, Any]) -> None:
    """Raise 409 when the label has a rule that counts some of the same remote addresses."""
    if not rule["remote_ip_prefix"]:
        return
    prefix = ipaddress.ip_network(rule["remote_ip_prefix"])
    for other in records.by(
        tx.conn,
        METERING_LABEL_RULE,
        metering_label_id=rule["metering_label_id"],
        direction=rule["direction"],
        excluded=rule["excluded"],
    ):
        held = other["remote_ip_prefix"] and ipaddress.ip_network(other["remote_ip_prefix"])
        if held and held.version == prefix.version and held.overlaps(prefix):
            raise conflict(
                "MeteringLabelRuleOverlaps",
                f"Metering label rule with remote_ip_prefix '{rule['remote_ip_prefix']}' overlaps another.",
            )


def _update_rule(tx: Transaction, rule: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, METERING_LABEL_RULE, rule, body)


def _delete_rule(tx: Transaction, rule: Record) -> None:
    records.delete(tx, METERING_LABEL_RULE, rule)


def _prefix(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or "%" in value:
        raise ValueError(f"'{value}' is not a valid IP subnet")
    return str(ipaddress.ip_network(value, strict=False))


PREFIX = replace(types.nullable(types.CIDR), parse=_prefix)
"""A prefix, host bits cleared; an address is one of its full length."""

_METHODS = frozenset({"list", "show", "create", "delete"})

METERING_LABEL = Resource(
    name="metering_label",
    collection="metering_labels",
    attributes=standard(
        Attribute("name", types.name(), default="", post=True, index=True),
        Attribute("description", types.text(1024), default="", post=True),
        Attribute("shared", types.BOOLEAN, default=False, post=True),
        named=False,
        description=False,
        tags=False,
        stamped=False,
    ),
    create=_create_label,
    update=_update_label,
    delete=_delete_label,
    create_rule=ADMIN_OR_MANAGER,
    update_rule=ADMIN_OR_MANAGER,
    delete_rule=ADMIN_OR_MANAGER,
    path="metering/metering-labels",
    methods=_METHODS,
)

METERING_LABEL_RULE = Resource(
    name="metering_label_rule",
    collection="metering_label_rules",
    attributes=standard(
        Attribute("metering_label_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("direction", types.one_of(*DIRECTIONS), default=REQUIRED, post=True),
        Attribute("excluded", types.BOOLEAN, default=False, post=True),
        Attribute("remote_ip_prefix", PREFIX, default=None, post=True),
        *(
            Attribute(
                name,
                PREFIX,
                default=None,
                post=True,
                alias="metering_source_and_destination_fields",
            )
            for name in _OWN_PREFIXES
        ),
        named=False,
        description=False,
        tags=False,
        stamped=False,
    ),
    create=_create_rule,
    update=_update_rule,
    delete=_delete_rule,
    create_rule=ADMIN_OR_MANAGER,
    update_rule=ADMIN_OR_MANAGER,
    delete_rule=ADMIN_OR_MANAGER,
    path="metering/metering-label-rules",
    methods=_METHODS,
)

RESOURCES = (METERING_LABEL, METERING_LABEL_RULE)

EXTENSIONS = (
    Extension(
        "metering",
        "Neutron Metering",
        "Neutron Metering extension.",
        "2013-06-12T10:00:00-00:00",
        awaits="nothing is counted",
    ),
    Extension(
        "metering_source_and_destination_fields",
        "Neutron Metering with source and destination filtering",
        "Neutron Metering extension that enables the use of source and destination IP prefixes to create metering "
        "label rules.",
        "2020-08-21T08:12:00-00:00",
        awaits="nothing is counted",
    ),
)
