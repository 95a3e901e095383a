"""Predictions as clients ask for them: their own project's alone, and of the intent as it is at the moment."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kaon.api.app import create_app
from kaon.channel import Attachment
from kaon.resources.hosts import attachment
from kaon.server import insight
from kaon.server.intent import Intent
from kaon.store import journal
from tests.api import cloud as clouds
from tests.api import l3
from tests.api.cloud import Cloud

RED, BLUE, ADMIN = "member:red", "member:blue", "admin:ops"


class Predicted(Cloud):
    """A cloud that answers questions about packets."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.intent = Intent(self.store)
        routes = insight.insight_routes(self.intent, clouds.authenticate)
        self.app = create_app(self.store, clouds.authenticate, clouds._policy(None), extra=routes)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://kaon")

    async def ask(self, token: str, path: str, **query: Any) -> tuple[int, Any]:
        reply = await self.http.get(path, params=query, headers={"X-Auth-Token": token})
        return reply.status_code, reply.json()

    async def trace(self, token: str, sender: str, to: str, **more: Any) -> dict[str, Any]:
        status, body = await self.ask(token, insight.TRACE, **{"from": sender}, to=to, **more)
        assert status == 200, body
        return dict(body["trace"])

    async def machine(self, token: str, network: dict[str, Any], **values: Any) -> dict[str, Any]:
        """A port that is attached."""
        port = await self.made(token, "/ports", network_id=network["id"], **values)
        place = Attachment(port_id=port["id"], netns="vm")
        await self.store.write(lambda tx: attachment.attach(tx, "alpha", place))
        return port


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Predicted]:
    made = Predicted(tmp_path)
    await made.start()
    yield made
    await made.stop()


def address(port: dict[str, Any]) -> str:
    return str(port["fixed_ips"][0]["ip_address"])


async def test_a_trace_tells_the_hops_and_follows_every_change_at_once(cloud: Predicted) -> None:
    network, _ = await l3.network(cloud, RED, "10.0.0.0/24")
    one, two = await cloud.machine(RED, network), await cloud.machine(RED, network)
    found = await cloud.trace(RED, one["id"], address(two))
    assert found["outcome"] == "delivered" and found["reached"] == f"port/{two['id']}" and found["drop"] is None
    assert [hop["stage"] for hop in found["hops"]] == ["port", "egress", "network", "ingress", "port"]
    group = await cloud.made(RED, "/security-groups", name="closed")
    await cloud(RED, "PUT", f"/ports/{two['id']}", {"port": {"security_groups": [group["id"]]}})
    found = await cloud.trace(RED, one["id"], f"{address(two)}:443", protocol="tcp")
    assert (found["outcome"], found["drop"]["reason"]) == ("dropped", "no-ingress-rule")
    # What it proposes is what the API takes, and is enough.
    (change,) = found["drop"]["changes"]
    await cloud.made(RED, "/security-group-rules", **change["attributes"])
    assert (await cloud.trace(RED, one["id"], f"{address(two)}:443"))["outcome"] == "delivered"


async def test_a_world_that_is_behind_what_the_journal_keeps_is_read_anew(cloud: Predicted) -> None:
    network, _ = await l3.network(cloud, RED, "10.0.0.0/24")
    one = await cloud.machine(RED, network)
    assert (await cloud.trace(RED, one["id"], "10.0.0.200"))["drop"]["reason"] == "nobody-there"
    two = await cloud.machine(RED, network, fixed_ips=[{"ip_address": "10.0.0.200"}])
    await cloud.store.write(lambda tx: journal.forget(tx.conn, 10**9, 10**9))
    found = await cloud.trace(RED, one["id"], "10.0.0.200")
    assert found["reached"] == f"port/{two['id']}"


async def test_another_projects_port_is_no_sender(cloud: Predicted) -> None:
    network, _ = await l3.network(cloud, RED, "10.0.0.0/24")
    one = await cloud.machine(RED, network)
    for sender in (one["id"], "nothing"):
        status, body = await cloud.ask(BLUE, insight.TRACE, **{"from": sender}, to="10.0.0.1")
        assert (status, body["NeutronError"]["type"]) == (404, "PortNotFound")
    assert (await cloud.trace(ADMIN, one["id"], "10.0.0.250"))["drop"]["reason"] == "nobody-there"


async def test_what_is_behind_the_border_of_another_project_is_not_told(cloud: Predicted) -> None:
    network, _ = await l3.network(cloud, RED, "10.0.0.0/24")
    policy = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    await cloud.made(RED, "/rbac-policies", **policy, target_tenant="blue")
    red, blue = await cloud.machine(RED, network), await cloud.machine(BLUE, network)
    found = await cloud.trace(BLUE, blue["id"], address(red))
    assert (found["outcome"], found["drop"], found["back"]) == ("hidden", None, [])
    assert [hop["stage"] for hop in found["hops"]] == ["port", "egress", "network", "hidden"]
    whole = await cloud.trace(ADMIN, blue["id"], address(red))
    assert whole["drop"]["reason"] == "no-ingress-rule" and whole["drop"]["resource"] == f"port/{red['id']}"
    text = str(found)
    assert red["id"] not in text and "no-ingress-rule" not in text
    # The owner of the network sees the ports on it, not the rules of others.
    found = await cloud.trace(RED, red["id"], address(blue))
    assert found["outcome"] == "dropped" and found["drop"]["resource"] == f"port/{blue['id']}"
    assert found["drop"]["changes"] == [] and "ask whoever owns" in found["drop"]["advice"]
    (group,) = blue["security_groups"]
    assert group not in str(found)


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"to": "10.0.0.1"},
        {"from": "external"},
        {"from": "external", "to": "somewhere"},
        {"from": "external", "to": "10.0.0.1", "protocol": "tcp"},
        {"from": "external", "to": "10.0.0.1", "source": "fd00::1"},
        {"from": "external", "to": "10.0.0.1", "source_port": "x"},
        {"from": "external", "to": "10.0.0.1", "colour": "red"},
    ],
    ids=str,
)
async def test_bad_questions_are_told_what_is_wrong(cloud: Predicted, query: dict[str, str]) -> None:
    status, body = await cloud.ask(RED, insight.TRACE, **query)
    assert status == 400 and len(body["NeutronError"]["message"]) > 20, body


async def test_the_matrix_of_a_project_has_every_pair_and_the_outside(cloud: Predicted) -> None:
    outside, _ = await l3.network(
        cloud,
        ADMIN,
        "203.0.113.0/24",
        **{"router:external": True, "provider:network_type": "flat", "provider:physical_network": "physnet1"},
    )
    network, (subnet,) = await l3.network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    await l3.join(cloud, RED, router, subnet_id=subnet["id"])
    a, b = await cloud.machine(RED, network, name="a"), await cloud.machine(RED, network, name="b")
    group = await cloud.made(RED, "/security-groups", name="open")
    await cloud.made(RED, "/security-group-rules", security_group_id=group["id"], direction="ingress", protocol="icmp")
    await cloud(RED, "PUT", f"/ports/{b['id']}", {"port": {"security_groups": [group["id"]]}})
    floating = await cloud.made(RED, "/floatingips", floating_network_id=outside["id"], port_id=b["id"])
    status, body = await cloud.ask(RED, insight.REACH, ip_version="4")
    found = body["reach"]
    assert status == 200 and [end["name"] for end in found["ends"]] == ["a", "b", "external"]
    assert found["ends"][1]["from_outside"] == floating["floating_ip_address"]
    cells = [[cell and cell.get("reason", cell["outcome"]) for cell in row["cells"]] for row in found["rows"]]
    assert cells == [
        [None, "delivered", "left"],
        ["no-ingress-rule", None, "left"],
        ["private-from-outside", "delivered", None],
    ]
    assert a["id"] == found["rows"][0]["sender"]
    status, body = await cloud.ask(BLUE, insight.REACH)
    assert [end["name"] for end in body["reach"]["ends"]] == ["external"]
    status, _ = await cloud.ask(BLUE, insight.REACH, project="red")
    assert status == 403
    assert (await cloud.ask(ADMIN, insight.REACH, project="red", port=80))[1]["reach"]["protocol"] == "tcp"
    assert (await cloud.ask(RED, insight.REACH, ip_version="5"))[0] == 400


async def test_a_matrix_has_its_limit(cloud: Predicted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insight, "MOST", 1)
    network, _ = await l3.network(cloud, RED, "10.0.0.0/24")
    for _ in range(3):
        await cloud.made(RED, "/ports", network_id=network["id"])
    status, body = await cloud.ask(RED, insight.REACH)
    assert status == 400 and "name a network" in body["NeutronError"]["message"]
