"""Quotas through the API: who sees and sets limits, and what they do."""

from __future__ import annotations

from kaon.store import journal
from tests.api.cloud import Cloud
from tests.api.l3 import kind


async def test_a_project_sees_its_limits_and_usage_and_nobody_elses(cloud: Cloud) -> None:
    await cloud.made("member:red", "/networks")
    _, body = await cloud("reader:red", "GET", "/quotas/red")
    limits = body["quota"]
    assert limits["network"] == 100 and limits["security_group"] == 10 and limits["floatingip"] == 50
    assert {"subnet", "port", "router", "security_group_rule", "rbac_policy"} <= limits.keys()
    assert (await cloud("reader:red", "GET", "/quotas/red/default"))[1]["quota"] == limits
    _, body = await cloud("reader:red", "GET", "/quotas/red/details")
    assert body["quota"]["network"] == {"limit": 100, "used": 1, "reserved": 0}
    assert body["quota"]["router"] == {"limit": 10, "used": 0, "reserved": 0}
    for path in ("/quotas/red", "/quotas/red/default", "/quotas/red/details", "/quotas"):
        assert kind(await cloud("member:blue", "GET", path)) == (403, "PolicyNotAuthorized")
    assert (await cloud("member:red", "GET", "/quotas/tenant"))[1] == {"tenant": {"tenant_id": "red"}}


async def test_an_admin_sets_a_limit_that_holds_until_it_is_reset(cloud: Cloud) -> None:
    assert kind(await cloud("member:red", "PUT", "/quotas/red", {"quota": {"network": 5}}))[0] == 403
    status, body = await cloud("admin:ops", "PUT", "/quotas/red", {"quota": {"network": "1", "port": -1}})
    assert status == 200 and (body["quota"]["network"], body["quota"]["port"]) == (1, -1)
    await cloud.made("member:red", "/networks")
    assert kind(await cloud("member:red", "POST", "/networks", {"network": {}})) == (409, "OverQuota")
    _, body = await cloud("admin:ops", "GET", "/quotas")
    assert [(item["project_id"], item["network"]) for item in body["quotas"]] == [("red", 1)]
    assert (await cloud("member:red", "DELETE", "/quotas/red"))[0] == 403
    assert (await cloud("admin:ops", "DELETE", "/quotas/red"))[0] == 204
    assert kind(await cloud("admin:ops", "DELETE", "/quotas/red")) == (404, "TenantQuotaNotFound")
    await cloud.made("member:red", "/networks")
    changes = await cloud.store.read(lambda conn: journal.since(conn, 0))
    quotas = [(change.before, change.after) for change in changes if change.kind == "quota"]
    assert quotas == [
        (None, {"id": "red", "network": 1, "port": -1}),
        ({"id": "red", "network": 1, "port": -1}, None),
    ]


async def test_a_limit_below_usage_must_be_forced(cloud: Cloud) -> None:
    for _ in range(2):
        await cloud.made("member:red", "/networks")
    status, body = await cloud("admin:ops", "PUT", "/quotas/red", {"quota": {"network": 1}})
    assert status == 400 and "already used 2" in body["NeutronError"]["message"]
    status, body = await cloud("admin:ops", "PUT", "/quotas/red", {"quota": {"network": 1, "force": True}})
    assert status == 200 and body["quota"]["network"] == 1
    body = {"quota": {"network": 2, "check_limit": True}}
    assert (await cloud("admin:ops", "PUT", "/quotas/red", body))[0] == 200


async def test_bad_limits_are_named_and_set_nothing(cloud: Cloud) -> None:
    for body, words in (
        ({"quota": {"netwrk": 1}}, "Unrecognized attribute(s) 'netwrk'"),
        ({"quota": {"network": 5, "port": "many"}}, "is not an integer"),
        ({"quota": {"network": -2}}, "too small"),
        ({"quota": 5}, "Unable to find 'quota'"),
        ({}, "Unable to find 'quota'"),
    ):
        status, reply = await cloud("admin:ops", "PUT", "/quotas/red", body)
        assert status == 400 and words in reply["NeutronError"]["message"], reply
    assert (await cloud("admin:ops", "GET", "/quotas"))[1] == {"quotas": []}
