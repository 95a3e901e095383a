"""Tokens over HTTP: what they say, how long they hold, and what ends them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from kaon.identity import keys
from kaon.identity.app import routes
from kaon.identity.bootstrap import bootstrap
from kaon.identity.state import Identity
from tests.identity.conftest import ADMIN_PASSWORD, Cloud, make_identity, project


async def test_a_project_token_says_who_where_and_what(cloud: Cloud) -> None:
    response = await cloud.login("admin", ADMIN_PASSWORD, project("admin"))
    token = response.json()["token"]
    assert token["user"]["name"] == "admin"
    assert token["user"]["domain"] == {"id": "default", "name": "Default"}
    assert token["project"]["name"] == "admin"
    assert token["project"]["domain"]["id"] == "default"
    assert [role["name"] for role in token["roles"]] == ["admin", "manager", "member", "reader"]
    assert token["is_domain"] is False
    assert token["methods"] == ["password"]
    assert len(token["audit_ids"]) == 1
    assert token["expires_at"].endswith(".000000Z")
    assert len(response.headers["x-subject-token"]) < 255
    assert response.headers["vary"] == "X-Auth-Token"
    services = {service["type"]: service for service in token["catalog"]}
    assert set(services) == {"identity", "network"}
    urls = {endpoint["interface"]: endpoint["url"] for endpoint in services["network"]["endpoints"]}
    assert urls == dict.fromkeys(("public", "internal", "admin"), "http://kaon.test")
    assert services["identity"]["endpoints"][0]["region"] == "RegionOne"


async def test_nocatalog_leaves_the_catalog_out(cloud: Cloud) -> None:
    user = {"name": "admin", "domain": {"name": "Default"}, "password": ADMIN_PASSWORD}
    auth = {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": project("admin")}
    response = await cloud.http.post("/identity/v3/auth/tokens?nocatalog", json={"auth": auth})
    assert response.status_code == 201
    assert "catalog" not in response.json()["token"]


@pytest.mark.parametrize(
    ("scope", "part"), [({"system": {"all": True}}, "system"), (project("admin"), "project"), (None, None)]
)
async def test_each_scope_shows_itself_and_no_other(cloud: Cloud, scope: object, part: str | None) -> None:
    token = (await cloud.login("admin", ADMIN_PASSWORD, scope)).json()["token"]
    assert {"system", "project", "domain"} & set(token) == ({part} if part else set())
    assert ("roles" in token) == (part is not None)
    assert ("catalog" in token) == (part is not None)


async def test_a_domain_token_needs_a_role_on_the_domain(cloud: Cloud) -> None:
    scope = {"domain": {"id": "default"}}
    await cloud.login("admin", ADMIN_PASSWORD, scope, status=401)
    admin = (await cloud.call(await cloud.admin(), "GET", "/users?name=admin"))["users"][0]
    await cloud.grant(admin["id"], "reader", "domains/default")
    token = (await cloud.login("admin", ADMIN_PASSWORD, scope)).json()["token"]
    assert token["domain"] == {"id": "default", "name": "Default"}
    assert [role["name"] for role in token["roles"]] == ["reader"]


async def test_a_project_in_which_the_user_has_no_role_is_refused_like_one_that_is_not_there(cloud: Cloud) -> None:
    await cloud.user()
    await cloud.project("red")
    foreign = await cloud.login("alice", "secret", project("red"), status=401)
    missing = await cloud.login("alice", "secret", project("nowhere"), status=401)
    assert foreign.json() == missing.json()


async def test_a_default_project_scopes_the_token_when_nothing_else_is_said(cloud: Cloud) -> None:
    user, red = await cloud.member()
    admin = await cloud.admin()
    await cloud.call(admin, "PATCH", f"/users/{user['id']}", {"user": {"default_project_id": red["id"]}})
    assert (await cloud.login("alice", "secret")).json()["token"]["project"]["id"] == red["id"]
    unscoped = (await cloud.login("alice", "secret", "unscoped")).json()["token"]
    assert "project" not in unscoped


async def test_a_token_is_exchanged_for_one_in_another_project_with_the_same_expiry(cloud: Cloud) -> None:
    user, _ = await cloud.member()
    blue = await cloud.project("blue")
    await cloud.grant(user["id"], "reader", f"projects/{blue['id']}")
    first = await cloud.login("alice", "secret", project("red"))
    auth = {
        "identity": {"methods": ["token"], "token": {"id": first.headers["x-subject-token"]}},
        "scope": {"project": {"id": blue["id"]}},
    }
    second = (await cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})).json()["token"]
    before = first.json()["token"]
    assert second["project"]["id"] == blue["id"]
    assert second["expires_at"] == before["expires_at"]
    assert second["methods"] == ["password", "token"]
    assert second["audit_ids"][1] == before["audit_ids"][0]
    assert second["audit_ids"][0] != before["audit_ids"][0]


async def test_validation_answers_what_was_issued_and_head_answers_the_same_status(cloud: Cloud) -> None:
    issued = await cloud.login("admin", ADMIN_PASSWORD, project("admin"))
    token = issued.headers["x-subject-token"]
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    shown = await cloud.http.get("/identity/v3/auth/tokens", headers=headers)
    assert shown.status_code == 200
    assert shown.json() == issued.json()
    assert shown.headers["x-subject-token"] == token
    assert (await cloud.http.head("/identity/v3/auth/tokens", headers=headers)).status_code == 200


async def test_validating_no_token_or_a_forged_one_is_404(cloud: Cloud) -> None:
    headers = {"X-Auth-Token": await cloud.admin()}
    assert (await cloud.http.get("/identity/v3/auth/tokens", headers=headers)).status_code == 404
    headers["X-Subject-Token"] = "gAAAAABforged"
    for method in ("GET", "HEAD", "DELETE"):
        assert (await cloud.http.request(method, "/identity/v3/auth/tokens", headers=headers)).status_code == 404


async def test_a_service_user_validates_the_tokens_of_others_and_a_member_does_not(cloud: Cloud) -> None:
    _, red = await cloud.member()
    neutron = await cloud.user("neutron")
    await cloud.grant(neutron["id"], "service", f"projects/{red['id']}")
    admin = await cloud.admin()
    service, member = [await cloud.token(name, "secret", project("red")) for name in ("neutron", "alice")]
    for asking, status in ((service, 200), (member, 403)):
        headers = {"X-Auth-Token": asking, "X-Subject-Token": admin}
        assert (await cloud.http.get("/identity/v3/auth/tokens", headers=headers)).status_code == status


async def test_a_revoked_token_is_dead_at_once_and_others_of_the_user_live(cloud: Cloud, identity: Identity) -> None:
    admin, doomed = await cloud.admin(), await cloud.admin()
    assert (await identity.validator.validate(doomed)).user_name == "admin"
    headers = {"X-Auth-Token": admin, "X-Subject-Token": doomed}
    assert (await cloud.http.delete("/identity/v3/auth/tokens", headers=headers)).status_code == 204
    await cloud.call(doomed, "GET", "/projects", status=401)
    gone = await cloud.http.get("/identity/v3/auth/tokens", headers=headers)
    assert gone.status_code == 404
    assert gone.json()["error"]["title"] == "Not Found"
    await cloud.call(admin, "GET", "/projects")


async def test_a_token_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = make_identity(tmp_path, token_lifetime=60)
    await bootstrap(identity, ADMIN_PASSWORD)
    transport = httpx.ASGITransport(app=Starlette(routes=routes(identity)))
    async with httpx.AsyncClient(transport=transport, base_url="http://kaon.test") as http:
        cloud = Cloud(http)
        token = await cloud.admin()
        await cloud.call(token, "GET", "/projects")
        entry = identity.validator._entries[token]
        later = entry.facts.payload.expires_at / 1e6 + 0.001
        monkeypatch.setattr("kaon.identity.validate.time.time", lambda: later)
        monkeypatch.setattr("kaon.identity.validate.time.time_ns", lambda: int(later * 1e9))
        await cloud.call(token, "GET", "/projects", status=401)
    identity.passwords.close()
    identity.store.close()


@pytest.mark.parametrize("forged", ["", "x", "gAAAAA", "é", "a" * 5000, "gAAAAABm" + "A" * 200])
async def test_what_is_no_token_is_401_with_the_way_to_get_one(cloud: Cloud, forged: str) -> None:
    headers = {"X-Auth-Token": forged.encode("latin-1")}
    response = await cloud.http.get("/identity/v3/projects", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Keystone uri="http://kaon.test/identity"'
    assert response.json()["error"] == {
        "code": 401,
        "message": "The request you have made requires authentication.",
        "title": "Unauthorized",
    }


async def test_rotated_keys_keep_old_tokens_until_their_key_is_dropped(cloud: Cloud, identity: Identity) -> None:
    old = await cloud.admin()
    assert keys.rotate(identity.keys.folder) == 2
    identity.validator.forget()
    await cloud.call(old, "GET", "/projects")
    new = await cloud.admin()
    assert keys.rotate(identity.keys.folder) == 3
    identity.validator.forget()
    await cloud.call(old, "GET", "/projects", status=401)
    await cloud.call(new, "GET", "/projects")
    names = sorted(path.name for path in identity.keys.folder.iterdir())
    assert names == ["0", "2", "3"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in identity.keys.folder.iterdir())


async def test_a_disabled_project_user_or_domain_ends_its_tokens_for_good(cloud: Cloud) -> None:
    admin = await cloud.admin()
    domain = (await cloud.call(admin, "POST", "/domains", {"domain": {"name": "west"}}, 201))["domain"]
    user = await cloud.user("bob", domain_id=domain["id"])
    red = await cloud.project("red", domain_id=domain["id"])
    await cloud.grant(user["id"], "member", f"projects/{red['id']}")
    scope = {"project": {"id": red["id"]}}
    for path, kind in ((f"/users/{user['id']}", "user"), (f"/projects/{red['id']}", "project"),
                       (f"/domains/{domain['id']}", "domain")):  # fmt: skip
        token = await cloud.token("bob", "secret", scope, domain["id"])
        await cloud.call(token, "GET", "/auth/projects")
        await cloud.call(admin, "PATCH", path, {kind: {"enabled": False}})
        await cloud.call(token, "GET", "/auth/projects", status=401)
        await cloud.login("bob", "secret", scope, domain["id"], status=401)
        await cloud.call(admin, "PATCH", path, {kind: {"enabled": True}})
        await cloud.call(token, "GET", "/auth/projects", status=401)
        await cloud.login("bob", "secret", scope, domain["id"])


async def test_a_role_taken_away_is_missing_from_the_same_token_at_once(cloud: Cloud, identity: Identity) -> None:
    user, red = await cloud.member("manager")
    await cloud.grant(user["id"], "reader", f"projects/{red['id']}")
    token = await cloud.token("alice", "secret", project("red"))
    assert "member" in (await identity.validator.validate(token)).roles
    path = f"/projects/{red['id']}/users/{user['id']}/roles/{await cloud.role('manager')}"
    await cloud.call(await cloud.admin(), "DELETE", path, status=204)
    assert (await identity.validator.validate(token)).roles == frozenset({"reader"})
    path = f"/projects/{red['id']}/users/{user['id']}/roles/{await cloud.role('reader')}"
    await cloud.call(await cloud.admin(), "DELETE", path, status=204)
    await cloud.call(token, "GET", "/auth/projects", status=401)
