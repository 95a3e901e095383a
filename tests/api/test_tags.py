"""Tags of resources through the API."""

from __future__ import annotations

import pytest

from tests.api.cloud import Cloud
from tests.api.l3 import kind, network

RED = "member:red"


@pytest.mark.parametrize("path", ["/networks", "/routers", "/security-groups"])
async def test_tags_come_and_go_one_by_one_and_all_at_once(cloud: Cloud, path: str) -> None:
    made = await cloud.made(RED, path)
    tags = f"{path}/{made['id']}/tags"
    assert (await cloud(RED, "GET", tags))[1] == {"tags": []}
    assert await cloud(RED, "PUT", tags, {"tags": ["red", "a b"]}) == (200, {"tags": ["red", "a b"]})
    assert (await cloud(RED, "PUT", f"{tags}/blue"))[0] == 201
    assert (await cloud(RED, "PUT", f"{tags}/blue"))[0] == 201
    assert (await cloud(RED, "GET", f"{tags}/a%20b"))[0] == 204
    assert (await cloud(RED, "GET", tags))[1] == {"tags": ["red", "a b", "blue"]}
    collection = path.strip("/").replace("-", "_")
    _, body = await cloud(RED, "GET", f"{path}?tags=red,blue")
    assert [item["id"] for item in body[collection]] == [made["id"]]
    assert body[collection][0]["revision_number"] > made["revision_number"]
    assert (await cloud(RED, "DELETE", f"{tags}/red"))[0] == 204
    assert kind(await cloud(RED, "DELETE", f"{tags}/red")) == (404, "TagNotFound")
    assert kind(await cloud(RED, "GET", f"{tags}/red")) == (404, "TagNotFound")
    assert (await cloud(RED, "POST", tags, {"tags": ["x", "blue"]}))[0] == 200
    assert (await cloud(RED, "DELETE", tags))[0] == 204
    assert (await cloud(RED, "GET", tags))[1] == {"tags": []}


async def test_ports_and_subnets_have_tags_too(cloud: Cloud) -> None:
    net, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    for path in (f"/ports/{port['id']}", f"/subnets/{subnet['id']}"):
        assert await cloud(RED, "PUT", f"{path}/tags", {"tags": ["one"]}) == (200, {"tags": ["one"]})
        _, body = await cloud(RED, "GET", path)
        assert next(iter(body.values()))["tags"] == ["one"]


async def test_bad_and_foreign_tags_are_refused(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    tags = f"/networks/{net['id']}/tags"
    for body in ({}, {"tags": "x"}, {"tags": ["x", "x"]}, {"tags": [5]}, {"tags": ["x" * 256]}):
        assert kind(await cloud(RED, "PUT", tags, body)) == (400, "InvalidInput"), body
    assert kind(await cloud(RED, "PUT", tags, {"tags": [str(i) for i in range(51)]})) == (400, "BadRequest")
    assert kind(await cloud("member:blue", "PUT", tags, {"tags": ["x"]})) == (404, "NetworkNotFound")
    assert kind(await cloud("member:blue", "GET", tags)) == (404, "NetworkNotFound")
    assert kind(await cloud("reader:red", "PUT", f"{tags}/x")) == (403, "PolicyNotAuthorized")
    assert (await cloud("reader:red", "GET", tags))[1] == {"tags": []}
