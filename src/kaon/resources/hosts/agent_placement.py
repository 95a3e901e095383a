"""Which agents serve which networks and routers: by where instances are, unless administrators say otherwise.

A network's DHCP is served on the hosts that its instances are on; until there is one, every agent stands by. A router
is made on every host. Only what an administrator has said against that is stored, and the compiler reads it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Resource, named, standard
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

_NAMESPACE = uuid.UUID("f5b0f6de-8a5c-4b6c-8f1e-0d7c5c1e6a22")


def _said(agent_id: str, hosted: bool) -> sa.Select[tuple[str]]:
    """Ids of what an administrator has given to an agent, or taken from it."""
    column = AGENT_PLACEMENT.table.c
    return sa.select(column.resource_id).where(column.agent_id == agent_id, column.hosted == hosted)


def _is_up(conn: sa.Connection, agent_id: str) -> bool:
    agent = records.find(conn, named("agent"), agent_id)
    return agent is None or bool(agent["admin_state_up"])


def routers_on(conn: sa.Connection, agent_id: str) -> sa.Select[tuple[str]]:
    """Ids of the routers that an L3 agent hosts."""
    id = named("router").table.c.id
    return sa.select(id).where(id.not_in(_said(agent_id, False)) if _is_up(conn, agent_id) else sa.false())


def networks_on(conn: sa.Connection, agent_id: str, host: str) -> sa.Select[tuple[str]]:
    """Ids of the networks whose DHCP a host's agent serves, or stands by to serve."""
    id = named("network").table.c.id
    if not _is_up(conn, agent_id):
        return sa.select(id).where(sa.false())
    attachment, subnet = named("attachment").table.c, named("subnet").table.c
    anywhere = sa.select(attachment.network_id)
    here = anywhere.where(attachment.host == host)
    served = sa.select(subnet.network_id).where(subnet.enable_dhcp)
    by_itself = id.in_(served) & (id.in_(here) | id.not_in(anywhere))
    return sa.select(id).where(id.in_(_said(agent_id, True)) | (by_itself & id.not_in(_said(agent_id, False))))


def place(tx: Transaction, agent: Record, resource_id: str, hosted: bool, hosts: sa.Select[tuple[str]]) -> None:
    """Have an agent host a network or router, or not; `hosts` selects what it hosts as long as nobody says a word."""
    id = str(uuid.uuid5(_NAMESPACE, f"{agent['id']}/{resource_id}"))
    held = records.find(tx.conn, AGENT_PLACEMENT, id)
    if held is not None:
        records.delete(tx, AGENT_PLACEMENT, held)
    if (tx.execute(hosts.where(hosts.selected_columns[0] == resource_id)).first() is not None) != hosted:
        values: dict[str, Any] = {"agent_id": agent["id"], "host": agent["host"], "resource_id": resource_id}
        records.insert(tx, AGENT_PLACEMENT, {**values, "id": id, "hosted": hosted})


def is_given(tx: Transaction, resource_id: str) -> bool:
    """Whether an administrator has given this network or router to some agent."""
    return any(item["hosted"] for item in records.by(tx.conn, AGENT_PLACEMENT, resource_id=resource_id))


def hosting(tx: Transaction, kind: str, hosts: Iterable[tuple[Record, sa.Select[tuple[str]]]], id: str) -> list[Record]:
    """The agents, out of pairs of one and what it hosts, that host a network or router; its 404 where unknown."""
    records.get(tx.conn, named(kind), id)
    return [
        agent
        for agent, hosted in hosts
        if tx.execute(hosted.where(hosted.selected_columns[0] == id)).first() is not None
    ]


def forget(tx: Transaction, **of: str) -> None:
    """Forget what was said of an agent (`agent_id`), a network or a router (`resource_id`) that goes away."""
    for item in records.by(tx.conn, AGENT_PLACEMENT, **of):
        records.delete(tx, AGENT_PLACEMENT, item)


def _create(tx: Transaction, body: dict[str, Any]) -> Record:
    return records.insert(tx, AGENT_PLACEMENT, body)


def _update(tx: Transaction, placement: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, AGENT_PLACEMENT, placement, body)


def _delete(tx: Transaction, placement: Record) -> None:
    records.delete(tx, AGENT_PLACEMENT, placement)


AGENT_PLACEMENT = Resource(
    name="agent_placement",
    collection="agent_placements",
    attributes=standard(
        Attribute("agent_id", types.UUID, index=True),
        Attribute("host", types.text(255)),
        Attribute("resource_id", types.UUID, index=True),
        Attribute("hosted", types.BOOLEAN),
        named=False,
        owned=False,
        tags=False,
        description=False,
    ),
    create=_create,
    update=_update,
    delete=_delete,
    create_rule=ADMIN,
    get_rule=ADMIN,
    update_rule=ADMIN,
    delete_rule=ADMIN,
    methods=frozenset(),
)

RESOURCES = (AGENT_PLACEMENT,)
