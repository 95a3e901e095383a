"""Metadata: who asks is known by namespace and source address, even where addresses collide."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kaon.agent.http import BadRequest, Request, read_request
from kaon.agent.metadata import MetadataManager
from kaon.agent.metadata_tree import Guest, document, network_data
from kaon.agent.nova import Nova
from kaon.engines.base import Operation
from kaon.rows import MetadataInstance, MetadataListener, Row, row
from tests import sandbox

ADDRESS = "169.254.169.254"


def instance(name: str, **more: str) -> MetadataInstance:
    values = {"hostname": name, "mac": "fa:16:3e:00:00:05", "network_id": f"n-{name}", **more}
    return MetadataInstance(port_id=f"p-{name}", instance_id=f"i-{name}", project_id=f"t-{name}", **values)


def guest(**more: str) -> Guest:
    return Guest(instance("web", **more), ("10.0.0.5", "fd00::f816:3eff:fe00:5", "fd01::5", "fe80::1"), "10.0.0.5")


def read(told: Guest, path: str) -> Any:
    found = document(told, path)
    return None if found is None else found[0].decode()


# ---------------------------------------------------------------- documents


def test_both_formats_tell_who_one_is() -> None:
    told = guest(user_data=base64.b64encode(b"#!/bin/sh\n\xff").decode())
    meta = json.loads(read(told, "/openstack/latest/meta_data.json"))
    assert (meta["uuid"], meta["hostname"], meta["project_id"]) == ("i-web", "web", "t-web")
    assert read(told, "/latest/meta-data/instance-id") == "i-web"
    assert read(told, "/2009-04-04/meta-data/local-ipv4") == "10.0.0.5"
    assert document(told, "/latest/user-data") == (b"#!/bin/sh\n\xff", "application/octet-stream")
    assert document(told, "/openstack/2012-08-10/user_data") == (b"#!/bin/sh\n\xff", "application/octet-stream")


@pytest.mark.parametrize(
    "path",
    [
        "/latest/user-data",
        "/openstack/latest/user_data",
        "/latest/meta-data/public-ipv4",
        "/latest/meta-data/instance-id/more",
        "/openstack/1999-01-01/meta_data.json",
        "/etc/passwd",
        "/latest/../../etc/passwd",
    ],
)
def test_what_is_not_known_is_not_there(path: str) -> None:
    assert document(guest(), path) is None


def test_every_name_that_is_listed_can_be_read() -> None:
    told = guest(public_ipv4="198.51.100.7", user_data="YQ==")
    seen = set()

    def walk(path: str) -> None:
        listing = read(told, path)
        assert listing is not None, path
        for name in listing.split("\n"):
            child = f"{path.rstrip('/')}/{name}"
            seen.add(child)
            if name.endswith("/"):
                walk(child)
            else:
                assert document(told, child) is not None, child

    walk("/latest/meta-data/")
    walk("/openstack/latest/")
    assert "/latest/meta-data/public-ipv4" in seen
    assert "/latest/meta-data/network/interfaces/macs/fa:16:3e:00:00:05/local-ipv4s" in seen
    for path in ("/", "/openstack", "/latest"):
        assert read(told, path)


def test_network_data_says_how_each_address_is_come_by() -> None:
    data: Any = network_data(guest())
    assert [network["type"] for network in data["networks"]] == ["ipv4_dhcp", "ipv6_slaac", "ipv6_dhcpv6-stateful"]
    assert data["links"][0]["ethernet_mac_address"] == "fa:16:3e:00:00:05"


def test_an_instance_without_a_name_is_called_by_its_address() -> None:
    assert read(guest(hostname=""), "/latest/meta-data/hostname") == "host-10-0-0-5"


# ---------------------------------------------------------------- requests


async def parse(data: bytes) -> Request | None:
    reader = asyncio.StreamReader(limit=16 * 1024)
    reader.feed_data(data)
    reader.feed_eof()
    return await read_request(reader)


async def test_a_request_is_read_with_its_query_and_body() -> None:
    data = b"PUT http://169.254.169.254/a?b=c HTTP/1.1\r\nHost: x\r\nX-A:  b \r\nContent-Length: 2\r\n\r\nhi"
    assert await parse(data) == Request("PUT", "/a", "b=c", {"host": "x", "x-a": "b", "content-length": "2"}, b"hi")
    assert await parse(b"") is None


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length : 1\r\n\r\nx", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost", 400),
    ],
)
async def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        await parse(data)
    assert caught.value.status == status


# ---------------------------------------------------------------- packets


def _ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, capture_output=True)


def put(*rows: Row) -> list[Operation]:
    return [Operation(item.id, None, item) for item in rows]


async def get(netns: str, path: str, *, head: str = "GET {} HTTP/1.1\r\nConnection: close\r\n\r\n") -> tuple[int, str]:
    """One request from a namespace, on a socket made there."""
    connection = await asyncio.to_thread(sandbox.connect, netns, ADDRESS, 80)
    connection.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=connection)
    writer.write(head.format(path).encode())
    async with asyncio.timeout(5):
        answer = (await reader.read()).decode()
    writer.close()
    top, _, body = answer.partition("\r\n\r\n")
    return int(top.split(" ")[1]), body


NETWORKS = {"kaon-net-a": "vm-a", "kaon-net-b": "vm-b"}


@pytest.fixture
async def networks() -> AsyncIterator[Callable[..., MetadataManager]]:
    """Two networks that both use 10.0.0.0/24, an instance with the same address in each."""
    made: list[MetadataManager] = []

    def start(*more: Any) -> MetadataManager:
        made.append(MetadataManager(asyncio.get_running_loop(), *more))
        return made[-1]

    with sandbox.namespace(*NETWORKS, *NETWORKS.values()):
        for network, vm in NETWORKS.items():
            _ip(f"-n {network} link add dhcp type veth peer name eth0 netns {vm}")
            _ip(f"-n {network} addr add {ADDRESS}/32 dev dhcp")
            _ip(f"-n {network} addr add 10.0.0.2/24 dev dhcp")
            _ip(f"-n {network} link set dhcp up")
            _ip(f"-n {vm} addr add 10.0.0.5/24 dev eth0")
            _ip(f"-n {vm} link set eth0 up")
            _ip(f"-n {vm} route add default via 10.0.0.2")
        yield start
        for manager in made:
            manager.close()
        await asyncio.sleep(0)


def both() -> list[Row]:
    rows = []
    for name, network in (("a", "kaon-net-a"), ("b", "kaon-net-b")):
        rows.append(row(MetadataListener((ADDRESS,)), network, origin=f"network/{name}"))
        rows.append(row(instance(name), network, "10.0.0.5", origin=f"port/{name}"))
    return rows


@pytest.mark.root
async def test_two_instances_with_one_address_are_told_who_they_are(
    networks: Callable[..., MetadataManager],
) -> None:
    manager = networks()
    assert manager.apply(put(*both())) == []
    assert await get("vm-a", "/latest/meta-data/instance-id") == (200, "i-a")
    assert await get("vm-b", "/latest/meta-data/instance-id") == (200, "i-b")
    _, body = await get("vm-b", "/openstack/latest/meta_data.json")
    assert json.loads(body)["project_id"] == "t-b"
    assert sorted(manager.read()) == sorted(both())

    _ip("-n vm-a addr del 10.0.0.5/24 dev eth0")
    _ip("-n vm-a addr add 10.0.0.6/24 dev eth0")
    _ip("-n vm-a route add default via 10.0.0.2")
    assert (await get("vm-a", "/latest/meta-data/instance-id"))[0] == 404
    assert await get("vm-b", "/latest/meta-data/instance-id") == (200, "i-b")


@pytest.mark.root
async def test_a_connection_serves_several_requests_and_a_bad_one_ends_it(
    networks: Callable[..., MetadataManager],
) -> None:
    networks().apply(put(*both()))
    two = "GET /latest/meta-data/instance-id HTTP/1.1\r\n\r\nHEAD / HTTP/1.1\r\n\r\nbad\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    status, rest = await get("vm-a", "", head=two)
    assert status == 200
    assert rest.startswith("i-aHTTP/1.1 200 OK")
    assert "HTTP/1.1 400 Bad Request" in rest
    assert rest.count("HTTP/1.1") == 2
    assert (await get("vm-a", "/", head="DELETE {} HTTP/1.0\r\n\r\n"))[0] == 405


@pytest.mark.root
async def test_removed_listeners_answer_no_more_and_a_new_process_opens_them_again(
    networks: Callable[..., MetadataManager],
) -> None:
    manager = networks()
    rows = both()
    manager.apply(put(*rows))
    assert (await get("vm-a", "/"))[0] == 200
    manager.apply([Operation(item.id, item, None) for item in rows])
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        await get("vm-a", "/")
    assert list(manager.read()) == []

    networks().apply(put(*rows))
    assert (await get("vm-a", "/"))[0] == 200


@pytest.mark.root
async def test_a_namespace_made_anew_has_no_listener(networks: Callable[..., MetadataManager]) -> None:
    manager = networks()
    listener = both()[0]
    manager.apply(put(listener))
    sandbox.remove_namespace("kaon-net-a")
    assert list(manager.read()) == []
    (failed,) = manager.apply(put(listener))
    assert "no such network namespace" in failed.reason
    sandbox.make_namespace("kaon-net-a")
    assert manager.apply(put(listener)) == []
    assert list(manager.read()) == [listener]


@pytest.mark.root
async def test_nova_is_asked_in_the_instances_name_and_signed(networks: Callable[..., MetadataManager]) -> None:
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/x\r\n\r\nfrom nova")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    networks(Nova(f"http://127.0.0.1:{port}/", "s3cret")).apply(put(*both()))
    forged = "GET /latest/meta-data/?a=b HTTP/1.1\r\nX-Instance-ID: i-other\r\nConnection: close\r\n\r\n"
    assert await get("vm-b", "", head=forged) == (200, "from nova")
    (request,) = asked
    assert request.startswith("GET /latest/meta-data/?a=b HTTP/1.0\r\n")
    lines = request.split("\r\n")
    signature = hmac.new(b"s3cret", b"i-b", hashlib.sha256).hexdigest()
    for line in ("X-Instance-ID: i-b", "X-Tenant-ID: t-b", "X-Forwarded-For: 10.0.0.5"):
        assert line in lines
    assert f"X-Instance-ID-Signature: {signature}" in lines
    assert "i-other" not in request

    server.close()
    assert (await get("vm-b", "/latest/"))[0] == 503
