"""Security groups and their rules through the API."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from kaon.resources import records
from kaon.resources.declare import named
from kaon.resources.security.security_group import default_group
from kaon.store import journal
from tests.api.cloud import Cloud


async def rule(cloud: Cloud, token: str, group: dict[str, Any], **values: Any) -> tuple[int, Any]:
    """POST a rule of a group; ingress unless said otherwise."""
    body = {"security_group_id": group["id"], "direction": "ingress", **values}
    return await cloud(token, "POST", "/security-group-rules", {"security_group_rule": body})


async def test_looking_for_groups_makes_the_default_group_once(cloud: Cloud) -> None:
    for _ in range(2):
        _, body = await cloud("member:red", "GET", "/security-groups")
        (default,) = body["security_groups"]
        assert default["name"] == "default" and default["project_id"] == "red"
    rules = {
        (item["direction"], item["ethertype"], item["remote_group_id"]) for item in default["security_group_rules"]
    }
    assert rules == {
        ("egress", "IPv4", None),
        ("egress", "IPv6", None),
        ("ingress", "IPv4", default["id"]),
        ("ingress", "IPv6", default["id"]),
    }
    assert all(item["belongs_to_default_sg"] for item in default["security_group_rules"])
    _, body = await cloud("member:blue", "GET", "/security-group-rules")
    assert len(body["security_group_rules"]) == 4
    assert (await cloud("member:blue", "GET", f"/security-groups/{default['id']}"))[0] == 404
    made = await cloud.store.write(lambda tx: default_group(tx, "red"))
    assert made["id"] == default["id"]


async def test_an_admin_who_asks_for_a_project_gets_that_projects_default_group(cloud: Cloud) -> None:
    _, body = await cloud("admin:ops", "GET", "/security-groups?project_id=green&name=default")
    assert [item["project_id"] for item in body["security_groups"]] == ["green"]
    _, body = await cloud("member:red", "GET", "/security-groups?project_id=blue")
    assert body == {"security_groups": []}
    _, body = await cloud("admin:ops", "GET", "/security-groups?project_id=blue&fields=name")
    assert body == {"security_groups": [{"name": "default"}]}


async def test_a_new_group_lets_out_and_shows_its_rules_as_they_come_and_go(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups", name="web", description="HTTP")
    assert [item["direction"] for item in group["security_group_rules"]] == ["egress", "egress"]
    assert group["stateful"] is True and group["shared"] is False and "default_of" not in group
    status, body = await rule(cloud, "member:red", group, protocol="TCP", port_range_min=80, port_range_max="80")
    made = body["security_group_rule"]
    assert status == 201 and made["protocol"] == "tcp" and made["port_range_max"] == 80
    assert made["project_id"] == made["tenant_id"] == "red" and made["ethertype"] == "IPv4"
    path = f"/security-groups/{group['id']}"
    for method in ("one", "list"):
        _, body = await cloud("member:red", "GET", path if method == "one" else "/security-groups?name=web")
        shown = body["security_group"] if method == "one" else body["security_groups"][0]
        assert made in shown["security_group_rules"]
    assert shown["revision_number"] > group["revision_number"]
    assert (await cloud("member:red", "DELETE", f"/security-group-rules/{made['id']}"))[0] == 204
    _, body = await cloud("member:red", "GET", path)
    assert body["security_group"]["security_group_rules"] == group["security_group_rules"]
    assert (await cloud("member:red", "DELETE", path))[0] == 204
    assert (await cloud("member:red", "GET", path))[0] == 404
    _, body = await cloud("member:red", "GET", f"/security-group-rules?security_group_id={group['id']}")
    assert body == {"security_group_rules": []}


async def test_the_default_group_keeps_its_name_and_only_admins_remove_it(cloud: Cloud) -> None:
    _, body = await cloud("member:red", "GET", "/security-groups")
    path = f"/security-groups/{body['security_groups'][0]['id']}"
    status, body = await cloud("member:red", "PUT", path, {"security_group": {"name": "mine"}})
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupCannotUpdateDefault")
    status, body = await cloud("member:red", "PUT", path, {"security_group": {"description": "ours"}})
    assert status == 200 and body["security_group"]["description"] == "ours"
    status, body = await cloud("member:red", "DELETE", path)
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupCannotRemoveDefault")
    status, body = await cloud("member:red", "POST", "/security-groups", {"security_group": {"name": "Default"}})
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupDefaultAlreadyExists")
    assert (await cloud("admin:ops", "DELETE", path))[0] == 204


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"protocol": "ether"}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": 256}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": True}, "SecurityGroupRuleInvalidProtocol"),
        ({"protocol": {"a": 1}}, "SecurityGroupRuleInvalidProtocol"),
        ({"ethertype": "IPX"}, "SecurityGroupRuleInvalidEtherType"),
        ({"port_range_min": 80, "port_range_max": 80}, "SecurityGroupProtocolRequiredWithPorts"),
        ({"protocol": "tcp", "port_range_min": 80}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "tcp", "port_range_min": 81, "port_range_max": 80}, "SecurityGroupInvalidPortRange"),
        ({"protocol": "udp", "port_range_min": 0, "port_range_max": 80}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "udp", "port_range_min": 1, "port_range_max": 65536}, "SecurityGroupInvalidPortValue"),
        ({"protocol": "gre", "port_range_min": 1, "port_range_max": 2}, "SecurityGroupInvalidProtocolForPort"),
        ({"protocol": "icmp", "port_range_min": 256}, "SecurityGroupInvalidIcmpValue"),
        ({"protocol": "icmp", "port_range_max": 1}, "SecurityGroupMissingIcmpType"),
        ({"protocol": "icmpv6"}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"protocol": 58}, "SecurityGroupEthertypeConflictWithProtocol"),
        ({"remote_ip_prefix": "2001:db8::/32"}, "SecurityGroupRuleParameterConflict"),
        ({"remote_ip_prefix": "10.0.0.0/33"}, "InvalidCIDR"),
        ({"direction": "sideways"}, "HTTPBadRequest"),
        ({"stateful": True}, "HTTPBadRequest"),
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(cloud: Cloud, values: dict[str, Any], error: str) -> None:
    group = await cloud.made("member:red", "/security-groups")
    status, body = await rule(cloud, "member:red", group, **values)
    assert (status, body["NeutronError"]["type"]) == (400, error)
    _, body = await cloud("member:red", "GET", f"/security-groups/{group['id']}")
    assert body["security_group"] == group


async def test_a_remote_is_a_prefix_or_a_group_that_the_caller_may_name(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups")
    foreign = await cloud.made("member:blue", "/security-groups")
    both = {"remote_group_id": group["id"], "remote_ip_prefix": "10.0.0.0/8"}
    status, body = await rule(cloud, "member:red", group, **both)
    assert (status, body["NeutronError"]["type"]) == (400, "SecurityGroupMultipleRemoteEntites")
    status, body = await rule(cloud, "member:red", group, remote_group_id=foreign["id"])
    assert (status, body["NeutronError"]["type"]) == (404, "SecurityGroupNotFound")
    status, body = await rule(cloud, "member:red", group, remote_ip_prefix="10.1.2.3/8")
    assert status == 201
    assert body["security_group_rule"]["remote_ip_prefix"] == "10.1.2.3/8"
    assert body["security_group_rule"]["normalized_cidr"] == "10.0.0.0/8"
    _, body = await cloud("member:red", "GET", "/security-group-rules?normalized_cidr=10.0.0.0/8")
    assert len(body["security_group_rules"]) == 1


async def test_nobody_writes_rules_into_a_foreign_group(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups")
    missing = {"id": "3f0e9a5c-6b1c-4d0e-9a7f-2f6c8e3d1b4a"}
    for token, where in (("member:blue", group), ("member:red", missing), ("admin:ops", missing)):
        status, body = await rule(cloud, token, where)
        assert (status, body["NeutronError"]["type"]) == (404, "SecurityGroupNotFound")
    assert (await rule(cloud, "reader:red", group))[0] == 403
    status, body = await rule(cloud, "admin:ops", group, protocol="udp")
    assert status == 201
    made = body["security_group_rule"]
    _, body = await cloud("member:red", "GET", "/security-group-rules?protocol=udp")
    assert [item["id"] for item in body["security_group_rules"]] == [made["id"]]
    assert (await cloud("member:blue", "DELETE", f"/security-group-rules/{made['id']}"))[0] == 404


async def test_the_same_rule_in_other_words_is_a_duplicate(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups")
    for first, again in (
        ({"protocol": "tcp"}, {"protocol": "6"}),
        ({}, {"remote_ip_prefix": "0.0.0.0/0"}),
        ({"ethertype": "IPv6", "protocol": "icmp"}, {"ethertype": "ipv6", "protocol": 58}),
        ({"protocol": "udp"}, {"protocol": "udp", "port_range_min": 1, "port_range_max": 65535}),
    ):
        assert (await rule(cloud, "member:red", group, **first))[0] == 201
        status, body = await rule(cloud, "member:red", group, **again)
        assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupRuleExists")
    _, body = await cloud("member:red", "GET", "/security-group-rules?protocol=ipv6-icmp")
    assert len(body["security_group_rules"]) == 1


async def test_rules_in_bulk_are_all_made_or_none(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups")
    base = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
    rules = [{**base, "port_range_min": port, "port_range_max": port} for port in (80, 443, 80)]
    status, body = await cloud("member:red", "POST", "/security-group-rules", {"security_group_rules": rules})
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupRuleExists")
    status, body = await cloud("member:red", "POST", "/security-group-rules", {"security_group_rules": rules[:2]})
    assert status == 201 and [item["port_range_min"] for item in body["security_group_rules"]] == [80, 443]
    _, body = await cloud("member:red", "GET", f"/security-groups/{group['id']}")
    assert len(body["security_group"]["security_group_rules"]) == 4


async def test_a_group_opened_to_a_project_is_seen_and_used_there_but_not_changed(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups", name="common")
    opened = {"object_type": "security_group", "object_id": group["id"], "action": "access_as_shared"}
    await cloud.made("member:red", "/rbac-policies", **opened, target_tenant="blue")
    _, body = await cloud("member:blue", "GET", "/security-groups?shared=true")
    assert [(item["id"], item["shared"]) for item in body["security_groups"]] == [(group["id"], True)]
    _, body = await cloud("member:red", "GET", "/security-groups?name=common")
    assert body["security_groups"][0]["shared"] is False
    own = await cloud.made("member:blue", "/security-groups")
    assert (await rule(cloud, "member:blue", own, remote_group_id=group["id"]))[0] == 201
    assert (await rule(cloud, "member:blue", group))[0] == 403
    assert (await cloud("member:blue", "DELETE", f"/security-groups/{group['id']}"))[0] == 404
    assert (await cloud("member:green", "GET", f"/security-groups/{group['id']}"))[0] == 404


async def test_rules_that_admit_a_removed_group_go_with_it(cloud: Cloud) -> None:
    members = await cloud.made("member:red", "/security-groups")
    web = await cloud.made("member:red", "/security-groups")
    await rule(cloud, "member:red", web, remote_group_id=members["id"])
    assert (await cloud("member:red", "DELETE", f"/security-groups/{members['id']}"))[0] == 204
    _, body = await cloud("member:red", "GET", f"/security-groups/{web['id']}")
    assert [item["direction"] for item in body["security_group"]["security_group_rules"]] == ["egress", "egress"]


async def test_quotas_count_the_default_group_and_its_rules(cloud: Cloud) -> None:
    for _ in range(9):
        await cloud.made("member:red", "/security-groups")
    status, body = await cloud("member:red", "POST", "/security-groups", {"security_group": {}})
    assert (status, body["NeutronError"]["type"]) == (409, "OverQuota")
    _, body = await cloud("member:red", "GET", "/security-groups")
    assert len(body["security_groups"]) == 10


async def test_a_rule_reads_and_writes_as_many_rows_in_a_full_group_as_in_an_empty_one(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups")
    statements: list[str] = []
    sa.event.listen(cloud.store.engine, "before_cursor_execute", lambda *args: statements.append(args[2]), named=False)
    counts, sizes = [], []
    for port in range(1, 90):
        statements.clear()
        assert (await rule(cloud, "member:red", group, protocol="tcp", port_range_min=port, port_range_max=port))[
            0
        ] == 201
        counts.append(len(statements))
        sizes.append(sum(len(text) for text in statements))
    assert counts[0] == counts[-1] and sizes[0] == sizes[-1]


async def test_the_journal_tells_the_world_of_groups_and_rules(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/security-groups")
    await rule(cloud, "member:red", group, protocol="icmp", port_range_min=8)
    changes = await cloud.store.read(lambda conn: journal.since(conn, 0))
    last = [change for change in changes if change.kind == "security_group_rule"][-1]
    assert last.after is not None
    assert (last.after["protocol"], last.after["port_range_min"], last.after["port_range_max"]) == ("icmp", 8, None)
    held = await cloud.store.read(lambda conn: records.get(conn, named("security_group"), group["id"]))
    newest = [change.after for change in changes if change.id == group["id"]][-1]
    assert newest == held and "security_group_rules" not in held


async def test_a_stateless_group_is_not_mixed_with_others_nor_changed_while_it_is_used(cloud: Cloud) -> None:
    plain = await cloud.made("member:red", "/security-groups", name="plain", stateful=False)
    other = await cloud.made("member:red", "/security-groups", name="other")
    assert (plain["stateful"], other["stateful"]) == (False, True)
    net = await cloud.made("member:red", "/networks")
    wish = {"network_id": net["id"], "security_groups": [plain["id"], other["id"]]}
    status, body = await cloud("member:red", "POST", "/ports", {"port": wish})
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupConflict")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], security_groups=[plain["id"]])
    path, change = f"/security-groups/{plain['id']}", {"security_group": {"stateful": True}}
    status, body = await cloud("member:red", "PUT", path, change)
    assert (status, body["NeutronError"]["type"]) == (409, "SecurityGroupInUse")
    await cloud("member:red", "DELETE", f"/ports/{port['id']}")
    assert (await cloud("member:red", "PUT", path, change))[1]["security_group"]["stateful"] is True
