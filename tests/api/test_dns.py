"""Names of ports: what the API says is what the network's DNS server answers."""

from __future__ import annotations

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
