"""Names of ports: what the API says is what the network's DNS server answers."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.resources import records
from kaon.resources.catalog import resources
from kaon.rows import DhcpHost
from kaon.server.desired import Desired
from kaon.world.world import Change, World
from tests.api.cloud import Cloud
from tests.api.conftest import HOST
from tests.api.test_attachments import attach


async def test_a_port_has_a_name_of_its_own_or_one_by_its_address_and_its_server_answers_it(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks", dns_domain="Red.example.")
    assert net["dns_domain"] == "red.example."
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], dns_name="Web")
    (shown,) = port["dns_assignment"]
    address = port["fixed_ips"][0]["ip_address"]
    assert shown == {"ip_address": address, "hostname": "web", "fqdn": "web.openstacklocal."}

    await attach(cloud, port, HOST.host)
    held = await cloud.store.read(lambda conn: list(records.load_all(conn, resources())))
    world = World(Change(kind, item["id"], None, item) for kind, item in held)
    hosts = [row.value for row in Desired(world, HOST).snapshot() if isinstance(row.value, DhcpHost)]
    assert [host.names for host in hosts] == [("web", "web.red.example", "web.openstacklocal")]

    _, body = await cloud("member:red", "PUT", f"/ports/{port['id']}", {"port": {"dns_name": ""}})
    (shown,) = body["port"]["dns_assignment"]
    assert shown["hostname"] == "host-" + address.replace(".", "-")


@pytest.mark.parametrize("name", ["-web", "we_b", "a..b", "x" * 64, "web.", "web.1", 7])
async def test_what_is_no_name_is_refused(cloud: Cloud, name: object) -> None:
    net = await cloud.made("member:red", "/networks")
    status, _ = await cloud("member:red", "POST", "/ports", {"port": {"network_id": net["id"], "dns_name": name}})
    assert status == 400


async def test_a_floating_ip_is_named_with_its_domain_or_not_at_all(cloud: Cloud) -> None:
    public = await cloud.made("admin:ops", "/networks", **{"router:external": True})
    await cloud.made("admin:ops", "/subnets", network_id=public["id"], ip_version=4, cidr="203.0.113.0/24")
    wish = {"floating_network_id": public["id"], "dns_name": "www"}
    assert (await cloud("member:red", "POST", "/floatingips", {"floatingip": wish}))[0] == 400
    made = await cloud.made("member:red", "/floatingips", **wish, dns_domain="example.org.")
    assert (made["dns_name"], made["dns_domain"]) == ("www", "example.org.")


async def named(cloud: Cloud, net: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A new port of a network, called web."""
    return await cloud.made("member:red", "/ports", network_id=net["id"], dns_name="web", **values)


async def test_names_are_published_where_a_subnet_says_so(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks", dns_domain="net.example.")
    wish = {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.0/24"}
    subnet = await cloud.made("member:red", "/subnets", **wish)
    assert subnet["dns_publish_fixed_ip"] is False
    port = await named(cloud, net, dns_domain="Port.Example.")
    assert port["dns_domain"] == "port.example."
    assert port["dns_assignment"][0]["fqdn"] == "web.openstacklocal."

    path, publish = f"/subnets/{subnet['id']}", {"subnet": {"dns_publish_fixed_ip": True}}
    assert (await cloud("member:red", "PUT", path, publish))[1]["subnet"]["dns_publish_fixed_ip"] is True
    other = await cloud.made("member:red", "/ports", network_id=net["id"], dns_name="db")
    assert other["dns_assignment"][0]["fqdn"] == "db.net.example."
    for change, fqdn in (
        ({"name": "x"}, "web.openstacklocal."),
        ({"dns_name": "www"}, "www.port.example."),
        ({"dns_domain": "late.example."}, "www.late.example."),
        ({"dns_domain": ""}, "www.net.example."),
    ):
        _, body = await cloud("member:red", "PUT", f"/ports/{port['id']}", {"port": change})
        assert body["port"]["dns_assignment"][0]["fqdn"] == fqdn, change
    _, body = await cloud("member:red", "PUT", f"/ports/{port['id']}", {"port": {"dns_name": ""}})
    assert body["port"]["dns_assignment"][0]["fqdn"].endswith(".openstacklocal.")
    # What the API says is what the network's server answers.
    await attach(cloud, other, HOST.host)
    held = await cloud.store.read(lambda conn: list(records.load_all(conn, resources())))
    world = World(Change(kind, item["id"], None, item) for kind, item in held)
    hosts = [row.value for row in Desired(world, HOST).snapshot() if isinstance(row.value, DhcpHost)]
    assert [host.names for host in hosts if "db" in host.names] == [("db", "db.net.example", "db.openstacklocal")]


@pytest.mark.parametrize(
    ("segment", "published"),
    [
        ({"provider:network_type": "flat", "provider:physical_network": "physnet1"}, True),
        ({"provider:network_type": "local"}, False),
        ({"provider:network_type": "vxlan"}, False),
        ({"provider:network_type": "flat", "provider:physical_network": "physnet1", "router:external": True}, False),
    ],
)
async def test_names_are_published_on_provider_networks(cloud: Cloud, segment: dict[str, Any], published: bool) -> None:
    net = await cloud.made("admin:ops", "/networks", dns_domain="net.example.", shared=True, **segment)
    await cloud.made("admin:ops", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    port = await named(cloud, net)
    assert port["dns_assignment"][0]["fqdn"] == ("web.net.example." if published else "web.openstacklocal.")


async def test_keywords_in_a_domain_are_filled_with_who_asks(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks", dns_domain="<user_name>.<project_id>.example.")
    assert net["dns_domain"] == "<user_name>.<project_id>.example."
    wish = {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.0/24", "dns_publish_fixed_ip": True}
    await cloud.made("member:red", "/subnets", **wish)
    port = await named(cloud, net)
    assert port["dns_assignment"][0]["fqdn"] == "web.member.red.example."
    # Who calls a project by no name has no domain by that name.
    port = await named(cloud, net, dns_domain="<project_name>.example.")
    assert port["dns_assignment"][0]["fqdn"] == "web.openstacklocal."
    for wrong in ("<project>.example.", "<user_id.example.", "x<user_id>.example.", "example"):
        wish = {"network_id": net["id"], "dns_domain": wrong}
        assert (await cloud("member:red", "POST", "/ports", {"port": wish}))[0] == 400, wrong


async def test_a_whole_name_is_one_in_the_clouds_domain(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], dns_name="Web.openstacklocal.")
    assert port["dns_name"] == "web.openstacklocal."
    assert port["dns_assignment"][0]["fqdn"] == "web.openstacklocal."
    for wrong in ("web.example.", "openstacklocal.", ".openstacklocal."):
        wish = {"network_id": net["id"], "dns_name": wrong}
        assert (await cloud("member:red", "POST", "/ports", {"port": wish}))[0] == 400, wrong
