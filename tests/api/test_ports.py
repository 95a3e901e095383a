"""Ports through the API: addresses, filters, binding, and who may set what."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from kaon.resources.ports import port as ports
from tests.api.cloud import Cloud


@pytest.fixture
async def net(cloud: Cloud) -> dict[str, Any]:
    """A network of project red with 10.0.0.0/24."""
    net = await cloud.made("member:red", "/networks")
    subnet = await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
    return {**net, "subnet": subnet["id"]}


async def answer(cloud: Cloud, token: str, method: str, path: str, **values: Any) -> tuple[int, str, str]:
    """Status, error type and message of a write on ports that must not succeed."""
    status, reply = await cloud(token, method, path, {"port": values} if values else None)
    assert status >= 400, reply
    return status, reply["NeutronError"]["type"], reply["NeutronError"]["message"]


def addresses(port: dict[str, Any]) -> list[str]:
    """The port's addresses in its order."""
    return [ip["ip_address"] for ip in port["fixed_ips"]]


# ---------------------------------------------------------------- what a new port is


async def test_a_plain_port_is_addressed_filtered_and_down(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    _, body = await cloud("member:red", "GET", "/security-groups")
    assert port["security_groups"] == [body["security_groups"][0]["id"]]
    assert port["mac_address"].startswith("fa:16:3e:") and addresses(port) == ["10.0.0.2"]
    assert port["status"] == "DOWN" and port["admin_state_up"] is True and port["port_security_enabled"] is True
    assert port["device_id"] == port["device_owner"] == "" and port["ip_allocation"] == "immediate"
    assert port["allowed_address_pairs"] == port["extra_dhcp_opts"] == port["tags"] == []
    assert port["binding:vnic_type"] == "normal" and "binding:host_id" not in port
    _, body = await cloud("admin:ops", "GET", f"/ports/{port['id']}")
    assert {name: value for name, value in body["port"].items() if name.startswith("binding:")} == {
        "binding:host_id": "",
        "binding:profile": {},
        "binding:vif_details": {},
        "binding:vif_type": "unbound",
        "binding:vnic_type": "normal",
    }
    assert "kaon:status_reason" not in body["port"]


async def test_bulk_creation_makes_all_or_none_and_takes_no_address_when_it_fails(
    cloud: Cloud, net: dict[str, Any]
) -> None:
    good = [{"network_id": net["id"], "name": f"p{i}"} for i in range(3)]
    status, body = await cloud("member:red", "POST", "/ports", {"ports": good})
    assert status == 201 and [addresses(port) for port in body["ports"]] == [["10.0.0.2"], ["10.0.0.3"], ["10.0.0.4"]]
    bad = [{"network_id": net["id"]}, {"network_id": net["id"], "fixed_ips": [{"ip_address": "10.0.0.3"}]}]
    assert (await cloud("member:red", "POST", "/ports", {"ports": bad}))[0] == 409
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    assert addresses(port) == ["10.0.0.5"]


async def test_a_port_costs_as_many_statements_on_a_full_network_as_on_an_empty_one(
    cloud: Cloud, net: dict[str, Any]
) -> None:
    statements: list[str] = []

    def note(_conn: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    async def counted() -> int:
        sa.event.listen(cloud.store.engine, "before_cursor_execute", note)
        await cloud.made("member:red", "/ports", network_id=net["id"])
        sa.event.remove(cloud.store.engine, "before_cursor_execute", note)
        count = len(statements)
        statements.clear()
        return count

    await cloud.made("member:red", "/ports", network_id=net["id"])  # makes the project's default group
    empty = await counted()
    await cloud("member:red", "POST", "/ports", {"ports": [{"network_id": net["id"]}] * 150})
    assert await counted() == empty <= 20


@pytest.mark.parametrize(
    ("wanted", "given", "allocation"),
    [
        ([], [], "none"),
        ([{"ip_address": "10.0.0.9"}], ["10.0.0.9"], "immediate"),
        ([{"ip_address": "10.0.0.1"}], ["10.0.0.1"], "immediate"),
        ([{"subnet_id": "SUBNET"}, {"subnet_id": "SUBNET"}], ["10.0.0.2", "10.0.0.3"], "immediate"),
        ([{"subnet_id": "SUBNET"}, {"ip_address": "10.0.0.2"}], ["10.0.0.3", "10.0.0.2"], "immediate"),
    ],
)
async def test_wished_addresses(
    cloud: Cloud, net: dict[str, Any], wanted: list[dict[str, str]], given: list[str], allocation: str
) -> None:
    wanted = [{key: net["subnet"] if value == "SUBNET" else value for key, value in ip.items()} for ip in wanted]
    port = await cloud.made("member:red", "/ports", network_id=net["id"], fixed_ips=wanted)
    assert addresses(port) == given and port["ip_allocation"] == allocation


@pytest.mark.parametrize(
    ("values", "status", "kind", "words"),
    [
        ({"fixed_ips": [{"ip_address": "10.9.0.9"}]}, 400, "InvalidIpForNetwork", "10.9.0.9 is not a valid IP for any"),
        ({"fixed_ips": [{"ip_address": "10.0.0.255"}]}, 400, "InvalidIpForNetwork", "10.0.0.255"),
        (
            {"fixed_ips": [{"ip_address": "10.9.0.9", "subnet_id": "SUBNET"}]},
            400,
            "InvalidIpForSubnet",
            "10.9.0.9 is not a valid IP for the specified subnet",
        ),
        ({"fixed_ips": [{"subnet_id": "c0ffee00-0000-4000-8000-000000000000"}]}, 400, "InvalidInput", "invalid subnet"),
        ({"fixed_ips": [{}]}, 400, "InvalidInput", "IP allocation requires subnet_id or ip_address"),
        ({"fixed_ips": [{"ip_address": "10.0.0.9"}] * 2}, 400, "HTTPBadRequest", "Duplicate IP address '10.0.0.9'"),
        ({"fixed_ips": [{"ip_address": "ten"}]}, 400, "HTTPBadRequest", "is not a valid IP address"),
        ({"fixed_ips": None}, 400, "HTTPBadRequest", "is not a list"),
        ({"fixed_ips": "10.0.0.9"}, 400, "HTTPBadRequest", "is not a list"),
        ({"mac_address": "01:00:5e:00:00:01"}, 400, "HTTPBadRequest", "01:00:5e:00:00:01"),
        ({"mac_address": "fa:16"}, 400, "HTTPBadRequest", "is not a valid MAC address"),
        ({"security_groups": ["c0ffee00-0000-4000-8000-000000000000"]}, 404, "SecurityGroupNotFound", "c0ffee"),
        ({"network_id": "c0ffee00-0000-4000-8000-000000000000"}, 404, "NetworkNotFound", "could not be found"),
        ({"allowed_address_pairs": [{"mac_address": "fa:16:3e:00:00:01"}]}, 400, "AllowedAddressPairsMissingIP", "ip"),
        ({"allowed_address_pairs": [{"ip_address": "10.0.0.7"}] * 2}, 400, "DuplicateAddressPairInRequest", "10.0.0.7"),
        (
            {"allowed_address_pairs": [{"ip_address": f"10.0.0.{i}"} for i in range(11)]},
            400,
            "AllowedAddressPairExhausted",
            "exceeds the maximum 10",
        ),
        ({"allowed_address_pairs": [{"ip_address": "224.0.0.0/24"}]}, 400, "HTTPBadRequest", "multicast"),
        (
            {"allowed_address_pairs": [{"ip_address": "10.0.0.7"}], "port_security_enabled": False},
            409,
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled",
        ),
        ({"extra_dhcp_opts": [{"opt_name": "mtu"}]}, 400, "HTTPBadRequest", "Expected keys not found: opt_value"),
        ({"extra_dhcp_opts": [{"opt_name": "mtu", "opt_value": ""}]}, 400, "HTTPBadRequest", "Blank"),
        ({"extra_dhcp_opts": [{"opt_name": "a\nb", "opt_value": "1"}]}, 400, "HTTPBadRequest", "Multi-line"),
        ({"binding:vnic_type": "teleport"}, 400, "HTTPBadRequest", "is not in"),
        ({"status": "ACTIVE"}, 400, "HTTPBadRequest", "not allowed in POST"),
    ],
)
async def test_a_port_that_cannot_be_is_refused_and_leaves_nothing(
    cloud: Cloud, net: dict[str, Any], values: dict[str, Any], status: int, kind: str, words: str
) -> None:
    for ip in values.get("fixed_ips") or []:
        if isinstance(ip, dict) and ip.get("subnet_id") == "SUBNET":
            ip["subnet_id"] = net["subnet"]
    got = await answer(cloud, "admin:red", "POST", "/ports", **{"network_id": net["id"], **values})
    assert got[:2] == (status, kind) and words in got[2]
    assert (await cloud("admin:red", "GET", "/ports"))[1] == {"ports": []}
    assert addresses(await cloud.made("member:red", "/ports", network_id=net["id"])) == ["10.0.0.2"]


async def test_an_address_and_a_mac_belong_to_one_port(cloud: Cloud, net: dict[str, Any]) -> None:
    mac = "fa:16:3e:00:00:01"
    await cloud.made(
        "member:red", "/ports", network_id=net["id"], mac_address=mac, fixed_ips=[{"ip_address": "10.0.0.9"}]
    )
    got = await answer(
        cloud, "member:red", "POST", "/ports", network_id=net["id"], fixed_ips=[{"ip_address": "10.0.0.9"}]
    )
    assert got == (
        409,
        "IpAddressAlreadyAllocated",
        f"IP address 10.0.0.9 already allocated in subnet {net['subnet']}",
    )
    got = await answer(cloud, "member:red", "POST", "/ports", network_id=net["id"], mac_address=mac.upper())
    assert got[:2] == (409, "MacAddressInUse")
    other = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/ports", network_id=other["id"], mac_address=mac)


async def test_a_full_subnet_says_so_and_the_next_one_helps_out(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/30")
    await cloud.made("member:red", "/ports", network_id=net["id"])
    got = await answer(cloud, "member:red", "POST", "/ports", network_id=net["id"])
    assert got == (409, "IpAddressGenerationFailure", f"No more IP addresses available on network {net['id']}.")
    await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.1.0/30")
    assert addresses(await cloud.made("member:red", "/ports", network_id=net["id"])) == ["10.0.1.2"]


async def test_a_dual_stack_port_gets_one_address_of_each_kind_and_every_formed_one(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    for version, cidr, mode in (
        (4, "10.0.0.0/24", None),
        (4, "10.0.1.0/24", None),
        (6, "fd00:1::/64", "dhcpv6-stateful"),
        (6, "fd00:2::/64", "slaac"),
        (6, "fd00:3::/64", "dhcpv6-stateless"),
    ):
        await cloud.made(
            "member:red",
            "/subnets",
            network_id=net["id"],
            ip_version=version,
            cidr=cidr,
            ipv6_ra_mode=mode,
            ipv6_address_mode=mode,
        )
    port = await cloud.made("member:red", "/ports", network_id=net["id"], mac_address="fa:16:3e:00:00:01")
    formed = "::f816:3eff:fe00:1"
    assert sorted(addresses(port)) == ["10.0.0.2", "fd00:1::2", f"fd00:2{formed}", f"fd00:3{formed}"]
    path = f"/ports/{port['id']}"
    status, body = await cloud("member:red", "PUT", path, {"port": {"fixed_ips": [{"ip_address": "10.0.1.7"}]}})
    assert status == 200 and sorted(addresses(body["port"])) == ["10.0.1.7", f"fd00:2{formed}", f"fd00:3{formed}"]
    status, body = await cloud("admin:red", "PUT", path, {"port": {"mac_address": "fa:16:3e:00:00:02"}})
    moved = "::f816:3eff:fe00:2"
    assert sorted(addresses(body["port"])) == ["10.0.1.7", f"fd00:2{moved}", f"fd00:3{moved}"]
    got = await answer(
        cloud, "member:red", "POST", "/ports", network_id=net["id"], fixed_ips=[{"ip_address": "fd00:2::5"}]
    )
    assert got[:2] == (400, "AllocationOnAutoAddressSubnet")


# ---------------------------------------------------------------- filtering of a port's traffic


async def test_port_security_follows_the_network_and_rules_what_else_a_port_may_have(
    cloud: Cloud, net: dict[str, Any]
) -> None:
    open_net = await cloud.made("member:red", "/networks", port_security_enabled=False)
    port = await cloud.made("member:red", "/ports", network_id=open_net["id"])
    assert port["port_security_enabled"] is False and port["security_groups"] == []
    group = await cloud.made("member:red", "/security-groups", name="web")
    got = await answer(cloud, "member:red", "POST", "/ports", network_id=open_net["id"], security_groups=[group["id"]])
    assert got[:2] == (400, "PortSecurityAndIPRequiredForSecurityGroups")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], security_groups=[group["id"]])
    path = f"/ports/{port['id']}"
    got = await answer(cloud, "member:red", "PUT", path, port_security_enabled=False)
    assert got[:2] == (409, "PortSecurityPortHasSecurityGroup")
    status, body = await cloud(
        "member:red", "PUT", path, {"port": {"port_security_enabled": False, "security_groups": []}}
    )
    assert status == 200 and body["port"]["security_groups"] == []
    got = await answer(cloud, "member:red", "PUT", path, allowed_address_pairs=[{"ip_address": "10.0.0.7"}])
    assert got[:2] == (409, "AddressPairAndPortSecurityRequired")


async def test_another_projects_group_is_not_found(cloud: Cloud, net: dict[str, Any]) -> None:
    foreign = await cloud.made("member:blue", "/security-groups", name="theirs")
    got = await answer(cloud, "member:red", "POST", "/ports", network_id=net["id"], security_groups=[foreign["id"]])
    assert got[:2] == (404, "SecurityGroupNotFound")


async def test_a_group_in_use_stays_until_its_ports_leave_it(cloud: Cloud, net: dict[str, Any]) -> None:
    group = await cloud.made("member:red", "/security-groups", name="web")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], security_groups=[group["id"]])
    _, body = await cloud("member:red", "GET", f"/ports?security_groups={group['id']}")
    assert [item["id"] for item in body["ports"]] == [port["id"]]
    assert (await cloud("member:red", "DELETE", f"/security-groups/{group['id']}"))[0] == 409
    await cloud("member:red", "PUT", f"/ports/{port['id']}", {"port": {"security_groups": []}})
    assert (await cloud("member:red", "GET", f"/ports?security_groups={group['id']}"))[1] == {"ports": []}
    assert (await cloud("member:red", "DELETE", f"/security-groups/{group['id']}"))[0] == 204


async def test_address_pairs_take_the_ports_own_mac_unless_told(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made(
        "member:red",
        "/ports",
        network_id=net["id"],
        allowed_address_pairs=[
            {"ip_address": "10.0.0.0/24"},
            {"ip_address": "10.1.0.1", "mac_address": "FA-16-3E-00-00-09"},
        ],
    )
    assert port["allowed_address_pairs"] == [
        {"mac_address": port["mac_address"], "ip_address": "10.0.0.0/24"},
        {"mac_address": "fa:16:3e:00:00:09", "ip_address": "10.1.0.1"},
    ]
    _, body = await cloud("member:red", "GET", "/ports?allowed_address_pairs=ip_address%3D10.1.0.1")
    assert [item["id"] for item in body["ports"]] == [port["id"]]


async def test_dhcp_options_are_kept_by_name_and_ip_version(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made(
        "member:red",
        "/ports",
        network_id=net["id"],
        extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1400"}, {"opt_name": "router", "opt_value": ""}],
    )
    assert port["extra_dhcp_opts"][0] == {"opt_name": "mtu", "opt_value": "1400", "ip_version": 4}
    changes = [{"opt_name": "mtu", "opt_value": None}, {"opt_name": "router", "opt_value": "10.0.0.9"}]
    _, body = await cloud("member:red", "PUT", f"/ports/{port['id']}", {"port": {"extra_dhcp_opts": changes}})
    assert body["port"]["extra_dhcp_opts"] == [{"opt_name": "router", "opt_value": "10.0.0.9", "ip_version": 4}]


# ---------------------------------------------------------------- updates, binding, deletion


async def test_changed_addresses_keep_what_stays_and_free_what_goes(cloud: Cloud, net: dict[str, Any]) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    path = f"/ports/{port['id']}"
    wanted = [{"ip_address": "10.0.0.2"}, {"subnet_id": net["subnet"]}]
    _, body = await cloud("member:red", "PUT", path, {"port": {"fixed_ips": wanted}})
    assert addresses(body["port"]) == ["10.0.0.2", "10.0.0.3"] and body["port"]["revision_number"] == 1
    _, body = await cloud("member:red", "PUT", path, {"port": {"fixed_ips": [{"subnet_id": net["subnet"]}]}})
    assert addresses(body["port"]) == ["10.0.0.2"]
    got = await answer(cloud, "member:red", "PUT", path, fixed_ips=[{}])
    assert got == (
        400,
        "InvalidInput",
        "Invalid input for operation: IP allocation requires subnet_id or ip_address.",
    )
    _, body = await cloud("member:red", "PUT", path, {"port": {"fixed_ips": []}})
    assert addresses(body["port"]) == []
    assert addresses(await cloud.made("member:red", "/ports", network_id=net["id"])) == ["10.0.0.2"]


async def test_ports_of_routers_go_only_with_their_router(cloud: Cloud, net: dict[str, Any]) -> None:
    """The owner alone protects nothing: a port whose router is not there can be cleaned up."""
    port = await cloud.made(
        "admin:red", "/ports", network_id=net["id"], device_owner="network:router_interface", device_id="gone"
    )
    assert port["port_security_enabled"] is False and port["security_groups"] == []
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204


async def test_a_routers_port_keeps_its_address_and_goes_by_the_router(cloud: Cloud, net: dict[str, Any]) -> None:
    router = await cloud.made("member:red", "/routers")
    path, leg = f"/routers/{router['id']}", {"subnet_id": net["subnet"]}
    _, body = await cloud("member:red", "PUT", f"{path}/add_router_interface", leg)
    port = f"/ports/{body['port_id']}"
    got = await answer(cloud, "member:red", "PUT", port, fixed_ips=[{"ip_address": "10.0.0.77"}])
    assert got[0] == 400 and "are not allowed" in got[2]
    status, body = await cloud("member:red", "DELETE", port)
    assert (status, body["NeutronError"]["type"]) == (409, "ServicePortInUse")
    assert (await cloud("member:red", "PUT", f"{path}/remove_router_interface", leg))[0] == 200
    assert (await cloud("member:red", "GET", port))[0] == 404


@pytest.mark.parametrize("leg", ["interface", "interface_distributed", "gateway", "ha_interface", "centralized_snat"])
async def test_no_router_of_another_project_is_claimed(cloud: Cloud, net: dict[str, Any], leg: str) -> None:
    """Such a port would be a leg of the other project's router, and a way into its networks."""
    router = await cloud.made("member:blue", "/routers")
    claim = {"device_owner": f"network:router_{leg}", "device_id": router["id"]}
    got = await answer(cloud, "member:red", "POST", "/ports", network_id=net["id"], **claim)
    assert got[:2] == (409, "DeviceIDNotOwnedByTenant")
    port = await cloud.made("member:red", "/ports", network_id=net["id"], device_id=router["id"])
    body = {"port": {"device_owner": claim["device_owner"]}}
    status, got = await cloud("member:red", "PUT", f"/ports/{port['id']}", body)
    assert (status, got["NeutronError"]["type"]) == (409, "DeviceIDNotOwnedByTenant")


async def test_status_is_shown_but_not_journalled_and_its_reason_is_for_admins(
    cloud: Cloud, net: dict[str, Any]
) -> None:
    port = await cloud.made("member:red", "/ports", network_id=net["id"])
    last = [change async for change in _changes(cloud)][-1].seq
    reason = "row tap/ missing: no such namespace"
    await cloud.store.write(lambda tx: ports.set_status(tx, {port["id"]: ("DOWN", reason)}))
    _, body = await cloud("admin:ops", "GET", f"/ports/{port['id']}")
    assert body["port"]["kaon:status_reason"] == reason and body["port"]["revision_number"] == 1
    assert "kaon:status_reason" not in (await cloud("member:red", "GET", f"/ports/{port['id']}"))[1]["port"]
    await cloud.store.write(lambda tx: ports.set_status(tx, {port["id"]: ("ACTIVE", "")}))
    _, body = await cloud("admin:ops", "GET", "/ports?status=ACTIVE")
    assert [item["id"] for item in body["ports"]] == [port["id"]] and "kaon:status_reason" not in body["ports"][0]
    assert [change async for change in _changes(cloud)][-1].seq == last


async def _changes(cloud: Cloud) -> Any:
    async for batch in cloud.store.follow(0):
        for change in batch:
            yield change
        return


# ---------------------------------------------------------------- who may do and see what


async def test_tenants_on_a_shared_network_choose_no_addresses(cloud: Cloud, net: dict[str, Any]) -> None:
    got = await answer(cloud, "member:blue", "POST", "/ports", network_id=net["id"])
    assert got[:2] == (404, "NetworkNotFound")
    await cloud("admin:ops", "PUT", f"/networks/{net['id']}", {"network": {"shared": True}})
    port = await cloud.made("member:blue", "/ports", network_id=net["id"], fixed_ips=[{"subnet_id": net["subnet"]}])
    for values in (
        {"fixed_ips": [{"ip_address": "10.0.0.99"}]},
        {"mac_address": "fa:16:3e:00:00:01"},
        {"port_security_enabled": False},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.7"}]},
        {"device_owner": "network:router_interface"},
        {"binding:host_id": "h1"},
        {"binding:profile": {"a": 1}},
    ):
        got = await answer(cloud, "member:blue", "POST", "/ports", network_id=net["id"], **values)
        assert got[:2] == (403, "PolicyNotAuthorized"), values
    assert (await cloud("reader:blue", "DELETE", f"/ports/{port['id']}"))[0] == 403
    # The network's owner sees and may remove what others have on it.
    assert [item["id"] for item in (await cloud("member:red", "GET", "/ports"))[1]["ports"]] == [port["id"]]
    assert (await cloud("member:green", "GET", f"/ports/{port['id']}"))[0] == 404
    assert (await cloud("member:red", "DELETE", f"/ports/{port['id']}"))[0] == 204


async def test_filters(cloud: Cloud, net: dict[str, Any]) -> None:
    made = {}
    for name, values in (
        ("a", {"device_id": "vm-1", "mac_address": "fa:16:3e:00:00:01"}),
        ("b", {"fixed_ips": [{"ip_address": "10.0.0.200"}]}),
        ("c", {"fixed_ips": []}),
    ):
        made[name] = await cloud.made("member:red", "/ports", network_id=net["id"], name=name, **values)
    await cloud("admin:ops", "PUT", f"/ports/{made['b']['id']}", {"port": {"binding:host_id": "h1"}})
    for query, names in (
        ("fixed_ips=ip_address%3D10.0.0.200", "b"),
        ("fixed_ips=ip_address=10.0.0.200&fixed_ips=ip_address=10.0.0.2", "ab"),
        (f"fixed_ips=subnet_id={net['subnet']}", "ab"),
        (f"fixed_ips=subnet_id={net['subnet']}&fixed_ips=ip_address=10.0.0.2", "a"),
        ("fixed_ips=ip_address_substr=0.200", "b"),
        ("fixed_ips=ip_address_substr=%25", ""),
        ("mac_address=FA:16:3E:00:00:01", "a"),
        ("device_id=vm-1", "a"),
        ("device_id=", "bc"),
        ("binding:host_id=h1", "b"),
        (f"network_id={net['id']}", "abc"),
        (f"id={made['a']['id']}&id={made['c']['id']}", "ac"),
    ):
        _, body = await cloud("admin:ops", "GET", f"/ports?{query}&sort_key=name&sort_dir=asc")
        assert "".join(item["name"] for item in body["ports"]) == names, query
    assert (await cloud("admin:ops", "GET", "/ports?fixed_ips=color%3Dred"))[0] == 400
    assert (await cloud("admin:ops", "GET", "/ports?color=red"))[0] == 400
