"""The `openstack` command on what the administrator of a cloud decides: quality of service, segments, agents."""

from __future__ import annotations

import pytest

from tests.e2e.shell import Shell

pytestmark = pytest.mark.slow


def names(rows: list[dict[str, object]]) -> set[object]:
    return {row["Name"] for row in rows}


def test_quality_of_service(admin: Shell) -> None:
    admin("network qos policy create gold --share --description d")
    rules = [
        admin(f"network qos rule create gold --type {wanted}")
        for wanted in (
            "bandwidth-limit --max-kbps 1000 --max-burst-kbits 800 --egress",
            "dscp-marking --dscp-mark 26",
            "minimum-bandwidth --min-kbps 100 --egress",
            "minimum-packet-rate --min-kpps 10 --any",
        )
    ]
    assert rules[0]["max_kbps"] == 1000
    admin(f"network qos rule set gold {rules[0]['id']} --max-kbps 2000")
    assert admin(f"network qos rule show gold {rules[0]['id']}")["max_kbps"] == 2000
    types = {row["Type"] for row in admin("network qos rule list gold")}
    assert types == {"bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate"}
    admin("network qos policy set gold --name silver --no-share --default")
    shown = admin("network qos policy show silver")
    assert (shown["shared"], shown["is_default"], len(shown["rules"])) == (False, True, 4)
    assert names(admin("network qos policy list")) == {"silver"}
    assert types <= {row["Type"] for row in admin("network qos rule type list")}
    assert admin("network qos rule type show dscp_marking")["rule_type_name"] == "dscp_marking"
    admin("network create blue --qos-policy silver")
    assert admin.run("network qos policy delete silver").status == 1, "a network has it"
    admin("network set blue --no-qos-policy")
    admin("network delete blue")
    for rule in rules:
        admin(f"network qos rule delete silver {rule['id']}")
    admin("network qos policy delete silver")


def test_segments_and_their_ranges(admin: Shell) -> None:
    admin(
        "network segment range create r --shared --network-type vlan --physical-network p1 --minimum 100 --maximum 200"
    )
    admin("network segment range set r --name s --minimum 100 --maximum 300")
    assert admin("network segment range show s")["maximum"] == 300
    assert "s" in names(admin("network segment range list"))
    admin("network create blue --provider-network-type vlan --provider-physical-network p1 --provider-segment 150")
    first = admin("network segment list --network blue")[0]["ID"]
    made = admin("network segment create second --network blue --network-type vlan --physical-network p1 --segment 151")
    assert (made["segmentation_id"], made["physical_network"]) == (151, "p1")
    admin("network segment set second --name other --description d")
    assert admin("network segment show other")["description"] == "d"
    assert {row["ID"] for row in admin("network segment list --network blue --long")} == {first, made["id"]}
    admin("network segment delete other")
    admin("network delete blue")
    admin("network segment range delete s")


def test_agents_and_what_they_serve(admin: Shell) -> None:
    agents = {row["Agent Type"]: row["ID"] for row in admin("network agent list")}
    admin("network create blue")
    admin("subnet create v4 --network blue --subnet-range 10.1.0.0/24")
    admin("router create r")
    dhcp, l3 = agents["DHCP agent"], agents["L3 agent"]
    admin(f"network agent remove network {dhcp} blue --dhcp")
    admin(f"network agent add network {dhcp} blue --dhcp")
    assert dhcp in {row["ID"] for row in admin("network agent list --network blue")}
    admin(f"network agent remove router {l3} r --l3")
    admin(f"network agent add router {l3} r --l3")
    assert l3 in {row["ID"] for row in admin("network agent list --router r")}
    admin("router delete r")
    admin("network delete blue")
    assert admin(f"network agent show {dhcp}")["agent_type"] == "DHCP agent"
    admin(f"network agent delete {dhcp}")
    assert dhcp not in {row["ID"] for row in admin("network agent list")}
