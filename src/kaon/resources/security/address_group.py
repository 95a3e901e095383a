"""Address groups: prefixes under one name, for security group rules of many groups to admit."""

from __future__ import annotations

import ipaddress
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.access import sharing
from kaon.resources.declare import Action, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import bad_request, conflict, not_found
from kaon.resources.roles import ADMIN_OR_MEMBER, ADMIN_OR_READER, either
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a group; prefixes that are given twice are held once."""
    addresses = list(dict.fromkeys(body["addresses"]))
    return records.insert(tx, ADDRESS_GROUP, {**body, "id": types.new_id(), "addresses": addresses, "shared_with": []})


def update(tx: Transaction, group: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; the addresses have actions of their own."""
    return records.update(tx, ADDRESS_GROUP, group, body)


def delete(tx: Transaction, group: Record) -> None:
    """Remove a group that no rule names, be it a default one."""
    rule = named("security_group_rule").table
    used = sa.select(rule.c.id).where(rule.c.remote_address_group_id == group["id"]).limit(1)
    if tx.execute(used).first() or sharing.in_default_rules(tx, group["id"]):
        raise conflict(
            "AddressGroupInUse", f"Address group {group['id']} is in use on one or more security group rules."
        )
    sharing.forget_policies(tx, group)
    records.delete(tx, ADDRESS_GROUP, group)


def _add_addresses(tx: Transaction, group: Record, body: dict[str, Any]) -> Record:
    twice = sorted(set(body["addresses"]) & set(group["addresses"]))
    if twice:
        raise bad_request(
            f"Addresses {', '.join(twice)} already exist in the address group {group['id']}.", "AddressesAlreadyExist"
        )
    return records.update(tx, ADDRESS_GROUP, group, {"addresses": [*group["addresses"], *body["addresses"]]})


def _remove_addresses(tx: Transaction, group: Record, body: dict[str, Any]) -> Record:
    unknown = sorted(set(body["addresses"]) - set(group["addresses"]))
    if unknown:
        raise not_found(
            "AddressesNotFound", f"Addresses {', '.join(unknown)} not found in the address group {group['id']}."
        )
    kept = [address for address in group["addresses"] if address not in body["addresses"]]
    return records.update(tx, ADDRESS_GROUP, group, {"addresses": kept})


def usable(tx: Transaction, id: str) -> Record:
    """A group that the caller may name in a rule: its own, or one opened to it; 404 for any other."""
    group = records.get(tx.conn, ADDRESS_GROUP, id)
    if not (tx.caller.is_admin or group["project_id"] == tx.caller.project_id or sharing.is_shared(group, tx.caller)):
        raise records.missing(ADDRESS_GROUP, id)
    return group


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    return ADDRESS_GROUP.table.c.id.in_(sharing.opened("address_group", caller))


def _prefix(value: Any) -> str:
    """A prefix; in the actions an address alone is one too."""
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"'{value}' is not a valid IP subnet") from None


_CHANGE = types.object_of(
    {"addresses": types.list_of(types.Type(_prefix, sa.String(49), {"type": "string"}))}, required=("addresses",)
)

ADDRESS_GROUP = Resource(
    name="address_group",
    collection="address_groups",
    attributes=standard(
        Attribute(
            "addresses",
            types.list_of(types.CIDR, unique=False, null_is_empty=True),
            default=[],
            post=True,
            filter=False,
            sort=False,
        ),
        Attribute("shared", types.BOOLEAN, derived=sharing.is_shared, filter=False, alias="rbac-address-group"),
        Attribute("shared_with", types.list_of(types.text(255)), internal=True),
        tags=False,
    ),
    create=create,
    update=update,
    delete=delete,
    get_rule=either(ADMIN_OR_READER, "rule:shared_address_groups"),
    extra_rules={"shared_address_groups": "field:address_groups:shared=True"},
    head=("shared_with",),
    visible=_visible,
    filters={"shared": sharing.shared_filter("address_group")},
    actions=(
        Action("add_addresses", _add_addresses, ADMIN_OR_MEMBER, _CHANGE, shows=True),
        Action("remove_addresses", _remove_addresses, ADMIN_OR_MEMBER, _CHANGE, shows=True),
    ),
)

RESOURCES = (ADDRESS_GROUP,)

EXTENSIONS = (
    Extension("address-group", "Address group", "Support address group", "2020-07-15T10:00:00-00:00"),
    Extension("rbac-address-group", "Add address_group type to RBAC", "Add address_group type to RBAC"),
    Extension(
        "security-groups-remote-address-group",
        "Remote address group id field for security group rules",
        "Add new field of remote address group id in SG rules",
        "2020-08-25T10:00:00-00:00",
    ),
)
