"""Private VLANs through the API: the parts that a network's ports have, and what is refused."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud

RED = "member:red"


async def refused(cloud: Cloud, method: str, path: str, body: Any) -> tuple[int, str]:
    """Status and type of a refusal."""
    status, answer = await cloud(RED, method, path, body)
    return status, answer["NeutronError"]["type"]


async def test_ports_have_a_part_on_a_network_with_private_vlans_only(cloud: Cloud) -> None:
    plain = await cloud.made(RED, "/networks")
    assert plain["pvlan"] is False
    port = await cloud.made(RED, "/ports", network_id=plain["id"])
    assert (port["pvlan_type"], port["pvlan_community"]) == (None, None)
    net = await cloud.made(RED, "/networks", pvlan=True)
    parts = [
        await cloud.made(RED, "/ports", network_id=net["id"], **values)
        for values in ({}, {"pvlan_type": "isolated"}, {"pvlan_type": "community", "pvlan_community": "web"})
    ]
    told = [(port["pvlan_type"], port["pvlan_community"]) for port in parts]
    assert told == [("promiscuous", None), ("isolated", None), ("community", "web")]
    path = f"/ports/{parts[2]['id']}"
    # A community's name is kept while the port is of a community, and goes with it.
    _, body = await cloud(RED, "PUT", path, {"port": {"pvlan_type": "community"}})
    assert body["port"]["pvlan_community"] == "web"
    _, body = await cloud(RED, "PUT", path, {"port": {"pvlan_type": "isolated"}})
    assert (body["port"]["pvlan_type"], body["port"]["pvlan_community"]) == ("isolated", None)
    _, body = await cloud(RED, "GET", f"/ports?network_id={net['id']}&pvlan_type=isolated")
    assert len(body["ports"]) == 2


async def test_parts_come_and_go_with_the_networks_private_vlans(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    for wanted, part in ((True, "promiscuous"), (False, None)):
        await cloud(RED, "PUT", f"/networks/{net['id']}", {"network": {"pvlan": wanted}})
        _, body = await cloud(RED, "GET", f"/ports/{port['id']}")
        assert body["port"]["pvlan_type"] == part


async def test_parts_that_make_no_sense_are_refused(cloud: Cloud) -> None:
    plain = await cloud.made(RED, "/networks")
    net = await cloud.made(RED, "/networks", pvlan=True)
    for network, values, type in (
        (plain, {"pvlan_type": "isolated"}, "PVLANNotEnabledOnNetwork"),
        (plain, {"pvlan_community": "web"}, "PVLANNotEnabledOnNetwork"),
        (net, {"pvlan_type": "community"}, "PVLANCommunityNameRequired"),
        (net, {"pvlan_type": "isolated", "pvlan_community": "web"}, "PVLANCannotSetCommunityName"),
        (net, {"port_security_enabled": False}, "PVLANPortSecurityDisabled"),
        (net, {"pvlan_type": "community", "pvlan_community": "1st"}, "HTTPBadRequest"),
        (net, {"pvlan_type": "open"}, "HTTPBadRequest"),
    ):
        body = {"port": {"network_id": network["id"], **values}}
        assert await refused(cloud, "POST", "/ports", body) == (400, type), values
    unfiltered = {"network": {"pvlan": True, "port_security_enabled": False}}
    assert await refused(cloud, "POST", "/networks", unfiltered) == (400, "PVLANNetworkPortSecurityDisabled")
    body = {"network": {"port_security_enabled": False}}
    assert await refused(cloud, "PUT", f"/networks/{net['id']}", body) == (400, "PVLANNetworkPortSecurityDisabled")
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    body = {"port": {"port_security_enabled": False, "security_groups": []}}
    assert await refused(cloud, "PUT", f"/ports/{port['id']}", body) == (400, "PVLANPortSecurityDisabled")
