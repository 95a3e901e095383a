"""Default security group rules: the operator chooses what new groups begin with."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud

SSH = {"direction": "ingress", "ethertype": "IPv4", "protocol": "tcp", "port_range_min": 22, "port_range_max": 22}
USE = {"used_in_default_sg": False, "used_in_non_default_sg": True}
NEW = {**SSH, **USE}


async def admitted(cloud: Cloud, group: dict[str, Any]) -> list[tuple[str, str, int | None]]:
    _, body = await cloud("admin:ops", "GET", f"/security-group-rules?security_group_id={group['id']}")
    rules = body["security_group_rules"]
    return sorted((rule["direction"], rule["ethertype"], rule["port_range_min"] or 0) for rule in rules)


async def test_a_new_default_rule_is_in_the_groups_made_after_it_of_its_kind_alone(cloud: Cloud) -> None:
    before = await cloud.made("member:red", "/security-groups", name="before")
    rule = await cloud.made("admin:ops", "/default-security-group-rules", **NEW)
    after = await cloud.made("member:red", "/security-groups", name="after")
    out = [("egress", "IPv4", 0), ("egress", "IPv6", 0)]
    assert await admitted(cloud, before) == out
    assert await admitted(cloud, after) == [*out, ("ingress", "IPv4", 22)]
    # It is not for default groups unless it says so.
    _, body = await cloud("member:blue", "GET", "/security-groups?name=default")
    assert await admitted(cloud, body["security_groups"][0]) == [*out, ("ingress", "IPv4", 0), ("ingress", "IPv6", 0)]

    assert (await cloud("admin:ops", "DELETE", f"/default-security-group-rules/{rule['id']}"))[0] == 204
    assert await admitted(cloud, after) == [*out, ("ingress", "IPv4", 22)]
    assert await admitted(cloud, await cloud.made("member:red", "/security-groups", name="last")) == out


async def test_a_default_group_that_may_not_talk_to_itself(cloud: Cloud) -> None:
    _, body = await cloud("admin:ops", "GET", "/default-security-group-rules?remote_group_id=PARENT")
    for rule in body["default_security_group_rules"]:
        await cloud("admin:ops", "DELETE", f"/default-security-group-rules/{rule['id']}")
    _, body = await cloud("member:red", "GET", "/security-groups?name=default")
    assert {rule["direction"] for rule in body["security_groups"][0]["security_group_rules"]} == {"egress"}


async def test_what_a_default_rule_names_stays_open_to_all(cloud: Cloud) -> None:
    group = await cloud.made("admin:ops", "/address-groups", addresses=["10.0.0.0/8"])
    wish = {"object_type": "address_group", "object_id": group["id"], "action": "access_as_shared"}
    policy = await cloud.made("admin:ops", "/rbac-policies", **wish, target_tenant="*")
    rule = await cloud.made(
        "admin:ops", "/default-security-group-rules", direction="ingress", remote_address_group_id=group["id"], **USE
    )
    made = await cloud.made("member:red", "/security-groups", name="g")
    assert group["id"] in [item["remote_address_group_id"] for item in made["security_group_rules"]]
    await cloud("member:red", "DELETE", f"/security-groups/{made['id']}")
    for path in (f"/rbac-policies/{policy['id']}", f"/address-groups/{group['id']}"):
        assert (await cloud("admin:ops", "DELETE", path))[0] == 409
    await cloud("admin:ops", "DELETE", f"/default-security-group-rules/{rule['id']}")
    assert (await cloud("admin:ops", "DELETE", f"/address-groups/{group['id']}"))[0] == 204


async def test_the_same_rule_twice_or_one_that_names_what_not_all_may_see_is_refused(cloud: Cloud) -> None:
    rule = await cloud.made("admin:ops", "/default-security-group-rules", **NEW)
    wish = {"default_security_group_rule": {**NEW, "used_in_default_sg": True}}
    status, body = await cloud("admin:ops", "POST", "/default-security-group-rules", wish)
    assert (status, body["NeutronError"]["type"]) == (409, "DefaultSecurityGroupRuleExists")
    assert rule["id"] in body["NeutronError"]["message"]
    group = await cloud.made("admin:ops", "/security-groups", name="g")
    wish = {"default_security_group_rule": {"direction": "ingress", "remote_group_id": group["id"], **USE}}
    status, body = await cloud("admin:ops", "POST", "/default-security-group-rules", wish)
    assert status == 400 and "not shared with all projects" in body["NeutronError"]["message"]
    assert (await cloud("member:red", "POST", "/default-security-group-rules", wish))[0] == 403
