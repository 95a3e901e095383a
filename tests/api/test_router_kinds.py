"""Highly available, distributed and flavored routers through the API."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import kind, shown

ADMIN = "admin:ops"
DRIVERS = "neutron.services.l3_router.service_providers."
NOBODY = "00000000-0000-4000-8000-000000000000"


async def flavor(cloud: Cloud, driver: str = "", service: str = "L3_ROUTER_NAT", **values: Any) -> str:
    made = await cloud.made(ADMIN, "/flavors", name="f", service_type=service, **values)
    if driver:
        status, body = await cloud(ADMIN, "POST", "/service_profiles", {"service_profile": {"driver": driver}})
        assert status == 201, body
        binding = {"service_profile": {"id": body["service_profile"]["id"]}}
        assert (await cloud(ADMIN, "POST", f"/flavors/{made['id']}/service_profiles", binding))[0] == 201
    return str(made["id"])


async def change(cloud: Cloud, router: dict[str, Any], token: str = ADMIN, **values: Any) -> tuple[int, Any]:
    return await cloud(token, "PUT", f"/routers/{router['id']}", {"router": values})


async def test_a_router_becomes_highly_available_while_it_is_down(cloud: Cloud) -> None:
    router = await cloud.made("member:red", "/routers")
    assert "ha" not in router and "distributed" not in router
    assert (await shown(cloud, ADMIN, f"/routers/{router['id']}"))["ha"] is False
    assert kind(await change(cloud, router, ha=True)) == (400, "BadRequest")
    status, body = await change(cloud, router, ha=True, admin_state_up=False)
    assert status == 200 and body["router"]["ha"] is True
    status, body = await change(cloud, router, ha=None, admin_state_up=True)
    assert status == 200 and body["router"]["ha"] is True
    assert kind(await change(cloud, router, ha=False)) == (400, "BadRequest")
    assert kind(await change(cloud, router, "member:red", ha=False)) == (403, "PolicyNotAuthorized")
    refused = await cloud("member:red", "POST", "/routers", {"router": {"ha": True}})
    assert kind(refused) == (403, "PolicyNotAuthorized")


async def test_a_projects_ha_network_is_there_while_it_has_such_a_router(cloud: Cloud) -> None:
    async def networks() -> list[dict[str, Any]]:
        return list((await cloud(ADMIN, "GET", "/networks?name=HA network project red"))[1]["networks"])

    first, second = [await cloud.made(ADMIN, "/routers", ha=True, project_id="red") for _ in range(2)]
    (network,) = await networks()
    assert network["project_id"] == "" and len(network["subnets"]) == 1 and "ha" not in network
    subnet = await shown(cloud, ADMIN, f"/subnets/{network['subnets'][0]}")
    assert (subnet["cidr"], subnet["gateway_ip"], subnet["enable_dhcp"]) == ("169.254.192.0/18", None, False)
    assert (await cloud("member:red", "GET", "/networks"))[1] == {"networks": []}
    assert (await cloud(ADMIN, "DELETE", f"/routers/{first['id']}"))[0] == 204
    assert await networks() == [network]
    port = await cloud.made(ADMIN, "/ports", network_id=network["id"])
    assert (await change(cloud, second, ha=False, admin_state_up=False))[0] == 200
    assert len(await networks()) == 1, "somebody has a port there"
    await cloud(ADMIN, "DELETE", f"/ports/{port['id']}")
    third = await cloud.made(ADMIN, "/routers", ha=True, project_id="red")
    assert len(await networks()) == 1
    assert (await cloud(ADMIN, "DELETE", f"/routers/{third['id']}"))[0] == 204
    assert await networks() == []


async def test_a_project_has_one_ha_network(cloud: Cloud) -> None:
    made = await cloud.made(ADMIN, "/networks", ha=True)
    again = await cloud(ADMIN, "POST", "/networks", {"network": {"ha": True}})
    assert kind(again) == (409, "DuplicatedHANetwork")
    assert kind(await cloud(ADMIN, "PUT", f"/networks/{made['id']}", {"network": {"ha": False}}))[0] == 400
    await cloud.made(ADMIN, "/routers", ha=True)
    assert (await cloud(ADMIN, "GET", "/networks?name=HA network project ops"))[1] == {"networks": []}


async def test_a_flavor_says_what_its_routers_are(cloud: Cloud) -> None:
    plain, both = (
        await flavor(cloud, f"{DRIVERS}single_node.SingleNodeDriver"),
        await flavor(cloud, f"{DRIVERS}dvrha.DvrHaDriver"),
    )
    router = await cloud.made("member:red", "/routers", flavor_id=both)
    assert router["flavor_id"] == both
    seen = await shown(cloud, ADMIN, f"/routers/{router['id']}")
    assert (seen["distributed"], seen["ha"]) == (True, True)
    assert (await cloud.made("member:red", "/routers"))["flavor_id"] is None
    assert [item["id"] for item in (await cloud(ADMIN, "GET", f"/routers?flavor_id={both}"))[1]["routers"]] == [
        router["id"]
    ]
    for name in ("distributed", "ha"):
        wrong = await cloud(ADMIN, "POST", "/routers", {"router": {"flavor_id": plain, name: True}})
        assert kind(wrong) == (400, "InvalidInput")
        other = await change(cloud, router, admin_state_up=False, **{name: False})
        assert kind(other) == (400, "InvalidInput")
    assert kind(await change(cloud, router, flavor_id=plain))[0] == 400
    assert kind(await cloud(ADMIN, "DELETE", f"/flavors/{both}")) == (409, "FlavorInUse")
    assert (await cloud(ADMIN, "DELETE", f"/routers/{router['id']}"))[0] == 204
    assert (await cloud(ADMIN, "DELETE", f"/flavors/{both}"))[0] == 204


async def test_flavors_that_make_no_router_are_refused(cloud: Cloud) -> None:
    async def refusal(id: str) -> tuple[int, str]:
        return kind(await cloud("member:red", "POST", "/routers", {"router": {"flavor_id": id}}))

    assert await refusal(NOBODY) == (404, "FlavorNotFound")
    assert await refusal(await flavor(cloud)) == (404, "FlavorServiceProfileBindingNotFound")
    assert await refusal(await flavor(cloud, "kaon", "FLAVORS")) == (400, "InvalidInput")
    assert await refusal(await flavor(cloud, "kaon", enabled=False)) == (503, "FlavorDisabled")
    profiled = await flavor(cloud, "kaon")
    (profile,) = (await shown(cloud, ADMIN, f"/flavors/{profiled}"))["service_profiles"]
    assert (await cloud.made(ADMIN, "/routers", flavor_id=profiled, ha=True))["ha"] is True
    unbound = f"/flavors/{profiled}/service_profiles/{profile}"
    assert (await cloud(ADMIN, "DELETE", unbound))[0] == 204
    await cloud(ADMIN, "PUT", f"/service_profiles/{profile}", {"service_profile": {"enabled": False}})
    binding = {"service_profile": {"id": profile}}
    await cloud(ADMIN, "POST", f"/flavors/{profiled}/service_profiles", binding)
    assert await refusal(profiled) == (503, "ServiceProfileDisabled")
