"""The commands of QoS, as the `openstack` client has them, against a whole Kaon."""

from __future__ import annotations

import pytest

from tests.e2e.shell import Shell

pytestmark = pytest.mark.slow


def test_policies_and_their_rules(admin: Shell) -> None:
    admin("network qos policy create gold --share --description d")
    limit = admin("network qos rule create gold --type bandwidth-limit --max-kbps 1000 --max-burst-kbits 800 --egress")
    assert (limit["max_kbps"], limit["max_burst_kbps"], limit["direction"]) == (1000, 800, "egress")
    admin("network qos rule create gold --type dscp-marking --dscp-mark 46")
    admin("network qos rule create gold --type minimum-bandwidth --min-kbps 500 --ingress")
    admin("network qos rule create gold --type minimum-packet-rate --min-kpps 5 --any")
    assert {row["Type"] for row in admin("network qos rule list gold")} == {
        "bandwidth_limit", "dscp_marking", "minimum_bandwidth", "minimum_packet_rate",
    }  # fmt: skip
    admin(f"network qos rule set gold {limit['id']} --max-kbps 2000")
    assert admin(f"network qos rule show gold {limit['id']}")["max_kbps"] == 2000
    admin(f"network qos rule delete gold {limit['id']}")
    assert len(admin("network qos policy show gold")["rules"]) == 3
    admin("network qos policy set gold --name silver --no-share")
    assert [(row["Name"], row["Shared"]) for row in admin("network qos policy list")] == [("silver", False)]
    admin("network qos policy delete silver")


def test_types_of_rules(admin: Shell) -> None:
    assert "dscp_marking" in {row["Type"] for row in admin("network qos rule type list --all-supported")}
    assert admin("network qos rule type show bandwidth_limit")["rule_type_name"] == "bandwidth_limit"


def test_what_follows_a_policy(admin: Shell) -> None:
    policy = admin("network qos policy create gold")
    admin("network create blue --qos-policy gold")
    admin("port create one --network blue --qos-policy gold")
    assert admin("port show one")["qos_policy_id"] == policy["id"]
    assert admin.run("network qos policy delete gold").status == 1, "a network and a port follow it"
    admin("port unset one --qos-policy")
    admin("network set blue --no-qos-policy")
    shown = admin("port show one")
    assert (shown["qos_policy_id"], shown["qos_network_policy_id"]) == (None, None)
    admin("network create outer --external")
    admin("subnet create outer4 --network outer --subnet-range 203.0.113.0/24 --no-dhcp")
    admin("floating ip create outer --qos-policy gold --description f")
    admin("router create r --external-gateway outer")
    admin("router set r --external-gateway outer --qos-policy gold")
    assert admin("router show r")["external_gateway_info"]["qos_policy_id"] == policy["id"]
    (address,) = admin("floating ip list --long")
    assert admin(f"floating ip show {address['ID']}")["qos_policy_id"] == policy["id"]
    admin(f"floating ip unset {address['ID']} --qos-policy")
    admin("router unset r --qos-policy")
    admin("network qos policy delete gold")
    admin(f"floating ip delete {address['ID']}")
    admin("router delete r")
    admin("port delete one")
    admin("network delete blue outer")
