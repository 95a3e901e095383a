"""Every network command of the `openstack` client runs against a whole Kaon; here those of the smaller families.

A command that the client knows and that neither this file nor `test_openstack_client.py` runs must belong to an
extension that Kaon does not announce.
"""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from openstack.connection import Connection

from tests.e2e.shell import Shell

pytestmark = pytest.mark.slow

GROUPS = {
    "openstack.network.v2.bgpvpn": "bgpvpn",
    "openstack.network.v2.dynamic_routing": "bgp",
    "openstack.network.v2.fwaas": "fwaas_v2",
    "openstack.network.v2.taas": "taas",
    "openstack.network.v2.vpnaas": "vpnaas",
}
"""Commands of whole services beside Neutron, by the extension that announces each."""

COMMANDS = {
    "l3-agent-scheduler-ha-chassis-priority": ("network agent router set",),
}
"""What other commands begin with, by the extension that announces each."""


def names(rows: list[dict[str, object]]) -> set[object]:
    return {row["Name"] for row in rows}


def test_address_groups(admin: Shell) -> None:
    made = admin("address group create offices --address 192.0.2.0/28 --address 198.51.100.7 --description d")
    assert sorted(made["addresses"]) == ["192.0.2.0/28", "198.51.100.7/32"]
    admin("address group set offices --name sites --address 203.0.113.0/24")
    admin("address group unset sites --address 192.0.2.0/28")
    assert sorted(admin("address group show sites")["addresses"]) == ["198.51.100.7/32", "203.0.113.0/24"]
    admin("security group create web")
    rule = admin("security group rule create web --protocol tcp --remote-address-group sites")
    assert rule["remote_address_group_id"] == made["id"]
    assert admin.run("address group delete sites").status == 1, "a rule names it"
    admin("security group delete web")
    assert names(admin("address group list --name sites")) == {"sites"}
    admin("address group delete sites")


def test_default_rules_and_statefulness_of_security_groups(admin: Shell, cloud: Connection) -> None:
    made = admin("default security group rule create --protocol tcp --dst-port 22 --ingress --for-custom-sg")
    assert (made["used_in_default_sg"], made["used_in_non_default_sg"]) == (False, True)
    assert admin(f"default security group rule show {made['id']}")["port_range_max"] == 22
    assert made["id"] in {row["ID"] for row in admin("default security group rule list --protocol tcp")}
    admin("security group create web")
    assert [row["Port Range"] for row in admin("security group rule list web --protocol tcp")] == ["22:22"]
    admin(f"default security group rule delete {made['id']}")
    admin("security group delete web")

    red = admin("project create red")
    # The client names the record in singular, which neither Neutron nor its API definition does: it cannot write it.
    refused = admin.run("security group default statefulness create --stateless --project red")
    assert (refused.status, "security_groups_default_statefulness" in refused.errors) == (1, True)
    chosen = cloud.network.post(
        "/security-groups-default-statefulness",
        json={"security_groups_default_statefulness": {"stateful": False, "project_id": red["id"]}},
    ).json()["security_groups_default_statefulness"]
    assert admin("security group create web --project red")["stateful"] is False
    assert chosen["id"] in {row["ID"] for row in admin("security group default statefulness list")}
    assert admin.run(f"security group default statefulness set {chosen['id']} --stateful").status == 1
    assert admin.run(f"security group default statefulness show {chosen['id']}").status == 0
    admin(f"security group default statefulness delete {chosen['id']}")
    admin("security group delete web")
    admin("project delete red")


def test_flavors_of_routers(admin: Shell) -> None:
    admin("network flavor create fast --service-type L3_ROUTER_NAT --description d")
    profile = admin("network flavor profile create --metainfo m --description d")
    admin(f"network flavor add profile fast {profile['id']}")
    assert admin("network flavor show fast")["service_profile_ids"] == [profile["id"]]
    admin(f"network flavor remove profile fast {profile['id']}")
    admin("network flavor set fast --name slow --disable")
    assert names(admin("network flavor list")) == {"slow"}
    admin(f"network flavor profile set {profile['id']} --description e --disable")
    assert admin(f"network flavor profile show {profile['id']}")["description"] == "e"
    assert [row["ID"] for row in admin("network flavor profile list")] == [profile["id"]]
    admin("network flavor delete slow")
    admin(f"network flavor profile delete {profile['id']}")
    assert "L3_ROUTER_NAT" in {row["Service Type"] for row in admin("network service provider list")}


def test_how_full_networks_are(admin: Shell) -> None:
    admin("network create blue")
    admin("subnet create v4 --network blue --subnet-range 10.1.0.0/29 --no-dhcp")
    admin("port create one --network blue")
    shown = admin("ip availability show blue")
    assert (shown["total_ips"], shown["used_ips"]) == (5, 1)
    assert {row["Network Name"]: row["Used IPs"] for row in admin("ip availability list")}["blue"] == 1
    admin("port delete one")
    admin("network delete blue")


def test_a_topology_made_of_itself(admin: Shell) -> None:
    admin("network create outer --external --default")
    admin("subnet create outer4 --network outer --subnet-range 203.0.113.0/24 --no-dhcp")
    admin("subnet pool create nets --pool-prefix 10.64.0.0/16 --default-prefix-length 26 --default --share")
    made = admin("network auto allocated topology create")
    assert admin(f"network show {made['id']}")["project_id"] == made["project_id"]
    assert admin("network auto allocated topology create --or-show")["id"] == made["id"]
    assert admin.run("network auto allocated topology create --check-resources").status == 0
    admin("network auto allocated topology delete")
    assert admin.run(f"network show {made['id']}").status == 1
    admin("subnet pool delete nets")
    admin("network delete outer")


def test_subnets_come_into_a_pool_later(admin: Shell) -> None:
    scope = admin("address scope create east --ip-version 4")
    admin("subnet pool create p --pool-prefix 10.64.0.0/16 --default-prefix-length 26 --address-scope east")
    for name, command, prefix in (
        ("blue", "network onboard subnet blue p", "10.1.0.0/24"),
        ("green", "subnet pool add network green p", "10.2.0.0/24"),
    ):
        admin(f"network create {name}")
        admin(f"subnet create {name}4 --network {name} --subnet-range {prefix}")
        admin(command)
        assert prefix in admin("subnet pool show p")["prefixes"]
        assert admin(f"network show {name}")["ipv4_address_scope"] == scope["id"]
        admin(f"network delete {name}")
    admin("subnet pool delete p")
    admin("address scope delete east")


def test_meters(admin: Shell) -> None:
    made = admin("network meter create traffic --description d --share")
    rule = admin("network meter rule create traffic --source-ip-prefix 10.0.0.0/24 --egress")
    assert (rule["metering_label_id"], rule["direction"]) == (made["id"], "egress")
    assert admin(f"network meter rule show {rule['id']}")["source_ip_prefix"] == "10.0.0.0/24"
    assert [row["ID"] for row in admin("network meter rule list")] == [rule["id"]]
    assert names(admin("network meter list")) == {"traffic"}
    assert admin("network meter show traffic")["shared"] is True
    admin(f"network meter rule delete {rule['id']}")
    admin("network meter delete traffic")


def test_trunks(admin: Shell) -> None:
    admin("network create blue")
    for name in ("parent", "first", "second"):
        admin(f"port create {name} --network blue")
    admin(
        "network trunk create t --parent-port parent --description d "
        "--subport port=first,segmentation-type=vlan,segmentation-id=10"
    )
    admin("network trunk set t --name u --subport port=second,segmentation-type=vlan,segmentation-id=20")
    assert {row["Segmentation ID"] for row in admin("network subport list --trunk u")} == {10, 20}
    admin("network trunk unset u --subport second")
    assert {row["Segmentation ID"] for row in admin("network trunk subport list u")} == {10}
    admin("network trunk subport add u second --segmentation-type vlan --segmentation-id 30")
    admin("network trunk set u --disable")
    shown = admin("network trunk show u")
    assert {item["segmentation_id"] for item in shown["sub_ports"]} == {10, 30}
    assert shown["is_admin_state_up"] is False
    admin("network trunk set u --enable")
    admin("network trunk subport remove u first second")
    assert names(admin("network trunk list --long")) == {"u"}
    admin("network trunk delete u")
    admin("port delete parent first second")
    admin("network delete blue")


def lines() -> set[str]:
    """Every text in the tests of the command that may be a command line."""
    texts = (path.read_text() for path in Path(__file__).parent.glob("test_openstack_*.py"))
    nodes = (node for text in texts for node in ast.walk(ast.parse(text)))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_network_command_is_run_or_is_of_an_extension_that_is_not_announced(admin: Shell) -> None:
    announced = {row["Alias"] for row in admin("extension list --network")}
    absent = tuple(f"{words} " for alias, every in COMMANDS.items() if alias not in announced for words in every)
    groups = ["openstack.network.v2", *(group for group, alias in GROUPS.items() if alias in announced)]
    known = {entry.name.replace("_", " ") for group in groups for entry in entry_points(group=group)}
    run = lines()
    missing = {name for name in known if not any(f"{line} ".startswith(f"{name} ") for line in run)}
    assert sorted(name for name in missing if not f"{name} ".startswith(absent)) == []
