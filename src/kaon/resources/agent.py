"""Agents: what the server knows of the hosts, from their heartbeats."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import defaults, records, types
from kaon.resources.availability_zone import ZONE
from kaon.resources.declare import Attribute, Extension, Resource
from kaon.resources.errors import bad_request
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

TYPE, BINARY = "Kaon agent", "kaon-agent"
DEAD_AFTER = 5.0
"""Seconds without a heartbeat after which an agent counts as dead."""

last_heard: dict[str, float] = {}
"""Host -> Unix time of its agent's last word, of the agents that this process speaks with.

Heartbeats are kept here and not in the database, where each would be a commit; a host is absent until its row is known
to be there. What is stored is when the agent started.
"""


def seen(tx: Transaction, host: str, engine: str) -> None:
    """Note that a host's agent has started. This is state, not intent: nothing is journalled.

    `engine` names what it drives, and is shown as its configuration.
    """
    table = AGENT.table
    at = _timestamp(tx.now)
    changes: dict[str, Any] = {
        "heartbeat": int(tx.now * 1000),
        "started_at": at,
        "configurations": {"engine": engine, **defaults.mappings()},
        "revision_number": table.c.revision_number + 1,
    }
    if tx.execute(sa.update(table).where(table.c.host == host).values(changes)).rowcount:
        return
    tx.execute(
        sa.insert(table).values(
            {
                **AGENT.initial,
                **changes,
                "id": types.new_id(),
                "agent_type": TYPE,
                "binary": BINARY,
                "topic": "N/A",
                "host": host,
                "admin_state_up": True,
                "availability_zone": ZONE,
                "created_at": at,
                "revision_number": 0,
            }
        )
    )


def _timestamp(now: float) -> str:
    """A time as the agents API writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))


def _heartbeat_timestamp(record: Record, _caller: Caller) -> str:
    return _timestamp(last_heard.get(record["host"], record["heartbeat"] / 1000))


def _is_alive(host: str) -> bool:
    return last_heard.get(host, 0.0) >= time.time() - DEAD_AFTER


def _alive(record: Record, _caller: Caller) -> bool:
    return _is_alive(record["host"])


def _filter_alive(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    alive = AGENT.table.c.host.in_([host for host in last_heard if _is_alive(host)])
    try:
        wanted = {types.BOOLEAN.parse(value) for value in values}
    except ValueError as error:
        raise bad_request(f"Invalid input for operation: {error}.") from None
    return sa.or_(*(alive if value else ~alive for value in sorted(wanted)))


def _create(_tx: Transaction, _body: dict[str, Any]) -> Record:
    raise bad_request("Agents come to be when a host's agent connects, not by a request")


def _update(tx: Transaction, agent: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, AGENT, agent, body)


def _delete(tx: Transaction, agent: Record) -> None:
    records.delete(tx, AGENT, agent)
    # One that lives comes back with its next heartbeat, as with Neutron.
    last_heard.pop(agent["host"], None)


AGENT = Resource(
    name="agent",
    collection="agents",
    attributes=(
        Attribute("id", types.UUID),
        Attribute("agent_type", types.text(255)),
        Attribute("binary", types.text(255)),
        Attribute("topic", types.text(255)),
        Attribute("host", types.text(255)),
        Attribute("admin_state_up", types.BOOLEAN, put=True),
        Attribute("availability_zone", types.text(255), alias="availability_zone"),
        Attribute("created_at", types.text(32)),
        Attribute("started_at", types.text(32)),
        Attribute("heartbeat_timestamp", types.text(32), derived=_heartbeat_timestamp, filter=False, sort=False),
        Attribute("alive", types.BOOLEAN, derived=_alive, filter=False, sort=False),
        Attribute("configurations", types.MAPPING, filter=False, sort=False),
        Attribute("description", types.nullable(types.text(255)), put=True),
        Attribute("heartbeat", types.integer(0, 2**53), internal=True),
        Attribute("updated_at", types.text(32), internal=True),
        Attribute("revision_number", types.integer(0), internal=True),
    ),
    create=_create,
    update=_update,
    delete=_delete,
    create_rule=ADMIN,
    get_rule=ADMIN,
    update_rule=ADMIN,
    delete_rule=ADMIN,
    head=("heartbeat", "host"),
    filters={"alive": _filter_alive},
    methods=frozenset({"list", "show", "update", "delete"}),
    constraints=(sa.UniqueConstraint("host"),),
)

RESOURCES = (AGENT,)

EXTENSIONS = (
    Extension("agent", "agent", "The agent management extension.", "2013-02-03T10:00:00-00:00"),
    Extension(
        "agent_sort_key",
        "Agents Sort Key",
        "Enabling the keyword sort_key for sorting in agents.",
        "2013-02-03T10:00:00-00:00",
    ),
)
