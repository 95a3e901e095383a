"""Attaching a port to a host: its binding, and the DHCP port that lives as long as somebody can ask it."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.channel import Attachment
from kaon.resources.errors import ApiError
from kaon.resources.hosts import attachment
from tests.api.cloud import Cloud


@pytest.fixture
async def net(cloud: Cloud) -> dict[str, Any]:
    """A network of project red with an IPv4 subnet."""
    net = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", name="four")
    return net


async def attach(cloud: Cloud, port: dict[str, Any], host: str = "h1", **values: Any) -> dict[str, Any]:
    """What the agent of a host asks for."""
    place = Attachment(port_id=port["id"], **(values or {"netns": "vm"}))
    return await cloud.store.write(lambda tx: attachment.attach(tx, host, place))


async def detach(cloud: Cloud, port: dict[str, Any], host: str = "h1") -> None:
    """What the agent of a host asks for when the port goes."""
    await cloud.store.write(lambda tx: attachment.detach(tx, host, port["id"]))


async def dhcp_ports(cloud: Cloud) -> list[dict[str, Any]]:
    """The DHCP ports that there are."""
    return list((await cloud("admin:ops", "GET", "/ports?device_owner=network:dhcp"))[1]["ports"])


async def test_attaching_binds_the_port_and_detaching_frees_it(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    bound = await attach(cloud, port, netns="vm", instance_id="i-1", hostname="web")
    assert bound["binding:host_id"] == "h1" and bound["binding:vif_type"] == "tap"
    assert bound["device_owner"] == "compute:kaon" and bound["device_id"] == "i-1"
    status, body = await cloud("admin:red", "PUT", f"/ports/{port['id']}", {"port": {"mac_address": "fa:16:3e:0:0:1"}})
    assert status == 400
    body = {"port": {"mac_address": "fa:16:3e:00:00:01"}}
    status, body = await cloud("admin:red", "PUT", f"/ports/{port['id']}", body)
    assert (status, body["NeutronError"]["type"]) == (409, "PortBound")
    await detach(cloud, port)
    _, body = await cloud("admin:ops", "GET", f"/ports/{port['id']}")
    assert body["port"]["binding:vif_type"] == "unbound" and body["port"]["binding:host_id"] == ""
    assert body["port"]["device_owner"] == body["port"]["device_id"] == ""


async def test_what_nova_said_of_the_device_stays(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"], device_id="vm-1", device_owner="compute:nova")
    bound = await attach(cloud, port, tap="tap1")
    assert (bound["device_owner"], bound["device_id"]) == ("compute:nova", "vm-1")
    await detach(cloud, port)
    _, body = await cloud("member:red", "GET", f"/ports/{port['id']}")
    assert (body["port"]["device_owner"], body["port"]["device_id"]) == ("compute:nova", "vm-1")


async def test_a_port_is_on_one_host_at_a_time(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    await attach(cloud, port)
    with pytest.raises(ApiError, match="bound to host h1"):
        await attach(cloud, port, host="h2")
    with pytest.raises(ApiError, match="not attached on host h2"):
        await detach(cloud, port, host="h2")
    body = {"port": {"binding:host_id": "h2"}}
    assert (await cloud("admin:ops", "PUT", f"/ports/{port['id']}", body))[0] == 409
    again = await attach(cloud, port, tap="tap9")
    assert again["binding:host_id"] == "h1"
    with pytest.raises(ApiError, match="could not be found"):
        await attach(cloud, {"id": "nowhere"})
    with pytest.raises(ApiError, match="either a network namespace or a tap device"):
        await attach(cloud, port, netns="a", tap="b")


async def test_the_dhcp_port_lives_from_the_first_attachment_to_the_last(cloud: Cloud, net: dict[str, Any]) -> None:
    first, second = [await cloud.made("member:red", "/ports", network_id=net["id"]) for _ in range(2)]
    assert await dhcp_ports(cloud) == []
    await attach(cloud, first)
    (server,) = await dhcp_ports(cloud)
    assert [ip["ip_address"] for ip in server["fixed_ips"]] == ["10.0.0.4"]
    assert server["project_id"] == "red" and server["port_security_enabled"] is False
    await attach(cloud, second, netns="vm2")
    await detach(cloud, first)
    assert await dhcp_ports(cloud) == [server]
    assert (await cloud("member:red", "DELETE", f"/ports/{second['id']}"))[0] == 204
    assert await dhcp_ports(cloud) == []


async def test_the_dhcp_port_follows_the_networks_subnets(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    await attach(cloud, port)
    second = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.1.0/24")
    (server,) = await dhcp_ports(cloud)
    assert sorted(ip["ip_address"] for ip in server["fixed_ips"]) == ["10.0.0.3", "10.0.1.2"]
    path = f"/subnets/{second['id']}"
    await cloud("member:red", "PUT", path, {"subnet": {"enable_dhcp": False}})
    (server,) = await dhcp_ports(cloud)
    assert [ip["ip_address"] for ip in server["fixed_ips"]] == ["10.0.0.3"]
    await cloud("member:red", "PUT", path, {"subnet": {"enable_dhcp": True}})
    assert (await cloud("member:red", "DELETE", path))[0] == 204
    (server,) = await dhcp_ports(cloud)
    assert [ip["ip_address"] for ip in server["fixed_ips"]] == ["10.0.0.3"]


async def test_a_router_interface_needs_dhcp_as_an_instance_does(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made(
        "admin:red",
        "/ports",
        network_id=net["id"],
        device_owner="network:router_interface",
        fixed_ips=[{"ip_address": "10.0.0.1"}],
    )
    assert len(await dhcp_ports(cloud)) == 1
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert await dhcp_ports(cloud) == []


async def test_a_network_with_nothing_but_its_dhcp_port_can_go(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    await attach(cloud, port)
    status, body = await cloud("member:red", "DELETE", f"/networks/{net['id']}")
    assert (status, body["NeutronError"]["type"]) == (409, "NetworkInUse")
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert (await cloud("member:red", "DELETE", f"/networks/{net['id']}"))[0] == 204
    assert (await cloud("admin:ops", "GET", "/subnets"))[1] == {"subnets": []}


async def test_attachments_are_no_resource_of_the_api(cloud: Cloud) -> None:
    assert (await cloud("admin:ops", "GET", "/attachments"))[0] == 404


async def test_a_subnet_in_which_every_address_is_used_goes_without_dhcp_until_one_is_free(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/29")
    ports = [await cloud.made("member:red", "/ports", network_id=net["id"]) for _ in range(5)]
    bound = await attach(cloud, ports[0])
    assert bound["binding:vif_type"] == "tap"
    assert await dhcp_ports(cloud) == []
    assert (await cloud("member:red", "DELETE", f"/ports/{ports[4]['id']}"))[0] == 204
    (server,) = await dhcp_ports(cloud)
    assert [ip["ip_address"] for ip in server["fixed_ips"]] == [ports[4]["fixed_ips"][0]["ip_address"]]
    await detach(cloud, ports[0])
    assert await dhcp_ports(cloud) == []
