"""The application around the resources: versions, paths as clients write them, and tokens that are none."""

from __future__ import annotations

import pytest

from tests.api.cloud import Cloud


async def test_the_root_names_the_one_version_without_asking_who_comes(cloud: Cloud) -> None:
    answer = await cloud.http.get("/")
    (version,) = answer.json()["versions"]
    assert (answer.status_code, version["id"], version["status"]) == (200, "v2.0", "CURRENT")
    assert version["links"] == [{"rel": "self", "href": "http://kaon/v2.0/"}]
    assert (await cloud.http.head("/")).status_code == 200
    for path in ("/v2.0", "/v2.0/"):
        served = await cloud.http.get(path, headers={"X-Auth-Token": "reader:red"})
        assert {item["name"] for item in served.json()["resources"]} >= {"network", "subnet", "port", "router"}


@pytest.mark.parametrize("suffix", ["", "/", ".json"])
async def test_paths_may_end_in_a_slash_or_in_json(cloud: Cloud, suffix: str) -> None:
    def path(text: str) -> str:
        return f"{text}{suffix}"

    status, body = await cloud("member:red", "POST", path("/networks"), {"network": {"name": "blue"}})
    assert status == 201
    id = body["network"]["id"]
    assert (await cloud("member:red", "GET", path("/networks")))[1]["networks"][0]["id"] == id
    assert (await cloud("member:red", "GET", path(f"/networks/{id}")))[1]["network"]["name"] == "blue"
    status, _ = await cloud("member:red", "PUT", path(f"/networks/{id}"), {"network": {"name": "green"}})
    assert status == 200
    assert (await cloud("member:red", "GET", path("/extensions/router")))[0] == 200
    assert (await cloud("member:red", "DELETE", path(f"/networks/{id}")))[0] == 204


async def test_a_tag_may_end_in_json(cloud: Cloud) -> None:
    network = await cloud.made("member:red", "/networks")
    assert (await cloud("member:red", "PUT", f"/networks/{network['id']}/tags/a.json"))[0] == 201
    assert (await cloud("member:red", "GET", f"/networks/{network['id']}"))[1]["network"]["tags"] == ["a.json"]


@pytest.mark.parametrize("token", ["", "forged", "\x7f", "a" * 10_000])
async def test_who_has_no_token_is_told_where_to_get_one(cloud: Cloud, token: str) -> None:
    answer = await cloud.http.get("/v2.0/networks", headers={"X-Auth-Token": token})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Keystone uri="/identity"'
    assert answer.json()["error"]["code"] == 401
