"""Agents, availability zones and service providers through the API."""

from __future__ import annotations

import time

import pytest

from kaon.resources import agent
from kaon.store import journal
from tests.api.cloud import Cloud
from tests.api.l3 import kind, shown


async def test_an_agent_is_alive_while_its_heartbeats_come(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "last_heard", {"host-1": time.time()})
    await cloud.store.write(lambda tx: agent.seen(tx, "host-1", "linux"))
    _, body = await cloud("admin:ops", "GET", "/agents")
    (seen,) = body["agents"]
    assert (seen["host"], seen["agent_type"], seen["binary"]) == ("host-1", "Kaon agent", "kaon-agent")
    assert seen["alive"] is True and seen["admin_state_up"] is True
    assert seen["configurations"] == {"engine": "linux"}
    assert "heartbeat" not in seen and "revision_number" not in seen
    path = f"/agents/{seen['id']}"
    agent.last_heard["host-1"] = 1e9
    dead = await shown(cloud, "admin:ops", path)
    assert (dead["alive"], dead["heartbeat_timestamp"]) == (False, "2001-09-09 01:46:40")
    assert (await cloud("admin:ops", "GET", "/agents?alive=true"))[1] == {"agents": []}
    agent.last_heard["host-1"] = time.time()
    assert (await shown(cloud, "admin:ops", path))["alive"] is True
    assert (await cloud("admin:ops", "GET", "/agents?alive=false"))[1] == {"agents": []}
    changes = await cloud.store.read(lambda conn: journal.since(conn, 0))
    assert [change for change in changes if change.kind == "agent"] == []


async def test_admins_describe_switch_off_and_remove_agents_and_others_see_none(cloud: Cloud) -> None:
    await cloud.store.write(lambda tx: agent.seen(tx, "host-1", "linux"))
    assert (await cloud("member:red", "GET", "/agents"))[1] == {"agents": []}
    _, body = await cloud("admin:ops", "GET", "/agents?host=host-1")
    path = f"/agents/{body['agents'][0]['id']}"
    assert kind(await cloud("member:red", "GET", path)) == (404, "AgentNotFound")
    change = {"agent": {"admin_state_up": False, "description": "rack 7"}}
    status, body = await cloud("admin:ops", "PUT", path, change)
    assert status == 200 and body["agent"]["admin_state_up"] is False and body["agent"]["description"] == "rack 7"
    assert kind(await cloud("admin:ops", "PUT", path, {"agent": {"host": "x"}}))[0] == 400
    assert (await cloud("admin:ops", "POST", "/agents", {"agent": {}}))[0] == 405
    await cloud.store.write(lambda tx: agent.seen(tx, "host-1", "linux"))
    assert (await shown(cloud, "admin:ops", path))["description"] == "rack 7"
    assert (await cloud("admin:ops", "DELETE", path))[0] == 204
    assert (await cloud("admin:ops", "GET", "/agents"))[1] == {"agents": []}


async def test_there_is_one_zone_and_hints_at_others_are_refused(cloud: Cloud) -> None:
    _, body = await cloud("reader:red", "GET", "/availability_zones")
    assert [(zone["name"], zone["resource"], zone["state"]) for zone in body["availability_zones"]] == [
        ("default", "network", "available"),
        ("default", "router", "available"),
    ]
    _, body = await cloud("reader:red", "GET", "/availability_zones?resource=router&fields=name")
    assert body == {"availability_zones": [{"name": "default"}]}
    for path, name in (("/routers", "router"), ("/networks", "network")):
        made = await cloud.made("member:red", path, availability_zone_hints=["default"])
        assert made["availability_zone_hints"] == ["default"]
        reply = await cloud("member:red", "POST", path, {name: {"availability_zone_hints": ["moon"]}})
        assert kind(reply) == (404, "AvailabilityZoneNotFound")
    _, body = await cloud("reader:red", "GET", "/service-providers")
    assert [item["service_type"] for item in body["service_providers"]] == ["L3_ROUTER_NAT"]
