"""Flavors and the service profiles behind them."""

from __future__ import annotations

from tests.api.cloud import Cloud


async def test_a_flavor_is_seen_by_all_and_its_profiles_by_admins(cloud: Cloud) -> None:
    flavor = await cloud.made("admin:ops", "/flavors", name="gold", service_type="L3_ROUTER_NAT")
    assert flavor["enabled"] is True and flavor["service_profiles"] == []
    _, body = await cloud("reader:red", "GET", "/flavors")
    assert [item["name"] for item in body["flavors"]] == ["gold"]
    status, _ = await cloud("member:red", "POST", "/flavors", {"flavor": {"service_type": "L3_ROUTER_NAT"}})
    assert status == 403
    _, body = await cloud("member:red", "GET", "/service_profiles")
    assert body == {"service_profiles": []}


async def test_a_profile_behind_a_flavor_stays_until_it_is_taken_away(cloud: Cloud) -> None:
    flavor = await cloud.made("admin:ops", "/flavors", service_type="L3_ROUTER_NAT")
    profile = await cloud.made("admin:ops", "/service_profiles", driver="kaon")
    behind, wish = f"/flavors/{flavor['id']}/service_profiles", {"service_profile": {"id": profile["id"]}}
    assert (await cloud("admin:ops", "POST", behind, wish))[0] == 201
    status, body = await cloud("admin:ops", "POST", behind, wish)
    assert (status, body["NeutronError"]["type"]) == (409, "FlavorServiceProfileBindingExists")
    _, body = await cloud("reader:red", "GET", f"/flavors/{flavor['id']}")
    assert body["flavor"]["service_profiles"] == [profile["id"]]

    status, body = await cloud("admin:ops", "DELETE", f"/service_profiles/{profile['id']}")
    assert (status, body["NeutronError"]["type"]) == (409, "ServiceProfileInUse")
    assert (await cloud("admin:ops", "DELETE", f"{behind}/{profile['id']}"))[0] == 204
    status, body = await cloud("admin:ops", "DELETE", f"{behind}/{profile['id']}")
    assert (status, body["NeutronError"]["type"]) == (404, "FlavorServiceProfileBindingNotFound")
    assert (await cloud("admin:ops", "DELETE", f"/service_profiles/{profile['id']}"))[0] == 204


async def test_a_profile_says_something_and_names_a_driver_that_is_there(cloud: Cloud) -> None:
    status, body = await cloud("admin:ops", "POST", "/service_profiles", {"service_profile": {}})
    assert (status, body["NeutronError"]["type"]) == (400, "ServiceProfileEmpty")
    status, body = await cloud("admin:ops", "POST", "/service_profiles", {"service_profile": {"driver": "nobody"}})
    assert (status, body["NeutronError"]["type"]) == (404, "ServiceProfileDriverNotFound")
