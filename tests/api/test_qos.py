"""QoS policies and their rules: who may make them, which rules stand together, and who sees them."""

from __future__ import annotations

from typing import Any

from kaon.compile import qos
from kaon.resources.qos import rule_types
from tests.api.cloud import Cloud
from tests.api.l3 import kind, shown

ADMIN, MANAGER, RED, BLUE = "admin:ops", "manager:red", "member:red", "member:blue"
UNKNOWN = "00000000-0000-0000-0000-000000000000"
ALL = ("bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate", "packet_rate_limit")


async def rule(cloud: Cloud, policy: dict[str, Any], type: str, **values: Any) -> dict[str, Any]:
    """A rule of a policy, made by an admin."""
    return await cloud.made(ADMIN, f"/qos/policies/{policy['id']}/{type}_rules", **values)


async def test_a_manager_makes_a_policy_with_rules_of_every_type(cloud: Cloud) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies", name="gold", description="paid for")
    assert (policy["project_id"], policy["shared"], policy["is_default"], policy["rules"]) == ("red", False, False, [])
    path = f"/qos/policies/{policy['id']}"
    limit = await cloud.made(MANAGER, f"{path}/bandwidth_limit_rules", max_kbps=1000)
    assert limit == {"id": limit["id"], "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    packets = await cloud.made(MANAGER, f"{path}/packet_rate_limit_rules", max_kpps=10, max_burst_kpps=2)
    mark = await cloud.made(MANAGER, f"{path}/dscp_marking_rules", dscp_mark=46)
    least = await cloud.made(MANAGER, f"{path}/minimum_bandwidth_rules", min_kbps=500, direction="ingress")
    rate = await cloud.made(MANAGER, f"{path}/minimum_packet_rate_rules", min_kpps=1, direction="any")
    listed = (await shown(cloud, RED, path))["rules"]
    assert [(item["type"], item["id"]) for item in listed] == list(
        zip(ALL, [limit["id"], mark["id"], least["id"], rate["id"], packets["id"]], strict=True)
    )
    assert listed[0] == {**limit, "type": "bandwidth_limit", "qos_policy_id": policy["id"]}
    assert await shown(cloud, RED, f"{path}/dscp_marking_rules/{mark['id']}") == {"id": mark["id"], "dscp_mark": 46}
    assert (await cloud(RED, "GET", f"{path}/packet_rate_limit_rules"))[1] == {"packet_rate_limit_rules": [packets]}


async def test_each_change_of_a_rule_counts_a_revision_of_its_policy(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies")
    path = f"/qos/policies/{policy['id']}"
    made = await rule(cloud, policy, "bandwidth_limit", max_kbps=1000)
    changed = {"bandwidth_limit_rule": {"max_kbps": 2000, "direction": "ingress"}}
    assert (await cloud(ADMIN, "PUT", f"{path}/bandwidth_limit_rules/{made['id']}", changed))[0] == 200
    now = await shown(cloud, ADMIN, path)
    assert (now["rules"][0]["max_kbps"], now["rules"][0]["direction"]) == (2000, "ingress")
    assert (await cloud(ADMIN, "DELETE", f"{path}/bandwidth_limit_rules/{made['id']}"))[0] == 204
    after = await shown(cloud, ADMIN, path)
    assert after["rules"] == []
    assert policy["revision_number"] < now["revision_number"] < after["revision_number"]


async def test_members_use_policies_but_do_not_make_them(cloud: Cloud) -> None:
    assert kind(await cloud(RED, "POST", "/qos/policies", {"policy": {}})) == (403, "PolicyNotAuthorized")
    policy = await cloud.made(MANAGER, "/qos/policies")
    path = f"/qos/policies/{policy['id']}"
    made = await rule(cloud, policy, "dscp_marking", dscp_mark=8)
    new, other = {"dscp_marking_rule": {"dscp_mark": 0}}, {"policy": {"name": "mine"}}
    assert kind(await cloud(RED, "PUT", path, other)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud(RED, "DELETE", path)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud(RED, "POST", f"{path}/dscp_marking_rules", new)) == (403, "PolicyNotAuthorized")
    one = f"{path}/dscp_marking_rules/{made['id']}"
    assert kind(await cloud(RED, "PUT", one, new)) == (403, "PolicyNotAuthorized")
    assert kind(await cloud(RED, "DELETE", one)) == (403, "PolicyNotAuthorized")


async def test_anothers_policy_and_its_rules_are_not_there(cloud: Cloud) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies")
    made = await rule(cloud, policy, "dscp_marking", dscp_mark=8)
    path, blue = f"/qos/policies/{policy['id']}", "manager:blue"
    one, new = f"{path}/dscp_marking_rules/{made['id']}", {"dscp_marking_rule": {"dscp_mark": 0}}
    assert kind(await cloud(blue, "GET", path)) == (404, "QosPolicyNotFound")
    assert kind(await cloud(blue, "PUT", path, {"policy": {}})) == (404, "QosPolicyNotFound")
    assert (await cloud(blue, "GET", "/qos/policies"))[1] == {"policies": []}
    for method, body in (("GET", None), ("PUT", new), ("DELETE", None)):
        assert kind(await cloud(blue, method, one, body)) == (404, "QosPolicyNotFound")
        alias = {"alias_dscp_marking_rule": {"dscp_mark": 0}} if body else None
        path_of_alias = f"/qos/alias-dscp-marking-rules/{made['id']}"
        assert kind(await cloud(blue, method, path_of_alias, alias)) == (404, "QosRuleNotFound")
    # As in Neutron, who may not add a rule is told so, though not what else the policy holds.
    assert kind(await cloud(blue, "POST", f"{path}/dscp_marking_rules", new)) == (403, "PolicyNotAuthorized")


async def test_a_rule_is_found_below_its_own_policy_only(cloud: Cloud) -> None:
    one, other = await cloud.made(ADMIN, "/qos/policies"), await cloud.made(ADMIN, "/qos/policies")
    made = await rule(cloud, one, "dscp_marking", dscp_mark=8)
    below_other = f"/qos/policies/{other['id']}/dscp_marking_rules"
    assert kind(await cloud(ADMIN, "GET", f"{below_other}/{made['id']}")) == (404, "QosRuleNotFound")
    assert (await cloud(ADMIN, "GET", below_other))[1] == {"dscp_marking_rules": []}
    nowhere = f"/qos/policies/{UNKNOWN}/dscp_marking_rules"
    assert kind(await cloud(ADMIN, "GET", nowhere)) == (404, "QosPolicyNotFound")
    new = {"dscp_marking_rule": {"dscp_mark": 0}}
    assert kind(await cloud(ADMIN, "POST", nowhere, new)) == (404, "QosPolicyNotFound")


async def test_a_rule_is_read_changed_and_removed_by_its_id_alone(cloud: Cloud) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies")
    made = await rule(cloud, policy, "minimum_packet_rate", min_kpps=5)
    path = f"/qos/alias-minimum-packet-rate-rules/{made['id']}"
    assert await cloud(RED, "GET", path) == (200, {"alias_minimum_packet_rate_rule": made})
    body = {"alias_minimum_packet_rate_rule": {"min_kpps": 6}}
    assert kind(await cloud(RED, "PUT", path, body)) == (403, "PolicyNotAuthorized")
    assert (await cloud(MANAGER, "PUT", path, body))[1] == {"alias_minimum_packet_rate_rule": {**made, "min_kpps": 6}}
    assert (await shown(cloud, RED, f"/qos/policies/{policy['id']}"))["rules"][0]["min_kpps"] == 6
    assert (await cloud(MANAGER, "DELETE", path))[0] == 204
    assert kind(await cloud(MANAGER, "GET", path)) == (404, "QosRuleNotFound")
    assert (await shown(cloud, RED, f"/qos/policies/{policy['id']}"))["rules"] == []


async def test_a_policy_has_one_rule_of_a_type_for_a_direction(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies")
    path = f"/qos/policies/{policy['id']}"

    async def refused(type: str, **values: Any) -> tuple[int, str]:
        return kind(await cloud(ADMIN, "POST", f"{path}/{type}_rules", {f"{type}_rule": values}))

    await rule(cloud, policy, "bandwidth_limit", max_kbps=1000)
    back = await rule(cloud, policy, "bandwidth_limit", max_kbps=1000, direction="ingress")
    assert await refused("bandwidth_limit", max_kbps=1) == (409, "QoSRulesConflict")
    turned = {"bandwidth_limit_rule": {"direction": "egress"}}
    one = f"{path}/bandwidth_limit_rules/{back['id']}"
    assert kind(await cloud(ADMIN, "PUT", one, turned)) == (409, "QoSRulesConflict")
    await rule(cloud, policy, "dscp_marking", dscp_mark=8)
    assert await refused("dscp_marking", dscp_mark=10) == (409, "QoSRulesConflict")


async def test_guarantees_stay_below_limits_and_do_not_mix_directions(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies")
    path = f"/qos/policies/{policy['id']}"

    async def refused(type: str, **values: Any) -> tuple[int, str]:
        return kind(await cloud(ADMIN, "POST", f"{path}/{type}_rules", {f"{type}_rule": values}))

    await rule(cloud, policy, "bandwidth_limit", max_kbps=1000)
    assert await refused("minimum_bandwidth", min_kbps=1001) == (409, "QoSRuleParameterConflict")
    await rule(cloud, policy, "minimum_bandwidth", min_kbps=1001, direction="ingress")
    assert await refused("bandwidth_limit", max_kbps=1000, direction="ingress") == (409, "QoSRuleParameterConflict")
    await rule(cloud, policy, "minimum_packet_rate", min_kpps=1)
    assert await refused("minimum_packet_rate", min_kpps=1, direction="any") == (409, "QoSRuleParameterConflict")


async def test_wrong_rules_are_refused(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies")
    path = f"/qos/policies/{policy['id']}"
    for type, values in (
        ("bandwidth_limit", {}),
        ("bandwidth_limit", {"max_kbps": -1}),
        ("bandwidth_limit", {"max_kbps": 2**31}),
        ("bandwidth_limit", {"max_kbps": 1, "direction": "any"}),
        ("dscp_marking", {"dscp_mark": 58}),
        ("minimum_bandwidth", {"direction": "egress"}),
        ("minimum_packet_rate", {"min_kpps": 1, "direction": "both"}),
        ("packet_rate_limit", {"max_kpps": None}),
        ("packet_rate_limit", {"max_kpps": 1, "qos_policy_id": policy["id"]}),
    ):
        status, _ = kind(await cloud(ADMIN, "POST", f"{path}/{type}_rules", {f"{type}_rule": values}))
        assert status == 400, (type, values)
    assert (await shown(cloud, ADMIN, path))["rules"] == []


async def test_a_policy_goes_with_its_rules(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies", shared=True)
    made = await rule(cloud, policy, "dscp_marking", dscp_mark=8)
    assert (await cloud(ADMIN, "DELETE", f"/qos/policies/{policy['id']}"))[0] == 204
    assert (await cloud(ADMIN, "GET", f"/qos/alias-dscp-marking-rules/{made['id']}"))[0] == 404
    assert (await cloud(ADMIN, "GET", "/rbac-policies"))[1] == {"rbac_policies": []}


async def test_a_project_has_one_default_policy(cloud: Cloud) -> None:
    first = await cloud.made(MANAGER, "/qos/policies", is_default=True)
    second = await cloud.made(MANAGER, "/qos/policies")
    await cloud.made("manager:blue", "/qos/policies", is_default=True)
    path, default = f"/qos/policies/{second['id']}", {"policy": {"is_default": True}}
    new = await cloud(MANAGER, "POST", "/qos/policies", default)
    assert kind(new) == (409, "QoSPolicyDefaultAlreadyExists")
    assert kind(await cloud(MANAGER, "PUT", path, default)) == (409, "QoSPolicyDefaultAlreadyExists")
    no_more = {"policy": {"is_default": False}}
    assert (await cloud(MANAGER, "PUT", f"/qos/policies/{first['id']}", no_more))[0] == 200
    assert (await cloud(MANAGER, "PUT", path, default))[0] == 200
    listed = (await cloud(MANAGER, "GET", "/qos/policies?is_default=true"))[1]["policies"]
    assert [item["id"] for item in listed] == [second["id"]]


async def test_tags_are_below_a_policy_and_below_the_bare_name_of_policies(cloud: Cloud) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies")
    assert (await cloud(MANAGER, "PUT", f"/qos/policies/{policy['id']}/tags/gold"))[0] == 201
    assert await cloud(MANAGER, "GET", f"/policies/{policy['id']}/tags") == (200, {"tags": ["gold"]})
    assert (await cloud(RED, "PUT", f"/policies/{policy['id']}/tags/silver"))[0] == 403
    assert len((await cloud(RED, "GET", "/qos/policies?tags=gold"))[1]["policies"]) == 1


async def test_who_asks_learns_which_types_of_rules_there_are(cloud: Cloud) -> None:
    enforced = [each for each in ALL if each in rule_types.ENFORCED]
    for query, types in (
        ("", list(ALL)),
        ("?all_rules=True", list(ALL)),
        ("?all_supported=true", enforced),
        ("?all_supported=false", list(ALL)),
        ("?type=minimum_bandwidth", ["minimum_bandwidth"]),
        ("?all_supported=true&type=minimum_bandwidth", []),
    ):
        status, body = await cloud(RED, "GET", f"/qos/rule-types{query}")
        assert (status, [item["type"] for item in body["rule_types"]]) == (200, types), query
    assert kind(await cloud(RED, "GET", "/qos/rule-types?all_rules=perhaps"))[0] == 400
    assert kind(await cloud(RED, "GET", "/qos/rule-types?colour=red"))[0] == 400


def test_the_types_that_are_enforced_are_those_that_rows_are_made_of() -> None:
    assert set(qos.SUPPORTED) == rule_types.ENFORCED


async def test_admins_learn_what_a_type_of_rules_takes(cloud: Cloud) -> None:
    assert kind(await cloud(RED, "GET", "/qos/rule-types/dscp_marking")) == (403, "NotAuthorized")
    assert kind(await cloud(ADMIN, "GET", "/qos/rule-types/colour"))[0] == 404
    assert (await shown(cloud, ADMIN, "/qos/rule-types/minimum_packet_rate"))["drivers"] == []
    (driver,) = (await shown(cloud, ADMIN, "/qos/rule-types/packet_rate_limit"))["drivers"]
    assert {item["parameter_name"]: (item["parameter_type"], item["parameter_values"]) for item in
            driver["supported_parameters"]} == {
        "max_kpps": ("range", {"start": 0, "end": 2**31 - 1}),
        "max_burst_kpps": ("range", {"start": 0, "end": 2**31 - 1}),
        "direction": ("choices", ["ingress", "egress"]),
    }  # fmt: skip
    (driver,) = (await shown(cloud, ADMIN, "/qos/rule-types/dscp_marking"))["drivers"]
    (marks,) = driver["supported_parameters"]
    for value in marks["parameter_values"]:
        policy = await cloud.made(ADMIN, "/qos/policies")
        await rule(cloud, policy, "dscp_marking", dscp_mark=value)


# ---------------------------------------------------------------- sharing


async def test_an_opened_policy_is_seen_but_its_rules_are_not_changed_by_others(cloud: Cloud) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies")
    path = f"/qos/policies/{policy['id']}"
    opening = {"object_type": "qos_policy", "object_id": policy["id"], "action": "access_as_shared"}
    rbac = await cloud.made(MANAGER, "/rbac-policies", **opening, target_tenant="blue")
    assert (await shown(cloud, BLUE, path))["shared"] is True
    assert [item["id"] for item in (await cloud(BLUE, "GET", "/qos/policies?shared=true"))[1]["policies"]] == [
        policy["id"]
    ]
    assert kind(await cloud("manager:blue", "PUT", path, {"policy": {"name": "x"}}))[0] == 404
    assert kind(await cloud(BLUE, "POST", "/rbac-policies", {"rbac_policy": {**opening, "target_tenant": "x"}})) == (
        400,
        "InvalidInput",
    )
    assert (await cloud(MANAGER, "DELETE", f"/rbac-policies/{rbac['id']}"))[0] == 204
    assert kind(await cloud(BLUE, "GET", path)) == (404, "QosPolicyNotFound")


async def test_a_policy_stays_open_while_others_follow_it(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies", shared=True)
    path, closed = f"/qos/policies/{policy['id']}", {"policy": {"shared": False}}
    network = await cloud.made(BLUE, "/networks", qos_policy_id=policy["id"])
    assert kind(await cloud(ADMIN, "PUT", path, closed)) == (409, "RbacPolicyInUse")
    (rbac,) = (await cloud(ADMIN, "GET", "/rbac-policies"))[1]["rbac_policies"]
    assert kind(await cloud(ADMIN, "DELETE", f"/rbac-policies/{rbac['id']}")) == (409, "RbacPolicyInUse")
    assert (await cloud(BLUE, "DELETE", f"/networks/{network['id']}"))[0] == 204
    assert (await cloud(ADMIN, "PUT", path, closed))[1]["policy"]["shared"] is False
    assert (await cloud(BLUE, "GET", path))[0] == 404
