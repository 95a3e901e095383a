"""NDP proxies through the API: routers that answer outside for IPv6 addresses inside."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud
from tests.api.l3 import Body, external, join, kind, leave, shown

RED, BLUE, OPS = "member:red", "member:blue", "admin:ops"


async def _inside(cloud: Cloud, **subnet: Any) -> tuple[Body, Body]:
    made = await cloud.made(RED, "/networks")
    return made, await cloud.made(RED, "/subnets", network_id=made["id"], ip_version=6, **subnet)


@pytest.fixture
async def site(cloud: Cloud) -> dict[str, Body]:
    """A network and an external one in the same IPv6 address scope, and a router between them that may have proxies."""
    scope = await cloud.made(OPS, "/address-scopes", name="v6", ip_version=6, shared=True)
    pool = await cloud.made(
        OPS,
        "/subnetpools",
        name="v6",
        prefixes=["2001:db8::/48"],
        default_prefixlen=64,
        address_scope_id=scope["id"],
        shared=True,
    )
    outside = await cloud.made(OPS, "/networks", **{"router:external": True})
    await cloud.made(OPS, "/subnets", network_id=outside["id"], ip_version=6, subnetpool_id=pool["id"])
    net, subnet = await _inside(cloud, subnetpool_id=pool["id"])
    gateway = {"network_id": outside["id"]}
    router = await cloud.made(RED, "/routers", external_gateway_info=gateway, enable_ndp_proxy=True)
    await join(cloud, RED, router, subnet_id=subnet["id"])
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    return {"outside": outside, "net": net, "subnet": subnet, "router": router, "port": port}


async def refused(cloud: Cloud, **values: str) -> tuple[int, str]:
    return kind(await cloud(RED, "POST", "/ndp_proxies", {"ndp_proxy": values}))


async def changed(cloud: Cloud, router: Body, **values: Any) -> tuple[int, Any]:
    return await cloud(RED, "PUT", f"/routers/{router['id']}", {"router": values})


async def test_a_proxy_is_made_renamed_and_removed(cloud: Cloud, site: dict[str, Body]) -> None:
    values = {"router_id": site["router"]["id"], "port_id": site["port"]["id"]}
    made = await cloud.made(RED, "/ndp_proxies", name="web", description="the site", **values)
    assert made["ip_address"] == site["port"]["fixed_ips"][0]["ip_address"]
    assert (made["name"], made["description"]) == ("web", "the site")
    path = f"/ndp_proxies/{made['id']}"
    _, body = await cloud(RED, "PUT", path, {"ndp_proxy": {"name": "www"}})
    assert body["ndp_proxy"]["name"] == "www"
    fixed = {"ndp_proxy": {"ip_address": "2001:db8::1"}}
    assert kind(await cloud(RED, "PUT", path, fixed)) == (400, "HTTPBadRequest")
    assert await refused(cloud, **values) == (409, "NeutronDbObjectDuplicateEntry")
    assert kind(await cloud(BLUE, "GET", path)) == (404, "NDPProxyNotFound")
    assert kind(await cloud("reader:red", "DELETE", path)) == (403, "PolicyNotAuthorized")
    assert (await cloud(RED, "DELETE", path))[0] == 204
    assert (await cloud(RED, "GET", "/ndp-proxies"))[1] == {"ndp_proxies": []}
    assert (await cloud.made(RED, "/ndp_proxies", name=None, **values))["name"] == ""


async def test_what_a_proxy_needs_cannot_go(cloud: Cloud, site: dict[str, Body]) -> None:
    router = site["router"]
    made = await cloud.made(RED, "/ndp_proxies", router_id=router["id"], port_id=site["port"]["id"])
    in_use = await leave(cloud, RED, router, subnet_id=site["subnet"]["id"])
    assert kind(in_use) == (409, "RouterInterfaceInUseByNDPProxy")
    in_use = await changed(cloud, router, external_gateway_info=None)
    assert kind(in_use) == (409, "RouterGatewayInUseByNDPProxy")
    assert (await cloud(RED, "DELETE", f"/ports/{site['port']['id']}"))[0] == 204
    assert kind(await cloud(RED, "GET", f"/ndp_proxies/{made['id']}")) == (404, "NDPProxyNotFound")
    assert (await leave(cloud, RED, router, subnet_id=site["subnet"]["id"]))[0] == 200
    status, body = await changed(cloud, router, external_gateway_info=None)
    assert (status, body["router"]["enable_ndp_proxy"]) == (200, False)


async def test_a_proxy_goes_with_its_address(cloud: Cloud, site: dict[str, Body]) -> None:
    await cloud.made(RED, "/ndp_proxies", router_id=site["router"]["id"], port_id=site["port"]["id"])
    bare: Body = {"port": {"fixed_ips": []}}
    assert (await cloud(RED, "PUT", f"/ports/{site['port']['id']}", bare))[0] == 200
    assert (await cloud(RED, "GET", "/ndp_proxies"))[1] == {"ndp_proxies": []}


async def test_addresses_that_the_router_cannot_answer_for(cloud: Cloud, site: dict[str, Body]) -> None:
    router, port = site["router"]["id"], site["port"]["id"]
    wrong = await refused(cloud, router_id=router, port_id=port, ip_address="2001:db8::1234")
    assert wrong == (400, "InvalidAddress")
    assert await refused(cloud, router_id=site["net"]["id"], port_id=port) == (404, "RouterNotFound")
    assert await refused(cloud, router_id=router, port_id=router) == (404, "PortNotFound")
    bare = await cloud.made(RED, "/ports", network_id=site["net"]["id"], fixed_ips=[])
    assert await refused(cloud, router_id=router, port_id=bare["id"]) == (400, "BadRequest")
    net, subnet = await _inside(cloud, cidr="2001:db8:ffff::/64")
    elsewhere = await cloud.made(RED, "/ports", network_id=net["id"])
    assert await refused(cloud, router_id=router, port_id=elsewhere["id"]) == (409, "PortUnreachableRouter")
    await join(cloud, RED, site["router"], subnet_id=subnet["id"])
    assert await refused(cloud, router_id=router, port_id=elsewhere["id"]) == (409, "AddressScopeConflict")
    second = await cloud.made(RED, "/subnets", network_id=site["net"]["id"], ip_version=4, cidr="10.0.0.0/24")
    only_v4 = [{"subnet_id": second["id"]}]
    v4 = await cloud.made(RED, "/ports", network_id=site["net"]["id"], fixed_ips=only_v4)
    assert await refused(cloud, router_id=router, port_id=v4["id"]) == (400, "BadRequest")


async def test_proxies_need_a_router_that_may_have_them(cloud: Cloud, site: dict[str, Body]) -> None:
    router = site["router"]
    status, body = await changed(cloud, router, enable_ndp_proxy=False)
    assert (status, body["router"]["enable_ndp_proxy"]) == (200, False)
    off = await refused(cloud, router_id=router["id"], port_id=site["port"]["id"])
    assert off == (409, "RouterNDPProxyNotEnable")
    _, body = await changed(cloud, router, name="kept", enable_ndp_proxy=None)
    assert body["router"]["enable_ndp_proxy"] is False
    _, body = await changed(cloud, router, enable_ndp_proxy=True)
    assert body["router"]["enable_ndp_proxy"] is True
    _, body = await changed(cloud, router, name="kept")
    assert body["router"]["enable_ndp_proxy"] is True


async def test_only_a_gateway_with_ipv6_in_an_address_scope_allows_proxies(cloud: Cloud, site: dict[str, Body]) -> None:
    without_scope = await external(cloud, "2001:db8:fffe::/64")

    async def refused_router(**values: Any) -> tuple[int, str]:
        return kind(await cloud(RED, "POST", "/routers", {"router": {"enable_ndp_proxy": True, **values}}))

    assert await refused_router() == (409, "RouterGatewayNotValid")
    gateway = {"network_id": without_scope["id"]}
    assert await refused_router(external_gateway_info=gateway) == (409, "RouterGatewayNotValid")
    plain = await cloud.made(RED, "/routers")
    assert plain["enable_ndp_proxy"] is False
    for values in ({}, {"external_gateway_info": gateway}):
        reply = await changed(cloud, plain, enable_ndp_proxy=True, **values)
        assert kind(reply) == (409, "RouterGatewayNotValid")
    both = await changed(cloud, site["router"], enable_ndp_proxy=True, external_gateway_info={})
    assert kind(both) == (409, "RouterGatewayNotValid")
    assert (await shown(cloud, RED, f"/routers/{site['router']['id']}"))["external_gateway_info"] is not None


async def test_a_gateway_keeps_its_ipv6_address_while_proxies_may_need_it(cloud: Cloud, site: dict[str, Body]) -> None:
    outside = site["outside"]["id"]
    v4 = await cloud.made(OPS, "/subnets", network_id=outside, ip_version=4, cidr="203.0.113.0/24")
    only_v4 = {"network_id": outside, "external_fixed_ips": [{"subnet_id": v4["id"]}]}
    path = f"/routers/{site['router']['id']}"
    reply = await cloud(OPS, "PUT", path, {"router": {"external_gateway_info": only_v4}})
    assert kind(reply) == (409, "RouterIPv6GatewayInUse")
    both = {"router": {"external_gateway_info": only_v4, "enable_ndp_proxy": False}}
    status, body = await cloud(OPS, "PUT", path, both)
    assert (status, body["router"]["enable_ndp_proxy"]) == (200, False)
