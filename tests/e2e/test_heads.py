"""How long a request's head may be: a list may be asked for by a thousand ids, and nothing goes on for ever."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import uuid
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from openstack.connection import Connection

from kaon.server.web import MAX_HEAD
from tests.running import Running

pytestmark = pytest.mark.slow


def get(kaon: Running, cloud: Connection, path: str) -> tuple[int, Any]:
    address = urlsplit(kaon.url)
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
    try:
        connection.request("GET", path, headers={"X-Auth-Token": str(cloud.auth_token)})
        answer = connection.getresponse()
        raw = answer.read()
        return answer.status, json.loads(raw) if raw.startswith(b"{") else raw
    finally:
        connection.close()


def told_while_sending(kaon: Running, chunks: Iterable[bytes]) -> bytes:
    """What the server answers to a client that sends and sends, until the server closes the connection."""
    address = urlsplit(kaon.url)
    told = b""
    with socket.create_connection((str(address.hostname), address.port), timeout=10) as sock:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for chunk in chunks:
                sock.sendall(chunk)
        with contextlib.suppress(ConnectionResetError):
            while more := sock.recv(1000):
                told += more
    return told


def test_a_list_is_asked_for_by_a_thousand_ids(kaon: Running, cloud: Connection) -> None:
    networks = [cloud.network.create_network(name=f"n{i}") for i in range(3)]
    wanted = [network.id for network in networks[:2]] + [str(uuid.uuid4()) for _ in range(998)]
    status, answer = get(kaon, cloud, "/v2.0/networks?" + "&".join(f"id={id}" for id in wanted))
    assert status == 200
    assert {network["name"] for network in answer["networks"]} == {"n0", "n1"}
    for network in networks:
        cloud.network.delete_network(network)


def test_a_longer_address_than_the_parser_can_read_is_refused(kaon: Running, cloud: Connection) -> None:
    status, _ = get(kaon, cloud, "/v2.0/networks?" + "&".join(f"id={uuid.uuid4()}" for _ in range(2000)))
    assert status in (400, 414)


def part(start: bytes, more: bytes) -> Iterator[bytes]:
    """The start of a request, and ever more of it."""
    yield start
    for _ in range(16 * MAX_HEAD // len(more)):
        yield more


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"GET /", b"x" * 1000),
        (b"GET / HTTP/1.1\r\nhost: kaon\r\nx-long: ", b"x" * 1000),
        (b"GET / HTTP/1.1\r\nhost: kaon\r\n", b"x-more: x\r\n" * 100),
        (b"POST / HTTP/1.1\r\nhost: kaon\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", b"x-more: x\r\n" * 100),
    ],
    ids=["path", "field", "fields", "trailers"],
)
def test_a_head_that_never_ends_is_refused(kaon: Running, start: bytes, more: bytes) -> None:
    told = told_while_sending(kaon, part(start, more))
    assert b"431 Request Header Fields Too Large" in told


def test_the_server_lives_on(kaon: Running, cloud: Connection) -> None:
    assert get(kaon, cloud, "/v2.0/networks")[0] == 200
