"""Packets between hosts: what must arrive does, what must not does not, and the underlay sees nothing it need not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import sandbox
from tests.compile.cloud import named
from tests.dhcp import udhcpc
from tests.engines.linux.hosts import Hosts, Machine, hosts, sh, tunnelled
from tests.packets.frames import ARP, Ether
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

EVERYONE = "ff:ff:ff:ff:ff:ff"
ARP_TYPE, IPV4_TYPE, IPV6_TYPE = b"\x08\x06", b"\x08\x00", b"\x86\xdd"


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Hosts]:
    with hosts(tmp_path) as made:
        yield made


def send(machine: Machine, frame: Ether) -> None:
    def work(netns: str) -> None:
        with sandbox.inside(netns):
            sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        with sender:
            sender.sendto(bytes(frame), ("eth0", 0))

    machine.run(work)


def hears(machine: Machine, source: Machine, frame: Ether, seconds: float = 2.0) -> bool:
    """Whether a frame that one machine sends reaches another."""
    capture = machine.capture()
    try:
        send(source, frame)
        until(lambda: any(got.startswith(bytes(frame)) for got in capture.frames()), seconds)
    except AssertionError:
        return False
    finally:
        capture.close()
    return True


def addressed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def open_group(three: Hosts) -> str:
    """A security group that lets everything in and out."""
    rules = [
        {"direction": direction, "ethertype": ethertype}
        for direction in ("ingress", "egress")
        for ethertype in ("IPv4", "IPv6")
    ]
    return three.cloud.group("open", *rules)


def test_machines_on_three_hosts_reach_each_other_and_the_underlay_hears_no_questions(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24", "fd00::/64")
    machines = [
        three.machine(f"m{number}", number, network, f"10.0.0.{number}", "fd00::", security_groups=[group])
        for number in (1, 2, 3)
    ]
    captures = [three.capture(number) for number in (1, 2, 3)]
    for one in machines:
        for other in machines:
            for fixed in three.cloud.records["port", other.port]["fixed_ips"]:
                assert one.ping(fixed["ip_address"]), (one.netns, fixed)
    frames = [frame for capture in captures for frame in tunnelled(capture)]
    assert len([frame for frame in frames if frame[12:14] == IPV4_TYPE]) >= 12, "the pings went through the tunnels"
    assert [frame for frame in frames if frame[12:14] == ARP_TYPE] == []
    solicitations = [frame for frame in frames if frame[12:14] == IPV6_TYPE and frame[54] == 135]
    assert solicitations, "they are asked of the host that knows"
    assert [frame for frame in solicitations if frame[0] & 1] == [], "and of no other"


def test_a_broadcast_reaches_each_member_and_no_host_without_one(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24")
    other = three.network("other", 78, "10.0.0.0/24")
    one = three.machine("one", 1, network, "10.0.0.1", security_groups=[group])
    two = three.machine("two", 2, network, "10.0.0.2", security_groups=[group])
    more = three.machine("more", 2, network, "10.0.0.3", security_groups=[group])
    stranger = three.machine("stranger", 3, other, "10.0.0.2", security_groups=[group])
    capture = three.capture(3)
    for target in (EVERYONE, "01:00:5e:00:00:fb"):
        frame = Ether(src=one.mac, dst=target) / ARP(op=1, hwsrc=one.mac, psrc="10.0.0.1", pdst="10.0.0.99")
        assert hears(two, one, frame)
        assert hears(more, one, frame)
        assert not hears(stranger, one, frame, 0.3)
    assert tunnelled(capture) == []
    third = three.machine("third", 3, network, "10.0.0.4", security_groups=[group])
    assert hears(third, one, frame)
    assert hears(two, one, frame)
    three.cloud.delete("attachment", third.port)
    three.settle()
    capture.frames()
    assert hears(two, one, frame)
    assert tunnelled(capture) == []


def test_networks_with_the_same_addresses_never_meet(three: Hosts) -> None:
    group = open_group(three)
    pairs = []
    for name, vni in (("a", 77), ("b", 78)):
        network = three.network(name, vni, "10.0.0.0/24")
        first = three.machine(f"{name}1", 1, network, "10.0.0.1", security_groups=[group])
        pairs.append((first, three.machine(f"{name}2", 2, network, "10.0.0.2", security_groups=[group])))
    for index, (first, second) in enumerate(pairs):
        stranger = pairs[1 - index][1]
        capture = stranger.capture()
        assert first.ping("10.0.0.2")
        assert not [frame for frame in capture.frames() if addressed(first.mac) in frame[:12]]
        listener = second.run(lambda netns: sandbox.listen(netns, "10.0.0.2", 80))
        client = first.run(lambda netns: sandbox.connect(netns, "10.0.0.2", 80))
        assert listener.accept()
        client.close()


def test_what_the_receivers_groups_do_not_admit_is_dropped_at_its_host(three: Hosts) -> None:
    network = three.network("n", 77, "10.0.0.0/24", "fd00::/64")
    ping_only = three.cloud.group(
        "ping",
        {"direction": "ingress", "protocol": "icmp"},
        {"direction": "egress"},
        {"direction": "egress", "ethertype": "IPv6"},
    )
    friends = three.cloud.default_group("friends")
    one = three.machine("one", 1, network, "10.0.0.1", "fd00::", security_groups=[friends])
    two = three.machine("two", 2, network, "10.0.0.2", "fd00::", security_groups=[ping_only])
    friend = three.machine("friend", 3, network, "10.0.0.3", "fd00::", security_groups=[friends])
    assert one.ping("10.0.0.2")
    listener = two.run(lambda netns: sandbox.listen(netns, "10.0.0.2", 80))
    assert not one.run(lambda netns: sandbox.connects(netns, "10.0.0.2", 80, 0.5))
    assert not one.ping(three.cloud.records["port", two.port]["fixed_ips"][1]["ip_address"], 0.5)
    three.cloud.rule(ping_only, "ingress", protocol="tcp", port_range_min=80, port_range_max=80)
    three.settle()
    assert one.run(lambda netns: sandbox.connects(netns, "10.0.0.2", 80, 2.0))
    listener.close()
    assert friend.ping("10.0.0.1"), "a member of the same group on another host"
    assert not two.ping("10.0.0.1", 0.5), "who is no member, is none from another host either"


def test_what_the_senders_host_does_not_let_out_never_enters_a_tunnel(three: Hosts) -> None:
    group = open_group(three)
    silent = three.cloud.group("silent")
    network = three.network("n", 77, "10.0.0.0/24")
    one = three.machine("one", 1, network, "10.0.0.1", security_groups=[silent])
    two = three.machine("two", 2, network, "10.0.0.2", security_groups=[group])
    capture = three.capture(1)
    assert not one.ping("10.0.0.2", 0.5)
    forged = Ether(src=two.mac, dst=EVERYONE) / ARP(op=2, hwsrc=two.mac, psrc="10.0.0.2", pdst="10.0.0.2")
    assert not hears(two, one, forged, 0.3)
    ipv4 = (ARP_TYPE, IPV4_TYPE)
    assert [frame for frame in tunnelled(capture) if frame[12:14] in ipv4] == []
    three.cloud.put("port", one.port, security_groups=[group])
    three.settle()
    assert one.ping("10.0.0.2")
    assert [frame for frame in tunnelled(capture) if frame[12:14] in ipv4] != []


def test_gateway_and_dhcp_server_answer_on_every_host_and_are_never_seen_between_hosts(
    three: Hosts, tmp_path: Path
) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24", "fd00::/64")
    dhcp = three.cloud.dhcp(network, "10.0.0.2")
    interface = three.cloud.interface(three.cloud.router("r"), network, "10.0.0.1", "fd00::1")
    machines = [
        three.machine(f"m{number}", number, network, f"10.0.0.{10 + number}", "fd00::", security_groups=[group])
        for number in (1, 2, 3)
    ]
    captures = [three.capture(number) for number in (1, 2, 3)]
    for number, machine in enumerate(machines, 1):
        assert machine.ping("10.0.0.1")
        assert machine.ping("10.0.0.2")
        assert machine.ping("fd00::1")
        folder = tmp_path / machine.netns
        folder.mkdir()
        lease = machine.run(lambda netns, folder=folder: udhcpc(netns, "eth0", folder))
        assert lease is not None
        assert lease["ip"] == f"10.0.0.{10 + number}"
    for one in machines:
        for number in (1, 2, 3):
            assert one.ping(f"10.0.0.{10 + number}")
    frames = [frame for capture in captures for frame in tunnelled(capture)]
    assert frames
    for port in (dhcp, interface):
        mac = addressed(three.cloud.records["port", port]["mac_address"])
        assert [frame for frame in frames if mac in (frame[:6], frame[6:12])] == []
    assert [frame for frame in frames if frame[12:14] == ARP_TYPE] == []
    assert [frame for frame in frames if frame[12:14] == IPV4_TYPE and frame[14 + 9] == 17 and frame[35] == 67] == []


def test_what_comes_out_of_a_tunnel_reaches_no_router_or_dhcp_server(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24")
    three.cloud.dhcp(network, "10.0.0.2")
    router = three.cloud.router("r")
    interface = three.cloud.interface(router, network, "10.0.0.1")
    one, two, more = (
        three.machine(f"m{number}", number, network, f"10.0.0.{10 + number}", security_groups=[group])
        for number in (1, 2, 3)
    )
    host = three.hosts[0]
    captures = [
        host.run(lambda netns=netns, device=device: sandbox.Capture(netns, device))
        for netns, device in ((f"kaon-router-{router}", f"in-{interface[:8]}"), (f"kaon-net-{network}", "dhcp"))
    ]
    for source, heard in ((one, True), (two, False)):
        frame = Ether(src=source.mac, dst=EVERYONE) / ARP(hwsrc=source.mac, psrc=_ipv4(three, source), pdst="10.0.0.99")
        assert hears(more, source, frame)
        if not heard:
            assert hears(one, source, frame)
        for capture in captures:
            assert any(got.startswith(bytes(frame)) for got in capture.frames()) == heard


def _ipv4(three: Hosts, machine: Machine) -> str:
    return str(three.cloud.records["port", machine.port]["fixed_ips"][0]["ip_address"])


def test_a_router_forwards_between_hosts_without_its_address_being_seen_there(three: Hosts) -> None:
    group = open_group(three)
    networks = [three.network("a", 77, "10.0.0.0/24", "fd00::/64"), three.network("b", 78, "10.0.1.0/24", "fd01::/64")]
    router = three.cloud.router("r")
    interfaces = [
        three.cloud.interface(router, network, f"10.0.{number}.1", f"fd0{number}::1")
        for number, network in enumerate(networks)
    ]
    one = three.machine("one", 1, networks[0], "10.0.0.11", "fd00::", security_groups=[group])
    two = three.machine("two", 2, networks[1], "10.0.1.12", "fd01::", security_groups=[group])
    for number, machine in enumerate((one, two)):
        for family, gateway in (("-4", f"10.0.{number}.1"), ("-6", f"fd0{number}::1")):
            command = f"ip -n {machine.netns} {family} route replace default via {gateway}"
            machine.run(lambda _, command=command: sh(command))
    capture = three.capture(1)
    heard = two.capture()
    for address in three.cloud.records["port", two.port]["fixed_ips"]:
        assert one.ping(address["ip_address"]), address
    for address in three.cloud.records["port", one.port]["fixed_ips"]:
        assert two.ping(address["ip_address"]), address
    gateways = [addressed(three.cloud.records["port", port]["mac_address"]) for port in interfaces]
    frames = tunnelled(capture)
    assert len([frame for frame in frames if frame[12:14] == IPV4_TYPE]) >= 4
    assert [frame for frame in frames if frame[:6] in gateways or frame[6:12] in gateways] == []
    assert {
        frame[6:12] for frame in heard.frames() if frame[12:14] == IPV4_TYPE and frame[26:30] == bytes((10, 0, 0, 11))
    } == {gateways[1]}, "the machine knows its router by one address only"


def test_an_address_that_moves_between_machines_is_announced_to_all_hosts(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24")
    shared = {"security_groups": [group], "allowed_address_pairs": [{"ip_address": "10.0.0.99"}]}
    one = three.machine("one", 1, network, "10.0.0.1", security_groups=[group])
    holders = [
        three.machine(f"m{number}", number, network, f"10.0.0.{number}", **shared)  # type: ignore[arg-type]
        for number in (2, 3)
    ]
    for holder in holders:
        holder.run(lambda netns: sh(f"ip -n {netns} addr add 10.0.0.99/24 dev eth0"))
        gratuitous = Ether(src=holder.mac, dst=EVERYONE) / ARP(
            op=1, hwsrc=holder.mac, psrc="10.0.0.99", pdst="10.0.0.99", hwdst="00:00:00:00:00:00"
        )
        assert hears(one, holder, gratuitous)
        assert one.ping("10.0.0.99")
        assert holder.mac in one.run(lambda netns: sh(f"ip -n {netns} neigh show 10.0.0.99"))
        holder.run(lambda netns: sh(f"ip -n {netns} addr del 10.0.0.99/24 dev eth0"))


def test_only_hosts_of_the_cloud_can_put_frames_into_a_network(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24")
    one = three.machine("one", 1, network, "10.0.0.1", security_groups=[group])
    three.machine("two", 2, network, "10.0.0.2", security_groups=[group])
    sh("ip -n underlay addr add 192.0.2.77/24 dev under")
    with sandbox.inside("underlay"):
        outsider = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mac = "02:00:00:00:00:66"
    frame = bytes(Ether(src=mac, dst=EVERYONE) / ARP(op=1, hwsrc=mac, psrc="10.0.0.66", pdst="10.0.0.1"))
    packet = bytes((8, 0, 0, 0, 0, 0, 77, 0)) + frame
    capture = one.capture()

    def heard(seconds: float) -> bool:
        def seen() -> bool:
            outsider.sendto(packet, ("192.0.2.1", 4789))
            return any(got.startswith(frame) for got in capture.frames())

        try:
            return until(seen, seconds)
        except AssertionError:
            return False

    assert not heard(0.3)
    values = {"agent_type": "Linux bridge agent", "configurations": {"tunneling_ip": "192.0.2.77"}}
    three.cloud.put("agent", named("host77"), host="host77", **values)
    three.settle()
    assert heard(2.0)
    three.cloud.delete("agent", named("host77"))
    three.settle()
    capture.frames()
    assert not heard(0.3)
    outsider.close()


def test_a_frame_of_the_networks_whole_mtu_crosses_in_one_packet(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24")
    one = three.machine("one", 1, network, "10.0.0.1", security_groups=[group])
    two = three.machine("two", 2, network, "10.0.0.2", security_groups=[group])
    capture = three.capture(1)
    assert one.run(lambda netns: sh(f"ip netns exec {netns} ping -c1 -W2 -M do -s {1450 - 28} 10.0.0.2"))
    frames = tunnelled(capture)
    assert max(len(frame) for frame in frames) == 1450 + 14
    assert {frame[:6] for frame in frames if len(frame) == 1450 + 14} == {addressed(one.mac), addressed(two.mac)}


def test_a_machine_that_moves_to_another_host_is_reached_there(three: Hosts) -> None:
    group = open_group(three)
    network = three.network("n", 77, "10.0.0.0/24")
    one = three.machine("one", 1, network, "10.0.0.1", security_groups=[group])
    two = three.machine("two", 2, network, "10.0.0.2", security_groups=[group])
    assert one.ping("10.0.0.2")
    destination = three.hosts[2]
    destination.run(lambda: sandbox.make_namespace("two"))
    three.cloud.put("attachment", named("two"), host=destination.name)
    three.settle()
    destination.run(lambda: sh("ip -n two addr add 10.0.0.2/24 dev eth0"))
    capture = three.capture(2)
    assert one.ping("10.0.0.2")
    assert two._replace(host=destination).ping("10.0.0.1")
    assert tunnelled(capture) == []
