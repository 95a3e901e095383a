"""Domains, projects, users, groups, roles, the catalog: created, listed with filters, shown, changed, deleted."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.conftest import ADMIN_PASSWORD, Cloud, project

COLLECTIONS: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("domains", "domain", {"name": "west", "enabled": False}, {"description": "there"}),
    ("projects", "project", {"name": "red", "description": "first", "tags": ["a"]}, {"name": "crimson"}),
    ("users", "user", {"name": "alice", "password": "secret", "email": "a@x"}, {"email": "b@x", "enabled": False}),
    ("groups", "group", {"name": "crew"}, {"description": "all of them"}),
    ("roles", "role", {"name": "auditor"}, {"name": "inspector"}),
    ("regions", "region", {"id": "RegionTwo", "parent_region_id": "RegionOne"}, {"description": "further"}),
    ("services", "service", {"type": "dns", "name": "designate"}, {"enabled": False}),
]


@pytest.mark.parametrize(("plural", "kind", "body", "change"), COLLECTIONS, ids=[c[0] for c in COLLECTIONS])
async def test_a_resource_lives_from_create_to_delete(
    cloud: Cloud, plural: str, kind: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    admin = await cloud.admin()
    made = (await cloud.call(admin, "POST", f"/{plural}", {kind: body}, 201))[kind]
    path = f"/{plural}/{made['id']}"
    assert made["links"] == {"self": f"http://kaon.test/identity/v3{path}"}
    assert {name: made[name] for name in body if name != "password"} == {
        name: value for name, value in body.items() if name != "password"
    }
    assert "password" not in made
    assert not {"password_hash", "valid_after", "extra"} & set(made)
    assert (await cloud.call(admin, "GET", path))[kind] == made
    listed = await cloud.call(admin, "GET", f"/{plural}")
    assert made in listed[plural]
    assert listed["links"] == {"self": f"http://kaon.test/identity/v3/{plural}", "next": None, "previous": None}
    changed = (await cloud.call(admin, "PATCH", path, {kind: change}))[kind]
    assert changed == {**made, **change}
    assert (await cloud.call(admin, "GET", path))[kind] == changed
    await cloud.call(admin, "DELETE", path, status=204)
    error = (await cloud.call(admin, "GET", path, status=404))["error"]
    assert error == {"code": 404, "title": "Not Found", "message": f"Could not find {kind}: {made['id']}."}


@pytest.mark.parametrize(
    ("plural", "kind", "body"),
    [(c[0], c[1], c[2]) for c in COLLECTIONS if c[0] != "services"],
    ids=lambda v: str(v)[:9],
)
async def test_a_second_one_of_the_same_name_is_a_conflict(
    cloud: Cloud, plural: str, kind: str, body: dict[str, Any]
) -> None:
    admin = await cloud.admin()
    await cloud.call(admin, "POST", f"/{plural}", {kind: body}, 201)
    error = (await cloud.call(admin, "POST", f"/{plural}", {kind: body}, 409))["error"]
    assert error["title"] == "Conflict"
    assert error["message"].startswith(f"Conflict occurred attempting to store {kind} - ")
    assert body.get("name", body.get("id")) in error["message"]


async def test_names_are_unique_in_a_domain_only(cloud: Cloud) -> None:
    admin = await cloud.admin()
    west = (await cloud.call(admin, "POST", "/domains", {"domain": {"name": "west"}}, 201))["domain"]
    await cloud.project("red")
    assert (await cloud.project("red", domain_id=west["id"]))["domain_id"] == west["id"]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=red", {"red"}),
        ("name=RED", set()),
        ("name__icontains=RE", {"red", "green"}),
        ("name__startswith=re", {"red"}),
        ("enabled=false", {"blue"}),
        ("enabled", {"admin", "red", "green"}),
        ("domain_id=default&name=blue", {"blue"}),
        ("domain_id=nowhere", set()),
        ("parent_id=default", {"admin", "red", "green", "blue"}),
        ("tags=hot", {"red"}),
        ("tags=hot,old", {"red"}),
        ("tags-any=hot,new", {"red", "green"}),
        ("not-tags-any=hot,new", {"admin", "blue"}),
        ("is_domain=true", set()),
        ("colour=unknown&name=red", {"red"}),
        ("name=' OR 1=1 --", set()),
        ("name__contains=%25", set()),
    ],
)
async def test_projects_are_filtered(cloud: Cloud, query: str, names: set[str]) -> None:
    await cloud.project("red", tags=["hot", "old"])
    await cloud.project("green", tags=["new"])
    await cloud.project("blue", enabled=False)
    listed = (await cloud.call(await cloud.admin(), "GET", f"/projects?{query}"))["projects"]
    assert {project["name"] for project in listed} == names


async def test_pages_follow_each_other_by_their_links(cloud: Cloud) -> None:
    for number in range(5):
        await cloud.project(f"p{number}")
    admin = await cloud.admin()
    url, seen = "/projects?limit=2&name__startswith=p", []
    while url:
        page = await cloud.call(admin, "GET", url)
        assert len(page["projects"]) <= 2
        seen += [project["name"] for project in page["projects"]]
        url = (page["links"]["next"] or "").removeprefix("http://kaon.test/identity/v3")
    assert sorted(seen) == [f"p{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"user": {}}, "'name' is a required property of 'user'"),
        ({"user": {"name": ""}}, "user/name"),
        ({"user": {"name": 1}}, "1 is not of type 'string'"),
        ({"user": {"name": "a\0b"}}, "NUL"),
        ({"user": {"name": "a" * 256}}, "longer than 255"),
        ({"user": {"name": "a", "enabled": "yes"}}, "is not of type 'boolean'"),
        ({"user": {"name": "a", "password": ["x"]}}, "user/password"),
        ({"user": []}, "'user'"),
        ({"users": {}}, "'user' is a required property"),
        ([], "object"),
    ],
)
async def test_a_body_that_makes_no_user_is_explained(cloud: Cloud, body: Any, says: str) -> None:
    error = (await cloud.call(await cloud.admin(), "POST", "/users", body, 400))["error"]
    assert says in error["message"]
    assert error["title"] == "Bad Request"
    assert [user["name"] for user in (await cloud.call(await cloud.admin(), "GET", "/users"))["users"]] == ["admin"]


@pytest.mark.parametrize("wrong", [{"domain_id": "nowhere"}, {"parent_id": "nothing"}, {"is_domain": True}])
async def test_a_project_must_lie_somewhere_that_is_there(cloud: Cloud, wrong: dict[str, Any]) -> None:
    await cloud.call(await cloud.admin(), "POST", "/projects", {"project": {"name": "red", **wrong}}, 400)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b'{"user": {"name": "\\ud800"}}'])
async def test_what_is_no_json_is_400(cloud: Cloud, data: bytes) -> None:
    headers = {"X-Auth-Token": await cloud.admin()}
    response = await cloud.http.post("/identity/v3/users", content=data, headers=headers)
    assert response.status_code == 400
    response = await cloud.http.post("/identity/v3/auth/tokens", content=data)
    assert response.status_code == 400


async def test_ten_megabytes_are_413(cloud: Cloud) -> None:
    async def chunks() -> Any:  # without a Content-Length
        for _ in range(160):
            yield b" " * 65536

    for content in (b" " * 10_000_000, chunks()):
        response = await cloud.http.post("/identity/v3/auth/tokens", content=content)
        assert response.status_code == 413
        assert response.json()["error"]["code"] == 413


async def test_unknown_paths_and_methods_are_told_in_keystones_form(cloud: Cloud) -> None:
    assert (await cloud.http.get("/identity/v3/nothing")).json()["error"]["code"] == 404
    wrong = await cloud.http.put("/identity/v3/users")
    assert wrong.json()["error"]["code"] == 405
    assert "GET" in wrong.headers["allow"]


@pytest.mark.parametrize("path", ["/identity", "/identity/"])
async def test_versions_are_discovered_without_a_token(cloud: Cloud, path: str) -> None:
    response = await cloud.http.get(path)
    assert response.status_code == 300
    version = response.json()["versions"]["values"][0]
    assert version["id"].startswith("v3.")
    assert version["status"] == "stable"
    assert version["links"] == [{"rel": "self", "href": "http://kaon.test/identity/v3/"}]
    for v3 in ("/identity/v3", "/identity/v3/"):
        assert (await cloud.http.get(v3)).json() == {"version": version}


async def test_immutable_attributes_do_not_change(cloud: Cloud) -> None:
    admin, red = await cloud.admin(), await cloud.project()
    for change in ({"domain_id": "elsewhere"}, {"id": "f" * 32}, {"parent_id": "f" * 32}):
        await cloud.call(admin, "PATCH", f"/projects/{red['id']}", {"project": change}, 400)
    same = {"id": red["id"], "domain_id": "default", "is_domain": False}
    assert (await cloud.call(admin, "PATCH", f"/projects/{red['id']}", {"project": same}))["project"] == red


async def test_projects_nest_five_deep_and_are_deleted_from_below(cloud: Cloud) -> None:
    admin = await cloud.admin()
    chain = [await cloud.project("p0")]
    for depth in range(1, 5):
        chain.append(await cloud.project(f"p{depth}", parent_id=chain[-1]["id"]))
    too_deep = {"project": {"name": "p5", "parent_id": chain[-1]["id"]}}
    await cloud.call(admin, "POST", "/projects", too_deep, 403)
    await cloud.call(admin, "DELETE", f"/projects/{chain[0]['id']}", status=403)
    for made in reversed(chain):
        await cloud.call(admin, "DELETE", f"/projects/{made['id']}", status=204)


async def test_a_domain_takes_all_that_it_owns_with_it(cloud: Cloud) -> None:
    admin = await cloud.admin()
    west = (await cloud.call(admin, "POST", "/domains", {"domain": {"name": "west"}}, 201))["domain"]
    here = {"domain_id": west["id"]}
    user = await cloud.user("bob", **here)
    parent = await cloud.project("red", **here)
    child = await cloud.project("pink", parent_id=parent["id"], **here)
    group = (await cloud.call(admin, "POST", "/groups", {"group": {"name": "crew", **here}}, 201))["group"]
    await cloud.call(admin, "PUT", f"/groups/{group['id']}/users/{user['id']}", status=204)
    await cloud.grant(user["id"], "member", f"projects/{child['id']}")
    before = len((await cloud.call(admin, "GET", "/role_assignments"))["role_assignments"])
    await cloud.call(admin, "DELETE", f"/domains/{west['id']}", status=403)
    await cloud.call(admin, "PATCH", f"/domains/{west['id']}", {"domain": {"enabled": False}})
    await cloud.call(admin, "DELETE", f"/domains/{west['id']}", status=204)
    gone = (f"users/{user['id']}", f"projects/{child['id']}", f"projects/{parent['id']}", f"groups/{group['id']}")
    for path in gone:
        await cloud.call(admin, "GET", f"/{path}", status=404)
    assert len((await cloud.call(admin, "GET", "/role_assignments"))["role_assignments"]) == before - 1
    await cloud.call(admin, "PATCH", "/domains/default", {"domain": {"enabled": False}}, 403)


async def test_tags_are_set_one_by_one_and_together(cloud: Cloud) -> None:
    admin, red = await cloud.admin(), await cloud.project()
    tags = f"/projects/{red['id']}/tags"
    await cloud.call(admin, "PUT", f"{tags}/hot", status=201)
    await cloud.call(admin, "PUT", f"{tags}/hot", status=201)
    await cloud.call(admin, "GET", f"{tags}/hot", status=204)
    assert (await cloud.call(admin, "PUT", tags, {"tags": ["a", "b"]}))["tags"] == ["a", "b"]
    await cloud.call(admin, "DELETE", f"{tags}/hot", status=404)
    await cloud.call(admin, "DELETE", f"{tags}/a", status=204)
    assert (await cloud.call(admin, "GET", f"/projects/{red['id']}"))["project"]["tags"] == ["b"]
    await cloud.call(admin, "DELETE", tags, status=204)
    assert (await cloud.call(admin, "GET", tags))["tags"] == []
    for wrong in (["a", "a"], ["a,b"], [""], [1], "a"):
        await cloud.call(admin, "PUT", tags, {"tags": wrong}, 400)


async def test_endpoints_appear_in_the_catalog_with_their_project_filled_in(cloud: Cloud) -> None:
    admin = await cloud.admin()
    service = (await cloud.call(admin, "POST", "/services", {"service": {"type": "volume"}}, 201))["service"]
    endpoint = {
        "interface": "public",
        "service_id": service["id"],
        "region": "RegionTwo",
        "url": "http://volumes/v3/$(project_id)s",
    }
    made = (await cloud.call(admin, "POST", "/endpoints", {"endpoint": endpoint}, 201))["endpoint"]
    assert made["region"] == made["region_id"] == "RegionTwo"
    token = (await cloud.login("admin", ADMIN_PASSWORD, project("admin"))).json()["token"]
    shown = next(entry for entry in token["catalog"] if entry["type"] == "volume")["endpoints"]
    assert [entry["url"] for entry in shown] == [f"http://volumes/v3/{token['project']['id']}"]
    assert (await cloud.call(admin, "GET", "/auth/catalog"))["catalog"] == token["catalog"]
    system = (await cloud.login("admin", ADMIN_PASSWORD, {"system": {"all": True}})).json()["token"]
    assert next(entry for entry in system["catalog"] if entry["type"] == "volume")["endpoints"] == []
    await cloud.call(admin, "DELETE", "/regions/RegionTwo", status=403)
    for change in ({"interface": "private"}, {"url": "nowhere"}, {"url": "http://x/$(secret)s"}, {"service_id": "x"}):
        await cloud.call(admin, "PATCH", f"/endpoints/{made['id']}", {"endpoint": change}, 400)
    listed = await cloud.call(admin, "GET", f"/endpoints?service_id={service['id']}&interface=public")
    assert [entry["id"] for entry in listed["endpoints"]] == [made["id"]]
    await cloud.call(admin, "DELETE", f"/services/{service['id']}", status=204)
    await cloud.call(admin, "GET", f"/endpoints/{made['id']}", status=404)
    await cloud.call(admin, "DELETE", "/regions/RegionTwo", status=204)
