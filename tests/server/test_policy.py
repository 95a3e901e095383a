"""What the server tells administrators of its policy: the rules in force, and why they allow or deny."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from kaon.api.app import create_app
from kaon.api.policy import Policy
from kaon.server.policy import PATH, policy_routes
from tests.api import cloud as clouds
from tests.api.cloud import Cloud

MEMBER = {"user_id": "u", "project_id": "red", "roles": ["member", "reader"]}


class Ruled(Cloud):
    """A cloud with a policy file of its own, that explains it."""

    def __init__(self, folder: Path, file: Path) -> None:
        super().__init__(folder)
        self.policy = Policy(file)
        routes = policy_routes(self.store, self.policy, clouds.authenticate)
        self.app = create_app(self.store, clouds.authenticate, self.policy, extra=routes)
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://kaon")

    async def explain(self, *rules: str, token: str = "admin:ops", **ask: Any) -> tuple[int, Any]:
        body = {"caller": MEMBER, "rules": rules, **ask}
        reply = await self.http.post(f"{PATH}/explain", json=body, headers={"X-Auth-Token": token})
        return reply.status_code, reply.json()

    async def why(self, rule: str, **ask: Any) -> tuple[bool, list[tuple[str, str, str]]]:
        status, body = await self.explain(rule, **ask)
        assert status == 200, body
        (item,) = body["explanations"]
        return item["allowed"], [(">".join(one["through"]), one["check"], one["why"]) for one in item["reasons"]]


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Ruled]:
    file = tmp_path / "policy.yaml"
    file.write_text('"admin_only": "rule:context_is_admin or role:netops"\n"delete_port": "!"\n"update_port": "@"\n')
    made = Ruled(tmp_path, file)
    await made.start()
    yield made
    await made.stop()


async def test_what_allows_is_the_check_that_held(cloud: Ruled) -> None:
    allowed, reasons = await cloud.why("create_network")
    assert allowed and reasons == [
        ("create_network", "role:member", "the caller has the role member"),
        (
            "create_network",
            "project_id:%(project_id)s",
            "the target's project_id is red, and so is the caller's project_id",
        ),
    ]


async def test_what_denies_is_every_check_that_did_not_hold_followed_to_the_leaf(cloud: Ruled) -> None:
    allowed, reasons = await cloud.why("create_network:shared")
    held = "the caller has not this role, but: member, reader"
    assert not allowed and reasons == [
        ("create_network:shared>admin_only>context_is_admin", "role:admin", held),
        ("create_network:shared>admin_only", "role:netops", held),
    ]
    _, body = await cloud.explain("create_network:shared")
    (explained,) = body["explanations"]
    assert explained["origin"] == "built in"
    assert [reason["origin"] for reason in explained["reasons"]] == ["built in", f"{cloud.policy.file}, line 1"]


async def test_a_stored_target_is_judged_with_its_network_and_its_sharing(cloud: Ruled) -> None:
    network = await cloud.made("admin:ops", "/networks")
    allowed, reasons = await cloud.why("get_network", resource=network["id"])
    assert not allowed
    assert ("get_network>shared", "field:networks:shared=True", "the target's shared is False") in reasons
    assert any("is ops, not red, which is the caller's project_id" in why for _, _, why in reasons)
    allowed, reasons = await cloud.why("create_port", target={"network_id": network["id"]})
    assert not allowed and any("the target's network:project_id is ops" in why for _, _, why in reasons)
    policy = {
        "object_type": "network",
        "object_id": network["id"],
        "action": "access_as_shared",
        "target_tenant": "red",
    }
    assert (await cloud("admin:ops", "POST", "/rbac-policies", {"rbac_policy": policy}))[0] == 201
    assert (await cloud.why("get_network", resource=network["id"]))[0]
    allowed, reasons = await cloud.why("create_port", target={"network_id": network["id"]})
    assert allowed and reasons[-1][2] == "the target's shared is True"


async def test_what_is_not_named_is_the_projects_own(cloud: Ruled) -> None:
    assert (await cloud.why("create_port"))[0]
    assert not (await cloud.why("create_port", target={"network:project_id": "blue"}))[0]


async def test_everybody_nobody_and_tokens_of_the_system(cloud: Ruled) -> None:
    assert await cloud.why("update_port") == (True, [("update_port", "@", "it holds for everybody")])
    assert await cloud.why("delete_port") == (False, [("delete_port", "!", "it holds for nobody")])
    allowed, reasons = await cloud.why("update_port", caller={"system": True, "roles": ["admin"]})
    assert not allowed and "the token is one of the system" in reasons[0][2]


async def test_what_is_explained_is_what_requests_meet(cloud: Ruled) -> None:
    """Every rule, for several callers: the explanation never says otherwise than the rule does (it is asserted)."""
    for roles in (["admin"], ["member", "reader"], ["service"], []):
        caller = {"user_id": "u", "project_id": "red", "roles": roles}
        status, body = await cloud.explain(*cloud.policy.defaults, caller=caller)
        assert status == 200 and len(body["explanations"]) == len(cloud.policy.defaults)
        assert all(item["reasons"] for item in body["explanations"])


async def test_rules_in_force_are_listed_with_their_origin(cloud: Ruled) -> None:
    reply = await cloud.http.get(PATH, headers={"X-Auth-Token": "admin:ops"})
    rules = {rule["name"]: rule for rule in reply.json()["rules"]}
    assert rules["delete_port"]["check"] == "!" and rules["delete_port"]["origin"] == f"{cloud.policy.file}, line 2"
    assert rules["delete_port"]["default"] == cloud.policy.defaults["delete_port"]
    assert rules["create_port"]["origin"] == "built in"


async def test_only_administrators_ask_and_what_cannot_be_meant_is_refused(cloud: Ruled) -> None:
    assert (await cloud.explain("create_port", token="member:red"))[0] == 403
    assert (await cloud.http.get(PATH, headers={"X-Auth-Token": "member:red"})).status_code == 403
    status, body = await cloud.explain("create_prot")
    assert status == 400 and "did you mean create_port?" in body["NeutronError"]["message"]
    assert (await cloud.explain("get_port", resource="none"))[0] == 404
    assert (await cloud.explain("get_port", target={"network_id": 5}))[0] == 400
    assert (await cloud.explain("get_port", nonsense=1))[0] == 400
