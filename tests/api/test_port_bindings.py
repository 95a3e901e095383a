"""Bindings of a port: one is active, the others wait on the hosts to which an instance may move."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.channel import Attachment
from kaon.resources.errors import ApiError
from kaon.resources.hosts import attachment
from tests.api.cloud import Cloud

NOVA = "service:service"


async def attach(cloud: Cloud, port: dict[str, Any], host: str) -> dict[str, Any]:
    """What the agent of a host asks for."""
    place = Attachment(port_id=port["id"], netns="vm")
    return await cloud.store.write(lambda tx: attachment.attach(tx, host, place))


@pytest.fixture
async def port(cloud: Cloud) -> dict[str, Any]:
    """A port of an instance, not bound yet."""
    net = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    owner = {"device_owner": "compute:nova", "device_id": "vm-1"}
    return await cloud.made("member:red", "/ports", network_id=net["id"], **owner)


async def bind(cloud: Cloud, port: dict[str, Any], host: str, **values: Any) -> tuple[int, Any]:
    """Bind a port to one more host; status and binding, or the type of the error."""
    wish = {"binding": {"host": host, **values}}
    status, body = await cloud(NOVA, "POST", f"/ports/{port['id']}/bindings", wish)
    return status, body["binding"] if status == 201 else body["NeutronError"]["type"]


async def listed(cloud: Cloud, port: dict[str, Any], query: str = "") -> dict[str, str]:
    """Hosts of a port's bindings with the status of each."""
    _, body = await cloud(NOVA, "GET", f"/ports/{port['id']}/bindings{query}")
    return {item["host"]: item["status"] for item in body["bindings"]}


async def shown(cloud: Cloud, port: dict[str, Any]) -> dict[str, Any]:
    """A port as it is now."""
    return dict((await cloud("admin:ops", "GET", f"/ports/{port['id']}"))[1]["port"])


async def test_an_instance_moves_by_activating_its_binding_on_the_other_host(
    cloud: Cloud, port: dict[str, Any]
) -> None:
    await attach(cloud, port, "a")
    assert await listed(cloud, port) == {"a": "ACTIVE"}
    status, made = await bind(cloud, port, "b", profile={"os_vif": 1}, project_id="red")
    assert status == 201 and made == {
        "host": "b",
        "vif_type": "unbound",
        "vif_details": {},
        "vnic_type": "normal",
        "profile": {"os_vif": 1},
        "status": "INACTIVE",
    }
    assert await listed(cloud, port) == {"a": "ACTIVE", "b": "INACTIVE"}
    assert await listed(cloud, port, "?status=INACTIVE") == {"b": "INACTIVE"}
    assert (await shown(cloud, port))["binding:host_id"] == "a"

    status, body = await cloud(NOVA, "PUT", f"/ports/{port['id']}/bindings/b/activate")
    assert status == 200 and (body["host"], body["status"]) == ("b", "ACTIVE")
    assert await listed(cloud, port) == {"a": "INACTIVE", "b": "ACTIVE"}
    moved = await shown(cloud, port)
    assert (moved["binding:host_id"], moved["binding:profile"]) == ("b", {"os_vif": 1})
    assert moved["binding:vif_type"] == "unbound"
    # The host that it left has it no longer, and the other one takes it.
    with pytest.raises(ApiError, match="not attached on host a"):
        await cloud.store.write(lambda tx: attachment.detach(tx, "a", port["id"]))
    with pytest.raises(ApiError, match="bound to host b"):
        await attach(cloud, port, "a")
    await attach(cloud, port, "b")
    _, body = await cloud(NOVA, "GET", f"/ports/{port['id']}/bindings/b")
    assert body["binding"]["vif_type"] == "tap"

    assert (await cloud(NOVA, "DELETE", f"/ports/{port['id']}/bindings/a"))[0] == 204
    assert await listed(cloud, port) == {"b": "ACTIVE"}
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204


async def test_what_cannot_be_bound_or_activated(cloud: Cloud, port: dict[str, Any]) -> None:
    path = f"/ports/{port['id']}"
    assert (await bind(cloud, port, "a"))[0] == 201
    assert await bind(cloud, port, "a") == (409, "PortBindingAlreadyExists")
    assert await bind(cloud, port, "") == (400, "HTTPBadRequest")
    assert await bind(cloud, port, "b", vnic_type="wireless") == (400, "HTTPBadRequest")
    assert await bind(cloud, port, "b", profile={"x": "y" * 4096}) == (400, "InvalidInput")
    assert await bind(cloud, {"id": "00000000-0000-0000-0000-000000000000"}, "a") == (404, "PortNotFound")
    activate = f"{path}/bindings/%s/activate"
    assert (await cloud(NOVA, "PUT", activate % "a"))[0] == 200
    for host, expected in (("a", (409, "PortBindingAlreadyActive")), ("z", (404, "PortBindingNotFound"))):
        status, body = await cloud(NOVA, "PUT", activate % host)
        assert (status, body["NeutronError"]["type"]) == expected
    for method in ("GET", "DELETE"):
        status, body = await cloud(NOVA, method, f"{path}/bindings/z")
        assert (status, body["NeutronError"]["type"]) == (404, "PortBindingNotFound")

    other = await cloud.made("member:red", "/ports", network_id=port["network_id"])
    assert await bind(cloud, other, "a") == (400, "BadRequest")
    for method, where in (("GET", ""), ("GET", "/a"), ("DELETE", "/a"), ("PUT", "/a/activate")):
        status, body = await cloud(NOVA, method, f"/ports/{other['id']}/bindings{where}")
        assert (status, body["NeutronError"]["type"]) == (400, "BadRequest")


async def test_the_active_binding_is_what_the_port_shows(cloud: Cloud, port: dict[str, Any]) -> None:
    path = f"/ports/{port['id']}"
    change = {"port": {"binding:host_id": "a", "binding:profile": {"slot": 1}}}
    assert (await cloud(NOVA, "PUT", path, change))[0] == 200
    assert await listed(cloud, port) == {"a": "ACTIVE"}
    _, body = await cloud(NOVA, "GET", f"{path}/bindings/a?fields=host&fields=profile")
    assert body["binding"] == {"host": "a", "profile": {"slot": 1}}

    status, body = await cloud("admin:ops", "PUT", f"{path}/bindings/a", {"binding": {"profile": {"slot": 2}}})
    assert status == 200 and body["binding"]["profile"] == {"slot": 2}
    assert (await shown(cloud, port))["binding:profile"] == {"slot": 2}

    # Bound elsewhere, it leaves nothing behind, and takes over what waited there.
    await bind(cloud, port, "b")
    await cloud("admin:ops", "PUT", path, {"port": {"binding:host_id": "b"}})
    assert await listed(cloud, port) == {"b": "ACTIVE"}
    await bind(cloud, port, "c")
    status, body = await cloud("admin:ops", "PUT", f"{path}/bindings/c", {"binding": {"host": "b"}})
    assert (status, body["NeutronError"]["type"]) == (409, "PortBindingAlreadyExists")
    status, body = await cloud("admin:ops", "PUT", f"{path}/bindings/c", {"binding": {"vnic_type": "direct"}})
    assert status == 200 and (await shown(cloud, port))["binding:vnic_type"] == "normal"
    assert (await cloud(NOVA, "DELETE", f"{path}/bindings/b"))[0] == 204
    assert (await shown(cloud, port))["binding:host_id"] == "" and await listed(cloud, port) == {"c": "INACTIVE"}


async def test_the_binding_of_an_attached_port_stays(cloud: Cloud, port: dict[str, Any]) -> None:
    await attach(cloud, port, "a")
    status, body = await cloud(NOVA, "DELETE", f"/ports/{port['id']}/bindings/a")
    assert (status, body["NeutronError"]["type"]) == (409, "PortBound")
    change = {"port": {"binding:vnic_type": "direct"}}
    status, body = await cloud("admin:ops", "PUT", f"/ports/{port['id']}", change)
    assert (status, body["NeutronError"]["type"]) == (409, "PortInUse")


async def test_tenants_know_nothing_of_bindings(cloud: Cloud, port: dict[str, Any]) -> None:
    await bind(cloud, port, "a")
    path = f"/ports/{port['id']}/bindings"
    assert (await cloud("member:red", "GET", path))[1] == {"bindings": []}
    assert (await cloud("member:red", "GET", f"{path}/a"))[0] == 404
    assert (await cloud("member:red", "POST", path, {"binding": {"host": "b"}}))[0] == 403
    assert (await cloud("member:red", "PUT", f"{path}/a/activate"))[0] == 404
    assert (await cloud("admin:ops", "PUT", f"{path}/a/activate"))[0] == 403
