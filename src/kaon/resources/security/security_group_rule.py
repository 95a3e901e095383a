"""Rules of security groups: what may enter or leave the ports of a group."""

from __future__ import annotations

import ipaddress
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.ip_protocols import NUMBERS
from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, standard
from kaon.resources.errors import InvalidValue, conflict
from kaon.resources.roles import ADMIN, GROUP_OWNER_MEMBER, GROUP_OWNER_READER, either
from kaon.resources.security import address_group
from kaon.resources.security.security_group import SECURITY_GROUP
from kaon.resources.types import Type
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

ICMP, ICMPV6 = 1, 58
WITH_PORTS = {"DCCP": 33, "SCTP": 132, "TCP": 6, "UDP": 17, "UDPLITE": 136}
ONLY_IPV6 = frozenset({"ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route"})
_ONLY_IPV6_NUMBERS = frozenset({"41", "43", "44", "58", "59", "60"})


def _protocol(value: Any) -> str | None:
    """A protocol as it is stored: lower-case name, decimal number, or None for any."""
    if value is None or value == "any":
        return None
    text = str(value).lower()
    if not isinstance(value, bool) and (text in NUMBERS or (text.isdecimal() and int(text) <= 255)):
        return text if text in NUMBERS else str(int(text))
    raise InvalidValue(
        "SecurityGroupRuleInvalidProtocol",
        f"Security group rule protocol {value} not supported. Only protocol values {[None, 'any', *NUMBERS]} and "
        "integer representations [0 to 255] are supported.",
    )


def _port(value: Any) -> int | None:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or int(text) > 65535:
        raise InvalidValue("SecurityGroupInvalidPortValue", f"Invalid value for port {value}")
    return int(text)


def _ethertype(value: Any) -> str:
    for known in ("IPv4", "IPv6"):
        if isinstance(value, str) and value.lower() == known.lower():
            return known
    raise InvalidValue(
        "SecurityGroupRuleInvalidEtherType",
        f"Security group rule for ethertype '{value}' not supported. Allowed values are ['IPv4', 'IPv6'].",
    )


def _prefix(value: Any) -> str | None:
    """A prefix with its length; host bits stay as the client wrote them (`normalized_cidr` has none)."""
    if value is None or value == "":
        return None
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return ipaddress.ip_interface(value).with_prefixlen
    except ValueError:
        raise InvalidValue("InvalidCIDR", f"Invalid CIDR {value} given as IP prefix.") from None


PROTOCOL = Type(_protocol, sa.String(40), {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]})
PORT = Type(_port, sa.Integer(), {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, {"type": "null"}]})
ETHERTYPE = Type(_ethertype, sa.String(4), {"enum": ["IPv4", "IPv6"]})
PREFIX = Type(_prefix, sa.String(49), {"anyOf": [{"type": "string"}, {"type": "null"}]})


def number(protocol: str) -> int:
    """The IANA number of a stored protocol."""
    return NUMBERS[protocol] if protocol in NUMBERS else int(protocol)


def canonical(rule: dict[str, Any]) -> dict[str, Any]:
    """Old ways of saying the same thing: ICMP in IPv6 rules, and the whole range of ports."""
    rule = dict(rule)
    if rule["ethertype"] == "IPv6" and rule["protocol"] in ("icmp", "icmpv6"):
        rule["protocol"] = "ipv6-icmp"
    elif rule["ethertype"] == "IPv6" and rule["protocol"] == str(ICMP):
        rule["protocol"] = str(ICMPV6)
    if (rule["port_range_min"], rule["port_range_max"]) == (1, 65535):
        rule["port_range_min"] = rule["port_range_max"] = None
    return rule


_REMOTES = ("remote_ip_prefix", "remote_group_id", "remote_address_group_id")
"""Who the other side is; a rule names one of these at most."""


def demand_valid(rule: dict[str, Any]) -> None:
    """Raise the 400s that Neutron answers for attributes that do not go together."""
    _demand_valid_ports(rule)
    prefix, protocol, ethertype = rule["remote_ip_prefix"], rule["protocol"], rule["ethertype"]
    if prefix and f"IPv{ipaddress.ip_interface(prefix).version}" != ethertype:
        raise InvalidValue(
            "SecurityGroupRuleParameterConflict", f"Conflicting value ethertype {ethertype} for CIDR {prefix}"
        )
    if ethertype == "IPv4" and (protocol in ONLY_IPV6 or protocol in _ONLY_IPV6_NUMBERS):
        raise InvalidValue(
            "SecurityGroupEthertypeConflictWithProtocol", f"Invalid ethertype {ethertype} for protocol {protocol}."
        )
    if sum(bool(rule[name]) for name in _REMOTES) > 1:
        raise InvalidValue(
            "SecurityGroupMultipleRemoteEntites",
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
        )


def _demand_valid_ports(rule: dict[str, Any]) -> None:
    low, high, protocol = rule["port_range_min"], rule["port_range_max"], rule["protocol"]
    if low is None and high is None:
        return
    if protocol is None:
        raise InvalidValue(
            "SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given."
        )
    if number(protocol) in WITH_PORTS.values():
        if 0 in (low, high):
            raise InvalidValue("SecurityGroupInvalidPortValue", "Invalid value for port 0")
        if low is None or high is None or low > high:
            raise InvalidValue(
                "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max"
            )
    elif number(protocol) in (ICMP, ICMPV6):
        for name, field, value in (("port_range_min", "type", low), ("port_range_max", "code", high)):
            if value is not None and value > 255:
                raise InvalidValue(
                    "SecurityGroupInvalidIcmpValue",
                    f"Invalid value for ICMP {field} ({name}) {value}. It must be 0 to 255.",
                )
        if low is None:
            raise InvalidValue(
                "SecurityGroupMissingIcmpType",
                f"ICMP code (port-range-max) {high} is provided but ICMP type (port-range-min) is missing.",
            )
    else:
        raise InvalidValue(
            "SecurityGroupInvalidProtocolForPort",
            f"Ports cannot be specified for protocol {protocol}. Ports are only supported for {', '.join(WITH_PORTS)}.",
        )


def _fingerprint(rule: dict[str, Any]) -> str:
    """Equal for rules of one group that mean the same, so that a unique key finds duplicates."""
    prefix = rule["remote_ip_prefix"]
    parts = (
        rule["security_group_id"],
        rule["direction"],
        rule["ethertype"],
        None if rule["protocol"] is None else number(rule["protocol"]),
        rule["port_range_min"],
        rule["port_range_max"],
        rule["remote_group_id"],
        rule["remote_address_group_id"],
        None if prefix in ("0.0.0.0/0", "::/0") else prefix,
    )
    return "_".join("+" if part is None else str(part) for part in parts)


def _usable_group(tx: Transaction, id: str) -> Record:
    """A group that the caller may name in a rule: its own, or one opened to it; 404 for any other."""
    group = records.get(tx.conn, SECURITY_GROUP, id)
    mine = tx.caller.is_admin or group["project_id"] == tx.caller.project_id
    if not mine and not {"*", tx.caller.project_id} & set(group["shared_with"]):
        raise records.missing(SECURITY_GROUP, id)
    return group


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a rule; its group counts a revision. Costs the same however many rules the group has."""
    rule = canonical(body)
    demand_valid(rule)
    group = records.get(tx.conn, SECURITY_GROUP, rule["security_group_id"])
    if rule["remote_group_id"] and rule["remote_group_id"] != group["id"]:
        _usable_group(tx, rule["remote_group_id"])
    if rule["remote_address_group_id"]:
        address_group.usable(tx, rule["remote_address_group_id"])
    fingerprint, table = _fingerprint(rule), SECURITY_GROUP_RULE.table
    same = tx.execute(sa.select(table.c.id).where(table.c.fingerprint == fingerprint)).scalar()
    if same is not None:
        raise conflict("SecurityGroupRuleExists", f"Security group rule already exists. Rule id is {same}.")
    prefix = rule["remote_ip_prefix"]
    record = records.insert(
        tx,
        SECURITY_GROUP_RULE,
        {
            **rule,
            "id": types.new_id(),
            "tags": [],
            "normalized_cidr": str(ipaddress.ip_interface(prefix).network) if prefix else None,
            "belongs_to_default_sg": group["default_of"] is not None,
            "fingerprint": fingerprint,
        },
    )
    records.touch(tx, SECURITY_GROUP, group["id"])
    return record


def update(tx: Transaction, rule: Record, body: dict[str, Any]) -> Record:
    """Store what may change of a rule (its description); its group counts a revision."""
    after = records.update(tx, SECURITY_GROUP_RULE, rule, body)
    if after is not rule:
        records.touch(tx, SECURITY_GROUP, rule["security_group_id"])
    return after


def delete(tx: Transaction, rule: Record) -> None:
    """Remove a rule; its group counts a revision."""
    records.delete(tx, SECURITY_GROUP_RULE, rule)
    records.touch(tx, SECURITY_GROUP, rule["security_group_id"])


def _in_own_groups(caller: Caller) -> sa.ColumnElement[bool]:
    groups = SECURITY_GROUP.table
    return SECURITY_GROUP_RULE.table.c.security_group_id.in_(
        sa.select(groups.c.id).where(groups.c.project_id == caller.project_id)
    )


MATCHING = (
    Attribute("direction", types.one_of("ingress", "egress"), default=REQUIRED, post=True),
    Attribute("ethertype", ETHERTYPE, default="IPv4", post=True),
    Attribute("protocol", PROTOCOL, default=None, post=True),
    Attribute("port_range_min", PORT, default=None, post=True),
    Attribute("port_range_max", PORT, default=None, post=True),
    # What names no group is told so by a 404, whatever it looks like.
    Attribute("remote_group_id", types.nullable(types.ANY_ID), default=None, post=True, index=True),
    Attribute(
        "remote_address_group_id",
        types.nullable(types.ANY_ID),
        default=None,
        post=True,
        index=True,
        alias="security-groups-remote-address-group",
    ),
    Attribute("remote_ip_prefix", PREFIX, default=None, post=True),
)
"""The attributes that say what a rule admits."""
MATCH = tuple(attribute.name for attribute in MATCHING)

SECURITY_GROUP_RULE = Resource(
    name="security_group_rule",
    collection="security_group_rules",
    attributes=standard(
        Attribute("security_group_id", types.ANY_ID, default=REQUIRED, post=True, index=True),
        *MATCHING,
        Attribute("normalized_cidr", types.nullable(types.CIDR), alias="security-groups-normalized-cidr"),
        Attribute("belongs_to_default_sg", types.BOOLEAN, alias="security-groups-rules-belongs-to-default-sg"),
        Attribute("fingerprint", types.text(255), internal=True),
        named=False,
        tags=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=either(ADMIN, GROUP_OWNER_MEMBER),
    get_rule=either(ADMIN, GROUP_OWNER_READER),
    update_rule=either(ADMIN, GROUP_OWNER_MEMBER),
    delete_rule=either(ADMIN, GROUP_OWNER_MEMBER),
    extra_rules={
        "admin_or_sg_owner": "rule:context_is_admin or project_id:%(security_group:project_id)s",
        "admin_owner_or_sg_owner": "rule:owner or rule:admin_or_sg_owner",
        "rule_default_sg": "field:security_group_rules:belongs_to_default_sg=True",
    },
    head=("belongs_to_default_sg",),
    parents={"security_group": ("security_group_id", "security_group")},
    visible=_in_own_groups,
    first_need=SECURITY_GROUP.first_need,
    methods=frozenset({"list", "show", "create", "delete"}),
    quota=100,
    constraints=(sa.UniqueConstraint("fingerprint"),),
)

RESOURCES = (SECURITY_GROUP_RULE,)

EXTENSIONS = (
    Extension(
        "security-groups-normalized-cidr",
        "Normalized CIDR field for security group rules",
        "Add new field with normalized remote_ip_prefix cidr in SG rule",
        "2020-07-28T10:00:00-00:00",
    ),
    Extension(
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
        "Flag to determine if the security group rule belongs to the project's default security group",
        "2023-05-23T10:00:00-00:00",
    ),
)
