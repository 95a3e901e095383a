"""What ports can be told beyond addresses and filters: hints to drivers, placement, trust, whole devices."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.channel import Attachment
from kaon.resources.hosts import attachment
from tests.api.cloud import Cloud

NOVA = "service:service"


@pytest.fixture
async def net(cloud: Cloud) -> str:
    """A network of project red."""
    return str((await cloud.made("member:red", "/networks"))["id"])


async def change(cloud: Cloud, token: str, port: dict[str, Any], **values: Any) -> tuple[int, Any]:
    """Change a port; status and port, or the type of the error."""
    status, body = await cloud(token, "PUT", f"/ports/{port['id']}", {"port": values})
    return status, body["port"] if status == 200 else body["NeutronError"]["type"]


async def refused(cloud: Cloud, token: str, net: str, **values: Any) -> int:
    """Status of a creation that must fail."""
    return (await cloud(token, "POST", "/ports", {"port": {"network_id": net, **values}}))[0]


async def test_a_port_says_what_it_says_when_nobody_said_anything(cloud: Cloud, net: str) -> None:
    port = await cloud.made("admin:ops", "/ports", network_id=net)
    shown = {
        "data_plane_status": None,
        "device_profile": None,
        "hardware_offload_type": None,
        "hints": None,
        "numa_affinity_policy": None,
        "trusted": None,
        "propagate_uplink_status": True,
    }
    assert {name: port[name] for name in shown} == shown
    assert port["binding:profile"] == {}
    assert not {"hints", "trusted"} & (await cloud.made("member:red", "/ports", network_id=net)).keys()


async def test_the_data_planes_status_is_for_its_monitoring_to_say(cloud: Cloud, net: str) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net)
    assert await change(cloud, "member:red", port, data_plane_status="DOWN") == (403, "PolicyNotAuthorized")
    for value in ("DOWN", "ACTIVE", None):
        status, after = await change(cloud, "admin:ops", port, data_plane_status=value)
        assert (status, after["data_plane_status"]) == (200, value)
    assert await change(cloud, "admin:ops", port, data_plane_status="BUILD") == (400, "HTTPBadRequest")
    assert await refused(cloud, "admin:ops", net, data_plane_status="DOWN") == 400


async def test_a_device_profile_and_an_offload_are_said_once(cloud: Cloud, net: str) -> None:
    wish = {"device_profile": "fpga", "hardware_offload_type": "switchdev"}
    port = await cloud.made(NOVA, "/ports", network_id=net, **wish, **{"binding:profile": {"slot": 1}})
    assert {name: port[name] for name in wish} == wish
    assert port["binding:profile"] == {"slot": 1, "capabilities": ["switchdev"]}
    assert await change(cloud, NOVA, port, device_profile="gpu") == (400, "HTTPBadRequest")
    assert await change(cloud, NOVA, port, hardware_offload_type=None) == (400, "HTTPBadRequest")
    assert await refused(cloud, NOVA, net, hardware_offload_type="magic") == 400
    held = {"binding:profile": {"capabilities": ["switchdev"]}}
    port = await cloud.made(NOVA, "/ports", network_id=net, hardware_offload_type="switchdev", **held)
    assert port["binding:profile"] == held["binding:profile"]


async def test_hints_are_for_admins_and_of_a_known_form(cloud: Cloud, net: str) -> None:
    hints = {"openvswitch": {"other_config": {"tx-steering": "hash"}}}
    assert await refused(cloud, "member:red", net, hints=hints) == 403
    port = await cloud.made("admin:ops", "/ports", network_id=net, hints=hints)
    assert port["hints"] == hints
    for wrong in ({"openvswitch": {"other_config": {"tx-steering": "luck"}}}, {"cisco": {}}, [hints], "hash"):
        assert await change(cloud, "admin:ops", port, hints=wrong) == (400, "HTTPBadRequest")
    for empty in ({}, None):
        status, after = await change(cloud, "admin:ops", port, hints=empty)
        assert (status, after["hints"]) == (200, None)


async def test_a_numa_policy_stays_while_the_port_is_plugged(cloud: Cloud, net: str) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net, numa_affinity_policy="socket")
    assert port["numa_affinity_policy"] == "socket"
    for value in ("required", "preferred", "legacy", None):
        status, after = await change(cloud, "member:red", port, numa_affinity_policy=value)
        assert (status, after["numa_affinity_policy"]) == (200, value)
    assert await refused(cloud, "member:red", net, numa_affinity_policy="near") == 400
    place = Attachment(port_id=port["id"], netns="vm")
    await cloud.store.write(lambda tx: attachment.attach(tx, "a", place))
    got = await change(cloud, "member:red", port, numa_affinity_policy="required")
    assert got == (409, "PortBoundNUMAAffinityPolicy")


async def test_trust_shows_in_the_binding_profile_whatever_the_profile_becomes(cloud: Cloud, net: str) -> None:
    assert await refused(cloud, "member:red", net, trusted=True) == 403
    assert await refused(cloud, "admin:ops", net, trusted=None) == 400
    port = await cloud.made("admin:ops", "/ports", network_id=net, trusted=False)
    assert (port["trusted"], port["binding:profile"]) == (False, {"trusted": False})
    _, after = await change(cloud, "admin:ops", port, trusted=True)
    assert (after["trusted"], after["binding:profile"]) == (True, {"trusted": True})
    _, after = await change(cloud, NOVA, port, **{"binding:profile": {"slot": 1}})
    assert after["binding:profile"] == {"slot": 1, "trusted": True}
    _, after = await change(cloud, "admin:ops", port, name="x")
    assert after["trusted"] is True


async def test_the_uplinks_status_is_propagated_or_not(cloud: Cloud, net: str) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net, propagate_uplink_status=False)
    assert port["propagate_uplink_status"] is False
    status, after = await change(cloud, "member:red", port, propagate_uplink_status="true")
    assert (status, after["propagate_uplink_status"]) == (200, True)
    assert await change(cloud, "member:red", port, propagate_uplink_status="maybe") == (400, "InvalidInput")


async def test_a_port_takes_the_address_of_the_whole_device_that_it_is_bound_to(cloud: Cloud, net: str) -> None:
    device = {"binding:host_id": "a", "binding:profile": {"device_mac_address": "B4:96:91:34:F4:AA"}}
    whole = {"binding:vnic_type": "direct-physical"}
    ordinary = await cloud.made(NOVA, "/ports", network_id=net, **device)
    assert ordinary["mac_address"].startswith("fa:16:3e:")

    port = await cloud.made(NOVA, "/ports", network_id=net, device_id="vm-1", **whole)
    assert port["mac_address"].startswith("fa:16:3e:")
    _, after = await change(cloud, NOVA, port, **device)
    assert after["mac_address"] == "b4:96:91:34:f4:aa"
    _, again = await change(cloud, NOVA, port, name="x", **device)
    assert again["mac_address"] == "b4:96:91:34:f4:aa"
    got = await cloud(NOVA, "POST", "/ports", {"port": {"network_id": net, **whole, **device}})
    assert (got[0], got[1]["NeutronError"]["type"]) == (409, "MacAddressInUse")

    # Without it, the device's address is free for another port.
    _, freed = await change(cloud, NOVA, port, **{"binding:profile": {}})
    assert freed["mac_address"].startswith("fa:16:3e:")
    other = await cloud.made(NOVA, "/ports", network_id=net, device_id="vm-2", **whole, **device)
    assert other["mac_address"] == "b4:96:91:34:f4:aa"
    _, freed = await change(cloud, NOVA, other, device_id="", device_owner="")
    assert freed["mac_address"].startswith("fa:16:3e:")
    wrong = {"binding:profile": {"device_mac_address": "here"}}
    assert await change(cloud, NOVA, port, **wrong) == (400, "InvalidInput")
