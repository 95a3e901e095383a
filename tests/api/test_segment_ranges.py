"""Network segment ranges: what identifiers are given to whom, what is told of them, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.resources import defaults
from kaon.resources.defaults import Defaults, SegmentRange
from kaon.resources.segments import segment_range
from tests.api.cloud import Cloud

ADMIN = "admin:ops"
RANGES = "/network-segment-ranges"


async def made(cloud: Cloud, **values: Any) -> dict[str, Any]:
    """A new range of VXLAN identifiers, unless told otherwise."""
    body = {"network_segment_range": {"network_type": "vxlan", **values}}
    status, answer = await cloud(ADMIN, "POST", RANGES, body)
    assert status == 201, answer
    return dict(answer["network_segment_range"])


async def refused(cloud: Cloud, method: str, path: str, **values: Any) -> tuple[int, str]:
    """Status and type of a refusal."""
    body = {"network_segment_range": values} if values else None
    status, answer = await cloud(ADMIN, method, path, body)
    return status, answer["NeutronError"]["type"]


async def vni(cloud: Cloud, project: str, **values: Any) -> int:
    """The identifier of a new network of a project."""
    net = await cloud.made(f"member:{project}", "/networks", **values)
    _, body = await cloud(ADMIN, "GET", f"/networks/{net['id']}")
    return int(body["network"]["provider:segmentation_id"])


async def test_a_projects_own_range_is_used_first_and_by_nobody_else(cloud: Cloud) -> None:
    red = await made(cloud, shared=False, project_id="red", minimum=1, maximum=2)
    assert (red["shared"], red["default"], red["project_id"], red["available"]) == (False, False, "red", [1, 2])
    # The default range begins at 1, too, but what is red's is not for blue.
    assert [await vni(cloud, "blue"), await vni(cloud, "red"), await vni(cloud, "red")] == [3, 1, 2]
    # Red's own is used up; then it takes what all share.
    assert await vni(cloud, "red") == 4
    _, body = await cloud(ADMIN, "GET", f"{RANGES}/{red['id']}")
    assert body["network_segment_range"]["used"] == {"1": "red", "2": "red"}
    assert body["network_segment_range"]["available"] == []


async def test_default_ranges_are_those_that_are_configured(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    _, body = await cloud(ADMIN, "GET", RANGES)
    (first,) = body["network_segment_ranges"]
    assert (first["default"], first["shared"], first["project_id"], first["network_type"]) == (
        True,
        True,
        None,
        "vxlan",
    )
    assert len(first["available"]) == 2**16 - 1
    path = f"{RANGES}/{first['id']}"
    assert await refused(cloud, "DELETE", path) == (400, "NetworkSegmentRangeDefaultReadOnly")
    assert await refused(cloud, "PUT", path, name="mine") == (400, "NetworkSegmentRangeDefaultReadOnly")
    wanted = (SegmentRange("vxlan", "", 5000, 5001), SegmentRange("vlan", "rack1", 100, 101))
    monkeypatch.setattr(defaults, "_in_force", Defaults(segment_ranges=wanted))
    await cloud.store.write(segment_range.start)
    _, body = await cloud(ADMIN, "GET", f"{RANGES}?sort_key=minimum&sort_dir=asc")
    told = [(item["network_type"], item["minimum"], item["maximum"]) for item in body["network_segment_ranges"]]
    assert told == [("vlan", 100, 101), ("vxlan", 5000, 5001)]
    assert [await vni(cloud, "red"), await vni(cloud, "red")] == [5000, 5001]
    status, body = await cloud("member:red", "POST", "/networks", {"network": {}})
    assert (status, body["NeutronError"]["type"]) == (409, "NoNetworkAvailable")
    # A VLAN network that names no physical network gets one on which there are VLANs to give.
    net = await cloud.made(ADMIN, "/networks", **{"provider:network_type": "vlan"})
    assert (net["provider:physical_network"], net["provider:segmentation_id"]) == ("rack1", 100)
    # What an administrator names may lie outside all ranges.
    outside = {"provider:network_type": "vxlan", "provider:segmentation_id": 7}
    assert (await cloud.made(ADMIN, "/networks", **outside))["provider:segmentation_id"] == 7


async def test_a_range_in_use_can_grow_and_not_lose_what_is_used(cloud: Cloud) -> None:
    red = await made(cloud, shared=False, project_id="red", minimum=100, maximum=110)
    assert await vni(cloud, "red") == 100
    path = f"{RANGES}/{red['id']}"
    assert await refused(cloud, "PUT", path, minimum=101) == (409, "NetworkSegmentRangeReferencedByProject")
    assert await refused(cloud, "DELETE", path) == (409, "NetworkSegmentRangeReferencedByProject")
    status, body = await cloud(ADMIN, "PUT", path, {"network_segment_range": {"minimum": 90, "maximum": 120}})
    assert (status, body["network_segment_range"]["maximum"]) == (200, 120)
    _, body = await cloud("member:red", "GET", "/networks")
    await cloud("member:red", "DELETE", f"/networks/{body['networks'][0]['id']}")
    assert (await cloud(ADMIN, "DELETE", path))[0] == 204


async def test_ranges_that_no_type_has_or_that_overlap_are_refused(cloud: Cloud) -> None:
    await made(cloud, minimum=100, maximum=110)
    for values, error in (
        ({"network_type": "vxlan", "minimum": 110, "maximum": 120}, (409, "NetworkSegmentRangeOverlaps")),
        ({"network_type": "vxlan", "minimum": 20, "maximum": 10}, (400, "NetworkTunnelRangeError")),
        ({"network_type": "geneve", "minimum": 1, "maximum": 2**24}, (400, "NetworkTunnelRangeError")),
        (
            {"network_type": "vlan", "physical_network": "rack1", "minimum": 1, "maximum": 4095},
            (400, "NetworkVlanRangeError"),
        ),
        ({"network_type": "vlan", "minimum": 1, "maximum": 2}, (400, "InvalidInput")),
        ({"network_type": "flat", "minimum": 1, "maximum": 2}, (400, "HTTPBadRequest")),
        ({"network_type": "vxlan", "minimum": 1}, (400, "HTTPBadRequest")),
    ):
        assert await refused(cloud, "POST", RANGES, **values) == error, values
    # The same identifiers of another type, or on another physical network, are others.
    await made(cloud, network_type="gre", minimum=100, maximum=110)
    await made(cloud, network_type="vlan", physical_network="rack1", minimum=100, maximum=110)
    await made(cloud, network_type="vlan", physical_network="rack2", minimum=100, maximum=110)


async def test_ranges_are_for_administrators_alone(cloud: Cloud) -> None:
    held = await made(cloud, shared=False, project_id="red", minimum=1, maximum=2)
    assert (await cloud("member:red", "GET", RANGES))[1] == {"network_segment_ranges": []}
    assert (await cloud("member:red", "GET", f"{RANGES}/{held['id']}"))[0] == 404
    body = {"network_segment_range": {"network_type": "vxlan", "minimum": 8, "maximum": 9}}
    assert (await cloud("member:red", "POST", RANGES, body))[0] == 403
    # Some clients write the path with underscores.
    assert (await cloud(ADMIN, "GET", f"/network_segment_ranges/{held['id']}"))[0] == 200
