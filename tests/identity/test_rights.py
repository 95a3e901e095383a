"""Who may do what: administrators, system and domain readers and managers, members, and nobody."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.conftest import ADMIN_PASSWORD, Cloud, project

DOMAIN = {"domain": {"id": "default"}}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users"), ("GET", "/projects"), ("GET", "/domains"), ("GET", "/roles"), ("GET", "/services"),
        ("GET", "/endpoints"), ("GET", "/groups"), ("GET", "/role_assignments"), ("GET", "/role_inferences"),
        ("GET", "/users/nobody"), ("GET", "/projects/nothing"), ("DELETE", "/users/nobody"),
        ("DELETE", "/projects/nothing"), ("PUT", "/projects/p/users/u/roles/r"), ("DELETE", "/services/s"),
        ("GET", "/users/nobody/projects"), ("GET", "/users/nobody/application_credentials"),
    ],
)  # fmt: skip
async def test_a_member_may_not_look_around_and_nobody_at_all_is_401(cloud: Cloud, method: str, path: str) -> None:
    await cloud.member()
    token = await cloud.token("alice", "secret", project("red"))
    error = (await cloud.call(token, method, path, status=403))["error"]
    assert error["message"].startswith("You are not authorized to perform the requested action: identity:")
    assert (await cloud.http.request(method, f"/identity/v3{path}")).status_code == 401


@pytest.mark.parametrize("kind", ["user", "project", "domain", "role", "service", "region"])
async def test_a_member_makes_nothing(cloud: Cloud, kind: str) -> None:
    await cloud.member()
    token = await cloud.token("alice", "secret", project("red"))
    body = {kind: {"name": "mine", "type": "x"}}
    await cloud.call(token, "POST", f"/{kind}s", body, 403)


async def test_a_member_sees_themselves_their_project_and_their_domain(cloud: Cloud) -> None:
    user, red = await cloud.member()
    blue = await cloud.project("blue")
    token = await cloud.token("alice", "secret", project("red"))
    assert (await cloud.call(token, "GET", f"/users/{user['id']}"))["user"] == user
    assert (await cloud.call(token, "GET", f"/projects/{red['id']}"))["project"] == red
    assert (await cloud.call(token, "GET", "/domains/default"))["domain"]["name"] == "Default"
    await cloud.call(token, "GET", f"/projects/{blue['id']}", status=403)
    for path in ("/auth/projects", f"/users/{user['id']}/projects"):
        assert [p["id"] for p in (await cloud.call(token, "GET", path))["projects"]] == [red["id"]]
    assert (await cloud.call(token, "GET", "/auth/domains"))["domains"] == []
    assert (await cloud.call(token, "GET", "/auth/system"))["system"] == []
    await cloud.call(token, "PATCH", f"/users/{user['id']}", {"user": {"name": "queen"}}, 403)


async def test_a_system_reader_sees_everything_and_changes_nothing(cloud: Cloud) -> None:
    user = await cloud.user("auditor")
    await cloud.grant(user["id"], "reader", "system")
    token = await cloud.token("auditor", "secret", {"system": {"all": True}})
    for path in ("/users", "/projects", "/domains", "/roles", "/services", "/endpoints", "/role_assignments"):
        await cloud.call(token, "GET", path)
    assert (await cloud.call(token, "GET", "/auth/system"))["system"] == [{"all": True}]
    await cloud.call(token, "POST", "/projects", {"project": {"name": "mine"}}, 403)
    await cloud.call(token, "DELETE", f"/users/{user['id']}", status=403)


async def test_a_domain_manager_runs_one_domain_and_gives_no_admin(cloud: Cloud) -> None:
    admin = await cloud.admin()
    west = (await cloud.call(admin, "POST", "/domains", {"domain": {"name": "west"}}, 201))["domain"]["id"]
    boss = await cloud.user("boss", domain_id=west)
    await cloud.grant(boss["id"], "manager", f"domains/{west}")
    token = await cloud.token("boss", "secret", {"domain": {"id": west}}, west)
    # What names no domain is made in the manager's own.
    made = (await cloud.call(token, "POST", "/users", {"user": {"name": "bob", "password": "b"}}, 201))["user"]
    red = (await cloud.call(token, "POST", "/projects", {"project": {"name": "red"}}, 201))["project"]
    assert made["domain_id"] == red["domain_id"] == west
    await cloud.call(token, "POST", "/users", {"user": {"name": "eve", "domain_id": "default"}}, 403)
    assert {user["name"] for user in (await cloud.call(token, "GET", "/users"))["users"]} == {"boss", "bob"}
    assert {p["name"] for p in (await cloud.call(token, "GET", "/projects"))["projects"]} == {"red"}
    grant = f"/projects/{red['id']}/users/{made['id']}/roles"
    await cloud.call(token, "PUT", f"{grant}/{await cloud.role('member')}", status=204)
    await cloud.call(token, "PUT", f"{grant}/{await cloud.role('admin')}", status=403)
    assert [role["name"] for role in (await cloud.call(token, "GET", grant))["roles"]] == ["member"]
    foreign = (await cloud.call(admin, "GET", "/projects?name=admin"))["projects"][0]["id"]
    path = f"/projects/{foreign}/users/{made['id']}/roles/{await cloud.role('member')}"
    await cloud.call(token, "PUT", path, status=403)
    listed = (await cloud.call(token, "GET", "/role_assignments"))["role_assignments"]
    assert {entry["user"]["id"] for entry in listed} == {boss["id"], made["id"]}
    await cloud.call(token, "GET", "/services", status=403)


async def test_grants_are_put_seen_and_taken_away(cloud: Cloud) -> None:
    admin, user, red = await cloud.admin(), await cloud.user(), await cloud.project()
    role = await cloud.role("member")
    for where in (f"projects/{red['id']}", "domains/default", "system", f"OS-INHERIT/projects/{red['id']}"):
        many = f"/{where}/users/{user['id']}/roles"
        one = f"{many}/{role}"
        if where.startswith("OS-INHERIT"):
            many, one = f"{many}/inherited_to_projects", f"{one}/inherited_to_projects"
        await cloud.call(admin, "HEAD", one, status=404)
        assert (await cloud.call(admin, "GET", many))["roles"] == []
        await cloud.call(admin, "PUT", one, status=204)
        await cloud.call(admin, "PUT", one, status=204)
        await cloud.call(admin, "HEAD", one, status=204)
        assert [entry["id"] for entry in (await cloud.call(admin, "GET", many))["roles"]] == [role]
        await cloud.call(admin, "DELETE", one, status=204)
        await cloud.call(admin, "DELETE", one, status=404)
    for path in (f"/projects/x/users/{user['id']}/roles/{role}", f"/projects/{red['id']}/users/x/roles/{role}",
                 f"/projects/{red['id']}/users/{user['id']}/roles/x", f"/domains/x/users/{user['id']}/roles/{role}",
                 f"/system/groups/x/roles/{role}"):  # fmt: skip
        await cloud.call(admin, "PUT", path, status=404)


async def test_a_group_gives_its_roles_to_its_members_as_long_as_they_are_in_it(cloud: Cloud) -> None:
    admin, user, red = await cloud.admin(), await cloud.user(), await cloud.project()
    group = (await cloud.call(admin, "POST", "/groups", {"group": {"name": "crew"}}, 201))["group"]["id"]
    member = f"/groups/{group}/users/{user['id']}"
    await cloud.call(
        admin, "PUT", f"/projects/{red['id']}/groups/{group}/roles/{await cloud.role('member')}", status=204
    )
    await cloud.login("alice", "secret", project("red"), status=401)
    await cloud.call(admin, "HEAD", member, status=404)
    await cloud.call(admin, "PUT", member, status=204)
    await cloud.call(admin, "HEAD", member, status=204)
    token = await cloud.token("alice", "secret", project("red"))
    assert [u["id"] for u in (await cloud.call(admin, "GET", f"/groups/{group}/users"))["users"]] == [user["id"]]
    assert [g["id"] for g in (await cloud.call(token, "GET", f"/users/{user['id']}/groups"))["groups"]] == [group]
    await cloud.call(admin, "DELETE", member, status=204)
    await cloud.call(token, "GET", "/auth/projects", status=401)


async def test_an_inherited_role_holds_below_and_not_on_the_project_itself(cloud: Cloud) -> None:
    admin, user, parent = await cloud.admin(), await cloud.user(), await cloud.project()
    child = await cloud.project("pink", parent_id=parent["id"])
    role = await cloud.role("reader")
    path = f"/OS-INHERIT/projects/{parent['id']}/users/{user['id']}/roles/{role}/inherited_to_projects"
    await cloud.call(admin, "PUT", path, status=204)
    await cloud.login("alice", "secret", project("red"), status=401)
    token = (await cloud.login("alice", "secret", project("pink"))).json()["token"]
    assert [entry["name"] for entry in token["roles"]] == ["reader"]
    query = f"/role_assignments?effective&user.id={user['id']}"
    held = (await cloud.call(admin, "GET", query))["role_assignments"]
    assert [entry["scope"]["project"]["id"] for entry in held] == [child["id"]]


async def test_role_assignments_are_listed_by_their_ends(cloud: Cloud) -> None:
    user, red = await cloud.member()
    admin, role = await cloud.admin(), await cloud.role("member")

    async def listed(query: str) -> list[dict[str, Any]]:
        return (await cloud.call(admin, "GET", f"/role_assignments?{query}"))["role_assignments"]

    plain = await listed(f"user.id={user['id']}")
    link = f"http://kaon.test/identity/v3/projects/{red['id']}/users/{user['id']}/roles/{role}"
    assert plain == [
        {
            "user": {"id": user["id"]},
            "role": {"id": role},
            "scope": {"project": {"id": red["id"]}},
            "links": {"assignment": link},
        }
    ]
    assert await listed(f"scope.project.id={red['id']}&role.id={role}") == plain
    assert await listed(f"scope.project.id={red['id']}&user.id=nobody") == []
    assert await listed("scope.domain.id=default") == []
    named = (await listed(f"user.id={user['id']}&include_names"))[0]
    assert named["role"]["name"] == "member"
    assert named["user"]["domain"] == {"id": "default", "name": "Default"}
    assert named["scope"]["project"]["name"] == "red"
    effective = await listed(f"user.id={user['id']}&effective&include_names")
    assert {entry["role"]["name"] for entry in effective} == {"member", "reader"}
    assert [entry["scope"] for entry in await listed("scope.system=all")] == [{"system": {"all": True}}]
    for wrong in ("user.id=a&group.id=b", "scope.project.id=a&scope.domain.id=b", "effective&group.id=a"):
        await cloud.call(admin, "GET", f"/role_assignments?{wrong}", status=400)


async def test_implied_roles_can_be_added_and_removed_but_never_run_in_circles(cloud: Cloud) -> None:
    user, red = await cloud.member("reader")
    admin = await cloud.admin()
    role = (await cloud.call(admin, "POST", "/roles", {"role": {"name": "auditor"}}, 201))["role"]["id"]
    reader, administrator = await cloud.role("reader"), await cloud.role("admin")
    implies = f"/roles/{reader}/implies/{role}"
    made = await cloud.call(admin, "PUT", implies, status=201)
    assert made["role_inference"]["prior_role"]["name"] == "reader"
    assert made["role_inference"]["implies"]["id"] == role
    token = await cloud.login("alice", "secret", project("red"))
    assert [entry["name"] for entry in token.json()["token"]["roles"]] == ["auditor", "reader"]
    await cloud.call(admin, "PUT", f"/roles/{role}/implies/{reader}", status=400)
    await cloud.call(admin, "PUT", f"/roles/{role}/implies/{role}", status=400)
    await cloud.call(admin, "PUT", f"/roles/{role}/implies/{administrator}", status=403)
    inferences = (await cloud.call(admin, "GET", "/role_inferences"))["role_inferences"]
    assert {entry["prior_role"]["name"] for entry in inferences} == {"admin", "manager", "member", "reader"}
    listed = await cloud.call(admin, "GET", f"/roles/{reader}/implies")
    assert [entry["id"] for entry in listed["role_inference"]["implies"]] == [role]
    await cloud.call(admin, "HEAD", implies, status=204)
    await cloud.call(admin, "DELETE", implies, status=204)
    await cloud.call(admin, "GET", implies, status=404)
    assert user["id"] and red["id"]


async def test_a_deleted_role_leaves_the_tokens_that_had_it(cloud: Cloud) -> None:
    user, red = await cloud.member()
    admin = await cloud.admin()
    role = (await cloud.call(admin, "POST", "/roles", {"role": {"name": "auditor"}}, 201))["role"]["id"]
    await cloud.call(admin, "PUT", f"/projects/{red['id']}/users/{user['id']}/roles/{role}", status=204)
    token = await cloud.token("alice", "secret", project("red"))
    await cloud.call(admin, "DELETE", f"/roles/{role}", status=204)
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    shown = (await cloud.http.get("/identity/v3/auth/tokens", headers=headers)).json()["token"]
    assert [entry["name"] for entry in shown["roles"]] == ["member", "reader"]


async def test_the_first_admin_reaches_the_system_and_the_project(cloud: Cloud) -> None:
    for scope in (project("admin"), {"system": {"all": True}}):
        token = (await cloud.login("admin", ADMIN_PASSWORD, scope)).json()["token"]
        assert "admin" in [role["name"] for role in token["roles"]]
    await cloud.login("admin", ADMIN_PASSWORD, DOMAIN, status=401)
