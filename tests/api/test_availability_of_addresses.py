"""IP availability of networks, and the pools that floating IPs come from."""

from __future__ import annotations

from tests.api.cloud import Cloud


async def test_a_network_counts_the_addresses_of_its_pools_and_those_in_use(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks", name="n")
    path = f"/network-ip-availabilities/{net['id']}"
    _, body = await cloud("admin:ops", "GET", path)
    assert body["network_ip_availability"]["total_ips"] == 0
    await cloud.made(
        "member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24", enable_dhcp=False
    )
    await cloud.made("member:red", "/ports", network_id=net["id"])
    _, body = await cloud("admin:ops", "GET", "/network-ip-availabilities?network_name=n")
    (found,) = body["network_ip_availabilities"]
    assert (found["total_ips"], found["used_ips"]) == (253, 1)
    assert [item["cidr"] for item in found["subnet_ip_availability"]] == ["10.0.0.0/24"]
    _, body = await cloud("admin:ops", "GET", "/network-ip-availabilities?ip_version=6")
    assert body == {"network_ip_availabilities": []}
    assert (await cloud("member:red", "GET", path))[0] == 403


async def test_more_addresses_than_64_bits_count_are_counted(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=6, cidr="fd00::/48")
    _, body = await cloud("admin:ops", "GET", f"/network-ip-availabilities/{net['id']}")
    assert body["network_ip_availability"]["total_ips"] == 2**80 - 2


async def test_floating_ip_pools_are_the_ipv4_subnets_of_external_networks(cloud: Cloud) -> None:
    public = await cloud.made("admin:ops", "/networks", **{"router:external": True})
    inside = await cloud.made("member:red", "/networks")
    for net, version, cidr in ((public, 4, "203.0.113.0/24"), (public, 6, "fd00::/64"), (inside, 4, "10.0.0.0/24")):
        await cloud.made("admin:ops", "/subnets", network_id=net["id"], ip_version=version, cidr=cidr)
    _, body = await cloud("member:red", "GET", "/floatingip-pools?fields=cidr&fields=network_id")
    assert body == {"floatingip_pools": [{"network_id": public["id"], "cidr": "203.0.113.0/24"}]}


async def test_details_tell_the_prefix_from_the_pools(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    pools = [{"start": "10.0.0.10", "end": "10.0.0.19"}, {"start": "10.0.0.30", "end": "10.0.0.34"}]
    four = {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.0/24", "allocation_pools": pools}
    await cloud.made("member:red", "/subnets", **four, enable_dhcp=False)
    six = {"network_id": net["id"], "ip_version": 6, "cidr": "fd00::/120", "allocation_pools": []}
    await cloud.made("member:red", "/subnets", **six, enable_dhcp=False)
    for address in ("10.0.0.12", "10.0.0.200"):
        await cloud.made("member:red", "/ports", network_id=net["id"], fixed_ips=[{"ip_address": address}])
    _, body = await cloud("admin:ops", "GET", f"/network-ip-availabilities/{net['id']}")
    found = body["network_ip_availability"]
    names = [f"{kind}_ips_in_{where}" for kind in ("total", "used") for where in ("subnet", "allocation_pool")]
    told = {
        item["cidr"]: [item["ip_availability_details"][name] for name in names]
        for item in found["subnet_ip_availability"]
    }
    assert told == {"10.0.0.0/24": [254, 15, 2, 1], "fd00::/120": [256, 0, 0, 0]}
    assert [found["ip_availability_details"][name] for name in names] == [510, 15, 2, 1]
