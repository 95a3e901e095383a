"""What clients should not send: a clear 4xx in Neutron's words, nothing written, and hardly a line in the log."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from kaon.resources import catalog, records
from kaon.resources.declare import REQUIRED, Attribute, Resource
from kaon.resources.errors import ApiError
from kaon.store import journal
from tests.api.cloud import Cloud

ADMIN, MEMBER = "admin:ops", "member:red"
UNKNOWN = "11111111-2222-3333-4444-555555555555"

ANYTHING: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**400,
    1.5,
    "",
    "nonsense",
    "x" * 300,
    "nul\x00inside",
    "lone \ud800 surrogate",
    "'; DROP TABLE networks; --",
    "\r\nX-Injected: yes",
    "::1%eth0",
    "10.0.0.0/99",
    "${jndi:ldap://x}",
    [],
    [None],
    [[[]]],
    [{}],
    ["a", "a"],
    {},
    {"": ""},
    {"id": {"id": None}},
)
"""Values of every kind, each wrong for nearly every attribute."""

TEXTS = (
    "",
    "'",
    "' OR 1=1 --",
    '"; DROP TABLE networks; --',
    "%",
    "\\",
    "\x00",
    "a\r\nSet-Cookie: b",
    "é\U0001f4a9",
    "1e999",
)


SERVED = [resource for resource in catalog.resources() if resource.methods]
"""Resources that clients can reach; they are read when the tests are collected, so a new one is tested as well."""
LISTED = [resource for resource in SERVED if "list" in resource.methods]


class Watch:
    """A cloud, and what has been written and logged since the last look."""

    def __init__(self, cloud: Cloud, caplog: pytest.LogCaptureFixture) -> None:
        self.cloud, self._log = cloud, caplog
        self.seq = cloud.store.read_now(journal.last)
        caplog.set_level(logging.INFO, "kaon")

    async def send(self, token: str, method: str, path: str, content: bytes = b"") -> tuple[int, Any]:
        """A request as it goes over the wire, whatever that is."""
        headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
        reply = await self.cloud.http.request(method, f"/v2.0{path}", content=content, headers=headers)
        assert reply.status_code < 500, (method, path, content[:200], reply.text)
        return reply.status_code, reply.json() if reply.content else None

    async def refused(
        self, status: int | tuple[int, ...], token: str, method: str, path: str, content: bytes | Any = b""
    ) -> str:
        """Send what must be refused with this status; the message, after nothing has been written."""
        self._log.clear()
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        got, body = await self.send(token, method, path, raw)
        where = (method, path, raw[:300], body)
        assert got in ((status,) if isinstance(status, int) else status), (got, where)
        error = body["NeutronError"]
        assert error["type"] and error["message"] and isinstance(error["detail"], str), where
        assert "Traceback" not in error["message"] and "sqlalchemy" not in error["message"].lower(), where
        assert self.cloud.store.read_now(journal.last) == self.seq, where
        assert len(self._log.records) <= 1, where
        return str(error["message"])

    async def path(self, resource: Resource) -> str:
        """Where a resource is served; of what is below a parent, below one of the member's project."""
        if resource.parent is None:
            return f"/{resource.url}"
        parent = await PARENTS[resource.parent.name](self.cloud)
        self.seq = self.cloud.store.read_now(journal.last)
        return "/" + resource.url.replace("{parent_id}", parent["id"])


async def _port(cloud: Cloud) -> dict[str, Any]:
    network = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
    return await cloud.made("member:red", "/ports", network_id=network["id"], device_owner="compute:nova")


async def _local_ip(cloud: Cloud) -> dict[str, Any]:
    return await cloud.made("admin:red", "/local-ips", local_port_id=(await _port(cloud))["id"])


async def _floatingip(cloud: Cloud) -> dict[str, Any]:
    network = await cloud.made("admin:red", "/networks", **{"router:external": True})
    await cloud.made("admin:red", "/subnets", network_id=network["id"], ip_version=4, cidr="203.0.113.0/24")
    return await cloud.made("member:red", "/floatingips", floating_network_id=network["id"])


PARENTS: dict[str, Callable[[Cloud], Awaitable[dict[str, Any]]]] = {
    "floatingip": _floatingip,
    "local_ip": _local_ip,
    "port": _port,
    "qos_policy": lambda cloud: cloud.made("admin:red", "/qos/policies"),
    "router": lambda cloud: cloud.made("member:red", "/routers"),
}
"""How to make a parent of what is served below one."""


@pytest.fixture
async def watch(cloud: Cloud, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Watch]:
    """A cloud in which project blue has something that project red must not touch."""
    await cloud.made("member:blue", "/networks", name="theirs")
    for token in (ADMIN, MEMBER):  # whoever first looks gets a default group
        await cloud(token, "GET", "/security-groups")
    yield Watch(cloud, caplog)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"network"',
        b"nan",
        b'{"network": NaN}',
        b'{"network": {"mtu": Infinity}}',
        b'{"network": {"mtu": 1e999}}',
        b'{"network": {"mtu": ' + b"9" * 10_000 + b"}}",
        b'{"network": {"name": "\xff\xfe"}}',
        b'{"network": {"name": "\\ud800"}}',
        b'{"network": {"name": "a\x00b"}}',
        b'{"network": {"name": "a\\u0000b"}}',
        b"\xff\xfe{\x00}\x00",
        b'{"network": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"network": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"network": {"shared": ' + b"[" * 500 + b"]" * 500 + b"}}",
        b'{"network": {}, "network": 1}',
        b'{"networks": [{}, 1]}',
        b'{"networks": {"name": "x"}}',
        b'{"network": {"": 1}}',
        b'{"network": {"__class__": 1}}',
        b"a=b&c=d",
        b"<network/>",
    ],
    ids=lambda content: repr(content[:32]),
)
async def test_a_body_that_is_no_network(watch: Watch, content: bytes) -> None:
    await watch.refused(400, MEMBER, "POST", "/networks", content)


async def test_a_body_of_10_megabytes_is_refused_whole_or_in_pieces(watch: Watch) -> None:
    huge = json.dumps({"network": {"name": "x" * 10_000_000}}).encode()
    assert "bytes at most" in await watch.refused(413, MEMBER, "POST", "/networks", huge)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(huge), 65_536):
            yield huge[start : start + 65_536]

    reply = await watch.cloud.http.post("/v2.0/networks", content=pieces(), headers={"X-Auth-Token": MEMBER})
    assert reply.status_code == 413 and reply.json()["NeutronError"]["type"] == "HTTPRequestEntityTooLarge"


@pytest.mark.parametrize("resource", SERVED, ids=lambda resource: resource.name)
async def test_wrong_values_of_every_attribute(watch: Watch, resource: Resource) -> None:
    """What an attribute's own type refuses is refused, and of what clients may not set every value is."""
    path = await watch.path(resource)
    for attribute in resource.attributes:
        if attribute.name == "tenant_id":  # another name for project_id
            continue
        for value in ANYTHING:
            content = {resource.one: {attribute.name: value}}
            if "create" in resource.methods and (not attribute.post or _refuses(attribute, value)):
                await watch.refused(400, ADMIN, "POST", path, content)
            if "update" in resource.methods and (not attribute.put or _refuses(attribute, value)):
                # The body is judged before the resource is looked for.
                await watch.refused(400, ADMIN, "PUT", f"{path}/{UNKNOWN}", content)


def _refuses(attribute: Attribute, value: Any) -> bool:
    try:
        attribute.type.parse(value)
    except (ValueError, ApiError):  # an error with a name of its own, as Neutron has for some attributes
        return True
    return False


@pytest.mark.parametrize("resource", SERVED, ids=lambda resource: resource.name)
async def test_whatever_is_sent_the_answer_is_no_server_error(watch: Watch, resource: Resource) -> None:
    """Each value in each attribute, with all that is required beside it: taken or refused, but never a crash."""
    where = await watch.path(resource)
    required = {item.name: _plausible(item) for item in resource.attributes if item.default is REQUIRED}
    for attribute in resource.attributes:
        for value in ANYTHING:
            content = json.dumps({resource.one: {**required, attribute.name: value}}).encode()
            for method, path in (("POST", where), ("PUT", f"{where}/{UNKNOWN}")):
                status, body = await watch.send(ADMIN, method, path, content)
                assert status < 400 or "NeutronError" in body, (status, method, content[:200])


def _plausible(attribute: Attribute) -> Any:
    for value in (UNKNOWN, 4, "10.0.0.0/24", "10.0.0.1", "ingress", []):
        if not _refuses(attribute, value):
            return value
    return "x"


@pytest.mark.parametrize("resource", LISTED, ids=lambda resource: resource.name)
async def test_odd_text_in_queries(watch: Watch, resource: Resource) -> None:
    """Filters compare it with what is stored; sort keys, limits and markers refuse it."""
    path = await watch.path(resource)
    for text in TEXTS:
        value = quote(text, safe="")
        for name in (*resource.by_name, *resource.filters, "tags", "not-tags-any", "changed_since"):
            status, body = await watch.send(MEMBER, "GET", f"{path}?{name}={value}")
            assert status in (200, 400), (name, text, body)
            assert (
                status == 400
                or text == ""
                or name.startswith("not-")
                or not body[resource.many]
                or (name == "changed_since")
            ), (name, text, body)
        await watch.refused(400, MEMBER, "GET", f"{path}?{value or 'x'}=1")
        await watch.refused(400, MEMBER, "GET", f"{path}?sort_key={value}&sort_dir=asc")
        await watch.refused(400, MEMBER, "GET", f"{path}?sort_key=id&sort_dir={value}")
        if text:
            await watch.refused(400, MEMBER, "GET", f"{path}?limit={value}")
            await watch.refused(404, MEMBER, "GET", f"{path}?limit=1&marker={value}")
        assert (await watch.send(MEMBER, "GET", f"{path}?fields={value}"))[0] == 200
    await watch.refused(400, MEMBER, "GET", f"{path}?limit=-1")
    assert (await watch.send(MEMBER, "GET", f"{path}?limit={'9' * 18}"))[0] == 200
    await watch.refused(400, MEMBER, "GET", f"{path}?limit={'9' * 5_000}")


@pytest.mark.parametrize("resource", SERVED, ids=lambda resource: resource.name)
async def test_ids_of_nothing(watch: Watch, resource: Resource) -> None:
    where = await watch.path(resource)
    for text in (UNKNOWN, "'; --", "..%2f..%2fetc", "\x00", "%ff", "x" * 5_000):
        path = f"{where}/{quote(text, safe='%')}"
        if "show" in resource.methods:
            await watch.refused(404, MEMBER, "GET", path)
        if "update" in resource.methods:
            await watch.refused(404, MEMBER, "PUT", path, {resource.one: {}})
        if "delete" in resource.methods:
            await watch.refused(404, MEMBER, "DELETE", path)
        for action in resource.actions:
            await watch.refused((400, 404), MEMBER, action.method, f"{path}/{action.name}", {})


async def test_ids_of_others_are_as_unknown_as_those_of_nothing(watch: Watch) -> None:
    _, body = await watch.send(ADMIN, "GET", "/networks?name=theirs")
    path = f"/networks/{body['networks'][0]['id']}"
    messages = {
        await watch.refused(404, MEMBER, method, where, content)
        for where in (path, f"/networks/{UNKNOWN}")
        for method, content in (("GET", b""), ("PUT", {"network": {"name": "mine"}}), ("DELETE", b""))
    }
    assert {message.replace(path.removeprefix("/networks/"), UNKNOWN) for message in messages} == {
        f"Network {UNKNOWN} could not be found."
    }


async def test_an_update_of_nothing_known_or_allowed(watch: Watch) -> None:
    net = await watch.cloud.made(MEMBER, "/networks")
    watch.seq = watch.cloud.store.read_now(journal.last)
    path = f"/networks/{net['id']}"
    for content, words in (
        ({"network": {"nmae": "x"}}, "Unrecognized attribute(s) 'nmae'"),
        ({"network": {"id": UNKNOWN}}, "Cannot update read-only attribute id"),
        ({"network": {"revision_number": 7}}, "Cannot update read-only attribute revision_number"),
        ({"network": {"zone": 7}}, "Unrecognized attribute(s) 'zone'"),
        ({"network": {"project_id": "blue"}}, "Cannot update read-only attribute project_id"),
        ({"port": {"name": "x"}}, "Unable to find 'network'"),
    ):
        assert words in await watch.refused(400, MEMBER, "PUT", path, content)


@pytest.mark.parametrize("value", ["", "revision_number=", "revision_number=x", "revision_number=" + "9" * 5_000])
async def test_an_if_match_that_says_nothing(watch: Watch, value: str) -> None:
    net = await watch.cloud.made(MEMBER, "/networks")
    headers = {"If-Match": value}
    status, _ = await watch.cloud(MEMBER, "PUT", f"/networks/{net['id']}", {"network": {"name": "x"}}, headers)
    assert status == (200 if value == "" else 400)


async def test_tokens_of_nobody(watch: Watch) -> None:
    for token in ("", "nobody", "admin", "' OR 1=1", "x" * 60_000):
        status, body = await watch.send(token, "GET", "/networks")
        assert (status, body["error"]["code"]) == (401, 401)


async def test_text_that_looks_like_code_is_only_text(watch: Watch) -> None:
    for name in ("'; DROP TABLE networks; --", "<script>alert(1)</script>", "%s %n {0}"):
        net = await watch.cloud.made(MEMBER, "/networks", name=name)
        assert net["name"] == name
        _, body = await watch.send(MEMBER, "GET", f"/networks?name={quote(name, safe='')}")
        assert [item["id"] for item in body["networks"]] == [net["id"]]


async def test_methods_and_paths_that_are_not_there(watch: Watch) -> None:
    await watch.refused(405, MEMBER, "DELETE", "/networks")
    await watch.refused(405, MEMBER, "PATCH", "/networks")
    await watch.refused(404, MEMBER, "GET", "/no-such-things")
    await watch.refused(404, MEMBER, "GET", "/networks/a/b/c/d")


async def test_a_fault_of_our_own_tells_the_client_nothing_of_our_insides(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: object) -> None:
        raise RuntimeError("secret insides")

    monkeypatch.setattr(records, "get", crash)
    transport = httpx.ASGITransport(watch.cloud.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://kaon") as http:
        reply = await http.get(f"/v2.0/networks/{UNKNOWN}", headers={"X-Auth-Token": MEMBER})
    assert reply.status_code == 500 and reply.json()["NeutronError"]["type"] == "HTTPInternalServerError"
    assert "secret" not in reply.text and "Traceback" not in reply.text


async def test_a_client_that_hangs_up_in_the_middle_of_its_body(watch: Watch) -> None:
    messages: list[Any] = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    statuses: list[int] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        statuses.extend([message["status"]] if "status" in message else [])

    headers = [(b"x-auth-token", MEMBER.encode()), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/v2.0/networks", "query_string": b"", "headers": headers}
    await watch.cloud.app(scope, receive, send)
    assert statuses == [400]
