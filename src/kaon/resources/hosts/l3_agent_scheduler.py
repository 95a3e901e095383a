"""Which L3 agents host a router: shown, and changed by administrators."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import Ask, Call, Extension
from kaon.resources.errors import bad_request, not_found
from kaon.resources.hosts import agent_placement
from kaon.resources.hosts.agent import AGENT, L3
from kaon.resources.roles import ADMIN
from kaon.resources.routers.router import ROUTER
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def _hosted(tx: Transaction, agent: Record) -> sa.Select[tuple[str]]:
    return agent_placement.routers_on(tx.conn, agent["id"])


def _routers(tx: Transaction, ask: Ask) -> list[Record]:
    """GET …/l3-routers: what an agent hosts."""
    agent = records.get(tx.conn, AGENT, ask.params["agent_id"])
    if agent["agent_type"] != L3:
        return []
    return records.select(tx.conn, ROUTER, ROUTER.table.c.id.in_(_hosted(tx, agent)))


def _agents(tx: Transaction, ask: Ask) -> list[Record]:
    """GET …/l3-agents: who hosts a router."""
    pairs = ((agent, _hosted(tx, agent)) for agent in records.by(tx.conn, AGENT, agent_type=L3))
    return agent_placement.hosting(tx, "router", pairs, ask.params["router_id"])


def _add(tx: Transaction, ask: Ask) -> None:
    """POST …/l3-routers: have an agent host a router; it may do so already."""
    router_id = ask.body.get("router_id")
    if not isinstance(router_id, str):
        raise bad_request("Unable to find 'router_id' in request body")
    records.get(tx.conn, ROUTER, router_id)
    agent = records.get(tx.conn, AGENT, ask.params["agent_id"])
    if agent["agent_type"] != L3 or not agent["admin_state_up"]:
        raise not_found("InvalidL3Agent", f"Agent {agent['id']} is not a L3 Agent or has been disabled")
    agent_placement.place(tx, agent, router_id, True, _hosted(tx, agent))


def _remove(tx: Transaction, ask: Ask) -> None:
    """DELETE …/l3-routers/{id}: have an agent host a router no more; it may not have done so."""
    agent = records.get(tx.conn, AGENT, ask.params["agent_id"])
    router = records.get(tx.conn, ROUTER, ask.params["router_id"])
    if agent["agent_type"] == L3:
        agent_placement.place(tx, agent, router["id"], False, _hosted(tx, agent))


_ROUTER: dict[str, Any] = {
    "type": "object",
    "properties": {"router_id": {"type": "string"}},
    "required": ["router_id"],
}
_PATH = "agents/{agent_id}/l3-routers"

CALLS = (
    Call("GET", _PATH, _routers, "get_l3-routers", ADMIN, lists="router"),
    Call("POST", _PATH, _add, "create_l3-router", ADMIN, status=201, body=_ROUTER),
    Call("DELETE", f"{_PATH}/{{router_id}}", _remove, "delete_l3-router", ADMIN, status=204),
    Call("GET", "routers/{router_id}/l3-agents", _agents, "get_l3-agents", ADMIN, lists="agent"),
)

EXTENSIONS = (
    Extension(
        "l3_agent_scheduler", "L3 Agent Scheduler", "Schedule routers among l3 agents", "2013-02-07T10:00:00-00:00"
    ),
)
