"""Agents: a host's one Kaon agent as the agents that tools look for: for switching, DHCP, routing and metadata.

Each has a row of its own, so that it can be described, switched off and given networks and routers by itself. What a
row says of the host is as its agent last reported; whether it lives is known from the heartbeats.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import defaults, records, types
from kaon.resources.declare import Attribute, Extension, Resource, named
from kaon.resources.errors import bad_request
from kaon.resources.hosts import agent_placement
from kaon.resources.hosts.availability_zone import ZONE
from kaon.resources.live import Live
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

DHCP, L3, METADATA = "DHCP agent", "L3 agent", "Metadata agent"
L2 = {"ovs": "Open vSwitch agent"}
"""Engine -> type of the agent that switches; tools know the others' kind, bridges of the kernel, by `LINUX`."""
LINUX = "Linux bridge agent"
BINARY = "kaon-agent"
DEAD_AFTER = 5.0
"""Seconds without a heartbeat after which an agent counts as dead."""

_NAMESPACE = uuid.UUID("6f0a2a3e-0c39-4c8e-9d3b-7e5a1f4b9c10")


class Report(NamedTuple):
    """What a host's agent says of itself: what it drives, since when (Unix time), and where tunnels to it end.

    `physical_networks` are those that it reaches; None: as the server's own host.
    """

    host: str
    engine: str
    started: float
    local_ip: str = ""
    physical_networks: Mapping[str, str] | None = None


def agent_id(kind: str, host: str) -> str:
    """The id of a host's agent of a type: the same for ever, so that nobody need remember it."""
    return str(uuid.uuid5(_NAMESPACE, f"{kind}/{host}"))


def _roles(report: Report) -> dict[str, tuple[str, str | None]]:
    """The types of agent that a host has: their topic and availability zone, as Neutron fills them."""
    return {
        L2.get(report.engine, LINUX): ("N/A", None),
        DHCP: ("dhcp_agent", ZONE),
        L3: ("l3_agent", ZONE),
        METADATA: ("N/A", None),
    }


def _configurations(conn: sa.Connection, kind: str, report: Report) -> dict[str, Any]:
    """What an agent is set up for, and how much it does."""

    def count(statement: sa.Select[Any]) -> int:
        return int(conn.execute(sa.select(sa.func.count()).select_from(statement.subquery())).scalar_one())

    if kind == DHCP:
        networks = agent_placement.networks_on(conn, agent_id(kind, report.host), report.host)
        subnet = named("subnet").table.c
        subnets = sa.select(subnet.id).where(subnet.network_id.in_(networks), subnet.enable_dhcp)
        return {"dhcp_driver": "dnsmasq", "networks": count(networks), "subnets": count(subnets)}
    if kind == L3:
        routers = agent_placement.routers_on(conn, agent_id(kind, report.host))
        floatingip = named("floatingip").table.c
        floating = sa.select(floatingip.id).where(floatingip.router_id.in_(routers))
        return {"agent_mode": "legacy", "routers": count(routers), "floating_ips": count(floating)}
    if kind == METADATA:
        return {}
    attachment = named("attachment").table.c
    devices = sa.select(attachment.id).where(attachment.host == report.host)
    tunnels = {"tunneling_ip": report.local_ip} if report.local_ip else {}
    doing = {"engine": report.engine, "tunnel_types": ["vxlan"], "devices": count(devices)}
    return {**doing, **tunnels, **defaults.mappings(report.physical_networks)}


def news(conn: sa.Connection, report: Report) -> list[dict[str, Any]]:
    """What the stored agents of a host do not say yet: id and values of each that differs, or is not there."""
    held = {record["id"]: record for record in records.by(conn, AGENT, host=report.host)}
    found: list[dict[str, Any]] = []
    roles = _roles(report)
    for kind, (topic, zone) in roles.items():
        values = {
            "id": agent_id(kind, report.host),
            "agent_type": kind,
            "binary": BINARY,
            "topic": topic,
            "host": report.host,
            "availability_zone": zone,
            "started_at": _timestamp(report.started),
            "configurations": _configurations(conn, kind, report),
        }
        before = held.get(values["id"])
        if before is None or any(before[name] != value for name, value in values.items()):
            found.append(values)
    return found


def store(tx: Transaction, report: Report) -> None:
    """Store what a host's agent says of itself. This is state, not intent, and not journalled.

    But for where tunnels to it end: the rows of other hosts depend on that. What its host had for another engine goes.
    """
    table = AGENT.table
    for other in records.by(tx.conn, AGENT, host=report.host):
        if other["agent_type"] not in _roles(report):
            records.delete(tx, AGENT, other)
    for values in news(tx.conn, report):
        before = records.find(tx.conn, AGENT, values["id"])
        changes = {**values, "heartbeat": int(tx.now * 1000), "revision_number": table.c.revision_number + 1}
        if not tx.execute(sa.update(table).where(table.c.id == values["id"]).values(changes)).rowcount:
            new = {**AGENT.initial, **values, "admin_state_up": True, "created_at": _timestamp(tx.now)}
            tx.execute(sa.insert(table).values({**new, "heartbeat": changes["heartbeat"], "revision_number": 0}))
        if _tunnels_end(before) != _tunnels_end(values):
            tx.changed(AGENT.name, values["id"], before, records.get(tx.conn, AGENT, values["id"]))


def _tunnels_end(agent: Record | None) -> str:
    """The address to which other hosts tunnel what is for this one, "" for none."""
    return str((agent or {"configurations": {}})["configurations"].get("tunneling_ip", ""))


def _timestamp(now: float) -> str:
    """A time as the agents API writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))


def _heartbeat_timestamp(record: Record, live: Live) -> str:
    return _timestamp(live.heard.get(record["host"], record["heartbeat"] / 1000))


def is_alive(host: str, live: Live) -> bool:
    """Whether a host's agent has said something lately."""
    return live.heard.get(host, 0.0) >= time.time() - DEAD_AFTER


def _alive(record: Record, live: Live) -> bool:
    return is_alive(record["host"], live)


def _filter_alive(values: list[str], live: Live) -> sa.ColumnElement[bool]:
    alive = AGENT.table.c.host.in_([host for host in live.heard if is_alive(host, live)])
    try:
        wanted = {types.BOOLEAN.parse(value) for value in values}
    except ValueError as error:
        raise bad_request(f"Invalid input for operation: {error}.") from None
    return sa.or_(*(alive if value else ~alive for value in sorted(wanted)))


def _filter_type(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    """Tools write the types in small letters and in capitals, which Neutron's databases take for the same."""
    return sa.func.lower(AGENT.table.c.agent_type).in_([value.lower() for value in values])


def _create(_tx: Transaction, _body: dict[str, Any]) -> Record:
    raise bad_request("Agents come to be when a host's agent connects, not by a request")


def _update(tx: Transaction, agent: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, AGENT, agent, body)


def _delete(tx: Transaction, agent: Record) -> None:
    """Forget an agent, and what it was given; one that lives comes back with its next report, as with Neutron."""
    agent_placement.forget(tx, agent_id=agent["id"])
    records.delete(tx, AGENT, agent)


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
        Attribute("availability_zone", types.nullable(types.text(255)), alias="availability_zone"),
        Attribute("created_at", types.text(32)),
        Attribute("started_at", types.text(32)),
        Attribute("heartbeat_timestamp", types.text(32), live=_heartbeat_timestamp, filter=False, sort=False),
        Attribute("alive", types.BOOLEAN, live=_alive, filter=False, sort=False),
        Attribute("configurations", types.MAPPING, filter=False, sort=False),
        Attribute("description", types.nullable(types.text(255)), put=True),
        # Whether placement has taken over what the host has to give; Kaon tells it of nothing.
        Attribute(
            "resources_synced",
            types.nullable(types.BOOLEAN),
            computed=lambda _record: None,
            filter=False,
            sort=False,
            alias="agent-resources-synced",
        ),
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
    filters={"agent_type": _filter_type},
    live_filters={"alive": _filter_alive},
    methods=frozenset({"list", "show", "update", "delete"}),
    constraints=(sa.UniqueConstraint("agent_type", "host"),),
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
    Extension(
        "agent-resources-synced",
        "Agent's Resource View Synced to Placement",
        "Stores success/failure of last sync to Placement",
        "2018-12-19T00:00:00-00:00",
    ),
)
