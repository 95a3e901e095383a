"""What decides whether a new security group is stateful."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import kind

PATH, NAME = "/security-groups-default-statefulness", "security_groups_default_statefulness"


async def choose(cloud: Cloud, token: str = "admin:ops", **values: Any) -> tuple[int, Any]:
    return await cloud(token, "POST", PATH, {NAME: values})


async def is_stateful(cloud: Cloud, token: str, **values: Any) -> bool:
    return bool((await cloud.made(token, "/security-groups", name="web", **values))["stateful"])


async def test_a_projects_choice_goes_before_the_operators_and_what_is_said_before_both(cloud: Cloud) -> None:
    assert await is_stateful(cloud, "member:red") is True
    status, body = await choose(cloud, project_id=None, stateful=False)
    assert status == 201
    everywhere = body[NAME]
    assert everywhere == {"id": everywhere["id"], "project_id": None, "tenant_id": None, "stateful": False}
    assert await is_stateful(cloud, "member:red") is False
    assert await is_stateful(cloud, "member:red", stateful=True) is True
    assert (await choose(cloud, project_id="red"))[0] == 201
    assert await is_stateful(cloud, "member:red") is True
    assert await is_stateful(cloud, "member:blue") is False
    path = f"{PATH}/{everywhere['id']}"
    status, body = await cloud("admin:ops", "PUT", path, {NAME: {"stateful": True}})
    assert status == 200 and body[NAME]["stateful"] is True
    assert await is_stateful(cloud, "member:blue") is True
    assert (await cloud("admin:ops", "DELETE", path))[0] == 204
    assert kind(await cloud("admin:ops", "GET", path)) == (404, "SecurityGroupDefaultStatefulnessNotFound")


async def test_there_is_one_choice_a_project_and_one_for_all(cloud: Cloud) -> None:
    again = (409, "SecurityGroupDefaultStatefulnessAlreadyExists")
    for project in (None, "red"):
        assert (await choose(cloud, project_id=project))[0] == 201
        assert kind(await choose(cloud, project_id=project)) == again
    status, body = await cloud("reader:red", "GET", PATH)
    assert status == 200 and [item["project_id"] for item in body[NAME]] == ["red"]
    assert len((await cloud("admin:ops", "GET", PATH))[1][NAME]) == 2
    assert kind(await choose(cloud, "member:blue", stateful=False)) == (403, "PolicyNotAuthorized")
    assert kind(await choose(cloud, "member:blue", project_id=None))[0] == 400
    status, body = await cloud("admin:ops", "POST", PATH, {NAME: [{"project_id": "a"}, {"project_id": "b"}]})
    assert status == 201 and len(body[NAME]) == 2
