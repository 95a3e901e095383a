"""Rules of QoS policies, one resource a type: limits, guarantees and marks, for one direction each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.qos import conflicts, ports
from kaon.resources.roles import ADMIN, PARENT_OWNER_MANAGER, PARENT_OWNER_READER, either
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

DSCP_MARKS = (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56)
"""Code points that a rule may set: the class selectors, assured forwarding, voice admit and expedited forwarding."""

_AMOUNT = types.integer(0)


def _amount(name: str, default: Any = REQUIRED) -> Attribute:
    return Attribute(name, _AMOUNT, default=default, post=True, put=True)


def _direction(*choices: str, alias: str = "") -> Attribute:
    return Attribute("direction", types.one_of(*choices), default="egress", post=True, put=True, alias=alias)


_BOTH = ("ingress", "egress")

_TYPES: dict[str, tuple[Attribute, ...]] = {
    "bandwidth_limit": (
        _amount("max_kbps"),
        _amount("max_burst_kbps", 0),
        _direction(*_BOTH, alias="qos-bw-limit-direction"),
    ),
    "dscp_marking": (Attribute("dscp_mark", types.one_of(*DSCP_MARKS), default=REQUIRED, post=True, put=True),),
    "minimum_bandwidth": (_amount("min_kbps"), _direction(*_BOTH, alias="qos-bw-minimum-ingress")),
    "minimum_packet_rate": (_amount("min_kpps"), _direction(*_BOTH, "any")),
    "packet_rate_limit": (_amount("max_kpps"), _amount("max_burst_kpps", 0), _direction(*_BOTH)),
}
"""What each type of rule says, in the order in which a policy shows its rules."""

_ALIASED = ("bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate")
"""Types that are also served by the rule's id alone."""


# ---------------------------------------------------------------- the rules of a rule


def _part(kind: str, rule: Record) -> dict[str, Any]:
    """A rule as its policy shows it."""
    shown = {attribute.name: rule[attribute.name] for attribute in _TYPES[kind]}
    return {"id": rule["id"], "qos_policy_id": rule["qos_policy_id"], "type": kind, **shown}


def _with(policy: Record, part: dict[str, Any]) -> list[dict[str, Any]]:
    """The policy's rules after one was added or changed."""
    order = list(_TYPES)
    found = [part if item["id"] == part["id"] else item for item in policy["rules"]]
    if part not in found:
        found.append(part)
    return sorted(found, key=lambda item: order.index(item["type"]))


def _store(tx: Transaction, policy: Record, rules: list[dict[str, Any]], changed: str) -> None:
    """Give a policy other rules, of which those of one type changed: what follows it must be able to."""
    after = records.update(tx, named("qos_policy"), policy, {"rules": rules})
    ports.follow_rules(tx, after, changed)


def _creator(kind: str) -> Callable[[Transaction, dict[str, Any]], Record]:
    def create(tx: Transaction, body: dict[str, Any]) -> Record:
        """Store a rule; its policy counts a revision."""
        policy = records.get(tx.conn, named("qos_policy"), body["qos_policy_id"])
        rule = {**body, "id": types.new_id()}
        conflicts.demand_none(policy, _part(kind, rule))
        record = records.insert(tx, named(f"qos_{kind}_rule"), rule)
        _store(tx, policy, _with(policy, _part(kind, record)), kind)
        return record

    return create


def _updater(kind: str) -> Callable[[Transaction, Record, dict[str, Any]], Record]:
    def update(tx: Transaction, rule: Record, body: dict[str, Any]) -> Record:
        """Store changed attributes; the policy counts a revision."""
        policy = records.get(tx.conn, named("qos_policy"), rule["qos_policy_id"])
        conflicts.demand_none(policy, _part(kind, {**rule, **body}))
        after = records.update(tx, named(f"qos_{kind}_rule"), rule, body)
        _store(tx, policy, _with(policy, _part(kind, after)), kind)
        return after

    return update


def _deleter(kind: str) -> Callable[[Transaction, Record], None]:
    def delete(tx: Transaction, rule: Record) -> None:
        """Remove a rule; its policy counts a revision."""
        policy = records.get(tx.conn, named("qos_policy"), rule["qos_policy_id"])
        records.delete(tx, named(f"qos_{kind}_rule"), rule)
        _store(tx, policy, [item for item in policy["rules"] if item["id"] != rule["id"]], kind)

    return delete


def forget(tx: Transaction, policy: Record) -> None:
    """Remove the rules of a policy that goes away."""
    for item in policy["rules"]:
        resource = named(f"qos_{item['type']}_rule")
        records.delete(tx, resource, records.get(tx.conn, resource, item["id"]))


# ---------------------------------------------------------------- their declarations

_OWNER = either(ADMIN, PARENT_OWNER_MANAGER)


def _rule(kind: str) -> Resource:
    return Resource(
        name=f"qos_{kind}_rule",
        collection=f"qos_{kind}_rules",
        document=f"{kind}_rule",
        documents=f"{kind}_rules",
        path=f"{kind}_rules",
        within=("qos_policy", "qos_policy_id"),
        attributes=standard(
            *_TYPES[kind],
            Attribute("qos_policy_id", types.UUID, internal=True, index=True),
            named=False,
            owned=False,
            tags=False,
            description=False,
            stamped=False,
        ),
        create=_creator(kind),
        update=_updater(kind),
        delete=_deleter(kind),
        create_rule=_OWNER,
        get_rule=either(ADMIN, PARENT_OWNER_READER),
        update_rule=_OWNER,
        delete_rule=_OWNER,
        not_found="QosRuleNotFound",
    )


def _alias(kind: str, rule: Resource) -> Resource:
    """The same rules, by their ids alone: whoever knows a rule need not know its policy."""
    return Resource(
        name=f"alias_qos_{kind}_rule",
        collection=f"alias_qos_{kind}_rules",
        document=f"alias_{kind}_rule",
        documents=f"alias_{kind}_rules",
        path=f"qos/alias-{kind.replace('_', '-')}-rules",
        parents={"ext_parent": ("qos_policy_id", "qos_policy")},
        serves=rule,
        attributes=rule.attributes,
        create=rule.create,
        update=rule.update,
        delete=rule.delete,
        create_rule=rule.create_rule,
        get_rule=rule.get_rule,
        update_rule=rule.update_rule,
        delete_rule=rule.delete_rule,
        not_found=rule.not_found,
        methods=frozenset({"show", "update", "delete"}),
    )


RULES = {kind: _rule(kind) for kind in _TYPES}

RESOURCES = (*RULES.values(), *(_alias(kind, RULES[kind]) for kind in _ALIASED))

EXTENSIONS = (
    Extension(
        "qos-bw-limit-direction",
        "Direction for QoS bandwidth limit rule",
        "Allow to configure QoS bandwidth limit rule with specific direction: ingress or egress",
        "2017-04-10T10:00:00-00:00",
    ),
    Extension(
        "qos-bw-minimum-ingress",
        "Ingress direction for QoS minimum bandwidth rule",
        "Allow to configure QoS minimum bandwidth rule with ingress direction.",
        "2018-07-09T10:00:00-00:00",
        awaits="no bandwidth is guaranteed",
    ),
    Extension(
        "qos-pps",
        "QoS Rule Type Packet per Second Extension",
        "Add QoS Rule Type Packet per Second",
        "2021-05-12T10:00:00-00:00",
    ),
    Extension(
        "qos-pps-minimum",
        "QoS minimum packet rate rule",
        "Allow to configure QoS minimum packet rate rule.",
        "2021-07-14T10:00:00-00:00",
        awaits="no packet rate is guaranteed",
    ),
    Extension(
        "qos-rules-alias",
        "Quality of Service rules alias API",
        "API to enable GET, PUT and DELETE operations on QoS policy rules without specifying policy ID",
        "2018-10-07T10:00:00-00:00",
    ),
    Extension(
        "qos-pps-minimum-rule-alias",
        "QoS minimum packet rate rule alias",
        "API to enable GET, PUT and DELETE operations on QoS minimum packet rate rule without specifying policy ID",
        "2021-10-22T10:00:00-00:00",
    ),
)
