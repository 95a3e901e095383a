"""Values that a running Neutron refuses, with its status and type: one is wrong, the rest of the body is right."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.cloud import Cloud
from tests.api.refusals.answers import ADMIN, NOTHING, RED, answer

CONVERTED = (400, "InvalidInput")
"""Neutron's answer where it converts a value before it looks at it."""
INVALID = (400, "HTTPBadRequest")

WRONG: tuple[tuple[str, str, Any, tuple[int, str]], ...] = (
    ("networks", "admin_state_up", "x", CONVERTED),
    ("networks", "shared", None, CONVERTED),
    ("networks", "mtu", "x", CONVERTED),
    ("networks", "name", "  a ", INVALID),
    ("networks", "name", "a\nb", INVALID),
    ("networks", "dns_domain", 1, CONVERTED),
    ("networks", "provider:network_type", "x", CONVERTED),
    ("networks", "provider:segmentation_id", None, CONVERTED),
    ("subnets", "ip_version", "x", CONVERTED),
    ("subnets", "cidr", "10.0.0.0/99", CONVERTED),
    ("subnets", "allocation_pools", [{}], CONVERTED),
    ("subnets", "prefixlen", "x", CONVERTED),
    ("subnets", "service_types", [1], (400, "InvalidInputSubnetServiceType")),
    ("subnets", "service_types", ["a"], (400, "InvalidSubnetServiceType")),
    ("subnetpools", "name", "", INVALID),
    ("subnetpools", "default_quota", None, CONVERTED),
    ("subnetpools", "min_prefixlen", "x", CONVERTED),
    ("security-groups", "stateful", "x", CONVERTED),
    ("security-group-rules", "security_group_id", "x", (404, "SecurityGroupNotFound")),
    ("security-group-rules", "remote_group_id", "x", (404, "SecurityGroupNotFound")),
    ("security-group-rules", "remote_address_group_id", "x", (404, "AddressGroupNotFound")),
    ("rbac-policies", "object_type", "x", CONVERTED),
    ("rbac-policies", "action", "x", (400, "InvalidActionForType")),
    ("rbac-policies", "target_tenant", "", CONVERTED),
    ("flavors", "service_type", "x", (400, "InvalidServiceType")),
    ("flavors", "enabled", "x", CONVERTED),
    ("floatingips", "floating_ip_address", "fd00::1", (400, "InvalidIpForNetwork")),
    ("floatingips", "subnet_id", NOTHING, (404, "SubnetNotFound")),
    ("floatingips", "dns_name", 1, CONVERTED),
    ("local-ips", "network_id", None, INVALID),
    ("local-ips", "description", "x" * 256, INVALID),
    ("default-security-group-rules", "used_in_default_sg", "x", CONVERTED),
)


async def right(cloud: Cloud) -> dict[str, dict[str, Any]]:
    """A body of each collection that would be taken."""
    net = await cloud.made(RED, "/networks")
    await cloud.made(RED, "/subnets", network_id=net["id"], ip_version=4, cidr="10.1.0.0/24")
    group = await cloud.made(RED, "/security-groups")
    public = await cloud.made(ADMIN, "/networks", **{"router:external": True})
    await cloud.made(ADMIN, "/subnets", network_id=public["id"], ip_version=4, cidr="203.0.113.0/24")
    opened = {"object_type": "network", "object_id": net["id"], "action": "access_as_shared", "target_tenant": "blue"}
    return {
        "networks": {},
        "subnets": {"network_id": net["id"], "ip_version": 4, "cidr": "10.0.0.0/24"},
        "subnetpools": {"name": "pool", "prefixes": ["10.0.0.0/8"]},
        "security-groups": {},
        "security-group-rules": {"security_group_id": group["id"], "direction": "ingress"},
        "rbac-policies": opened,
        "flavors": {"service_type": "L3_ROUTER_NAT"},
        "floatingips": {"floating_network_id": public["id"]},
        "local-ips": {"network_id": net["id"]},
        "default-security-group-rules": {
            "direction": "ingress",
            "used_in_default_sg": True,
            "used_in_non_default_sg": True,
        },
    }


def one(collection: str) -> str:
    """The word for one of them in bodies."""
    name = collection.replace("-", "_")
    return f"{name[:-3]}y" if name.endswith("ies") else name[:-1]


@pytest.mark.parametrize(("collection", "name", "value", "expected"), WRONG)
async def test_one_wrong_value(cloud: Cloud, collection: str, name: str, value: Any, expected: tuple[int, str]) -> None:
    body = (await right(cloud))[collection]
    assert await answer(cloud, ADMIN, "POST", f"/{collection}", {one(collection): {**body, name: value}}) == expected
    assert (await answer(cloud, ADMIN, "POST", f"/{collection}", {one(collection): body}))[0] == 201


@pytest.mark.parametrize(
    ("collection", "name"),
    [
        ("subnetpools", "name"),
        ("default-security-group-rules", "used_in_default_sg"),
        ("default-security-group-rules", "used_in_non_default_sg"),
    ],
)
async def test_what_neutron_requires(cloud: Cloud, collection: str, name: str) -> None:
    body = {key: value for key, value in (await right(cloud))[collection].items() if key != name}
    assert await answer(cloud, ADMIN, "POST", f"/{collection}", {one(collection): body}) == INVALID


@pytest.mark.parametrize(
    ("collection", "name"),
    [("subnets", "allocation_pools"), ("subnets", "service_types"), ("floatingips", "floating_ip_address")],
)
async def test_null_where_neutron_takes_it(cloud: Cloud, collection: str, name: str) -> None:
    body = {**(await right(cloud))[collection], name: None}
    assert await answer(cloud, ADMIN, "POST", f"/{collection}", {one(collection): body}) == (201, "")


async def test_a_second_default_network_even_if_it_is_not_external(cloud: Cloud) -> None:
    await cloud.made(ADMIN, "/networks", **{"router:external": True, "is_default": True})
    second = {"network": {"is_default": True}}
    assert await answer(cloud, ADMIN, "POST", "/networks", second) == (409, "DefaultExternalNetworkExists")


async def test_a_role_that_may_nothing_learns_nothing_of_its_own_project(cloud: Cloud) -> None:
    """What is there but hidden by policy is another 404 than what is not there."""
    net = await cloud.made(RED, "/networks")
    for path, expected in ((net["id"], "HTTPNotFound"), (NOTHING, "NetworkNotFound")):
        assert await answer(cloud, "norole:red", "GET", f"/networks/{path}") == (404, expected)
