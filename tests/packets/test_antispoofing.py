"""A filtered port speaks as itself only: every lie is dropped at its own port, and every allowed pair is no lie."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from tests import sandbox
from tests.packets.frames import (
    ARP,
    BOOTP,
    DHCP,
    ICMP,
    IP,
    UDP,
    Ether,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    Raw,
    arrives,
    send,
)
from tests.packets.lab import Machine, Network, Project, add_address, ip
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

OTHER_MAC = "02:00:00:00:00:66"
BROADCAST, ALL_NODES = "ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01"


@pytest.fixture
def network(project: Project) -> Network:
    return project.network("10.0.0.0/24", "fd00:1::/64")


@pytest.fixture
def pair(project: Project, network: Network) -> tuple[Machine, Machine]:
    """A liar and a witness that hears everything which gets past the liar's port: its own groups admit all."""
    group = project.open()
    return project.machine(network, group), project.machine(network, port_security_enabled=False)


def echo4(source: Machine, target: Machine, mac: str = "", address: str = "") -> Any:
    frame = Ether(src=mac or source.mac, dst=target.mac)
    return frame / IP(src=address or source.ipv4, dst=target.ipv4) / ICMP(id=77)


def echo6(source: Machine, target: Machine, mac: str = "", address: str = "") -> Any:
    frame = Ether(src=mac or source.mac, dst=target.mac)
    return frame / IPv6(src=address or source.ipv6, dst=target.ipv6) / ICMPv6EchoRequest(id=77)


def arp(source: Machine, target: Machine, mac: str = "", sender_mac: str = "", sender: str = "", op: int = 2) -> Any:
    body = ARP(op=op, hwsrc=sender_mac or source.mac, psrc=sender or source.ipv4, hwdst=target.mac, pdst=target.ipv4)
    return Ether(src=mac or source.mac, dst=target.mac) / body


def advertisement(source: Machine, target: Machine, told: str, address: str = "") -> Any:
    """A neighbour advertisement for an address."""
    option = ICMPv6NDOptDstLLAddr(lladdr=source.mac)
    frame = Ether(src=source.mac, dst=target.mac) / IPv6(src=address or source.ipv6, dst=target.ipv6, hlim=255)
    return frame / ICMPv6ND_NA(tgt=told, R=0, S=0, O=1) / option


def test_a_foreign_mac_address_is_dropped(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    for frame in (echo4, echo6, arp):
        assert arrives(frame(liar, witness), liar, witness)
        assert not arrives(frame(liar, witness, mac=OTHER_MAC), liar, witness), frame
    # Nor may anybody speak a protocol that nothing is known of.
    strange = Ether(src=liar.mac, dst=witness.mac, type=0x88B5) / Raw(b"experimental")
    assert not arrives(strange, liar, witness)


def test_a_foreign_ip_address_is_dropped(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    assert not arrives(echo4(liar, witness, address="10.0.0.200"), liar, witness)
    assert not arrives(echo4(liar, witness, address="198.51.100.1"), liar, witness)
    assert not arrives(echo6(liar, witness, address="fd00:1::200"), liar, witness)
    assert not arrives(echo6(liar, witness, address="fe80::bad"), liar, witness)


def test_arp_tells_of_the_ports_own_address_only(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    for op in (1, 2):
        assert arrives(arp(liar, witness, op=op), liar, witness)
        assert not arrives(arp(liar, witness, sender="10.0.0.1", op=op), liar, witness)
        assert not arrives(arp(liar, witness, sender_mac=OTHER_MAC, op=op), liar, witness)


def test_only_the_owner_of_an_address_probes_for_it(pair: tuple[Machine, Machine]) -> None:
    """RFC 5227 and RFC 4862: whoever is about to take an address lets go of it when another probes for it too."""
    liar, witness = pair
    probe = Ether(src=liar.mac, dst=BROADCAST) / ARP(op=1, hwsrc=liar.mac, psrc="0.0.0.0", pdst=liar.ipv4)
    assert arrives(probe, liar, witness)
    probe[ARP].pdst = witness.ipv4
    assert not arrives(probe, liar, witness)
    detection = Ether(src=liar.mac, dst=ALL_NODES) / IPv6(src="::", dst="ff02::1", hlim=255)
    assert arrives(detection / ICMPv6ND_NS(tgt=liar.ipv6), liar, witness)
    assert not arrives(detection / ICMPv6ND_NS(tgt=witness.ipv6), liar, witness)


def test_a_bridge_learns_no_hardware_address_that_a_port_may_not_have(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    # Frames to these groups stay on their link (IEEE 802.1Q, table 8-1); LLDP is the last.
    for count, group in enumerate((BROADCAST, "01:80:c2:00:00:00", "01:80:c2:00:00:03", "01:80:c2:00:00:0e")):
        send(liar, Ether(src=f"02:00:00:00:66:{count:02x}", dst=group, type=0x88CC) / Raw(bytes(46)))
    # What was sent before these has been seen to.
    assert sandbox.ping(liar.netns, witness.ipv4)
    known = subprocess.run(["bridge", "fdb", "show"], capture_output=True, text=True, check=True).stdout
    assert liar.mac in known
    assert "02:00:00:00:66" not in known


def test_neighbour_advertisements_tell_of_the_ports_own_addresses_only(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    assert arrives(advertisement(liar, witness, liar.ipv6), liar, witness)
    assert not arrives(advertisement(liar, witness, "fd00:1::1"), liar, witness)
    assert not arrives(advertisement(liar, witness, witness.ipv6), liar, witness)
    solicitation = Ether(src=liar.mac, dst=witness.mac) / IPv6(src="fd00:1::1", dst=witness.ipv6, hlim=255)
    solicitation = solicitation / ICMPv6ND_NS(tgt=witness.ipv6) / ICMPv6NDOptSrcLLAddr(lladdr=liar.mac)
    assert not arrives(solicitation, liar, witness)


def test_an_instance_is_no_dhcp_server(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    four = Ether(src=liar.mac, dst=BROADCAST) / IP(src=liar.ipv4, dst="255.255.255.255") / UDP(sport=67, dport=68)
    offer = four / BOOTP(op=2, yiaddr="10.0.0.66") / DHCP(options=[("message-type", "offer"), "end"])
    assert not arrives(offer, liar, witness)
    six = Ether(src=liar.mac, dst=witness.mac) / IPv6(src=liar.ipv6, dst=witness.ipv6)
    assert not arrives(six / UDP(sport=547, dport=546) / Raw(b"\x02abc"), liar, witness)
    # The same datagrams between other ports are nobody's business.
    assert arrives(six / UDP(sport=547, dport=9999) / Raw(b"\x02abc"), liar, witness)


def test_an_instance_is_no_router(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    link_local = link_local_of(liar)
    frame = Ether(src=liar.mac, dst=ALL_NODES) / IPv6(src=link_local, dst="ff02::1", hlim=255)
    advert = frame / ICMPv6ND_RA(routerlifetime=1800) / ICMPv6NDOptPrefixInfo(prefix="fd66::", prefixlen=64)
    assert not arrives(advert, liar, witness)
    redirect = Ether(src=liar.mac, dst=witness.mac) / IPv6(src=link_local, dst=witness.ipv6, hlim=255)
    redirect = redirect / ICMPv6ND_Redirect(tgt=liar.ipv6, dst="fd00:9::1")
    assert not arrives(redirect, liar, witness)
    # Its link-local address is no lie.
    assert arrives(advertisement(liar, witness, link_local, link_local), liar, witness)


def link_local_of(machine: Machine) -> str:
    """The EUI-64 link-local address of a MAC address (RFC 4291, appendix A)."""
    octets = bytes.fromhex(machine.mac.replace(":", ""))
    octets = bytes((octets[0] ^ 2,)) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return "fe80::" + ":".join(f"{int.from_bytes(octets[i : i + 2]):x}" for i in range(0, 8, 2))


def test_an_allowed_address_pair_opens_that_address_and_no_other(project: Project, network: Network) -> None:
    group = project.open()
    allowed = [{"ip_address": "10.0.0.200"}, {"ip_address": "fd00:1::200"}]
    machine = project.machine(network, group, allowed_address_pairs=allowed)
    witness = project.machine(network, port_security_enabled=False)
    assert arrives(echo4(machine, witness, address="10.0.0.200"), machine, witness)
    assert arrives(arp(machine, witness, sender="10.0.0.200"), machine, witness)
    assert arrives(echo6(machine, witness, address="fd00:1::200"), machine, witness)
    assert arrives(advertisement(machine, witness, "fd00:1::200"), machine, witness)
    assert not arrives(echo4(machine, witness, address="10.0.0.201"), machine, witness)
    assert not arrives(echo4(machine, witness, address="10.0.0.200", mac=OTHER_MAC), machine, witness)
    assert not arrives(advertisement(machine, witness, "fd00:1::201"), machine, witness)
    # The address of such a pair is a full one: it is pinged as any other.
    add_address(machine, "10.0.0.200/24")
    assert sandbox.ping(witness.netns, "10.0.0.200")
    project.cloud.update("ports", machine.id, allowed_address_pairs=[])
    until(lambda: not arrives(echo4(machine, witness, address="10.0.0.200"), machine, witness, 0.1), what="closed")
    assert not sandbox.ping(witness.netns, "10.0.0.200", 0.3)
    assert sandbox.ping(witness.netns, machine.ipv4)


def test_an_allowed_prefix_opens_what_is_in_it(project: Project, network: Network) -> None:
    allowed = [{"ip_address": "10.0.0.128/26"}, {"ip_address": "fd00:1::ff00/120"}]
    machine = project.machine(network, project.open(), allowed_address_pairs=allowed)
    witness = project.machine(network, port_security_enabled=False)
    for address, expected in (("10.0.0.128", True), ("10.0.0.191", True), ("10.0.0.192", False)):
        assert arrives(echo4(machine, witness, address=address), machine, witness) is expected, address
        assert arrives(arp(machine, witness, sender=address), machine, witness) is expected, address
    for address, expected in (("fd00:1::ff01", True), ("fd00:1::ffff", True), ("fd00:1::1:0", False)):
        assert arrives(echo6(machine, witness, address=address), machine, witness) is expected, address
        assert arrives(advertisement(machine, witness, address), machine, witness) is expected, address


def test_an_allowed_mac_address_is_for_its_own_address(project: Project, network: Network) -> None:
    allowed = [{"ip_address": "10.0.0.200", "mac_address": OTHER_MAC}]
    machine = project.machine(network, project.open(), allowed_address_pairs=allowed)
    witness = project.machine(network, port_security_enabled=False)
    assert arrives(echo4(machine, witness, mac=OTHER_MAC, address="10.0.0.200"), machine, witness)
    assert arrives(arp(machine, witness, mac=OTHER_MAC, sender_mac=OTHER_MAC, sender="10.0.0.200"), machine, witness)
    assert not arrives(echo4(machine, witness, mac=OTHER_MAC), machine, witness)
    assert not arrives(echo4(machine, witness, address="10.0.0.200"), machine, witness)


def test_a_changed_interface_is_no_other_machine(pair: tuple[Machine, Machine]) -> None:
    liar, witness = pair
    assert sandbox.ping(liar.netns, witness.ipv4)
    ip("link", "set", liar.device, "address", OTHER_MAC, netns=liar.netns)
    assert not sandbox.ping(liar.netns, witness.ipv4, 0.4)
    ip("link", "set", liar.device, "address", liar.mac, netns=liar.netns)
    assert sandbox.ping(liar.netns, witness.ipv4, 3)
