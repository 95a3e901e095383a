"""Default security group rules: what new groups begin with, for the operator to choose."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, standard
from kaon.resources.errors import bad_request, conflict
from kaon.resources.roles import ADMIN
from kaon.resources.security.address_group import ADDRESS_GROUP
from kaon.resources.security.security_group import PARENT, SECURITY_GROUP
from kaon.resources.security.security_group_rule import MATCH, MATCHING, canonical, demand_valid
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

_USES = ("used_in_default_sg", "used_in_non_default_sg")


def first_start(tx: Transaction) -> None:
    """What groups have always begun with: all may leave, and members of a default group may reach each other."""
    for ethertype in ("IPv4", "IPv6"):
        for direction, peer, others in (("egress", None, True), ("ingress", PARENT, False)):
            _store(
                tx,
                DEFAULT_SECURITY_GROUP_RULE.with_defaults(
                    {
                        "direction": direction,
                        "ethertype": ethertype,
                        "remote_group_id": peer,
                        "used_in_default_sg": True,
                        "used_in_non_default_sg": others,
                        "description": f"Legacy default SG rule for {direction} traffic",
                    }
                ),
            )


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a rule that new groups get, those there are do not; 409 for one that is there already."""
    rule = canonical(body)
    demand_valid(rule)
    if rule["remote_group_id"] not in (None, PARENT):
        _demand_open(tx, SECURITY_GROUP, rule["remote_group_id"])
    if rule["remote_address_group_id"]:
        _demand_open(tx, ADDRESS_GROUP, rule["remote_address_group_id"])
    for other in records.select(tx.conn, DEFAULT_SECURITY_GROUP_RULE):
        same = all(other[name] == rule[name] for name in MATCH)
        if same and any(other[use] and rule[use] for use in _USES):
            raise conflict(
                "DefaultSecurityGroupRuleExists",
                f"Default Security group rule already exists. Rule id is {other['id']}.",
            )
    return _store(tx, rule)


def _store(tx: Transaction, rule: dict[str, Any]) -> Record:
    return records.insert(tx, DEFAULT_SECURITY_GROUP_RULE, {**rule, "id": types.new_id()})


def _demand_open(tx: Transaction, resource: Resource, id: str) -> None:
    """Every project's groups get the rule, so what it names must be open to all of them."""
    if "*" not in records.get(tx.conn, resource, id)["shared_with"]:
        raise bad_request(f"{resource.name} {id} is not shared with all projects, so a default rule cannot name it.")


def update(tx: Transaction, rule: Record, body: dict[str, Any]) -> Record:
    """Store what may change of a rule: nothing, as the API has it."""
    return records.update(tx, DEFAULT_SECURITY_GROUP_RULE, rule, body)


def delete(tx: Transaction, rule: Record) -> None:
    """Remove a rule; groups that have it keep it."""
    records.delete(tx, DEFAULT_SECURITY_GROUP_RULE, rule)


DEFAULT_SECURITY_GROUP_RULE = Resource(
    name="default_security_group_rule",
    collection="default_security_group_rules",
    attributes=standard(
        *MATCHING,
        Attribute("used_in_default_sg", types.BOOLEAN, default=REQUIRED, post=True),
        Attribute("used_in_non_default_sg", types.BOOLEAN, default=REQUIRED, post=True),
        named=False,
        owned=False,
        stamped=False,
        tags=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=ADMIN,
    get_rule="role:reader",
    update_rule=ADMIN,
    delete_rule=ADMIN,
    methods=frozenset({"list", "show", "create", "delete"}),
    bulk=False,
)

RESOURCES = (DEFAULT_SECURITY_GROUP_RULE,)

EXTENSIONS = (
    Extension(
        "security-groups-default-rules",
        "Default rules for security groups",
        "Configure set of security group rules used as default rules for every new security group",
        "2022-12-19T10:00:00-00:00",
    ),
)
