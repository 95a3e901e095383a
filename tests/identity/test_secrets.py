"""Passwords and application credentials: what they open, what they hide, and how guessing is slowed down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any

import httpx
import pytest

from kaon.identity.bootstrap import bootstrap
from kaon.identity.errors import IdentityError
from kaon.identity.passwords import Passwords
from kaon.identity.state import Identity
from kaon.identity.throttle import Throttle
from tests.identity.conftest import ADMIN_PASSWORD, Cloud, project


async def test_wrong_unknown_disabled_and_passwordless_users_get_the_same_answer(cloud: Cloud) -> None:
    await cloud.user("alice")
    await cloud.user("sleeper", enabled=False)
    await cloud.user("mute", password=None)
    answers = []
    for name, password in (("alice", "wrong"), ("nobody", "secret"), ("sleeper", "secret"), ("sleeper", "wrong"),
                           ("mute", "secret"), ("mute", "")):  # fmt: skip
        answer = await cloud.login(name, password, status=401)
        headers = {key: value for key, value in answer.headers.items() if key != "x-openstack-request-id"}
        answers.append((answer.content, headers))
    answers.append((answers[0][0], answers[0][1]))
    nowhere = await cloud.login("alice", "secret", domain="nowhere", status=401)
    assert {content for content, _ in answers} == {nowhere.content}
    assert all(headers == answers[0][1] for _, headers in answers)


async def test_nobodys_password_takes_as_long_to_check_as_a_wrong_one() -> None:
    passwords = Passwords()
    stored = passwords.hash_now("secret")

    async def seconds(hashed: str | None) -> float:
        start = perf_counter()
        assert not await passwords.check(hashed, "wrong")
        return perf_counter() - start

    known, unknown = [], []
    for _ in range(7):
        known.append(await seconds(stored))
        unknown.append(await seconds(None))
    passwords.close()
    # The quickest of several: whatever else the machine does can only make one slower.
    assert 0.5 < min(known) / min(unknown) < 2


async def test_hashes_are_argon2id_with_a_salt_of_their_own() -> None:
    passwords = Passwords()
    first, second = await passwords.hash("secret"), await passwords.hash("secret")
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert first != second
    assert await passwords.check(first, "secret") and await passwords.check(second, "secret")
    assert not await passwords.check("not a hash", "secret")
    passwords.close()


async def test_guessing_is_stopped_for_one_name_and_address_and_no_other(cloud: Cloud) -> None:
    await cloud.user("alice")
    await cloud.user("bob")
    for _ in range(10):
        await cloud.login("alice", "wrong", status=401)
        await cloud.login("nobody", "wrong", status=401)
    refused = await cloud.login("alice", "secret", status=429)
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert (await cloud.login("Alice", "wrong", status=429)).json()["error"]["title"] == "Too Many Requests"
    assert (await cloud.login("nobody", "wrong", status=429)).json()["error"] == refused.json()["error"]
    await cloud.login("bob", "secret")
    elsewhere = httpx.ASGITransport(app=cloud.http._transport.app, client=("192.0.2.7", 1))  # type: ignore[attr-defined]
    async with httpx.AsyncClient(transport=elsewhere, base_url="http://kaon.test") as http:
        await Cloud(http).login("alice", "secret")


async def test_a_client_with_the_right_password_is_never_stopped(cloud: Cloud) -> None:
    await cloud.user("alice")
    for _ in range(3):
        for _ in range(9):
            await cloud.login("alice", "wrong", status=401)
        for _ in range(5):
            await cloud.login("alice", "secret")


def test_failures_are_forgotten_as_the_window_slides() -> None:
    now = 0.0
    throttle = Throttle(most=3, window=60, clock=lambda: now)
    for _ in range(3):
        throttle.check(("a",))
        throttle.failed(("a",))
        now += 10
    now = 59.0
    with pytest.raises(IdentityError) as refused:
        throttle.check(("a",))
    assert refused.value.headers["Retry-After"] == "1"
    throttle.check(("b",))
    now = 60.0
    throttle.check(("a",))
    throttle.failed(("a",))
    with pytest.raises(IdentityError):
        throttle.check(("a",))
    throttle.succeeded(("a",))
    throttle.check(("a",))


async def test_attempts_that_queued_before_the_first_failure_are_refused_when_their_turn_comes() -> None:
    passwords, throttle = Passwords(), Throttle(most=1)
    throttle.failed(("a",))
    with pytest.raises(IdentityError):
        await passwords.check(None, "guess", lambda: throttle.check(("a",)))
    passwords.close()


async def test_users_change_their_own_password_and_older_tokens_end(cloud: Cloud) -> None:
    user, _ = await cloud.member()
    token = await cloud.token("alice", "secret", project("red"))
    url = f"/identity/v3/users/{user['id']}/password"

    async def change(old: Any, new: Any) -> int:
        body = {"user": {"original_password": old, "password": new}}
        return (await cloud.http.post(url, json=body)).status_code

    assert await change("wrong", "better") == 401
    assert await change("secret", "") == 400
    assert await change(None, "better") == 400
    await cloud.call(token, "GET", "/auth/projects")
    assert await change("secret", "better") == 204
    await cloud.call(token, "GET", "/auth/projects", status=401)
    await cloud.login("alice", "secret", status=401)
    await cloud.login("alice", "better")
    assert (await cloud.http.post("/identity/v3/users/nobody/password",
        json={"user": {"original_password": "a", "password": "b"}})).status_code == 401  # fmt: skip


async def test_bootstrapping_again_changes_nothing_but_a_new_password(cloud: Cloud, identity: Identity) -> None:
    before = await cloud.admin()
    rows = [(await cloud.call(before, "GET", f"/{name}"))[name] for name in ("users", "projects", "roles", "endpoints")]
    assert not await bootstrap(identity, "only for a new one")
    assert not await bootstrap(identity, "", ADMIN_PASSWORD)
    await cloud.call(before, "GET", "/users")
    again = [
        (await cloud.call(before, "GET", f"/{name}"))[name] for name in ("users", "projects", "roles", "endpoints")
    ]
    assert again == rows
    await bootstrap(identity, "", "another")
    await cloud.call(before, "GET", "/users", status=401)
    await cloud.login("admin", ADMIN_PASSWORD, status=401)
    await cloud.login("admin", "another", project("admin"))


# ---------------------------------------------------------------- application credentials


async def _credential(cloud: Cloud, **others: Any) -> tuple[dict[str, Any], str]:
    """A credential of alice in red, and a token of hers."""
    user, _ = await cloud.member()
    token = await cloud.token("alice", "secret", project("red"))
    path = f"/users/{user['id']}/application_credentials"
    body = {"application_credential": {"name": "robot", **others}}
    return (await cloud.call(token, "POST", path, body, 201))["application_credential"], token


async def _by_credential(cloud: Cloud, status: int = 201, scope: Any = None, **identifies: Any) -> httpx.Response:
    auth: dict[str, Any] = {
        "identity": {"methods": ["application_credential"], "application_credential": identifies},
    }
    if scope:
        auth["scope"] = scope
    response = await cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})
    assert response.status_code == status, response.text
    return response


async def test_a_credential_opens_its_project_with_its_roles_and_no_other(cloud: Cloud) -> None:
    made, _ = await _credential(cloud, roles=[{"name": "reader"}])
    assert [role["name"] for role in made["roles"]] == ["reader"]
    assert made["unrestricted"] is False
    response = await _by_credential(cloud, id=made["id"], secret=made["secret"])
    token = response.json()["token"]
    assert token["project"]["name"] == "red"
    assert [role["name"] for role in token["roles"]] == ["reader"]
    assert token["application_credential"] == {"id": made["id"], "name": "robot", "restricted": True}
    assert token["methods"] == ["application_credential"]
    owner = {"name": "alice", "domain": {"name": "Default"}}
    await _by_credential(cloud, name="robot", user=owner, secret=made["secret"])
    await _by_credential(cloud, 401, id=made["id"], secret="wrong")
    await _by_credential(cloud, 401, id="f" * 32, secret=made["secret"])
    await _by_credential(cloud, 401, name="robot", user={"id": "nobody"}, secret=made["secret"])


async def test_a_credential_leads_nowhere_else_not_even_through_its_token(cloud: Cloud) -> None:
    made, _ = await _credential(cloud)
    blue = await cloud.project("blue")
    await cloud.grant(made["user_id"], "member", f"projects/{blue['id']}")
    there = {"project": {"id": blue["id"]}}
    await _by_credential(cloud, 401, there, id=made["id"], secret=made["secret"])
    token = (await _by_credential(cloud, id=made["id"], secret=made["secret"])).headers["x-subject-token"]
    for scope in (there, "unscoped", None, {"project": {"id": made["project_id"]}}):
        auth = {"identity": {"methods": ["token"], "token": {"id": token}}, **({"scope": scope} if scope else {})}
        response = await cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})
        assert response.status_code == 403
    assert [p["name"] for p in (await cloud.call(token, "GET", "/auth/projects"))["projects"]] == ["red"]


async def test_a_restricted_credential_makes_and_deletes_no_others_an_unrestricted_one_does(cloud: Cloud) -> None:
    made, token = await _credential(cloud)
    path = f"/users/{made['user_id']}/application_credentials"
    free = {"application_credential": {"name": "free", "unrestricted": True}}
    other = (await cloud.call(token, "POST", path, free, 201))["application_credential"]
    await cloud.call(token, "POST", path, free, 409)
    body = {"application_credential": {"name": "child"}}
    for credential, created, deleted in ((made, 403, 403), (other, 201, 204)):
        response = await _by_credential(cloud, id=credential["id"], secret=credential["secret"])
        robot = response.headers["x-subject-token"]
        await cloud.call(robot, "POST", path, body, created)
        await cloud.call(robot, "DELETE", f"{path}/{made['id']}", status=deleted)


async def test_a_credential_is_listed_and_shown_without_its_secret_and_ends_with_its_deletion(cloud: Cloud) -> None:
    made, token = await _credential(cloud, secret="given", description="for the robot")
    path = f"/users/{made['user_id']}/application_credentials"
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"] == "given"
    assert (await cloud.call(token, "GET", path))["application_credentials"] == [shown]
    assert (await cloud.call(token, "GET", f"{path}?name=other"))["application_credentials"] == []
    assert (await cloud.call(token, "GET", f"{path}/{made['id']}"))["application_credential"] == shown
    robot = (await _by_credential(cloud, id=made["id"], secret="given")).headers["x-subject-token"]
    await cloud.call(robot, "GET", path)
    await cloud.call(token, "DELETE", f"{path}/{made['id']}", status=204)
    await cloud.call(robot, "GET", path, status=401)
    await cloud.call(token, "GET", f"{path}/{made['id']}", status=404)


async def test_a_credential_and_its_tokens_end_at_its_time(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    made, _ = await _credential(cloud, expires_at=f"{soon:%Y-%m-%dT%H:%M:%S}.000000")
    response = await _by_credential(cloud, id=made["id"], secret=made["secret"])
    assert response.json()["token"]["expires_at"] == made["expires_at"] == f"{soon:%Y-%m-%dT%H:%M:%S}.000000Z"
    monkeypatch.setattr("kaon.identity.authenticate.now_us", lambda: int(soon.timestamp() * 1e6))
    await _by_credential(cloud, 401, id=made["id"], secret=made["secret"])


@pytest.mark.parametrize(
    "wrong",
    [{"expires_at": "2001-01-01T00:00:00"}, {"expires_at": "soon"}, {"roles": [{"name": "admin"}]}, {"roles": "all"},
     {"name": ""}, {"secret": ""}, {"secret": 1}, {"unrestricted": "no"}, {"access_rules": [{"path": "/"}]}],
)  # fmt: skip
async def test_a_credential_that_cannot_be_is_explained(cloud: Cloud, wrong: dict[str, Any]) -> None:
    user, _ = await cloud.member()
    token = await cloud.token("alice", "secret", project("red"))
    body = {"application_credential": {"name": "robot", **wrong}}
    await cloud.call(token, "POST", f"/users/{user['id']}/application_credentials", body, 400)


async def test_a_credential_loses_the_roles_that_its_user_loses(cloud: Cloud) -> None:
    made, _ = await _credential(cloud)
    token = (await _by_credential(cloud, id=made["id"], secret=made["secret"])).headers["x-subject-token"]
    await cloud.grant(made["user_id"], "reader", f"projects/{made['project_id']}")
    path = f"/projects/{made['project_id']}/users/{made['user_id']}/roles/{await cloud.role('member')}"
    await cloud.call(await cloud.admin(), "DELETE", path, status=204)
    headers = {"X-Auth-Token": token, "X-Subject-Token": token}
    shown = (await cloud.http.get("/identity/v3/auth/tokens", headers=headers)).json()["token"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]


async def test_an_administrator_makes_no_credentials_for_others(cloud: Cloud) -> None:
    user, _ = await cloud.member()
    path = f"/users/{user['id']}/application_credentials"
    await cloud.call(await cloud.admin(), "POST", path, {"application_credential": {"name": "spy"}}, 403)


@pytest.mark.parametrize(
    ("auth", "says"),
    [
        ({}, "$.auth"),
        ({"identity": {"methods": "password"}}, "$.auth.identity.methods"),
        ({"identity": {"methods": []}}, "$.auth.identity.methods"),
        ({"identity": {"methods": ["password"]}}, "$.auth.identity"),
        ({"identity": {"methods": ["password"], "password": {"user": {"id": 1}}}}, "$.auth.identity.password.user.id"),
        ({"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}}, "password.user"),
        ({"identity": {"methods": ["password"], "password": {"user": {"name": "a", "password": "x"}}}}, "domain"),
    ],
)
async def test_a_malformed_login_is_400_with_the_path(cloud: Cloud, auth: dict[str, Any], says: str) -> None:
    response = await cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})
    assert response.status_code == 400
    assert says in response.json()["error"]["message"]


async def test_an_unsupported_method_is_401(cloud: Cloud) -> None:
    auth = {"identity": {"methods": ["saml2"], "saml2": {}}}
    assert (await cloud.http.post("/identity/v3/auth/tokens", json={"auth": auth})).status_code == 401
