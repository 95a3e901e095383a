"""Conntrack helpers: protocols of which a router reads the conversation, to admit the connections that it announces."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import bad_request
from kaon.resources.roles import ADMIN, PARENT_OWNER_MEMBER, PARENT_OWNER_READER, either
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

HELPERS = {
    "amanda": ("tcp",),
    "ftp": ("tcp",),
    "h323": ("udp", "tcp"),
    "irc": ("tcp",),
    "netbios-ns": ("udp",),
    "pptp": ("tcp",),
    "sane": ("tcp",),
    "sip": ("udp", "tcp"),
    "snmp": ("udp",),
    "tftp": ("udp",),
}
"""Helpers by name, and the protocols that each reads: those that Neutron allows by default."""
PROTOCOL = types.converted(types.one_of("dccp", "icmp", "ipv6-icmp", "sctp", "tcp", "udp"))
"""Protocols that a request may name, as in Neutron; which of them a helper reads is another matter."""


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Have a router read a protocol on a port."""
    _demand_known(body)
    _demand_new(tx, body)
    made = records.insert(tx, CONNTRACK_HELPER, {**body, "id": types.new_id()})
    records.touch(tx, named("router"), body["router_id"])
    return made


def _demand_known(helper: Record) -> None:
    name, protocol = helper["helper"], helper["protocol"]
    if name not in HELPERS:
        raise bad_request(f"Conntrack Helper {name} is not allowed.", "ConntrackHelperNotAllowed")
    if protocol not in HELPERS[name]:
        raise bad_request(
            f"Conntrack Helper {name} does not support: {protocol}. Supported protocols are: "
            + ", ".join(HELPERS[name]),
            "InvalidProtocolForHelper",
        )


def _demand_new(tx: Transaction, helper: Record) -> None:
    key = {name: helper[name] for name in ("router_id", "protocol", "port", "helper")}
    if any(other["id"] != helper.get("id") for other in records.by(tx.conn, CONNTRACK_HELPER, **key)):
        raise bad_request(
            "Bad conntrack_helper request: A duplicate conntrack helper entry with same attributes already exists, "
            f"conflicting values are {key}.",
            "BadRequest",
        )


def update(tx: Transaction, helper: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes."""
    after = {**helper, **body}
    _demand_known(after)
    _demand_new(tx, after)
    stored = records.update(tx, CONNTRACK_HELPER, helper, body)
    records.touch(tx, named("router"), helper["router_id"])
    return stored


def delete(tx: Transaction, helper: Record) -> None:
    """Have the router read the protocol no more."""
    records.delete(tx, CONNTRACK_HELPER, helper)
    records.touch(tx, named("router"), helper["router_id"])


def forget(tx: Transaction, router: Record) -> None:
    """Remove the helpers of a router that goes away."""
    for helper in records.by(tx.conn, CONNTRACK_HELPER, router_id=router["id"]):
        records.delete(tx, CONNTRACK_HELPER, helper)


SHOWN = Attribute(
    "conntrack_helpers",
    types.list_of(types.MAPPING),
    children=("conntrack_helper", "router_id"),
    child_names=("protocol", "port", "helper"),
    filter=False,
    sort=False,
    alias="expose-l3-conntrack-helper",
)
"""A router's helpers as the router shows them."""

_MEMBER = either(ADMIN, PARENT_OWNER_MEMBER)

CONNTRACK_HELPER = Resource(
    name="conntrack_helper",
    collection="conntrack_helpers",
    attributes=standard(
        Attribute("router_id", types.UUID, shown=False, filter=False, sort=False, index=True),
        Attribute("protocol", PROTOCOL, default=REQUIRED, post=True, put=True),
        Attribute("port", types.integer(1, 65535), default=REQUIRED, post=True, put=True),
        Attribute("helper", types.text(64), default=REQUIRED, post=True, put=True),
        named=False,
        description=False,
        tags=False,
        stamped=False,
        owner_shown=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=_MEMBER,
    get_rule=either(ADMIN, PARENT_OWNER_READER),
    update_rule=_MEMBER,
    delete_rule=_MEMBER,
    path="conntrack_helpers",
    within=("router", "router_id"),
    constraints=(sa.UniqueConstraint("router_id", "protocol", "port", "helper", name="uq_conntrack_helpers_what"),),
)

RESOURCES = (CONNTRACK_HELPER,)

EXTENSIONS = (
    Extension(
        "l3-conntrack-helper",
        "L3 Conntrack helper",
        "Allow adding CT target rules for conntrack helper",
        "2019-04-04T10:00:00-00:00",
    ),
    Extension(
        "expose-l3-conntrack-helper",
        "Expose CT target rules for conntrack helper",
        "Expose allow adding CT target rules for conntrack helper",
        "2019-04-04T10:00:00-00:00",
    ),
)
