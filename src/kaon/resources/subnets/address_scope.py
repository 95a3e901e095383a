"""Address scopes: subnet pools whose prefixes never overlap, so that routers may route between them without NAT."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.access import sharing
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import bad_request, conflict
from kaon.resources.roles import ADMIN, READER, either
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a scope, open to all when it is shared."""
    shared = body.pop("shared")
    scope = records.insert(tx, ADDRESS_SCOPE, {**body, "id": types.new_id(), "shared_with": []})
    if shared:
        sharing.share_with_all(tx, ADDRESS_SCOPE, scope)
    return records.get(tx.conn, ADDRESS_SCOPE, scope["id"])


def update(tx: Transaction, scope: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; what is shared with all stays so."""
    if "shared" in body:
        shared, open_to_all = body.pop("shared"), "*" in scope["shared_with"]
        if open_to_all and not shared:
            raise bad_request(
                f"Unable to update address scope {scope['id']} : Shared address scope can't be unshared.",
                "AddressScopeUpdateError",
            )
        if shared and not open_to_all:
            sharing.share_with_all(tx, ADDRESS_SCOPE, scope)
            scope = records.get(tx.conn, ADDRESS_SCOPE, scope["id"])
    return records.update(tx, ADDRESS_SCOPE, scope, body)


def delete(tx: Transaction, scope: Record) -> None:
    """Remove a scope that no subnet pool belongs to."""
    pool = named("subnetpool").table
    if tx.execute(sa.select(pool.c.id).where(pool.c.address_scope_id == scope["id"]).limit(1)).first() is not None:
        raise conflict(
            "AddressScopeInUse",
            f"Unable to complete operation on address scope {scope['id']}. There are one or more subnet pools in use "
            "on the address scope.",
        )
    sharing.forget_policies(tx, scope)
    records.delete(tx, ADDRESS_SCOPE, scope)


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    return ADDRESS_SCOPE.table.c.id.in_(sharing.opened("address_scope", caller))


ADDRESS_SCOPE = Resource(
    name="address_scope",
    collection="address_scopes",
    attributes=standard(
        Attribute("ip_version", types.one_of(4, 6), default=REQUIRED, post=True),
        sharing.ATTRIBUTE,
        Attribute("shared_with", types.list_of(types.text(255)), internal=True),
        tags=False,
        description=False,
        stamped=False,
    ),
    create=create,
    update=update,
    delete=delete,
    get_rule=either(ADMIN, READER, "rule:shared_address_scopes"),
    extra_rules={"shared_address_scopes": "field:address_scopes:shared=True"},
    head=("shared_with",),
    visible=_visible,
    filters={"shared": sharing.shared_filter("address_scope")},
)

RESOURCES = (ADDRESS_SCOPE,)

EXTENSIONS = (Extension("address-scope", "Address scope", "Address scopes extension."),)
