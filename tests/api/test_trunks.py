"""Trunks: a parent port, its sub-ports by VLAN tag, and what keeps both where they are."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.channel import Attachment
from kaon.resources.errors import ApiError
from kaon.resources.hosts import attachment
from tests.api.cloud import Cloud


async def answer(cloud: Cloud, token: str, method: str, path: str, body: Any = None) -> tuple[int, str]:
    """Status and type of the error of a request."""
    status, found = await cloud(token, method, path, body)
    return status, found["NeutronError"]["type"] if status >= 400 else ""


async def port_on(cloud: Cloud, token: str = "member:red", mtu: int = 1450, **values: Any) -> dict[str, Any]:
    """A port on a network of its own."""
    net = await cloud.made(token, "/networks", mtu=mtu)
    return await cloud.made(token, "/ports", network_id=net["id"], **values)


def vlan(port: dict[str, Any], tag: int) -> dict[str, Any]:
    """A port as a sub-port."""
    return {"port_id": port["id"], "segmentation_type": "vlan", "segmentation_id": tag}


async def shown(cloud: Cloud, port: dict[str, Any], token: str = "member:red") -> dict[str, Any]:
    """A port as it is now."""
    return dict((await cloud(token, "GET", f"/ports/{port['id']}"))[1]["port"])


async def test_a_parent_port_shows_its_trunk_with_the_sub_ports(cloud: Cloud) -> None:
    parent, one, two = [await port_on(cloud) for _ in range(3)]
    assert "trunk_details" not in parent
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"], sub_ports=[vlan(one, 7)], name="t")
    assert (trunk["status"], trunk["admin_state_up"], trunk["project_id"]) == ("DOWN", True, "red")
    assert trunk["sub_ports"] == [vlan(one, 7)]
    assert (await shown(cloud, parent))["trunk_details"] == {
        "trunk_id": trunk["id"],
        "sub_ports": [{**vlan(one, 7), "mac_address": one["mac_address"]}],
    }
    assert (await shown(cloud, one))["device_owner"] == "trunk:subport"

    path = f"/trunks/{trunk['id']}"
    status, body = await cloud("member:red", "PUT", f"{path}/add_subports", {"sub_ports": [vlan(two, 8)]})
    assert status == 200 and body["sub_ports"] == [vlan(one, 7), vlan(two, 8)] and body["id"] == trunk["id"]
    assert body["revision_number"] == trunk["revision_number"] + 1
    _, body = await cloud("reader:red", "GET", f"{path}/get_subports")
    assert body == {"sub_ports": [vlan(one, 7), vlan(two, 8)]}

    change = {"port": {"mac_address": "fa:16:3e:00:00:07"}}
    assert (await cloud("admin:ops", "PUT", f"/ports/{one['id']}", change))[0] == 200
    details = (await shown(cloud, parent))["trunk_details"]["sub_ports"]
    assert [item["mac_address"] for item in details] == ["fa:16:3e:00:00:07", two["mac_address"]]

    status, body = await cloud("member:red", "PUT", f"{path}/remove_subports", {"sub_ports": [{"port_id": one["id"]}]})
    assert status == 200 and body["sub_ports"] == [vlan(two, 8)]
    assert (await shown(cloud, one))["device_owner"] == ""
    assert (await cloud("member:red", "DELETE", path))[0] == 204
    assert "trunk_details" not in await shown(cloud, parent)
    for port in (parent, one, two):
        assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204


async def test_a_port_stays_while_a_trunk_has_it_and_is_in_one_trunk_only(cloud: Cloud) -> None:
    parent, sub, other = [await port_on(cloud) for _ in range(3)]
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"], sub_ports=[vlan(sub, 7)])
    assert await answer(cloud, "member:red", "DELETE", f"/ports/{parent['id']}") == (409, "PortInUseAsTrunkParent")
    assert await answer(cloud, "member:red", "DELETE", f"/ports/{sub['id']}") == (409, "PortInUseAsSubPort")

    async def made(parent: dict[str, Any], *subs: dict[str, Any]) -> tuple[int, str]:
        wish = {"trunk": {"port_id": parent["id"], "sub_ports": list(subs)}}
        return await answer(cloud, "member:red", "POST", "/trunks", wish)

    assert await made(parent) == (409, "ParentPortInUse")
    assert await made(sub) == (409, "TrunkPortInUse")
    assert await made(other, vlan(sub, 8)) == (409, "TrunkPortInUse")
    assert await made(other, vlan(parent, 8)) == (409, "ParentPortInUse")
    assert await made(other, vlan(other, 8)) == (409, "ParentPortInUse")
    assert (await shown(cloud, other))["device_owner"] == "" and "trunk_details" not in await shown(cloud, other)
    _, body = await cloud("member:red", "GET", "/trunks")
    assert [item["id"] for item in body["trunks"]] == [trunk["id"]]


async def test_a_sub_port_is_reached_through_its_parent_only(cloud: Cloud) -> None:
    parent, sub = await port_on(cloud), await port_on(cloud)
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"], sub_ports=[vlan(sub, 7)])
    place = Attachment(port_id=sub["id"], netns="vm")
    with pytest.raises(ApiError, match=f"sub-port of trunk {trunk['id']}"):
        await cloud.store.write(lambda tx: attachment.attach(tx, "a", place))
    await cloud("member:red", "PUT", f"/trunks/{trunk['id']}/remove_subports", {"sub_ports": [{"port_id": sub["id"]}]})
    bound = await cloud.store.write(lambda tx: attachment.attach(tx, "a", place))
    assert bound["binding:host_id"] == "a"


async def test_a_sub_port_has_a_vlan_tag_of_its_own(cloud: Cloud) -> None:
    parent, one, two = [await port_on(cloud) for _ in range(3)]
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"], sub_ports=[vlan(one, 7)])
    add = f"/trunks/{trunk['id']}/add_subports"
    nothing = {"port_id": "00000000-0000-0000-0000-000000000000"}
    for item, expected in (
        (vlan(two, 7), (409, "DuplicateSubPort")),
        (vlan(two, 0), (400, "InvalidInput")),
        (vlan(two, 4095), (400, "InvalidInput")),
        ({**vlan(two, 8), "segmentation_type": "vxlan"}, (400, "InvalidInput")),
        ({**vlan(two, 8), "segmentation_id": "many"}, (400, "InvalidInput")),
        ({"port_id": two["id"], "segmentation_type": "vlan"}, (400, "InvalidInput")),
        ({"port_id": two["id"]}, (400, "InvalidInput")),
        ({"segmentation_type": "vlan", "segmentation_id": 8}, (400, "InvalidInput")),
        ({"port_id": "seven"}, (400, "InvalidInput")),
        ("seven", (400, "InvalidInput")),
        ({**vlan(two, 8), **nothing}, (404, "PortNotFound")),
        # Its own network is a VXLAN one.
        ({"port_id": two["id"], "segmentation_type": "inherit"}, (400, "InvalidInput")),
    ):
        assert await answer(cloud, "member:red", "PUT", add, {"sub_ports": [item]}) == expected, item
    twice = {"sub_ports": [vlan(two, 8), vlan(two, 9)]}
    assert await answer(cloud, "member:red", "PUT", add, twice) == (400, "InvalidInput")
    assert await answer(cloud, "member:red", "PUT", add, {}) == (400, "InvalidInput")
    assert await answer(cloud, "member:red", "PUT", add, {"sub_ports": vlan(two, 8)}) == (400, "InvalidInput")
    remove = f"/trunks/{trunk['id']}/remove_subports"
    assert await answer(cloud, "member:red", "PUT", remove, {"sub_ports": [nothing]}) == (404, "SubPortNotFound")
    status, body = await cloud("member:red", "PUT", add, {"sub_ports": [vlan(two, 8)]})
    assert status == 200 and len(body["sub_ports"]) == 2


async def test_a_sub_port_may_inherit_the_tag_of_its_own_network(cloud: Cloud) -> None:
    tagged = {"provider:network_type": "vlan", "provider:physical_network": "physnet1", "provider:segmentation_id": 123}
    net = await cloud.made("admin:ops", "/networks", shared=True, mtu=1400, **tagged)
    parent, sub = await port_on(cloud), await cloud.made("member:red", "/ports", network_id=net["id"])
    wish = {"port_id": sub["id"], "segmentation_type": "inherit"}
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"], sub_ports=[wish])
    assert trunk["sub_ports"] == [vlan(sub, 123)]


async def test_a_sub_port_fits_the_parent_and_is_no_devices(cloud: Cloud) -> None:
    parent, large = await port_on(cloud, mtu=1300), await port_on(cloud, mtu=1400)
    used = await port_on(cloud, mtu=1300, device_id="vm-1", device_owner="compute:nova")
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"])
    add = f"/trunks/{trunk['id']}/add_subports"
    for port, expected in (
        (large, (409, "SubPortMtuGreaterThanTrunkPortMtu")),
        (used, (409, "PortInUse")),
    ):
        assert await answer(cloud, "member:red", "PUT", add, {"sub_ports": [vlan(port, 7)]}) == expected


async def test_a_disabled_trunk_and_one_whose_parent_is_bound_stay_as_they_are(cloud: Cloud) -> None:
    parent, sub = await port_on(cloud), await port_on(cloud)
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"], admin_state_up=False)
    path, wish = f"/trunks/{trunk['id']}", {"sub_ports": [vlan(sub, 7)]}
    disabled = (409, "TrunkDisabled")
    assert await answer(cloud, "member:red", "PUT", f"{path}/add_subports", wish) == disabled
    assert await answer(cloud, "member:red", "PUT", f"{path}/remove_subports", wish) == disabled
    assert await answer(cloud, "member:red", "DELETE", path) == disabled
    assert (await cloud("member:red", "PUT", path, {"trunk": {"admin_state_up": True}}))[0] == 200

    bind = {"port": {"binding:host_id": "h1"}}
    assert (await cloud("admin:ops", "PUT", f"/ports/{parent['id']}", bind))[0] == 200
    assert await answer(cloud, "member:red", "DELETE", path) == (409, "TrunkInUse")
    assert (await cloud("admin:ops", "PUT", f"/ports/{sub['id']}", bind))[0] == 200
    wish = {"trunk": {"port_id": sub["id"]}}
    assert await answer(cloud, "member:red", "POST", "/trunks", wish) == (409, "ParentPortInUse")


async def test_trunks_are_their_projects_own(cloud: Cloud) -> None:
    parent, foreign = await port_on(cloud), await port_on(cloud, "member:blue")
    trunk = await cloud.made("member:red", "/trunks", port_id=parent["id"])
    path = f"/trunks/{trunk['id']}"
    assert await answer(cloud, "member:blue", "GET", path) == (404, "TrunkNotFound")
    assert await answer(cloud, "member:blue", "GET", f"{path}/get_subports") == (404, "TrunkNotFound")
    assert (await cloud("member:blue", "GET", "/trunks"))[1] == {"trunks": []}
    wish = {"sub_ports": [vlan(foreign, 7)]}
    assert await answer(cloud, "member:blue", "PUT", f"{path}/add_subports", wish) == (404, "TrunkNotFound")
    assert await answer(cloud, "member:red", "PUT", f"{path}/add_subports", wish) == (404, "PortNotFound")
    assert await answer(cloud, "reader:red", "PUT", f"{path}/add_subports", wish) == (403, "PolicyNotAuthorized")
    wish = {"trunk": {"port_id": foreign["id"]}}
    assert await answer(cloud, "member:red", "POST", "/trunks", wish) == (404, "PortNotFound")


@pytest.mark.parametrize("wrong", ["t", {}, [7], [{"port_id": "x"}]])
async def test_a_creation_with_sub_ports_that_are_none_is_refused(cloud: Cloud, wrong: object) -> None:
    parent = await port_on(cloud)
    wish = {"trunk": {"port_id": parent["id"], "sub_ports": wrong}}
    assert await answer(cloud, "member:red", "POST", "/trunks", wish) == (400, "HTTPBadRequest")


async def test_trunks_are_counted(cloud: Cloud) -> None:
    await cloud("admin:ops", "PUT", "/quotas/red", {"quota": {"trunk": 1}})
    await cloud.made("member:red", "/trunks", port_id=(await port_on(cloud))["id"])
    wish = {"trunk": {"port_id": (await port_on(cloud))["id"]}}
    assert await answer(cloud, "member:red", "POST", "/trunks", wish) == (409, "OverQuota")
