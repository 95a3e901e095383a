"""Conntrack helpers of routers through the API."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import kind, shown

RED, BLUE = "member:red", "member:blue"


async def test_a_router_reads_protocols_and_tells_which(cloud: Cloud) -> None:
    router = await cloud.made(RED, "/routers")
    assert router["conntrack_helpers"] == []
    path = f"/routers/{router['id']}/conntrack_helpers"
    body = {"conntrack_helper": {"helper": "tftp", "protocol": "udp", "port": 69}}
    status, made = await cloud(RED, "POST", path, body)
    assert status == 201
    id = made["conntrack_helper"]["id"]
    assert made == {"conntrack_helper": {"id": id, **body["conntrack_helper"]}}
    _, changed = await cloud(RED, "PUT", f"{path}/{id}", {"conntrack_helper": {"port": 6969}})
    assert changed["conntrack_helper"]["port"] == 6969
    assert (await cloud(RED, "GET", path))[1] == {"conntrack_helpers": [changed["conntrack_helper"]]}
    now = await shown(cloud, RED, f"/routers/{router['id']}")
    assert now["conntrack_helpers"] == [{"helper": "tftp", "protocol": "udp", "port": 6969}]
    assert now["revision_number"] > router["revision_number"]
    _, listed = await cloud(RED, "GET", "/routers")
    assert [item["conntrack_helpers"] for item in listed["routers"]] == [now["conntrack_helpers"]]
    assert (await cloud(RED, "DELETE", f"{path}/{id}"))[0] == 204
    assert kind(await cloud(RED, "GET", f"{path}/{id}")) == (404, "ConntrackHelperNotFound")
    assert (await shown(cloud, RED, f"/routers/{router['id']}"))["conntrack_helpers"] == []


async def test_helpers_that_make_no_sense_are_refused(cloud: Cloud) -> None:
    router = await cloud.made(RED, "/routers")
    path = f"/routers/{router['id']}/conntrack_helpers"

    async def answer(helper: str, protocol: str, port: Any) -> tuple[int, str]:
        body = {"conntrack_helper": {"helper": helper, "protocol": protocol, "port": port}}
        return kind(await cloud(RED, "POST", path, body))

    assert await answer("telnet", "tcp", 23) == (400, "ConntrackHelperNotAllowed")
    assert await answer("tftp", "tcp", 69) == (400, "InvalidProtocolForHelper")
    assert await answer("ftp", "gre", 21) == (400, "InvalidInput")
    assert await answer("ftp", "tcp", 0) == (400, "HTTPBadRequest")
    assert await answer("ftp", "tcp", 21) == (201, "")
    assert await answer("ftp", "tcp", 21) == (400, "BadRequest")
    assert await answer("ftp", "tcp", 2121) == (201, "")
    _, listed = await cloud(RED, "GET", f"{path}?port=2121")
    second = listed["conntrack_helpers"][0]["id"]
    change = {"conntrack_helper": {"port": 21}}
    assert kind(await cloud(RED, "PUT", f"{path}/{second}", change)) == (400, "BadRequest")
    change = {"conntrack_helper": {"helper": "snmp"}}
    assert kind(await cloud(RED, "PUT", f"{path}/{second}", change)) == (400, "InvalidProtocolForHelper")


async def test_helpers_belong_to_the_owner_of_the_router_and_go_with_it(cloud: Cloud) -> None:
    router = await cloud.made(RED, "/routers")
    path = f"/routers/{router['id']}/conntrack_helpers"
    body = {"conntrack_helper": {"helper": "ftp", "protocol": "tcp", "port": 21}}
    assert kind(await cloud(BLUE, "GET", path)) == (404, "RouterNotFound")
    assert kind(await cloud(BLUE, "POST", path, body)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud("reader:red", "POST", path, body)) == (403, "PolicyNotAuthorized")
    assert (await cloud("admin:ops", "POST", path, body))[0] == 201
    _, listed = await cloud("reader:red", "GET", path)
    assert [item["helper"] for item in listed["conntrack_helpers"]] == ["ftp"]
    assert (await cloud(RED, "DELETE", f"/routers/{router['id']}"))[0] == 204
    assert kind(await cloud(RED, "GET", path)) == (404, "RouterNotFound")
