"""Agents, availability zones and service providers through the API."""

from __future__ import annotations

import time
from typing import Any

from kaon.resources.hosts import agent
from kaon.resources.hosts.agent import Report
from kaon.store import journal
from tests.api.cloud import Cloud
from tests.api.l3 import kind, shown

TYPES = ["DHCP agent", "L3 agent", "Linux bridge agent", "Metadata agent"]


async def report(cloud: Cloud, host: str = "host-1", engine: str = "linux", started: float = 1e9) -> None:
    """Have a host's agent report, as the server does when it hears of one that has started."""
    await cloud.store.write(lambda tx: agent.store(tx, Report(host, engine, started)))


async def agents(cloud: Cloud, query: str = "") -> list[dict[str, Any]]:
    status, body = await cloud("admin:ops", "GET", f"/agents{query}")
    assert status == 200, body
    return list(body["agents"])


async def test_a_host_is_shown_as_the_agents_that_tools_look_for(cloud: Cloud) -> None:
    await report(cloud)
    found = await agents(cloud, "?sort_key=agent_type&sort_dir=asc")
    assert [item["agent_type"] for item in found] == TYPES
    assert {(item["host"], item["binary"], item["admin_state_up"]) for item in found} == {
        ("host-1", "kaon-agent", True)
    }
    assert [item["availability_zone"] for item in found] == ["default", "default", None, None]
    assert await agents(cloud, "?agent_type=DHCP Agent") == [found[0]]
    assert {item["resources_synced"] for item in found} == {None}
    assert found[2]["configurations"] == {"engine": "linux", "tunnel_types": ["vxlan"], "devices": 0}
    assert not {"heartbeat", "revision_number"} & set(found[0])
    changes = await cloud.store.read(lambda conn: journal.since(conn, 0))
    assert [change for change in changes if change.kind == "agent"] == []


async def test_another_host_has_agents_of_its_own_and_another_engine_other_ones(cloud: Cloud) -> None:
    await report(cloud)
    await report(cloud, "host-2", "ovs")
    first = {item["id"] for item in await agents(cloud, "?host=host-1")}
    second = await agents(cloud, "?host=host-2")
    assert len(first) == len(second) == 4 and not first & {item["id"] for item in second}
    assert "Open vSwitch agent" in {item["agent_type"] for item in second}
    await report(cloud, "host-1", "ovs")
    now = await agents(cloud, "?host=host-1")
    assert "Linux bridge agent" not in {item["agent_type"] for item in now}
    assert len(first & {item["id"] for item in now}) == 3


async def test_a_report_that_says_nothing_new_is_no_change(cloud: Cloud) -> None:
    await report(cloud)
    before = await agents(cloud)
    await report(cloud)
    assert await agents(cloud) == before
    await cloud.made("member:red", "/routers")
    said = await cloud.store.read(lambda conn: agent.news(conn, Report("host-1", "linux", 1e9)))
    assert [(item["agent_type"], item["configurations"]["routers"]) for item in said] == [("L3 agent", 1)]
    await report(cloud)
    (router_agent,) = await agents(cloud, "?agent_type=L3 agent")
    assert router_agent["configurations"]["routers"] == 1


async def test_an_agent_is_alive_while_its_heartbeats_come(cloud: Cloud) -> None:
    await report(cloud)
    cloud.live.heard["host-1"] = time.time()
    (one, *_) = await agents(cloud)
    assert one["alive"] is True and len(await agents(cloud, "?alive=true")) == 4
    path = f"/agents/{one['id']}"
    cloud.live.heard["host-1"] = 1e9
    dead = await shown(cloud, "admin:ops", path)
    assert (dead["alive"], dead["heartbeat_timestamp"]) == (False, "2001-09-09 01:46:40")
    assert await agents(cloud, "?alive=true") == []
    cloud.live.heard["host-1"] = time.time()
    assert (await shown(cloud, "admin:ops", path))["alive"] is True
    assert await agents(cloud, "?alive=false") == []
    assert kind(await cloud("admin:ops", "GET", "/agents?alive=maybe"))[0] == 400


async def test_admins_describe_switch_off_and_remove_agents_and_others_see_none(cloud: Cloud) -> None:
    await report(cloud)
    assert (await cloud("member:red", "GET", "/agents"))[1] == {"agents": []}
    (one,) = await agents(cloud, "?agent_type=Metadata agent")
    path = f"/agents/{one['id']}"
    assert kind(await cloud("member:red", "GET", path)) == (404, "AgentNotFound")
    change = {"agent": {"admin_state_up": False, "description": "rack 7"}}
    status, body = await cloud("admin:ops", "PUT", path, change)
    assert status == 200 and body["agent"]["admin_state_up"] is False and body["agent"]["description"] == "rack 7"
    assert kind(await cloud("admin:ops", "PUT", path, {"agent": {"host": "x"}}))[0] == 400
    assert (await cloud("admin:ops", "POST", "/agents", {"agent": {}}))[0] == 405
    await report(cloud, started=2e9)
    assert (await shown(cloud, "admin:ops", path))["description"] == "rack 7"
    assert (await cloud("admin:ops", "DELETE", path))[0] == 204
    assert one["id"] not in {item["id"] for item in await agents(cloud)}
    await report(cloud)
    assert (await shown(cloud, "admin:ops", path))["admin_state_up"] is True


async def test_a_zone_is_unavailable_when_nobody_is_up_to_serve_it(cloud: Cloud) -> None:
    await report(cloud)
    (router_agent,) = await agents(cloud, "?agent_type=L3 agent")
    await cloud("admin:ops", "PUT", f"/agents/{router_agent['id']}", {"agent": {"admin_state_up": False}})
    _, body = await cloud("reader:red", "GET", "/availability_zones")
    states = {zone["resource"]: zone["state"] for zone in body["availability_zones"]}
    assert states == {"network": "available", "router": "unavailable"}


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
