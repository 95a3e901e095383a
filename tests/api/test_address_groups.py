"""Address groups: what they hold, who may name them in rules, and what that means on a host."""

from __future__ import annotations

from kaon.resources import records
from kaon.resources.catalog import resources
from kaon.rows import AclGroup
from kaon.server.desired import Desired
from kaon.world.world import Change, World
from tests.api.cloud import Cloud
from tests.api.conftest import HOST


async def test_addresses_come_and_go_by_actions_of_their_own(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/address-groups", addresses=["10.1.0.9/24", "10.1.0.0/24", "fd00::/64"])
    assert group["addresses"] == ["10.1.0.0/24", "fd00::/64"]
    path = f"/address-groups/{group['id']}"
    _, body = await cloud("member:red", "PUT", f"{path}/add_addresses", {"addresses": ["10.2.0.7"]})
    assert body["address_group"]["addresses"] == ["10.1.0.0/24", "fd00::/64", "10.2.0.7/32"]
    status, body = await cloud("member:red", "PUT", f"{path}/add_addresses", {"addresses": ["10.2.0.7/32"]})
    assert (status, body["NeutronError"]["type"]) == (400, "AddressesAlreadyExist")
    _, body = await cloud("member:red", "PUT", f"{path}/remove_addresses", {"addresses": ["10.1.0.0/24"]})
    assert body["address_group"]["addresses"] == ["fd00::/64", "10.2.0.7/32"]
    status, body = await cloud("member:red", "PUT", f"{path}/remove_addresses", {"addresses": ["10.1.0.0/24"]})
    assert (status, body["NeutronError"]["type"]) == (404, "AddressesNotFound")


async def test_a_rule_names_only_a_group_that_is_open_to_its_project_and_keeps_it(cloud: Cloud) -> None:
    group = await cloud.made("admin:ops", "/address-groups", addresses=["10.1.0.0/24"])
    security = await cloud.made("member:red", "/security-groups", name="web")
    rule = {"security_group_id": security["id"], "direction": "ingress", "remote_address_group_id": group["id"]}
    status, body = await cloud("member:red", "POST", "/security-group-rules", {"security_group_rule": rule})
    assert (status, body["NeutronError"]["type"]) == (404, "AddressGroupNotFound")

    policy = await cloud.made(
        "admin:ops",
        "/rbac-policies",
        object_type="address_group",
        object_id=group["id"],
        action="access_as_shared",
        target_tenant="red",
    )
    await cloud.made("member:red", "/security-group-rules", **rule)
    assert (await cloud("admin:ops", "DELETE", f"/rbac-policies/{policy['id']}"))[0] == 409
    status, body = await cloud("admin:ops", "DELETE", f"/address-groups/{group['id']}")
    assert (status, body["NeutronError"]["type"]) == (409, "AddressGroupInUse")
    # Red may use the group; to change it is another's, as if it were not there.
    status, _ = await cloud("member:red", "PUT", f"/address-groups/{group['id']}", {"address_group": {"name": "x"}})
    assert status == 404


async def test_a_rule_with_a_group_admits_the_groups_prefixes_of_its_kind_as_they_are_now(cloud: Cloud) -> None:
    group = await cloud.made("member:red", "/address-groups", addresses=["10.1.0.0/24", "fd00::/64"])
    security = await cloud.made("member:red", "/security-groups", name="web")
    net = await cloud.made("member:red", "/networks")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], security_groups=[security["id"]])
    await cloud.made(
        "member:red",
        "/security-group-rules",
        security_group_id=security["id"],
        direction="ingress",
        protocol="tcp",
        remote_address_group_id=group["id"],
    )
    held = await cloud.store.read(lambda conn: list(records.load_all(conn, resources())))
    place = {"id": port["id"], "port_id": port["id"], "host": HOST.host, "netns": "vm", "ifname": "eth0"}
    host = Desired(World(Change(kind, item["id"], None, item) for kind, item in [*held, ("attachment", place)]), HOST)

    def admitted() -> list[str]:
        groups = [row.value for row in host.snapshot() if isinstance(row.value, AclGroup)]
        return [rule.remote_cidr for item in groups for rule in item.rules if rule.direction == "ingress"]

    assert admitted() == ["10.1.0.0/24"]
    before = next(item for kind, item in held if kind == "address_group")
    host.apply([Change("address_group", group["id"], before, {**before, "addresses": ["10.9.0.1/32", "10.8.0.0/16"]})])
    assert admitted() == ["10.9.0.1/32", "10.8.0.0/16"]
    host.apply([Change("address_group", group["id"], before, {**before, "addresses": []})])
    assert admitted() == []
