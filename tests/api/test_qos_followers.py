"""What follows QoS policies: ports, networks, floating IPs and gateways, and what ports ask of Placement."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.api.cloud import Cloud
from tests.api.l3 import external, join, kind, network, shown
from tests.api.test_qos import rule

ADMIN, MANAGER, RED, BLUE = "admin:ops", "manager:red", "member:red", "member:blue"
UNKNOWN = "00000000-0000-0000-0000-000000000000"


async def put(cloud: Cloud, token: str, kind: str, id: str, **values: Any) -> tuple[int, Any]:
    """Update one resource."""
    return await cloud(token, "PUT", f"/{kind}s/{id}", {kind: values})


async def follower(cloud: Cloud, kind: str, policy_id: str | None) -> str:
    """The id of something of project red that follows a policy."""
    if kind == "network":
        return str((await cloud.made(RED, "/networks", qos_policy_id=policy_id))["id"])
    if kind == "port":
        net = await cloud.made(RED, "/networks")
        return str((await cloud.made(RED, "/ports", network_id=net["id"], qos_policy_id=policy_id))["id"])
    outside = await external(cloud)
    if kind == "floatingip":
        values = {"floating_network_id": outside["id"], "qos_policy_id": policy_id}
        return str((await cloud.made(RED, "/floatingips", **values))["id"])
    info = {"network_id": outside["id"], "qos_policy_id": policy_id}
    return str((await cloud.made(RED, "/routers", external_gateway_info=info))["id"])


@pytest.mark.parametrize("kind_of", ["network", "port", "floatingip", "router"])
async def test_a_policy_in_use_stays(cloud: Cloud, kind_of: str) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies")
    id = await follower(cloud, kind_of, policy["id"])
    path = f"/qos/policies/{policy['id']}"
    assert kind(await cloud(MANAGER, "DELETE", path)) == (409, "QosPolicyInUse")
    assert (await cloud(RED, "DELETE", f"/{kind_of}s/{id}"))[0] == 204
    assert (await cloud(MANAGER, "DELETE", path))[0] == 204


@pytest.mark.parametrize("kind_of", ["network", "port", "floatingip", "router"])
async def test_only_ones_own_and_opened_policies_are_followed(cloud: Cloud, kind_of: str) -> None:
    theirs = await cloud.made("manager:blue", "/qos/policies")
    opened = await cloud.made(ADMIN, "/qos/policies", shared=True)
    id = await follower(cloud, kind_of, opened["id"])
    for policy_id in (theirs["id"], UNKNOWN):
        if kind_of == "router":
            info = (await shown(cloud, RED, f"/routers/{id}"))["external_gateway_info"]
            wanted: dict[str, Any] = {
                "external_gateway_info": {"network_id": info["network_id"], "qos_policy_id": policy_id}
            }
        else:
            wanted = {"qos_policy_id": policy_id}
        assert kind(await put(cloud, RED, kind_of, id, **wanted)) == (404, "QosPolicyNotFound")


async def test_a_project_cannot_take_away_the_policy_that_an_admin_put_on_its_network_or_port(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies")
    net = await cloud.made(RED, "/networks")
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    for of, item in (("network", net), ("port", port)):
        assert (await put(cloud, ADMIN, of, item["id"], qos_policy_id=policy["id"]))[0] == 200
        refused = await put(cloud, RED, of, item["id"], qos_policy_id=None)
        assert kind(refused) == (403, "PolicyRemoveAuthorizationError")
        assert (await put(cloud, RED, of, item["id"], name="renamed"))[0] == 200
    await cloud(ADMIN, "PUT", f"/qos/policies/{policy['id']}", {"policy": {"shared": True}})
    assert (await put(cloud, RED, "network", net["id"], qos_policy_id=None))[1]["network"]["qos_policy_id"] is None


async def test_new_networks_follow_their_projects_default_policy(cloud: Cloud) -> None:
    default = await cloud.made(MANAGER, "/qos/policies", is_default=True)
    other = await cloud.made(MANAGER, "/qos/policies")
    assert (await cloud.made(RED, "/networks"))["qos_policy_id"] == default["id"]
    assert (await cloud.made(RED, "/networks", qos_policy_id=other["id"]))["qos_policy_id"] == other["id"]
    assert (await cloud.made(BLUE, "/networks"))["qos_policy_id"] is None


async def test_ports_show_the_policy_of_their_network_beside_their_own(cloud: Cloud) -> None:
    one, other = await cloud.made(MANAGER, "/qos/policies"), await cloud.made(MANAGER, "/qos/policies")
    net = await cloud.made(RED, "/networks", qos_policy_id=one["id"])
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (None, one["id"])
    assert (await put(cloud, RED, "port", port["id"], qos_policy_id=other["id"]))[0] == 200
    assert (await put(cloud, RED, "network", net["id"], qos_policy_id=None))[0] == 200
    now = await shown(cloud, RED, f"/ports/{port['id']}")
    assert (now["qos_policy_id"], now["qos_network_policy_id"]) == (other["id"], None)
    listed = (await cloud(RED, "GET", f"/ports?qos_policy_id={other['id']}"))[1]["ports"]
    assert [item["id"] for item in listed] == [port["id"]]
    assert kind(await put(cloud, RED, "port", port["id"], qos_network_policy_id=one["id"]))[0] == 400


async def test_a_gateway_keeps_its_policy_until_told_otherwise(cloud: Cloud) -> None:
    outside = await external(cloud)
    policy = await cloud.made(MANAGER, "/qos/policies")
    info = {"network_id": outside["id"]}
    router = await cloud.made(RED, "/routers", external_gateway_info={**info, "qos_policy_id": policy["id"]})
    assert router["external_gateway_info"]["qos_policy_id"] == policy["id"]

    async def changed(**more: Any) -> dict[str, Any]:
        status, body = await put(cloud, RED, "router", router["id"], external_gateway_info={**info, **more})
        assert status == 200, body
        return dict(body["router"]["external_gateway_info"])

    assert (await changed())["qos_policy_id"] == policy["id"]
    assert "qos_policy_id" not in await changed(qos_policy_id=None)
    assert (await cloud(MANAGER, "DELETE", f"/qos/policies/{policy['id']}"))[0] == 204


async def test_a_gateway_that_goes_lets_go_of_its_policy(cloud: Cloud) -> None:
    policy = await cloud.made(MANAGER, "/qos/policies")
    id = await follower(cloud, "router", policy["id"])
    assert (await put(cloud, RED, "router", id, external_gateway_info=None))[0] == 200
    assert (await cloud(MANAGER, "DELETE", f"/qos/policies/{policy['id']}"))[0] == 204


async def test_a_floating_ip_keeps_its_policy_when_it_moves(cloud: Cloud) -> None:
    outside = await external(cloud)
    net, (subnet,) = await network(cloud, RED, "10.0.0.0/24")
    router = await cloud.made(RED, "/routers", external_gateway_info={"network_id": outside["id"]})
    await join(cloud, RED, router, subnet_id=subnet["id"])
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    policy = await cloud.made(MANAGER, "/qos/policies")
    made = await cloud.made(RED, "/floatingips", floating_network_id=outside["id"], qos_policy_id=policy["id"])
    status, body = await put(cloud, RED, "floatingip", made["id"], port_id=port["id"])
    assert (status, body["floatingip"]["qos_policy_id"]) == (200, policy["id"])
    status, body = await put(cloud, RED, "floatingip", made["id"], qos_policy_id=None)
    assert (status, body["floatingip"]["qos_policy_id"], body["floatingip"]["port_id"]) == (200, None, port["id"])


# ---------------------------------------------------------------- what ports ask of Placement


async def test_a_port_asks_for_what_its_policy_guarantees(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies", shared=True)
    least = await rule(cloud, policy, "minimum_bandwidth", min_kbps=1000)
    back = await rule(cloud, policy, "minimum_bandwidth", min_kbps=2000, direction="ingress")
    packets = await rule(cloud, policy, "minimum_packet_rate", min_kpps=5, direction="any")
    net = await cloud.made(
        ADMIN, "/networks", **{"provider:network_type": "flat", "provider:physical_network": "public-1"}
    )
    port = await cloud.made(ADMIN, "/ports", network_id=net["id"], qos_policy_id=policy["id"])
    names = [
        str(uuid.uuid5(uuid.UUID(port["id"]), ":".join(rules)))
        for rules in ((least["id"], back["id"]), (packets["id"],))
    ]
    assert port["resource_request"] == {
        "request_groups": [
            {
                "id": names[0],
                "required": ["CUSTOM_PHYSNET_PUBLIC_1", "CUSTOM_VNIC_TYPE_NORMAL"],
                "resources": {"NET_BW_EGR_KILOBIT_PER_SEC": 1000, "NET_BW_IGR_KILOBIT_PER_SEC": 2000},
            },
            {
                "id": names[1],
                "required": ["CUSTOM_VNIC_TYPE_NORMAL"],
                "resources": {"NET_PACKET_RATE_KILOPACKET_PER_SEC": 5},
            },
        ],
        "same_subtree": names,
    }


async def test_the_request_follows_rules_policies_and_the_kind_of_interface(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies", shared=True)
    least = await rule(cloud, policy, "minimum_bandwidth", min_kbps=1000)
    net = await cloud.made(RED, "/networks", qos_policy_id=policy["id"])
    port = await cloud.made(RED, "/ports", network_id=net["id"])
    assert "resource_request" not in port, "it is for admins"
    path = f"/ports/{port['id']}"

    async def group() -> dict[str, Any]:
        return dict((await shown(cloud, ADMIN, path))["resource_request"]["request_groups"][0])

    assert (await group())["required"] == ["CUSTOM_NETWORK_TUNNEL_PROVIDER", "CUSTOM_VNIC_TYPE_NORMAL"]
    one = f"/qos/policies/{policy['id']}/minimum_bandwidth_rules/{least['id']}"
    assert (await cloud(ADMIN, "PUT", one, {"minimum_bandwidth_rule": {"min_kbps": 7}}))[0] == 200
    assert (await group())["resources"] == {"NET_BW_EGR_KILOBIT_PER_SEC": 7}
    assert (await put(cloud, RED, "port", port["id"], **{"binding:vnic_type": "direct"}))[0] == 200
    assert (await group())["required"][1] == "CUSTOM_VNIC_TYPE_DIRECT"
    own = await cloud.made(MANAGER, "/qos/policies")
    assert (await put(cloud, RED, "port", port["id"], qos_policy_id=own["id"]))[0] == 200
    assert (await shown(cloud, ADMIN, path))["resource_request"] is None, "its own policy guarantees nothing"
    assert (await put(cloud, RED, "port", port["id"], qos_policy_id=None))[0] == 200
    assert (await group())["resources"] == {"NET_BW_EGR_KILOBIT_PER_SEC": 7}
    assert (await cloud(ADMIN, "DELETE", one))[0] == 204
    assert (await shown(cloud, ADMIN, path))["resource_request"] is None


async def test_the_first_segment_of_a_network_is_the_way_to_it(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies", shared=True)
    await rule(cloud, policy, "minimum_bandwidth", min_kbps=1000)
    several = [
        {"provider:network_type": "vlan", "provider:physical_network": physical, "provider:segmentation_id": 7}
        for physical in ("left", "right")
    ]
    net = await cloud.made(ADMIN, "/networks", segments=several, qos_policy_id=policy["id"])
    port = await cloud.made(ADMIN, "/ports", network_id=net["id"])

    async def way() -> str:
        asked = (await shown(cloud, ADMIN, f"/ports/{port['id']}"))["resource_request"]
        return str(asked["request_groups"][0]["required"][0])

    assert await way() == "CUSTOM_PHYSNET_LEFT"
    (segment,) = (await cloud(ADMIN, "GET", f"/segments?network_id={net['id']}&physical_network=left"))[1]["segments"]
    assert (await cloud(ADMIN, "DELETE", f"/segments/{segment['id']}"))[0] == 204
    assert await way() == "CUSTOM_PHYSNET_RIGHT"


async def test_guarantees_do_not_change_under_an_instance_that_was_placed_by_them(cloud: Cloud) -> None:
    policy = await cloud.made(ADMIN, "/qos/policies", shared=True)
    least = await rule(cloud, policy, "minimum_bandwidth", min_kbps=1000)
    net = await cloud.made(RED, "/networks", qos_policy_id=policy["id"])
    port = await cloud.made(RED, "/ports", network_id=net["id"], device_owner="compute:nova", device_id="vm")
    path = f"/qos/policies/{policy['id']}"
    one, changed = f"{path}/minimum_bandwidth_rules/{least['id']}", {"minimum_bandwidth_rule": {"min_kbps": 7}}
    new = {"minimum_packet_rate_rule": {"min_kpps": 7}}
    assert kind(await cloud(ADMIN, "PUT", one, changed)) == (409, "QosPolicyInUse")
    assert kind(await cloud(ADMIN, "DELETE", one)) == (409, "QosPolicyInUse")
    assert kind(await cloud(ADMIN, "POST", f"{path}/minimum_packet_rate_rules", new)) == (409, "QosPolicyInUse")
    await rule(cloud, policy, "bandwidth_limit", max_kbps=5000)
    assert (await cloud(RED, "DELETE", f"/ports/{port['id']}"))[0] == 204
    assert (await cloud(ADMIN, "PUT", one, changed))[0] == 200


async def test_what_placement_gave_an_instance_moves_to_a_policy_that_guarantees_the_same(cloud: Cloud) -> None:
    policy, same, other = [await cloud.made(ADMIN, "/qos/policies", shared=True) for _ in range(3)]
    for item, amount in ((policy, 1000), (same, 1000), (other, 2000)):
        await rule(cloud, item, "minimum_bandwidth", min_kbps=amount)
    net = await cloud.made(RED, "/networks")
    port = await cloud.made(
        RED, "/ports", network_id=net["id"], device_owner="compute:nova", device_id="vm", qos_policy_id=policy["id"]
    )
    path = f"/ports/{port['id']}"
    (group,) = (await shown(cloud, ADMIN, path))["resource_request"]["request_groups"]
    for profile in ({"allocation": 5}, {"allocation": "x"}, {"allocation": {}}):
        assert (await put(cloud, "service:nova", "port", port["id"], **{"binding:profile": profile}))[0] == 200
        for id in (other["id"], policy["id"]):
            assert (await put(cloud, RED, "port", port["id"], qos_policy_id=id))[0] == 200, "nothing was given for it"
    given = {"allocation": {group["id"]: "a-provider"}}
    assert (await put(cloud, "service:nova", "port", port["id"], **{"binding:profile": given}))[0] == 200
    refused = await put(cloud, RED, "port", port["id"], qos_policy_id=other["id"])
    assert kind(refused) == (409, "QosPlacementAllocationUpdateConflict")
    assert (await put(cloud, RED, "port", port["id"], qos_policy_id=same["id"]))[0] == 200
    now = await shown(cloud, ADMIN, path)
    assert now["binding:profile"] == {"allocation": {now["resource_request"]["same_subtree"][0]: "a-provider"}}
    assert now["resource_request"]["same_subtree"] != [group["id"]]


async def test_interfaces_that_no_rule_can_be_put_on_follow_no_rules(cloud: Cloud) -> None:
    policy, empty = [await cloud.made(ADMIN, "/qos/policies", shared=True) for _ in range(2)]
    await rule(cloud, policy, "dscp_marking", dscp_mark=8)
    net = await cloud.made(RED, "/networks")
    values = {"network_id": net["id"], "binding:vnic_type": "macvtap"}
    refused = await cloud(RED, "POST", "/ports", {"port": {**values, "qos_policy_id": policy["id"]}})
    assert kind(refused) == (409, "QosRuleNotSupported")
    port = await cloud.made(RED, "/ports", **values, qos_policy_id=empty["id"])
    new = {"dscp_marking_rule": {"dscp_mark": 0}}
    path = f"/qos/policies/{empty['id']}/dscp_marking_rules"
    assert kind(await cloud(ADMIN, "POST", path, new)) == (409, "QosRuleNotSupported")
    refused = await put(cloud, RED, "port", port["id"], qos_policy_id=policy["id"])
    assert kind(refused) == (409, "QosRuleNotSupported")
    assert (await put(cloud, RED, "port", port["id"], qos_policy_id=None))[0] == 200
    refused = await put(cloud, RED, "network", net["id"], qos_policy_id=policy["id"])
    assert kind(refused) == (409, "QosRuleNotSupported")
