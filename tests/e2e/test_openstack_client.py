"""The `openstack` command makes, shows, lists, changes and deletes every resource of a whole Kaon."""

from __future__ import annotations

import pytest

from tests.e2e.shell import Shell
from tests.running import Running

pytestmark = pytest.mark.slow


def names(rows: list[dict[str, object]]) -> set[object]:
    return {row["Name"] for row in rows}


def test_networks(admin: Shell) -> None:
    made = admin("network create blue --description first --tag one --mtu 1400")
    assert (made["name"], made["status"], made["mtu"], made["tags"]) == ("blue", "ACTIVE", 1400, ["one"])
    assert made["id"] == admin("network show blue")["id"]
    admin("network set blue --name azure --disable --tag two --mtu 1300")
    shown = admin("network show azure")
    assert (shown["admin_state_up"], shown["mtu"], sorted(shown["tags"])) == (False, 1300, ["one", "two"])
    admin("network unset azure --tag one")
    assert admin("network show azure")["tags"] == ["two"]
    assert names(admin("network list --tags two")) == {"azure"}
    assert names(admin("network list --disable --long")) == {"azure"}
    assert admin("network list --name blue") == []
    admin("network delete azure")
    assert admin.run("network show azure").status == 1


def test_networks_of_a_provider_and_outside(admin: Shell) -> None:
    made = admin("network create outer --external --share --provider-network-type flat --provider-physical-network p1")
    assert (made["router:external"], made["shared"], made["provider:physical_network"]) == (True, True, "p1")
    assert names(admin("network list --external")) == {"outer"}
    assert names(admin("network list --share")) == {"outer"}
    admin("network set outer --internal --no-share")
    assert admin("network show outer")["router:external"] is False
    admin("network delete outer")


def test_subnets(admin: Shell) -> None:
    admin("network create blue")
    made = admin(
        "subnet create v4 --network blue --subnet-range 10.1.0.0/24 --gateway 10.1.0.254 --dns-nameserver 192.0.2.1 "
        "--allocation-pool start=10.1.0.10,end=10.1.0.20 --host-route destination=10.9.0.0/16,gateway=10.1.0.2"
    )
    assert made["gateway_ip"] == "10.1.0.254"
    assert made["allocation_pools"] == [{"start": "10.1.0.10", "end": "10.1.0.20"}]
    assert made["host_routes"] == [{"destination": "10.9.0.0/16", "nexthop": "10.1.0.2"}]
    six = admin(
        "subnet create v6 --network blue --ip-version 6 --subnet-range 2001:db8:1::/64 "
        "--ipv6-ra-mode slaac --ipv6-address-mode slaac"
    )
    assert (six["ipv6_ra_mode"], six["gateway_ip"]) == ("slaac", "2001:db8:1::1")
    admin("subnet set v4 --name four --no-dhcp --dns-nameserver 192.0.2.2 --tag t")
    shown = admin("subnet show four")
    assert (shown["enable_dhcp"], sorted(shown["dns_nameservers"])) == (False, ["192.0.2.1", "192.0.2.2"])
    admin("subnet unset four --dns-nameserver 192.0.2.1 --host-route destination=10.9.0.0/16,gateway=10.1.0.2")
    assert admin("subnet show four")["dns_nameservers"] == ["192.0.2.2"]
    assert admin("subnet show four")["host_routes"] == []
    assert names(admin("subnet list --network blue --ip-version 6")) == {"v6"}
    assert names(admin("subnet list --subnet-range 10.1.0.0/24 --no-dhcp --long")) == {"four"}
    admin("subnet delete four v6")
    assert admin("subnet list --network blue") == []
    admin("network delete blue")


def test_ports(admin: Shell) -> None:
    admin("network create blue")
    admin("subnet create v4 --network blue --subnet-range 10.1.0.0/24")
    made = admin(
        "port create web --network blue --fixed-ip subnet=v4,ip-address=10.1.0.5 --mac-address 02:00:00:00:00:05 "
        "--allowed-address ip-address=10.1.0.100 --extra-dhcp-option name=mtu,value=1400 --device-owner compute:x "
        "--device d1 --host h1 --description d --vnic-type normal --tag t"
    )
    assert [entry["ip_address"] for entry in made["fixed_ips"]] == ["10.1.0.5"]
    assert made["mac_address"] == "02:00:00:00:00:05"
    assert made["allowed_address_pairs"] == [{"ip_address": "10.1.0.100", "mac_address": "02:00:00:00:00:05"}]
    assert (made["binding_host_id"], made["binding_vnic_type"]) == ("h1", "normal")
    admin("port set web --name www --no-fixed-ip --fixed-ip subnet=v4,ip-address=10.1.0.6 --device-owner '' --disable")
    shown = admin("port show www")
    assert [entry["ip_address"] for entry in shown["fixed_ips"]] == ["10.1.0.6"]
    assert shown["admin_state_up"] is False
    admin("port set www --no-security-group --disable-port-security --no-allowed-address")
    assert admin("port show www")["port_security_enabled"] is False
    admin("port unset www --device --host")
    assert names(admin("port list --network blue --fixed-ip ip-address=10.1.0.6 --long")) == {"www"}
    assert names(admin("port list --mac-address 02:00:00:00:00:05 --tags t")) == {"www"}
    assert admin("port list --host h1") == []
    admin("port delete www")
    admin("network delete blue")


def test_routers(admin: Shell) -> None:
    admin("network create outer --external")
    admin("subnet create outer4 --network outer --subnet-range 203.0.113.0/24 --no-dhcp")
    admin("network create blue")
    admin("subnet create v4 --network blue --subnet-range 10.1.0.0/24")
    made = admin("router create r --description d --tag t")
    assert (made["status"], made["routes"]) == ("ACTIVE", [])
    admin("router add subnet r v4")
    admin("router set r --external-gateway outer --fixed-ip ip-address=203.0.113.9 --name rr")
    shown = admin("router show rr")
    assert shown["external_gateway_info"]["external_fixed_ips"][0]["ip_address"] == "203.0.113.9"
    assert [entry["ip_address"] for entry in shown["interfaces_info"]] == ["10.1.0.1"]
    admin("router set rr --route destination=10.8.0.0/16,gateway=10.1.0.77")
    assert admin("router show rr")["routes"] == [{"destination": "10.8.0.0/16", "nexthop": "10.1.0.77"}]
    admin("router add route rr --route destination=10.7.0.0/16,gateway=10.1.0.78")
    assert len(admin("router show rr")["routes"]) == 2
    admin("router remove route rr --route destination=10.7.0.0/16,gateway=10.1.0.78")
    admin("router unset rr --route destination=10.8.0.0/16,gateway=10.1.0.77")
    assert admin("router show rr")["routes"] == []
    assert names(admin("router list --long")) == {"rr"}
    assert admin.run("router delete rr").status == 1, "an interface is left"

    port = admin("port create vm --network blue")
    float_ = admin(f"floating ip create outer --port {port['id']} --floating-ip-address 203.0.113.50 --description f")
    assert (float_["floating_ip_address"], float_["port_id"]) == ("203.0.113.50", port["id"])
    assert float_["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]
    admin("floating ip unset 203.0.113.50 --port")
    assert admin("floating ip show 203.0.113.50")["port_id"] is None
    admin("floating ip set 203.0.113.50 --port vm")
    assert [row["Port"] for row in admin("floating ip list --port vm")] == [port["id"]]
    assert [row["Floating IP Address"] for row in admin("floating ip list --network outer --long")] == ["203.0.113.50"]
    admin("floating ip delete 203.0.113.50")

    admin("port delete vm")
    admin("router unset rr --external-gateway")
    admin("router remove subnet rr v4")
    leg = admin("port create leg --network blue --fixed-ip subnet=v4,ip-address=10.1.0.1")
    admin(f"router add port rr {leg['id']}")
    assert [entry["ip_address"] for entry in admin("router show rr")["interfaces_info"]] == ["10.1.0.1"]
    admin(f"router remove port rr {leg['id']}")
    admin("router delete rr")
    admin("network delete blue outer")


def test_security_groups(admin: Shell) -> None:
    made = admin("security group create web --description d --tag t")
    assert {(rule["ethertype"], rule["direction"]) for rule in made["rules"]} == {
        ("IPv4", "egress"),
        ("IPv6", "egress"),
    }
    rule = admin("security group rule create web --protocol tcp --dst-port 80:81 --remote-ip 192.0.2.0/24 --ingress")
    assert (rule["port_range_min"], rule["port_range_max"], rule["remote_ip_prefix"]) == (80, 81, "192.0.2.0/24")
    admin("security group rule create web --protocol icmp --icmp-type 8 --icmp-code 0")
    admin("security group rule create web --ethertype IPv6 --protocol ipv6-icmp --remote-group web")
    assert admin(f"security group rule show {rule['id']}")["protocol"] == "tcp"
    assert len(admin("security group rule list web --ingress --long")) == 3
    admin(f"security group rule delete {rule['id']}")
    assert len(admin("security group rule list web --ingress")) == 2
    admin("security group set web --name www --description e --tag u")
    shown = admin("security group show www")
    assert (shown["description"], sorted(shown["tags"])) == ("e", ["t", "u"])
    admin("security group unset www --tag t")
    assert names(admin("security group list --tags u")) == {"www"}
    admin("security group delete www")


def limits(shell: Shell, line: str) -> dict[str, int]:
    return {row["Resource"]: row["Limit"] for row in shell(line)}


def test_quotas(admin: Shell) -> None:
    admin("project create red")
    admin("quota set red --ports 7 --networks 3 --secgroups 4 --routers 2 --floating-ips 1 --subnets 5")
    own = limits(admin, "quota show red --network")
    assert (own["ports"], own["networks"], own["security_groups"], own["floating_ips"]) == (7, 3, 4, 1)
    usage = {row["Resource"]: row["In Use"] for row in admin("quota show red --network --usage")}
    assert usage["ports"] == usage["networks"] == 0
    admin("quota delete red --network")
    default = limits(admin, "quota show --default --network")
    assert limits(admin, "quota show red --network")["ports"] == default["ports"] != 7
    admin("project delete red")


def test_subnet_pools_and_address_scopes(admin: Shell) -> None:
    scope = admin("address scope create east --ip-version 4 --share")
    assert scope["shared"] is True
    made = admin(
        "subnet pool create p --pool-prefix 10.64.0.0/16 --default-prefix-length 26 --min-prefix-length 24 "
        "--address-scope east --description d --tag t"
    )
    assert (made["address_scope_id"], made["default_prefixlen"]) == (scope["id"], 26)
    admin("network create blue")
    subnet = admin("subnet create s --network blue --subnet-pool p --prefix-length 27")
    assert (subnet["cidr"], subnet["subnetpool_id"]) == ("10.64.0.0/27", made["id"])
    admin("subnet pool set p --name pool --pool-prefix 10.65.0.0/16 --default-quota 4096")
    shown = admin("subnet pool show pool")
    assert (shown["prefixes"], shown["default_quota"]) == (["10.64.0.0/15"], 4096)
    assert names(admin("subnet pool list --address-scope east --long")) == {"pool"}
    admin("subnet delete s")
    admin("network delete blue")
    admin("subnet pool unset pool --tag t")
    admin("subnet pool delete pool")
    admin("address scope set east --name west")
    assert names(admin("address scope list --ip-version 4")) == {"west"}
    assert admin("address scope show west")["id"] == scope["id"]
    admin("address scope delete west")


def test_sharing_by_rbac(admin: Shell) -> None:
    project = admin("project create red")
    admin("network create blue")
    made = admin("network rbac create --type network --action access_as_shared --target-project red blue")
    assert made["target_project_id"] == project["id"]
    assert admin(f"network rbac show {made['id']}")["action"] == "access_as_shared"
    other = admin("project create green")
    admin(f"network rbac set {made['id']} --target-project green")
    assert admin(f"network rbac show {made['id']}")["target_project_id"] == other["id"]
    assert [row["ID"] for row in admin("network rbac list --type network --long")] == [made["id"]]
    admin(f"network rbac delete {made['id']}")
    admin("network delete blue")
    admin("project delete red green")


def test_what_the_cloud_is_made_of(admin: Shell) -> None:
    extensions = {row["Alias"] for row in admin("extension list --network")}
    assert {"router", "security-group", "quotas", "rbac-policies", "agent", "standard-attr-tag"} <= extensions
    assert admin("extension show router")["alias"] == "router"
    zones = admin("availability zone list --network --long")
    assert {row["Zone Resource"] for row in zones} == {"network", "router"}
    agents = admin("network agent list")
    assert {row["Alive"] for row in agents} == {True}
    shown = admin(f"network agent show {agents[0]['ID']}")
    assert (shown["binary"], shown["admin_state_up"]) == ("kaon-agent", True)
    admin(f"network agent set {agents[0]['ID']} --description here")
    assert admin(f"network agent show {agents[0]['ID']}")["description"] == "here"


def test_a_tenant_of_ones_own(admin: Shell, kaon: Running) -> None:
    project = admin("project create red --description d")
    user = admin("user create alice --password secret --project red")
    admin("role create auditor")
    admin("role add --user alice --project red member")
    admin("role add --user alice --project red auditor")
    held = admin("role assignment list --user alice --project red --names")
    assert {row["Role"] for row in held} == {"member", "auditor"}
    assert user["id"] in {row["ID"] for row in admin("user list")}

    alice = Shell(
        kaon.environment
        | {"OS_AUTH_URL": f"{kaon.url}/identity/v3", "OS_USERNAME": "alice", "OS_PASSWORD": "secret"}
        | {"OS_PROJECT_NAME": "red", "OS_USER_DOMAIN_ID": "default", "OS_PROJECT_DOMAIN_ID": "default"}
    )
    try:
        assert alice("network create hers")["project_id"] == project["id"]
        assert names(alice("network list")) == {"hers"}
        assert "403" in alice.run("project create other").errors
        assert "403" in alice.run("network create outer --external").errors
        alice("network delete hers")
        assert alice("network agent list") == []
    finally:
        alice.close()

    admin("user set alice --name alicia --disable")
    assert admin("user show alicia")["enabled"] is False
    admin("role remove --user alicia --project red auditor")
    admin("role delete auditor")
    admin("project set red --name crimson")
    assert admin("project show crimson")["id"] == project["id"]
    admin("user delete alicia")
    admin("project delete crimson")
