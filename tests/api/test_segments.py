"""Segments through the API: what networks are made of, added, changed and taken away."""

from __future__ import annotations

from typing import Any

from kaon.channel import Attachment
from kaon.resources.hosts import attachment
from tests.api.cloud import Cloud

ADMIN = "admin:ops"


def vlan(number: int, physical: str = "rack1") -> dict[str, Any]:
    """A VLAN as a network's provider attributes say it."""
    return {
        "provider:network_type": "vlan",
        "provider:physical_network": physical,
        "provider:segmentation_id": number,
    }


async def segments_of(cloud: Cloud, network_id: str) -> list[dict[str, Any]]:
    """The segments of a network."""
    _, body = await cloud(ADMIN, "GET", f"/segments?network_id={network_id}")
    return list(body["segments"])


async def refused(cloud: Cloud, method: str, path: str, body: Any = None, token: str = ADMIN) -> tuple[int, str]:
    """Status and type of a refusal."""
    status, answer = await cloud(token, method, path, body)
    return status, answer["NeutronError"]["type"]


async def test_every_network_has_a_segment_that_only_admins_see(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    (segment,) = await segments_of(cloud, net["id"])
    assert (segment["network_type"], segment["physical_network"], segment["name"]) == ("vxlan", None, None)
    _, body = await cloud(ADMIN, "GET", f"/networks/{net['id']}")
    assert body["network"]["provider:segmentation_id"] == segment["segmentation_id"]
    assert "segments" not in body["network"]
    assert (await cloud("member:red", "GET", "/segments"))[1] == {"segments": []}
    assert await refused(cloud, "GET", f"/segments/{segment['id']}", token="member:red") == (404, "SegmentNotFound")
    _, body = await cloud(ADMIN, "PUT", f"/segments/{segment['id']}", {"segment": {"name": "spine"}})
    assert (body["segment"]["name"], body["segment"]["revision_number"]) == ("spine", 1)
    await cloud("member:red", "DELETE", f"/networks/{net['id']}")
    assert await segments_of(cloud, net["id"]) == []


async def test_a_network_of_several_segments_lists_them_in_place_of_the_provider_attributes(cloud: Cloud) -> None:
    tunnel = {"provider:network_type": "vxlan"}
    net = await cloud.made(ADMIN, "/networks", segments=[vlan(101), vlan(102, "rack2"), tunnel])
    assert [item["provider:physical_network"] for item in net["segments"]] == ["rack1", "rack2", None]
    assert net["segments"][2]["provider:segmentation_id"] >= 1
    assert net["provider:network_type"] is None and net["mtu"] == 1450
    found = await segments_of(cloud, net["id"])
    assert [item["segmentation_id"] for item in found[:2]] == [101, 102]
    _, body = await cloud("member:red", "GET", "/networks")
    assert "segments" not in str(body)


async def test_segments_that_make_no_sense_together_are_refused(cloud: Cloud) -> None:
    for values, type in (
        ({"segments": [vlan(7)], **vlan(8)}, "SegmentsSetInConjunctionWithProviders"),
        ({"segments": [vlan(7), vlan(7)]}, "SegmentsContainDuplicateEntry"),
        ({"segments": [{"provider:physical_network": "rack1"}]}, "InvalidInput"),
        ({"segments": [{"provider:network_type": "vlan", "provider:vlan": 7}]}, "HTTPBadRequest"),
        ({"segments": [{"provider:network_type": "vxlan", "provider:physical_network": "rack1"}]}, "InvalidInput"),
        (vlan(4095), "InvalidInput"),
        ({"provider:network_type": "vlan", "provider:segmentation_id": 9}, "InvalidInput"),
        ({"provider:network_type": "flat", "provider:segmentation_id": 9}, "InvalidInput"),
        ({"provider:segmentation_id": 9}, "InvalidInput"),
    ):
        assert await refused(cloud, "POST", "/networks", {"network": values}) == (400, type), values
    body = {"network": {"segments": [vlan(7)]}}
    assert await refused(cloud, "POST", "/networks", body, "member:red") == (403, "PolicyNotAuthorized")
    await cloud.made(ADMIN, "/networks", **vlan(7))
    body = {"network": {"segments": [vlan(8), vlan(7)]}}
    assert await refused(cloud, "POST", "/networks", body) == (409, "VlanIdInUse")
    # Nothing of what was refused was taken: VLAN 8 is still free.
    await cloud.made(ADMIN, "/networks", **vlan(8))


async def test_a_segment_added_makes_a_network_of_several_and_its_end_one_of_one(cloud: Cloud) -> None:
    net = await cloud.made(ADMIN, "/networks", **vlan(10))
    added = await cloud.made(
        ADMIN, "/segments", network_id=net["id"], network_type="vlan", physical_network="rack2", segmentation_id=11
    )
    _, body = await cloud(ADMIN, "GET", f"/networks/{net['id']}")
    assert [item["provider:segmentation_id"] for item in body["network"]["segments"]] == [10, 11]
    assert body["network"]["revision_number"] > net["revision_number"]
    assert (await cloud(ADMIN, "DELETE", f"/segments/{added['id']}"))[0] == 204
    _, body = await cloud(ADMIN, "GET", f"/networks/{net['id']}")
    assert body["network"]["provider:segmentation_id"] == 10 and "segments" not in body["network"]
    # Its VLAN is free again.
    await cloud.made(ADMIN, "/networks", **vlan(11, "rack2"))


async def test_a_segment_is_refused_where_there_is_no_network_or_no_room(cloud: Cloud) -> None:
    nowhere = {"network_id": "5c1b3a52-6d7f-4b8e-9a11-1d2c3b4a5f60", "network_type": "vxlan"}
    assert await refused(cloud, "POST", "/segments", {"segment": nowhere}) == (404, "NetworkNotFound")
    net = await cloud.made(ADMIN, "/networks", **vlan(10))
    same = {"network_id": net["id"], "network_type": "vlan", "physical_network": "rack1", "segmentation_id": 10}
    assert await refused(cloud, "POST", "/segments", {"segment": same}) == (409, "VlanIdInUse")
    # The network's packets of 1500 bytes fit into no tunnel.
    tunnel = {"network_id": net["id"], "network_type": "vxlan"}
    assert await refused(cloud, "POST", "/segments", {"segment": tunnel}) == (400, "InvalidInput")
    body = {"segment": {**tunnel, "network_type": "token-ring"}}
    assert await refused(cloud, "POST", "/segments", body) == (400, "HTTPBadRequest")
    own = {"segment": {"network_id": net["id"], "network_type": "vxlan"}}
    assert await refused(cloud, "POST", "/segments", own, "member:red") == (403, "PolicyNotAuthorized")


async def test_the_vlan_of_a_network_can_change_and_nothing_else_of_its_segment(cloud: Cloud) -> None:
    net = await cloud.made(ADMIN, "/networks", **vlan(20))
    path = f"/networks/{net['id']}"
    _, body = await cloud(ADMIN, "PUT", path, {"network": {"provider:segmentation_id": 21}})
    assert body["network"]["provider:segmentation_id"] == 21
    assert [item["segmentation_id"] for item in await segments_of(cloud, net["id"])] == [21]
    other = await cloud.made(ADMIN, "/networks", **vlan(20))
    for values, error in (
        ({"provider:segmentation_id": 20}, (409, "VlanIdInUse")),
        ({"provider:segmentation_id": 5000}, (400, "InvalidInput")),
        ({"provider:physical_network": "rack2"}, (400, "InvalidInput")),
        ({"provider:network_type": "vxlan"}, (400, "InvalidInput")),
        ({"segments": [vlan(30), vlan(31)]}, (400, "InvalidInput")),
    ):
        assert await refused(cloud, "PUT", path, {"network": values}) == error, values
    # What stays as it is may be said again.
    assert (await cloud(ADMIN, "PUT", path, {"network": vlan(21)}))[0] == 200
    tunnel = await cloud.made(ADMIN, "/networks")
    body = {"network": {"provider:segmentation_id": 999}}
    assert await refused(cloud, "PUT", f"/networks/{tunnel['id']}", body) == (400, "InvalidInput")
    several = await cloud.made(ADMIN, "/networks", segments=[vlan(40), vlan(41)])
    assert await refused(cloud, "PUT", f"/networks/{several['id']}", body) == (400, "InvalidInput")
    assert other["provider:segmentation_id"] == 20


async def test_each_type_of_tunnel_counts_for_itself(cloud: Cloud) -> None:
    for kind in ("vxlan", "geneve", "gre"):
        number = {"provider:network_type": kind, "provider:segmentation_id": 77}
        await cloud.made(ADMIN, "/networks", **number)
        assert await refused(cloud, "POST", "/networks", {"network": number}) == (409, "TunnelIdInUse")
    beyond = {"provider:network_type": "gre", "provider:segmentation_id": 2**32 - 1}
    assert (await cloud.made(ADMIN, "/networks", **beyond))["provider:segmentation_id"] == 2**32 - 1


async def test_a_segment_with_a_subnet_stays(cloud: Cloud) -> None:
    net = await cloud.made(ADMIN, "/networks", **vlan(10))
    (segment,) = await segments_of(cloud, net["id"])
    subnet = await cloud.made(
        ADMIN, "/subnets", network_id=net["id"], ip_version=4, cidr="10.1.0.0/24", segment_id=segment["id"]
    )
    path = f"/segments/{segment['id']}"
    assert await refused(cloud, "DELETE", path) == (409, "SegmentInUse")
    await cloud(ADMIN, "DELETE", f"/subnets/{subnet['id']}")
    assert (await cloud(ADMIN, "DELETE", path))[0] == 204
    _, body = await cloud(ADMIN, "GET", f"/networks/{net['id']}")
    assert body["network"]["provider:network_type"] is None


async def test_the_only_segment_of_a_network_with_attached_ports_stays(cloud: Cloud) -> None:
    net = await cloud.made(ADMIN, "/networks", **vlan(10))
    port = await cloud.made(ADMIN, "/ports", network_id=net["id"])
    await cloud.store.write(lambda tx: attachment.attach(tx, "host1", Attachment(port_id=port["id"], tap="vnet0")))
    (segment,) = await segments_of(cloud, net["id"])
    assert await refused(cloud, "DELETE", f"/segments/{segment['id']}") == (409, "SegmentInUse")
    second = {"network_id": net["id"], "network_type": "vlan", "physical_network": "rack2"}
    await cloud.made(ADMIN, "/segments", **second, segmentation_id=11)
    assert (await cloud(ADMIN, "DELETE", f"/segments/{segment['id']}"))[0] == 204
