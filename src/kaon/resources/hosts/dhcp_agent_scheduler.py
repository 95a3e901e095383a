"""Which DHCP agents serve a network: shown, and changed by administrators."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import Ask, Call, Extension
from kaon.resources.errors import bad_request, conflict, not_found
from kaon.resources.hosts import agent_placement
from kaon.resources.hosts.agent import AGENT, DHCP
from kaon.resources.networks.network import NETWORK
from kaon.resources.ports import dhcp_port
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def _hosted(tx: Transaction, agent: Record) -> sa.Select[tuple[str]]:
    return agent_placement.networks_on(tx.conn, agent["id"], agent["host"])


def _networks(tx: Transaction, ask: Ask) -> list[Record]:
    """GET …/dhcp-networks: what an agent serves."""
    agent = records.get(tx.conn, AGENT, ask.params["agent_id"])
    if agent["agent_type"] != DHCP:
        return []
    return records.select(tx.conn, NETWORK, NETWORK.table.c.id.in_(_hosted(tx, agent)))


def _agents(tx: Transaction, ask: Ask) -> list[Record]:
    """GET …/dhcp-agents: who serves a network."""
    agents = records.by(tx.conn, AGENT, agent_type=DHCP)
    pairs = ((agent, _hosted(tx, agent)) for agent in agents)
    return agent_placement.hosting(tx, "network", pairs, ask.params["network_id"])


def _is_serving(tx: Transaction, agent: Record, network_id: str) -> bool:
    hosted = _hosted(tx, agent)
    return tx.execute(hosted.where(NETWORK.table.c.id == network_id)).first() is not None


def _add(tx: Transaction, ask: Ask) -> None:
    """POST …/dhcp-networks: have an agent serve a network, whether an instance is on its host or not."""
    network_id = ask.body.get("network_id")
    if not isinstance(network_id, str):
        raise bad_request("Unable to find 'network_id' in request body")
    records.get(tx.conn, NETWORK, network_id)
    agent = records.get(tx.conn, AGENT, ask.params["agent_id"])
    if agent["agent_type"] != DHCP or not agent["admin_state_up"]:
        raise not_found("InvalidDHCPAgent", f"Agent {agent['id']} is not a valid DHCP Agent or has been disabled.")
    if _is_serving(tx, agent, network_id):
        raise conflict(
            "NetworkHostedByDHCPAgent",
            f"The network {network_id} has been already hosted by the DHCP Agent {agent['id']}.",
        )
    agent_placement.place(tx, agent, network_id, True, _hosted(tx, agent))
    dhcp_port.ensure(tx, network_id)


def _remove(tx: Transaction, ask: Ask) -> None:
    """DELETE …/dhcp-networks/{id}: have an agent serve a network no more."""
    agent = records.get(tx.conn, AGENT, ask.params["agent_id"])
    network_id = ask.params["network_id"]
    if agent["agent_type"] != DHCP or not _is_serving(tx, agent, network_id):
        raise conflict(
            "NetworkNotHostedByDhcpAgent",
            f"The network {network_id} is not hosted by the DHCP Agent {agent['id']}.",
        )
    agent_placement.place(tx, agent, network_id, False, _hosted(tx, agent))
    dhcp_port.ensure(tx, network_id)


_NETWORK: dict[str, Any] = {
    "type": "object",
    "properties": {"network_id": {"type": "string"}},
    "required": ["network_id"],
}
_PATH = "agents/{agent_id}/dhcp-networks"

CALLS = (
    Call("GET", _PATH, _networks, "get_dhcp-networks", ADMIN, lists="network"),
    Call("POST", _PATH, _add, "create_dhcp-network", ADMIN, status=201, body=_NETWORK),
    Call("DELETE", f"{_PATH}/{{network_id}}", _remove, "delete_dhcp-network", ADMIN, status=204),
    Call("GET", "networks/{network_id}/dhcp-agents", _agents, "get_dhcp-agents", ADMIN, lists="agent"),
)

EXTENSIONS = (
    Extension(
        "dhcp_agent_scheduler",
        "DHCP Agent Scheduler",
        "Schedule networks among dhcp agents",
        "2013-02-07T10:00:00-00:00",
    ),
)
