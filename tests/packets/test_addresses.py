"""Machines learn their addresses, their ways out and names from the network, by DHCP and router advertisements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import dhcp, sandbox
from tests.packets import advertisement
from tests.packets.lab import Lab, Machine, Project, add_address, ip, kill
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

FOUR, SIX = "10.0.0.0/24", "fd00:1::/64"


def server_of(project: Project, network_id: str, version: int = 4) -> str:
    """The address of a network's DHCP server."""
    ports = project.lab.admin.call("GET", f"/v2.0/ports?network_id={network_id}&device_owner=network:dhcp")["ports"]
    addresses = [fixed["ip_address"] for fixed in ports[0]["fixed_ips"]]
    return str(next(address for address in addresses if (":" in address) == (version == 6)))


def lease4(machine: Machine, folder: Path, *options: str) -> dhcp.Lease:
    """What a machine is told by DHCP."""
    told = dhcp.udhcpc(machine.netns, machine.device, folder, *options, tries=4)
    assert told is not None
    return told


# ---------------------------------------------------------------- IPv4


def test_dhcp_tells_address_router_names_mtu_and_routes(project: Project, tmp_path: Path) -> None:
    routes = [{"destination": "172.16.0.0/16", "nexthop": "10.0.0.9"}]
    network = project.network(FOUR, mtu=1400, subnet={"dns_nameservers": ["192.0.2.53"], "host_routes": routes})
    machine = project.machine(network, project.group(), configured=False)
    told = lease4(machine, tmp_path)
    assert (told["ip"], told["subnet"], told["mtu"]) == (machine.ipv4, "255.255.255.0", "1400")
    assert told["dns"].split() == ["192.0.2.53"]
    words = told["staticroutes"].split()
    ways = dict(zip(words[::2], words[1::2], strict=True))
    # The default is among them, since a client that takes these looks at no router option (RFC 3442).
    server = server_of(project, network.id)
    assert ways == {"172.16.0.0/16": "10.0.0.9", "0.0.0.0/0": "10.0.0.1", "169.254.169.254/32": server}


def test_without_a_gateway_no_router_is_told(project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR, subnet={"gateway_ip": None})
    machine = project.machine(network, project.group(), configured=False)
    told = lease4(machine, tmp_path)
    assert (told["ip"], told["router"]) == (machine.ipv4, "")
    assert "0.0.0.0/0" not in told["staticroutes"]


def test_without_dhcp_nobody_answers_and_when_it_is_enabled_somebody_does(project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR, subnet={"enable_dhcp": False})
    machine = project.machine(network, project.group(), configured=False)
    assert dhcp.udhcpc(machine.netns, machine.device, tmp_path, tries=1) is None
    project.cloud.update("subnets", network.subnets[0]["id"], enable_dhcp=True)
    assert lease4(machine, tmp_path)["ip"] == machine.ipv4


def test_extra_options_are_for_their_port_only(project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR)
    options = [
        {"opt_name": "mtu", "opt_value": "1234"},
        {"opt_name": "ntp-server", "opt_value": "192.0.2.123"},
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
    ]
    special = project.machine(network, project.group(), configured=False, extra_dhcp_opts=options)
    plain = project.machine(network, project.group(), configured=False)
    told = lease4(special, tmp_path, "-O", "ntpsrv", "-O", "bootfile")
    assert (told["mtu"], told["ntpsrv"]) == ("1234", "192.0.2.123")
    assert "pxelinux.0" in (told["boot_file"], told["bootfile"])
    told = lease4(plain, tmp_path, "-O", "ntpsrv", "-O", "bootfile")
    assert told["ntpsrv"] == ""
    assert told["mtu"] != "1234"
    # Changed on the port, changed in the next answer.
    project.cloud.update("ports", special.id, extra_dhcp_opts=[{"opt_name": "mtu", "opt_value": "1300"}])
    until(lambda: lease4(special, tmp_path)["mtu"] == "1300", 10)


def test_a_changed_subnet_is_told_at_the_next_question(project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR)
    machine = project.machine(network, project.group(), configured=False)
    assert lease4(machine, tmp_path)["ip"] == machine.ipv4
    project.cloud.update("subnets", network.subnets[0]["id"], dns_nameservers=["192.0.2.99"])
    until(lambda: lease4(machine, tmp_path)["dns"] == "192.0.2.99", 10)


def test_addresses_are_told_while_server_and_agent_are_dead(lab: Lab, project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR)
    machine = project.machine(network, project.group(), configured=False)
    assert lease4(machine, tmp_path)["ip"] == machine.ipv4
    before = lab.state()
    for process in (before.server, before.agent):
        kill(process)
    assert lease4(machine, tmp_path)["ip"] == machine.ipv4
    until(lambda: lab.state().server not in (0, before.server) and lab.ready() and lab.settled(), 20)
    assert lease4(machine, tmp_path)["ip"] == machine.ipv4


def test_twins_in_two_networks_are_each_told_by_their_own(lab: Lab, project: Project, tmp_path: Path) -> None:
    with lab.project() as other:
        told = []
        for each, server in ((project, "192.0.2.1"), (other, "192.0.2.2")):
            network = each.network(FOUR, subnet={"dns_nameservers": [server]})
            fixed = [{"subnet_id": network.subnets[0]["id"], "ip_address": "10.0.0.50"}]
            told.append(lease4(each.machine(network, each.group(), configured=False, fixed_ips=fixed), tmp_path))
        assert [(each["ip"], each["dns"]) for each in told] == [("10.0.0.50", "192.0.2.1"), ("10.0.0.50", "192.0.2.2")]


# ---------------------------------------------------------------- names


def test_ports_are_known_by_name_in_their_own_network_only(lab: Lab, project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR, SIX)
    one, two = (project.machine(network, project.open()) for _ in range(2))
    domain = lease4(one, tmp_path)["domain"]
    name = f"host-{two.ipv4.replace('.', '-')}.{domain}"
    server = server_of(project, network.id)
    assert dhcp.resolve(one.netns, server, name) == two.ipv4
    assert dhcp.resolve(one.netns, server, name, 28) == two.ipv6
    assert dhcp.resolve(one.netns, server_of(project, network.id, 6), name) == two.ipv4
    assert dhcp.resolve(one.netns, server, f"host-10-0-0-77.{domain}") is None
    with lab.project() as other:
        elsewhere = other.network(FOUR)
        fixed = [{"subnet_id": elsewhere.subnets[0]["id"], "ip_address": "10.0.0.77"}]
        stranger = other.machine(elsewhere, other.open(), fixed_ips=fixed)
        own = f"host-10-0-0-77.{domain}"
        assert dhcp.resolve(stranger.netns, server_of(other, elsewhere.id), own) == "10.0.0.77"
        assert dhcp.resolve(one.netns, server, own) is None
    project.cloud.delete("ports", two.id)
    until(lambda: dhcp.resolve(one.netns, server, name) is None)


# ---------------------------------------------------------------- IPv6


@pytest.mark.parametrize(
    ("ra_mode", "address_mode", "flags", "by_dhcp"),
    [
        ("slaac", "slaac", (False, False, True), False),
        # Who asks for an address although the flags do not say so is told the port's own.
        ("dhcpv6-stateless", "dhcpv6-stateless", (False, True, True), True),
        ("dhcpv6-stateful", "dhcpv6-stateful", (True, True, False), True),
        ("slaac", None, (False, False, True), False),
        ("dhcpv6-stateful", None, (True, True, False), False),
        (None, "slaac", None, False),
        (None, "dhcpv6-stateless", None, True),
        (None, "dhcpv6-stateful", None, True),
        (None, None, None, False),
    ],
)
def test_advertisements_and_dhcpv6_are_what_the_modes_of_a_subnet_say(
    project: Project,
    tmp_path: Path,
    ra_mode: str | None,
    address_mode: str | None,
    flags: tuple[bool, bool, bool] | None,
    by_dhcp: bool,
) -> None:
    modes = {"ipv6_ra_mode": ra_mode, "ipv6_address_mode": address_mode}
    network = project.network(SIX, subnet=modes, mtu=1400)
    if ra_mode or not address_mode:
        # Addresses without advertisements are for networks where somebody else's router advertises.
        project.router(*network.subnets)
    machine = project.machine(network, project.open(), configured=False)
    told = advertisement.ask(machine, 5 if flags else 1)
    if flags is None:
        assert told is None
    else:
        assert told is not None
        assert (told.managed, told.other, told.prefixes, told.mtu) == (*flags[:2], {SIX: flags[2]}, 1400)
    lease = dhcp.dhclient6(machine.netns, machine.device, tmp_path, seconds=15 if by_dhcp else 1.5)
    assert (lease["new_ip6_address"] if lease else None) == (machine.ipv6 if by_dhcp else None)


def test_a_machine_configures_itself_by_slaac_and_reaches_beyond(project: Project) -> None:
    near, far = project.network(SIX), project.network("fd00:2::/64")
    project.router(*near.subnets, *far.subnets)
    one, two = (project.machine(network, project.pings(), configured=False) for network in (near, far))
    for machine in (one, two):
        until(lambda machine=machine: machine.ipv6 in _addresses(machine), 15)  # type: ignore[misc]
    assert sandbox.ping(one.netns, two.ipv6, 3)


def _addresses(machine: Machine) -> str:
    return ip("-6", "addr", "show", "dev", machine.device, "-tentative", netns=machine.netns)


def test_stateless_dhcpv6_tells_names_and_no_address(project: Project, tmp_path: Path) -> None:
    modes = {"ipv6_ra_mode": "dhcpv6-stateless", "ipv6_address_mode": "dhcpv6-stateless"}
    network = project.network(SIX, subnet={**modes, "dns_nameservers": ["2001:db8::53"]})
    project.router(*network.subnets)
    machine = project.machine(network, project.group(), configured=False)
    until(lambda: machine.ipv6 in _addresses(machine), 15)
    told = dhcp.dhclient6(machine.netns, machine.device, tmp_path, "-S")
    assert told is not None
    assert (told["new_dhcp6_name_servers"], told["new_ip6_address"]) == ("2001:db8::53", "")


STATEFUL = {"ipv6_ra_mode": "dhcpv6-stateful", "ipv6_address_mode": "dhcpv6-stateful"}


def test_a_rebuilt_instance_gets_the_ports_ipv6_address_again(project: Project, tmp_path: Path) -> None:
    network = project.network(SIX, subnet=STATEFUL)
    machine = project.machine(network, project.group(), configured=False)
    # Another system on the same instance has the same MAC address and a DUID of its own.
    for duid in ("LL", "LLT", "LL"):
        (tmp_path / "leases6").unlink(missing_ok=True)
        lease = dhcp.dhclient6(machine.netns, machine.device, tmp_path, duid=duid)
        assert lease is not None, duid
        assert lease["new_ip6_address"] == machine.ipv6


def test_both_versions_are_told_side_by_side(project: Project, tmp_path: Path) -> None:
    network = project.network(FOUR)
    network.subnets.append(project.subnet(network.id, SIX, **STATEFUL))
    project.router(*network.subnets)
    machine, other = (project.machine(network, project.pings(), configured=False) for _ in range(2))
    options: list[dict[str, Any]] = [{"opt_name": "ntp-server", "opt_value": "[2001:db8::123]", "ip_version": 6}]
    project.cloud.update("ports", machine.id, extra_dhcp_opts=options)
    assert lease4(machine, tmp_path)["ip"] == machine.ipv4
    lease = dhcp.dhclient6(machine.netns, machine.device, tmp_path)
    assert lease is not None
    assert lease["new_ip6_address"] == machine.ipv6
    for each in (machine, other):
        add_address(each, f"{each.ipv6}/64")
    assert sandbox.ping(machine.netns, other.ipv6, 3)
    told = advertisement.ask(machine)
    assert told is not None
    assert told.router.startswith("fe80::")
