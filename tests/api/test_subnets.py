"""Subnets through the API: gateways, pools, IPv6 modes, and what other subnets and ports forbid."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud


@pytest.fixture
async def net(cloud: Cloud) -> dict[str, Any]:
    """A network of project red."""
    return await cloud.made("member:red", "/networks")


async def refused(cloud: Cloud, net: dict[str, Any], **values: Any) -> tuple[int, str, str]:
    """Status, type and message of a subnet's creation that must not succeed."""
    body = {"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.0/24", **values}}
    status, reply = await cloud("admin:red", "POST", "/subnets", body)
    assert status >= 400, reply
    return status, reply["NeutronError"]["type"], reply["NeutronError"]["message"]


async def test_a_plain_subnet_gets_the_first_address_as_gateway_and_the_rest_as_pool(
    cloud: Cloud, net: dict[str, Any]
) -> None:
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.77/24")
    assert subnet["cidr"] == "10.0.0.0/24" and subnet["gateway_ip"] == "10.0.0.1"
    assert subnet["allocation_pools"] == [{"start": "10.0.0.2", "end": "10.0.0.254"}]
    assert subnet["enable_dhcp"] is True and subnet["dns_nameservers"] == [] and subnet["host_routes"] == []
    assert subnet["ipv6_ra_mode"] is None and subnet["subnetpool_id"] is None and "prefixlen" not in subnet
    _, body = await cloud("member:red", "GET", f"/networks/{net['id']}")
    assert body["network"]["subnets"] == [subnet["id"]] and body["network"]["revision_number"] == 1
    assert (await cloud("member:red", "DELETE", f"/subnets/{subnet['id']}"))[0] == 204
    _, body = await cloud("member:red", "GET", f"/networks/{net['id']}")
    assert body["network"]["subnets"] == []


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/24", None, [("10.0.0.1", "10.0.0.254")]),
        ("10.0.0.0/24", "10.0.0.100", [("10.0.0.1", "10.0.0.99"), ("10.0.0.101", "10.0.0.254")]),
        ("10.0.0.0/24", "10.9.9.9", [("10.0.0.1", "10.0.0.254")]),
        ("fd00::/64", "fe80::1", [("fd00::1", "fd00::ffff:ffff:ffff:ffff")]),
        ("fd00::/126", "fd00::1", [("fd00::2", "fd00::3")]),
    ],
)
async def test_default_pools_leave_out_the_gateway(
    cloud: Cloud, net: dict[str, Any], cidr: str, gateway: str | None, pools: list[tuple[str, str]]
) -> None:
    version = 6 if ":" in cidr else 4
    subnet = await cloud.made(
        "member:red", "/subnets", network_id=net["id"], ip_version=version, cidr=cidr, gateway_ip=gateway
    )
    assert subnet["gateway_ip"] == gateway
    assert [(pool["start"], pool["end"]) for pool in subnet["allocation_pools"]] == pools


@pytest.mark.parametrize(
    ("values", "status", "kind", "words"),
    [
        ({"gateway_ip": "10.0.0.0"}, 400, "InvalidInput", "Gateway is not valid on subnet"),
        ({"gateway_ip": "10.0.0.255"}, 400, "InvalidInput", "Gateway is not valid on subnet"),
        ({"gateway_ip": "fd00::1"}, 400, "InvalidInput", "gateway_ip 'fd00::1' does not match the ip_version '4'"),
        ({"ip_version": 6}, 400, "InvalidInput", "cidr '10.0.0.0/24' does not match the ip_version '6'"),
        ({"cidr": "10.0.0.0/31"}, 400, "InvalidInput", "incompatible with DHCP service enabled"),
        ({"cidr": "224.0.0.0/24"}, 400, "InvalidInput", "Multicast IP subnet is not supported"),
        ({"cidr": "127.0.0.0/24"}, 400, "InvalidInput", "Loopback IP subnet is not supported"),
        ({"cidr": "0.0.0.0/0"}, 400, "InvalidInput", "0 is not allowed as CIDR prefix length"),
        ({"cidr": "::/64", "ip_version": 6}, 400, "InvalidInput", "IPv6 subnet '::' is not supported"),
        ({"cidr": "10.0.0.0"}, 400, "InvalidInput", "is not a valid IP subnet"),
        ({"cidr": None}, 400, "BadRequest", "a subnetpool must be specified in the absence of a cidr"),
        ({"prefixlen": 24}, 400, "BadRequest", "cidr and prefixlen must not be supplied together"),
        ({"ip_version": 5}, 400, "HTTPBadRequest", "is not in [4, 6]"),
        ({"allocation_pools": [{"start": "10.0.0.9", "end": "10.0.0.2"}]}, 400, "InvalidAllocationPool", "10.0.0.9"),
        (
            {"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.1.9"}]},
            400,
            "OutOfBoundsAllocationPool",
            "10.0.1.9",
        ),
        ({"allocation_pools": [{"start": "10.0.0.2"}]}, 400, "InvalidInput", "Expected keys not found: end"),
        (
            {"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.9"}]},
            409,
            "GatewayConflictWithAllocationPools",
            "Gateway ip 10.0.0.1 conflicts with allocation pool 10.0.0.1-10.0.0.9",
        ),
        (
            {"allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}, {"start": "10.0.0.9", "end": "10.0.0.20"}]},
            409,
            "OverlappingAllocationPools",
            "10.0.0.2-10.0.0.9 10.0.0.9-10.0.0.20 for subnet 10.0.0.0/24",
        ),
        ({"dns_nameservers": ["fd00::1"]}, 400, "InvalidInput", "dns_nameserver 'fd00::1' does not match"),
        ({"dns_nameservers": [f"9.9.9.{i}" for i in range(6)]}, 400, "DNSNameServersExhausted", "exceeds the limit 5"),
        ({"dns_nameservers": ["9.9.9.9", "9.9.9.9"]}, 400, "HTTPBadRequest", "Duplicate"),
        ({"host_routes": [{"destination": "10.9.0.0/16"}]}, 400, "HTTPBadRequest", "Expected keys not found: nexthop"),
        ({"ipv6_ra_mode": "slaac"}, 400, "InvalidInput", "ipv6_ra_mode is not valid when ip_version is 4"),
        ({"service_types": ["garage:car"]}, 400, "InvalidSubnetServiceType", "garage:car"),
        ({"network_id": "c0ffee00-0000-4000-8000-000000000000"}, 404, "NetworkNotFound", "could not be found"),
    ],
)
async def test_a_subnet_that_cannot_be_is_refused_in_neutrons_words(
    cloud: Cloud, net: dict[str, Any], values: dict[str, Any], status: int, kind: str, words: str
) -> None:
    answer = await refused(cloud, net, **values)
    assert answer[:2] == (status, kind) and words in answer[2]
    assert (await cloud("admin:red", "GET", "/subnets"))[1] == {"subnets": []}


@pytest.mark.parametrize("ra_mode", [None, "slaac", "dhcpv6-stateful", "dhcpv6-stateless"])
@pytest.mark.parametrize("address_mode", [None, "slaac", "dhcpv6-stateful", "dhcpv6-stateless"])
@pytest.mark.parametrize("enable_dhcp", [True, False])
async def test_ipv6_modes_agree_or_are_refused(
    cloud: Cloud, net: dict[str, Any], ra_mode: str | None, address_mode: str | None, enable_dhcp: bool
) -> None:
    body = {
        "network_id": net["id"],
        "ip_version": 6,
        "cidr": "fd00::/64",
        "enable_dhcp": enable_dhcp,
        "ipv6_ra_mode": ra_mode,
        "ipv6_address_mode": address_mode,
    }
    status, reply = await cloud("member:red", "POST", "/subnets", {"subnet": body})
    if (ra_mode or address_mode) and not enable_dhcp:
        assert status == 400 and "cannot be set when enable_dhcp is set to False" in reply["NeutronError"]["message"]
    elif ra_mode and address_mode and ra_mode != address_mode:
        assert status == 400 and "they must be the same value" in reply["NeutronError"]["message"]
    else:
        assert status == 201 and reply["subnet"]["ipv6_ra_mode"] == ra_mode


async def test_hosts_form_addresses_only_in_a_64(cloud: Cloud, net: dict[str, Any]) -> None:
    answer = await refused(cloud, net, ip_version=6, cidr="fd00::/80", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    assert answer[:2] == (400, "InvalidInput") and "requires the prefix to be /64" in answer[2]


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.4/31", "10.0.0.5", [("10.0.0.4", "10.0.0.4")]),
        ("10.0.0.4/32", "10.0.0.5", [("10.0.0.4", "10.0.0.4")]),
        ("255.255.255.255/32", "255.255.255.255", []),
        ("fd00::/127", "fd00::1", []),
    ],
)
async def test_tiny_subnets_without_dhcp(
    cloud: Cloud, net: dict[str, Any], cidr: str, gateway: str, pools: list[tuple[str, str]]
) -> None:
    version = 6 if ":" in cidr else 4
    subnet = await cloud.made(
        "member:red", "/subnets", network_id=net["id"], ip_version=version, cidr=cidr, enable_dhcp=False
    )
    assert subnet["gateway_ip"] == gateway
    assert [(pool["start"], pool["end"]) for pool in subnet["allocation_pools"]] == pools


async def test_subnets_of_one_network_do_not_overlap_but_those_of_two_may(cloud: Cloud, net: dict[str, Any]) -> None:
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/16")
    answer = await refused(cloud, net, cidr="10.0.3.0/24")
    assert answer[:2] == (400, "InvalidInput") and "overlaps with another subnet" in answer[2]
    other = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=other["id"], ip_version=4, cidr="10.0.0.0/16")


async def test_what_an_update_may_change(cloud: Cloud, net: dict[str, Any]) -> None:
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    path = f"/subnets/{subnet['id']}"
    changes = {
        "name": "front",
        "dns_nameservers": ["9.9.9.9"],
        "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}],
        "enable_dhcp": False,
        "allocation_pools": [{"start": "10.0.0.50", "end": "10.0.0.60"}],
        "gateway_ip": "10.0.0.2",
    }
    status, body = await cloud("member:red", "PUT", path, {"subnet": changes})
    assert status == 200 and {name: body["subnet"][name] for name in changes} == changes
    for values, status, kind in (
        ({"cidr": "10.1.0.0/24"}, 400, "HTTPBadRequest"),
        ({"network_id": net["id"]}, 400, "HTTPBadRequest"),
        ({"gateway_ip": "10.0.0.55"}, 409, "GatewayConflictWithAllocationPools"),
        ({"allocation_pools": [{"start": "10.0.0.1", "end": "10.0.0.3"}]}, 409, "GatewayConflictWithAllocationPools"),
        ({"allocation_pools": [{"start": "10.1.0.1", "end": "10.1.0.3"}]}, 400, "OutOfBoundsAllocationPool"),
        ({"dns_nameservers": ["fd00::1"]}, 400, "InvalidInput"),
    ):
        answer = await cloud("member:red", "PUT", path, {"subnet": values})
        assert (answer[0], answer[1]["NeutronError"]["type"]) == (status, kind)


async def test_a_gateway_that_a_router_holds_stays(cloud: Cloud, net: dict[str, Any]) -> None:
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    await cloud.made(
        "admin:red",
        "/ports",
        network_id=net["id"],
        device_owner="network:router_interface",
        fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}],
    )
    for gateway in ("10.0.0.254", None):
        status, body = await cloud(
            "member:red",
            "PUT",
            f"/subnets/{subnet['id']}",
            {"subnet": {"gateway_ip": gateway, "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}]}},
        )
        assert (status, body["NeutronError"]["type"]) == (409, "GatewayIpInUse")
    assert (await cloud("member:red", "DELETE", f"/subnets/{subnet['id']}"))[0] == 409


async def test_dhcp_stays_on_where_hosts_depend_on_its_modes(cloud: Cloud, net: dict[str, Any]) -> None:
    subnet = await cloud.made(
        "member:red", "/subnets", network_id=net["id"], ip_version=6, cidr="fd00::/64", ipv6_ra_mode="slaac"
    )
    status, body = await cloud("member:red", "PUT", f"/subnets/{subnet['id']}", {"subnet": {"enable_dhcp": False}})
    assert status == 400 and "Cannot disable enable_dhcp" in body["NeutronError"]["message"]


async def test_a_subnet_with_ports_is_in_use_until_they_go(cloud: Cloud, net: dict[str, Any]) -> None:
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    status, body = await cloud("member:red", "DELETE", f"/subnets/{subnet['id']}")
    assert (status, body["NeutronError"]["type"]) == (409, "SubnetInUse")
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert (await cloud("member:red", "DELETE", f"/subnets/{subnet['id']}"))[0] == 204


async def test_addresses_that_hosts_form_come_and_go_with_their_subnet(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"], mac_address="fa:16:3e:00:00:01")
    subnet = await cloud.made(
        "member:red", "/subnets", network_id=net["id"], ip_version=6, cidr="fd00:0:0:5::/64", ipv6_address_mode="slaac"
    )
    _, body = await cloud("member:red", "GET", f"/ports/{port['id']}")
    assert body["port"]["fixed_ips"] == [{"subnet_id": subnet["id"], "ip_address": "fd00::5:f816:3eff:fe00:1"}]
    assert body["port"]["revision_number"] == 1
    assert (await cloud("member:red", "DELETE", f"/subnets/{subnet['id']}"))[0] == 204
    _, body = await cloud("member:red", "GET", f"/ports/{port['id']}")
    assert body["port"]["fixed_ips"] == []


async def test_who_sees_a_subnet_follows_its_network(cloud: Cloud, net: dict[str, Any]) -> None:
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    path = f"/subnets/{subnet['id']}"
    assert (await cloud("member:blue", "GET", path))[0] == 404
    assert (await cloud("member:blue", "GET", "/subnets"))[1] == {"subnets": []}
    body = {"subnet": {"network_id": net["id"], "ip_version": 4, "cidr": "10.5.0.0/24"}}
    status, reply = await cloud("member:blue", "POST", "/subnets", body)
    assert (status, reply["NeutronError"]["type"]) == (404, "NetworkNotFound")
    await cloud("admin:ops", "PUT", f"/networks/{net['id']}", {"network": {"shared": True}})
    assert (await cloud("member:blue", "GET", path))[0] == 200
    assert [item["id"] for item in (await cloud("member:blue", "GET", "/subnets"))[1]["subnets"]] == [subnet["id"]]
    assert (await cloud("member:blue", "GET", "/subnets?shared=false"))[1] == {"subnets": []}
    assert (await cloud("member:blue", "PUT", path, {"subnet": {"name": "mine"}}))[0] == 403
    assert (await cloud("member:blue", "POST", "/subnets", body))[0] == 403


async def test_a_subnet_tells_whether_its_network_is_external(cloud: Cloud, net: dict[str, Any]) -> None:
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    assert subnet["router:external"] is False
    await cloud("admin:ops", "PUT", f"/networks/{net['id']}", {"network": {"router:external": True}})
    _, body = await cloud("member:blue", "GET", "/subnets?router:external=True")
    assert [item["id"] for item in body["subnets"]] == [subnet["id"]]


async def test_filters(cloud: Cloud, net: dict[str, Any]) -> None:
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", name="four")
    await cloud.made(
        "member:red",
        "/subnets",
        network_id=net["id"],
        ip_version=6,
        cidr="fd00::/64",
        name="six",
        gateway_ip=None,
        enable_dhcp=False,
    )
    for query, names in (
        ("ip_version=4", ["four"]),
        ("cidr=FD00:0::/64", ["six"]),
        ("gateway_ip=10.0.0.1", ["four"]),
        ("enable_dhcp=false", ["six"]),
        (f"network_id={net['id']}", ["four", "six"]),
        ("gateway_ip=", ["six"]),
    ):
        _, body = await cloud("member:red", "GET", f"/subnets?{query}&sort_key=name&sort_dir=asc&fields=name")
        assert [item["name"] for item in body["subnets"]] == names, query
