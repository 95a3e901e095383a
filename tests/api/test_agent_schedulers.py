"""Which agents serve networks and host routers: what is shown, and what administrators change."""

from __future__ import annotations

from typing import Any

from kaon.resources.hosts import attachment
from tests.api.cloud import Cloud
from tests.api.l3 import kind
from tests.api.test_agents import agents, report

NOBODY = "00000000-0000-4000-8000-000000000000"


async def agent(cloud: Cloud, type: str, host: str = "host-1") -> dict[str, Any]:
    (found,) = await agents(cloud, f"?agent_type={type} agent&host={host}")
    return found


async def networks_of(cloud: Cloud, agent: dict[str, Any]) -> list[str]:
    _, body = await cloud("admin:ops", "GET", f"/agents/{agent['id']}/dhcp-networks")
    return [item["id"] for item in body["networks"]]


async def hosts_of(cloud: Cloud, path: str) -> list[str]:
    status, body = await cloud("admin:ops", "GET", path)
    assert status == 200, body
    return sorted(item["host"] for item in body["agents"])


async def network_with_port(cloud: Cloud) -> tuple[dict[str, Any], dict[str, Any]]:
    network = await cloud.made("member:red", "/networks", name="blue")
    await cloud.made("member:red", "/subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    return network, await cloud.made("member:red", "/ports", network_id=network["id"])


async def attach(cloud: Cloud, port_id: str, host: str) -> None:
    class Place:
        netns, ifname, tap, instance_id, hostname, user_data = "vm", "eth0", "", "", "", ""

        def __init__(self) -> None:
            self.port_id = port_id

    await cloud.store.write(lambda tx: attachment.attach(tx, host, Place()))


async def test_every_dhcp_agent_stands_by_until_an_instance_is_somewhere(cloud: Cloud) -> None:
    await report(cloud)
    await report(cloud, "host-2")
    empty = await cloud.made("member:red", "/networks")
    network, port = await network_with_port(cloud)
    path = f"/networks/{network['id']}/dhcp-agents"
    assert await hosts_of(cloud, f"/networks/{empty['id']}/dhcp-agents") == []
    assert await hosts_of(cloud, path) == ["host-1", "host-2"]
    await attach(cloud, port["id"], "host-2")
    assert await hosts_of(cloud, path) == ["host-2"]
    assert await networks_of(cloud, await agent(cloud, "DHCP", "host-2")) == [network["id"]]
    assert await networks_of(cloud, await agent(cloud, "DHCP", "host-1")) == []
    assert await networks_of(cloud, await agent(cloud, "L3", "host-2")) == []
    off = await agent(cloud, "DHCP", "host-2")
    await cloud("admin:ops", "PUT", f"/agents/{off['id']}", {"agent": {"admin_state_up": False}})
    assert await hosts_of(cloud, path) == []


async def test_an_administrator_has_an_agent_serve_a_network_and_no_more(cloud: Cloud) -> None:
    await report(cloud)
    dhcp = await agent(cloud, "DHCP")
    path = f"/agents/{dhcp['id']}/dhcp-networks"
    network, port = await network_with_port(cloud)
    await attach(cloud, port["id"], "host-2")
    assert await networks_of(cloud, dhcp) == []
    assert await cloud("admin:ops", "POST", path, {"network_id": network["id"]}) == (201, None)
    assert await networks_of(cloud, dhcp) == [network["id"]]
    again = await cloud("admin:ops", "POST", path, {"network_id": network["id"]})
    assert kind(again) == (409, "NetworkHostedByDHCPAgent")
    assert (await cloud("admin:ops", "DELETE", f"{path}/{network['id']}"))[0] == 204
    assert await networks_of(cloud, dhcp) == []
    gone = await cloud("admin:ops", "DELETE", f"{path}/{network['id']}")
    assert kind(gone) == (409, "NetworkNotHostedByDhcpAgent")


async def test_dhcp_has_a_port_where_an_agent_shall_serve_a_network_that_nobody_is_in(cloud: Cloud) -> None:
    await report(cloud)
    dhcp = await agent(cloud, "DHCP")
    network = await cloud.made("member:red", "/networks")
    assert await cloud("admin:ops", "POST", f"/agents/{dhcp['id']}/dhcp-networks", {"network_id": network["id"]}) == (
        201,
        None,
    )
    await cloud.made("member:red", "/subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    ports = f"/ports?network_id={network['id']}&device_owner=network:dhcp"
    assert len((await cloud("admin:ops", "GET", ports))[1]["ports"]) == 1


async def test_a_network_that_is_taken_from_an_agent_stays_away_though_an_instance_is_there(cloud: Cloud) -> None:
    await report(cloud)
    dhcp = await agent(cloud, "DHCP")
    network, port = await network_with_port(cloud)
    await attach(cloud, port["id"], "host-1")
    path = f"/agents/{dhcp['id']}/dhcp-networks"
    assert (await cloud("admin:ops", "DELETE", f"{path}/{network['id']}"))[0] == 204
    assert await hosts_of(cloud, f"/networks/{network['id']}/dhcp-agents") == []
    assert (await cloud("admin:ops", "DELETE", f"/agents/{dhcp['id']}"))[0] == 204
    await report(cloud)
    assert await networks_of(cloud, dhcp) == [network["id"]], "what was said of the agent went with it"


async def test_a_router_is_on_every_host_but_those_that_it_is_taken_from(cloud: Cloud) -> None:
    await report(cloud)
    await report(cloud, "host-2")
    router = await cloud.made("member:red", "/routers")
    first = await agent(cloud, "L3")
    where, path = f"/routers/{router['id']}/l3-agents", f"/agents/{first['id']}/l3-routers"
    assert await hosts_of(cloud, where) == ["host-1", "host-2"]
    for _ in range(2):
        assert (await cloud("admin:ops", "DELETE", f"{path}/{router['id']}"))[0] == 204
        assert await hosts_of(cloud, where) == ["host-2"]
    assert (await cloud("admin:ops", "GET", path))[1] == {"routers": []}
    for _ in range(2):
        assert await cloud("admin:ops", "POST", path, {"router_id": router["id"]}) == (201, None)
        assert await hosts_of(cloud, where) == ["host-1", "host-2"]
    _, body = await cloud("admin:ops", "GET", path)
    assert body["routers"] == [(await cloud("admin:ops", "GET", f"/routers/{router['id']}"))[1]["router"]]
    await cloud("admin:ops", "DELETE", f"{path}/{router['id']}")
    assert (await cloud("member:red", "DELETE", f"/routers/{router['id']}"))[0] == 204


async def test_schedules_are_for_admins_and_name_what_exists(cloud: Cloud) -> None:
    await report(cloud)
    dhcp, l3 = await agent(cloud, "DHCP"), await agent(cloud, "L3")
    network, _ = await network_with_port(cloud)
    router = await cloud.made("member:red", "/routers")
    networks, routers = f"/agents/{dhcp['id']}/dhcp-networks", f"/agents/{l3['id']}/l3-routers"
    for method, path in (
        ("GET", networks),
        ("GET", routers),
        ("DELETE", f"{routers}/{router['id']}"),
        ("GET", f"/networks/{network['id']}/dhcp-agents"),
        ("GET", f"/routers/{router['id']}/l3-agents"),
    ):
        assert kind(await cloud("member:red", method, path)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud("admin:ops", "GET", f"/networks/{NOBODY}/dhcp-agents")) == (404, "NetworkNotFound")
    assert kind(await cloud("admin:ops", "GET", f"/routers/{NOBODY}/l3-agents")) == (404, "RouterNotFound")
    assert kind(await cloud("admin:ops", "GET", f"/agents/{NOBODY}/l3-routers")) == (404, "AgentNotFound")
    assert kind(await cloud("admin:ops", "POST", networks, {"network_id": NOBODY})) == (404, "NetworkNotFound")
    assert kind(await cloud("admin:ops", "POST", networks, {}))[0] == 400
    assert kind(await cloud("admin:ops", "POST", routers, {"router_id": 7}))[0] == 400
    wrong = await cloud("admin:ops", "POST", f"/agents/{l3['id']}/dhcp-networks", {"network_id": network["id"]})
    assert kind(wrong) == (404, "InvalidDHCPAgent")
    wrong = await cloud("admin:ops", "POST", f"/agents/{dhcp['id']}/l3-routers", {"router_id": router["id"]})
    assert kind(wrong) == (404, "InvalidL3Agent")
