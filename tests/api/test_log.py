"""Logs of security groups through the API."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import kind

NOBODY = "00000000-0000-4000-8000-000000000000"


async def make(cloud: Cloud, token: str = "admin:ops", **values: Any) -> tuple[int, Any]:
    return await cloud(token, "POST", "/log/logs", {"log": {"resource_type": "security_group", **values}})


async def port_and_group(cloud: Cloud) -> tuple[dict[str, Any], dict[str, Any]]:
    network = await cloud.made("member:red", "/networks")
    group = await cloud.made("member:red", "/security-groups", name="web")
    port = await cloud.made("member:red", "/ports", network_id=network["id"], security_groups=[group["id"]])
    return port, group


async def test_a_log_is_described_switched_off_and_removed(cloud: Cloud) -> None:
    _, group = await port_and_group(cloud)
    status, body = await make(cloud, name="web", resource_id=group["id"], event="DROP")
    assert status == 201
    log = body["log"]
    assert (log["event"], log["enabled"], log["target_id"], log["revision_number"]) == ("DROP", True, None, 0)
    path = f"/log/logs/{log['id']}"
    status, body = await cloud("admin:ops", "PUT", path, {"log": {"enabled": False, "description": "quiet"}})
    assert status == 200 and (body["log"]["enabled"], body["log"]["description"]) == (False, "quiet")
    assert kind(await cloud("admin:ops", "PUT", path, {"log": {"event": "ALL"}}))[0] == 400
    assert (await cloud("admin:ops", "GET", "/log/logs?name=web"))[1]["logs"] == [body["log"]]
    assert (await cloud("admin:ops", "DELETE", path))[0] == 204
    assert kind(await cloud("admin:ops", "GET", path)) == (404, "LogResourceNotFound")
    _, body = await cloud("admin:ops", "GET", "/log/loggable-resources")
    assert body == {"loggable_resources": [{"type": "security_group"}]}


async def test_a_log_goes_with_the_port_or_the_group_that_it_is_of(cloud: Cloud) -> None:
    port, group = await port_and_group(cloud)
    for values in ({"target_id": port["id"]}, {"resource_id": group["id"], "enabled": False}, {}):
        assert (await make(cloud, **values))[0] == 201
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204
    logs = (await cloud("admin:ops", "GET", "/log/logs"))[1]["logs"]
    assert [log["target_id"] for log in logs] == [None, None]
    assert (await cloud("member:red", "DELETE", f"/security-groups/{group['id']}"))[0] == 204
    (last,) = (await cloud("admin:ops", "GET", "/log/logs"))[1]["logs"]
    assert (last["resource_id"], last["target_id"]) == (None, None)


async def test_a_log_is_of_what_exists_and_can_be_logged(cloud: Cloud) -> None:
    port, group = await port_and_group(cloud)
    other = await cloud.made("member:red", "/security-groups", name="other")
    assert kind(await make(cloud, resource_type="fancy")) == (400, "InvalidLogResourceType")
    assert kind(await make(cloud, event="MAYBE"))[0] == 400
    assert kind(await make(cloud, resource_id=NOBODY)) == (404, "ResourceNotFound")
    assert kind(await make(cloud, target_id=NOBODY)) == (404, "TargetResourceNotFound")
    apart = await make(cloud, resource_id=other["id"], target_id=port["id"])
    assert kind(apart) == (400, "InvalidResourceConstraint")
    assert (await make(cloud, resource_id=group["id"], target_id=port["id"]))[0] == 201
    await cloud("admin:ops", "PUT", f"/ports/{port['id']}", {"port": {"binding:vnic_type": "direct"}})
    assert kind(await make(cloud, target_id=port["id"])) == (409, "LoggingTypeNotSupported")
    assert kind(await make(cloud, "member:red")) == (403, "PolicyNotAuthorized")
