"""Queries, preconditions and bodies of any resource that a running Neutron refuses, with its status and type."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud
from tests.api.refusals.answers import NOTHING, RED, answer


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("sort_key=name", (400, "HTTPBadRequest")),
        ("sort_dir=asc", (400, "HTTPBadRequest")),
        ("sort_key=&sort_dir=", (200, "")),
        ("sort_key=description&sort_dir=asc", (400, "HTTPBadRequest")),
        ("sort_key=created_at&sort_dir=asc", (400, "HTTPBadRequest")),
        ("limit=", (400, "BadRequest")),
        ("limit=-1", (400, "BadRequest")),
        ("limit=x", (400, "BadRequest")),
        (f"limit=1&marker={NOTHING}", (404, "NetworkNotFound")),
        (f"marker={NOTHING}", (200, "")),
        ("admin_state_up=maybe", (400, "InvalidInput")),
        ("mtu=x", (400, "InvalidInput")),
        ("mtu=-1", (200, "")),
        ("created_at=2020-01-01", (400, "HTTPBadRequest")),
        ("dns_domain=a.", (400, "HTTPBadRequest")),
        ("changed_since=yesterday", (400, "InvalidInput")),
        ("changed_since=2020-01-01T00:00:00Z", (200, "")),
    ],
)
async def test_a_list_of_networks(cloud: Cloud, query: str, expected: tuple[int, str]) -> None:
    assert await answer(cloud, RED, "GET", f"/networks?{query}") == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/subnets?cidr=x", (400, "InvalidInput")),
        ("/ports?fixed_ips=x", (400, "InvalidInput")),
        ("/routers?status=ACTIVE", (400, "HTTPBadRequest")),
        ("/security-group-rules?ethertype=x", (400, "SecurityGroupRuleInvalidEtherType")),
        ("/security-group-rules?protocol=x", (400, "SecurityGroupRuleInvalidProtocol")),
        ("/security-group-rules?port_range_min=x", (400, "SecurityGroupInvalidPortValue")),
        ("/security-group-rules?remote_ip_prefix=x", (400, "InvalidCIDR")),
        ("/security-group-rules?tags=x", (400, "HTTPBadRequest")),
        ("/address-scopes?revision_number=1", (400, "HTTPBadRequest")),
    ],
)
async def test_a_filter_of_a_value_that_there_cannot_be(cloud: Cloud, path: str, expected: tuple[int, str]) -> None:
    assert await answer(cloud, RED, "GET", path) == expected


@pytest.mark.parametrize(
    ("if_match", "expected"),
    [
        ("revision_number=0", (200, "")),
        ('"revision_number=0"', (200, "")),
        ("revision_number=99", (412, "RevisionNumberConstraintFailed")),
        ("revision_number=-1", (412, "RevisionNumberConstraintFailed")),
        ("revision_number=", (400, "BadRequest")),
        ("revision_number=x", (400, "BadRequest")),
        ("revision_number=1, revision_number=2", (400, "BadRequest")),
        ("*", (200, "")),
        ("etag", (200, "")),
        ("", (200, "")),
    ],
)
async def test_an_update_on_condition(cloud: Cloud, if_match: str, expected: tuple[int, str]) -> None:
    net = await cloud.made(RED, "/networks")
    wish = if_match.replace("=0", f"={net['revision_number']}")
    change = {"network": {"description": "x"}}
    assert await answer(cloud, RED, "PUT", f"/networks/{net['id']}", change, {"If-Match": wish}) == expected


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/routers", {"routers": [{}]}),
        ("/floatingips", {"floatingips": [{"floating_network_id": NOTHING}]}),
        ("/subnetpools", {"subnetpools": [{"name": "p", "prefixes": ["10.0.0.0/8"]}]}),
        ("/rbac-policies", {"rbac_policies": [{}]}),
    ],
)
async def test_several_at_once_of_what_is_made_one_by_one(cloud: Cloud, path: str, body: dict[str, Any]) -> None:
    assert await answer(cloud, RED, "POST", path, body) == (400, "HTTPBadRequest")


async def test_an_update_of_several_at_once(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    body = {"network": {"name": "x"}, "networks": [{"name": "y"}]}
    assert await answer(cloud, RED, "PUT", f"/networks/{net['id']}", body) == (400, "HTTPBadRequest")


async def test_a_deletion_that_says_more_than_that(cloud: Cloud) -> None:
    net = await cloud.made(RED, "/networks")
    assert await answer(cloud, RED, "DELETE", f"/networks/{net['id']}", {"a": 1}) == (400, "HTTPBadRequest")
    assert await answer(cloud, RED, "DELETE", f"/networks/{net['id']}") == (204, "")


async def test_security_group_rules_have_no_tags(cloud: Cloud) -> None:
    group = await cloud.made(RED, "/security-groups")
    rule = group["security_group_rules"][0]
    assert "tags" not in rule
    path = f"/security-group-rules/{rule['id']}/tags"
    assert await answer(cloud, RED, "GET", path) == (404, "HTTPNotFound")
    assert await answer(cloud, RED, "PUT", f"{path}/blue") == (404, "HTTPNotFound")
