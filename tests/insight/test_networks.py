"""Packets within a network: the sender's port, its groups, the network, the receiver's groups and port."""

from __future__ import annotations

import pytest

from kaon.insight.answer import Outcome, Reason, Stage, Way
from kaon.insight.packet import asked
from kaon.insight.trace import NoAnswer, trace
from kaon.world.world import World
from tests.insight.story import Story, dropped, mended, passes

NET = "10.0.0.0/24"


@pytest.fixture
def story() -> Story:
    return Story()


def two(story: Story, *one: str, other: tuple[str, ...] = ()) -> tuple[str, str, str]:
    """A network with two instances in these groups: the network, and each of them."""
    network = story.network("n", 1, NET, "fd00::/64")
    a = story.vm("a", network, "10.0.0.5", "fd00::5", groups=one)
    return network, a, story.vm("b", network, "10.0.0.6", "fd00::6", groups=other)


def test_a_packet_goes_from_port_to_port_by_named_rules(story: Story) -> None:
    group = story.open()
    _, a, b = two(story, group, other=(group,))
    found = story.trace(a, "10.0.0.6:80")
    passes(found, Stage.PORT, Stage.EGRESS, Stage.NETWORK, Stage.INGRESS, Stage.PORT)
    assert found.outcome is Outcome.DELIVERED and found.reached == f"port/{b}"
    rules = [story.records["security_group_rule", hop.because.partition("/")[2]] for hop in found.hops if hop.because]
    assert [(rule["direction"], rule["ethertype"]) for rule in rules] == [("egress", "IPv4"), ("ingress", "IPv4")]
    assert [hop.packet for hop in found.back][-1] == "tcp 10.0.0.6:80 > 10.0.0.5:40000"
    passes(story.trace(a, "[fd00::6]:80"))
    passes(story.trace(a, "fd00::6"))


def test_nothing_goes_to_an_address_that_nobody_has(story: Story) -> None:
    network, a, _ = two(story, story.open())
    dropped(story.trace(a, "10.0.0.77"), Reason.NOBODY_THERE, f"network/{network}")


def test_a_port_that_is_down_or_not_attached_carries_nothing(story: Story) -> None:
    group = story.open()
    network, a, b = two(story, group, other=(group,))
    for port in (a, b):
        story.put("port", port, admin_state_up=False)
        mended(story, dropped(story.trace(a, "10.0.0.6"), Reason.PORT_DOWN, f"port/{port}"), a, "10.0.0.6")
        story.delete("attachment", port)
        mended(story, dropped(story.trace(a, "10.0.0.6"), Reason.NOT_ATTACHED, f"port/{port}"), a, "10.0.0.6")
    story.put("network", network, admin_state_up=False)
    mended(story, dropped(story.trace(a, "10.0.0.6"), Reason.NETWORK_DOWN, f"network/{network}"), a, "10.0.0.6")


def test_the_sender_needs_an_egress_rule(story: Story) -> None:
    _, a, b = two(story, story.group("silent"), other=(story.open(),))
    found = dropped(story.trace(a, "10.0.0.6:80"), Reason.NO_EGRESS_RULE, f"port/{a}")
    mended(story, found, a, "10.0.0.6:80")
    # The rule is the least that was needed: another port and another receiver are as closed as before.
    dropped(story.trace(a, "10.0.0.6:81"), Reason.NO_EGRESS_RULE, f"port/{a}")
    story.attach(story.port("c", story.records["port", b]["network_id"], "10.0.0.7", port_security_enabled=False))
    dropped(story.trace(a, "10.0.0.7:80"), Reason.NO_EGRESS_RULE, f"port/{a}")


def test_the_receiver_needs_an_ingress_rule(story: Story) -> None:
    group = story.group("out only", {"direction": "egress"}, {"direction": "egress", "ethertype": "IPv6"})
    _, a, b = two(story, group, other=(group,))
    for target, protocol in (("10.0.0.6:80", "tcp"), ("10.0.0.6:53", "udp"), ("10.0.0.6", "icmp"), ("fd00::6", "icmp")):
        found = dropped(story.trace(a, target, protocol), Reason.NO_INGRESS_RULE, f"port/{b}")
        mended(story, found, a, target, protocol)
    dropped(story.trace(a, "10.0.0.6", "47"), Reason.NO_INGRESS_RULE, f"port/{b}")


@pytest.mark.parametrize(
    ("rule", "target", "admitted"),
    [
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 90}, "10.0.0.6:90", True),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 90}, "10.0.0.6:91", False),
        ({"protocol": "6"}, "10.0.0.6:91", True),
        ({"protocol": "udp"}, "10.0.0.6:91", False),
        ({"protocol": "icmp"}, "10.0.0.6", True),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, "10.0.0.6", True),
        ({"protocol": "icmp", "port_range_min": 13}, "10.0.0.6", False),
        ({"remote_ip_prefix": "10.0.0.4/31"}, "10.0.0.6", True),
        ({"remote_ip_prefix": "10.0.0.6/31"}, "10.0.0.6", False),
        ({"remote_ip_prefix": "0.0.0.0/0"}, "10.0.0.6", True),
        ({"ethertype": "IPv6"}, "10.0.0.6", False),
        ({"ethertype": "IPv6", "protocol": "icmp"}, "fd00::6", True),
        ({"ethertype": "IPv6", "protocol": "ipv6-icmp"}, "fd00::6", True),
        ({"protocol": "any"}, "10.0.0.6:91", True),
    ],
)
def test_a_rule_admits_what_it_says(story: Story, rule: dict[str, object], target: str, admitted: bool) -> None:
    _, a, b = two(story, story.open(), other=(story.group("ruled", {"direction": "ingress", **rule}),))
    if admitted:
        passes(story.trace(a, target))
    else:
        dropped(story.trace(a, target), Reason.NO_INGRESS_RULE, f"port/{b}")


def test_a_remote_group_admits_its_members_by_address_and_allowed_pair(story: Story) -> None:
    friends = story.open("friends")
    _, a, b = two(story, story.open(), other=(story.group("r", {"direction": "ingress", "remote_group_id": friends}),))
    dropped(story.trace(a, "10.0.0.6"), Reason.NO_INGRESS_RULE, f"port/{b}")
    story.put("port", a, security_groups=[friends])
    passes(story.trace(a, "10.0.0.6"))
    dropped(story.trace(a, "10.0.0.6", source="10.0.0.9"), Reason.FOREIGN_SOURCE, f"port/{a}")
    story.put("port", a, allowed_address_pairs=[{"ip_address": "10.0.0.8/30"}])
    found = story.trace(a, "10.0.0.6", source="10.0.0.9")
    assert found.hops[-1].stage is Stage.PORT and found.reached == f"port/{b}"


def test_an_address_group_admits_its_addresses(story: Story) -> None:
    listed = story.put("address_group", "ag", addresses=["10.0.0.64/26"])
    rule = {"direction": "ingress", "remote_address_group_id": listed}
    _, a, b = two(story, story.open(), other=(story.group("r", rule),))
    dropped(story.trace(a, "10.0.0.6"), Reason.NO_INGRESS_RULE, f"port/{b}")
    story.put("address_group", listed, addresses=["10.0.0.64/26", "10.0.0.5/32"])
    passes(story.trace(a, "10.0.0.6"))


def test_a_port_sends_only_from_its_own_addresses(story: Story) -> None:
    group = story.open()
    _, a, b = two(story, group, other=(group,))
    found = dropped(story.trace(a, "10.0.0.6", source="10.0.0.9"), Reason.FOREIGN_SOURCE, f"port/{a}")
    mended(story, found, a, "10.0.0.6", source="10.0.0.9")
    story.put("port", b, port_security_enabled=False, security_groups=[])
    passes(story.trace(b, "10.0.0.5"))
    dropped(story.trace(a, "10.0.0.6:68", "udp", source_port=67), Reason.PLAYS_DHCP_SERVER, f"port/{a}")


def test_a_port_without_groups_is_closed_and_one_without_port_security_is_open(story: Story) -> None:
    default = story.group("default", {"direction": "egress"})
    network, a, b = two(story, default)
    found = dropped(story.trace(a, "10.0.0.6:22"), Reason.NO_SECURITY_GROUP, f"port/{b}")
    # A group alone does not admit it: the rule goes along.
    assert [change.kind for change in found.drop.changes if found.drop] == ["port", "security_group_rule"]
    mended(story, found, a, "10.0.0.6:22")
    c = story.vm("c", network, "10.0.0.7", port_security_enabled=False)
    passes(story.trace(a, "10.0.0.7:22"), Stage.PORT, Stage.EGRESS, Stage.NETWORK, Stage.PORT)
    assert story.trace(c, "10.0.0.5").drop is not None


def test_stateless_groups_judge_the_answer_too(story: Story) -> None:
    stateless = story.group("stateless", {"direction": "ingress", "protocol": "tcp", "port_range_min": 80})
    story.put("security_group", stateless, stateful=False)
    _, a, b = two(story, story.open(), other=(stateless,))
    found = dropped(story.trace(a, "10.0.0.6:80"), Reason.NO_EGRESS_RULE, f"port/{b}", Way.BACK)
    mended(story, found, a, "10.0.0.6:80")
    story.put("port", a, security_groups=[stateless])
    dropped(story.trace(a, "10.0.0.6:80"), Reason.NO_EGRESS_RULE, f"port/{a}")


def test_questions_that_make_no_sense_say_how_to_ask(story: Story) -> None:
    network, a, _ = two(story)
    server = story.dhcp(network, "10.0.0.2")
    world = World(story.changes)
    for sender, to in ((server, "10.0.0.6"), ("nobody", "10.0.0.6"), (a, "224.0.0.1"), (a, "255.255.255.255")):
        with pytest.raises(NoAnswer):
            trace(world, asked(sender, to))
    for to, protocol in (("10.0.0.6:80", "icmp"), ("10.0.0.6", "tcp"), ("host", ""), ("10.0.0.6:x", ""), ("::1", "no")):
        with pytest.raises(ValueError):
            asked(a, to, protocol)
    with pytest.raises(ValueError, match="different IP versions"):
        asked(a, "10.0.0.6", source="fd00::1")


def test_a_port_without_an_address_of_the_version_sends_nothing(story: Story) -> None:
    network = story.network("v4", 5, NET)
    a = story.vm("a", network, "10.0.0.5", groups=(story.open(),))
    dropped(story.trace(a, "fd00::1"), Reason.NO_ADDRESS, f"port/{a}")


def test_dhcp_answers_whoever_is_on_a_subnet_that_it_serves(story: Story) -> None:
    network, a, _ = two(story)
    question = (a, "255.255.255.255:67", "udp")
    dropped(story.trace(*question), Reason.NO_DHCP, f"subnet/{story.records['port', a]['fixed_ips'][0]['subnet_id']}")
    server = story.dhcp(network, "10.0.0.2", "fd00::2")
    found = story.trace(*question)
    passes(found, Stage.EGRESS, Stage.SERVICE)
    assert found.reached == f"port/{server}"
    subnet = story.records["port", a]["fixed_ips"][0]["subnet_id"]
    story.put("subnet", subnet, enable_dhcp=False)
    mended(story, dropped(story.trace(*question), Reason.NO_DHCP, f"subnet/{subnet}"), *question)
    # An IPv6 subnet by SLAAC has nothing for DHCP to tell.
    six = story.records["port", a]["fixed_ips"][1]["subnet_id"]
    dropped(story.trace(a, "[ff02::1:2]:547", "udp"), Reason.NO_DHCP, f"subnet/{six}")
    story.put("subnet", six, ipv6_address_mode="dhcpv6-stateful")
    passes(story.trace(a, "[ff02::1:2]:547", "udp"))


def test_metadata_is_reached_by_the_dhcp_server_and_needs_a_rule(story: Story) -> None:
    network, a, b = two(story, story.open(), other=(story.group("silent"),))
    subnet = story.records["port", a]["fixed_ips"][0]["subnet_id"]
    dropped(story.trace(a, "169.254.169.254:80"), Reason.NO_ROUTER, f"subnet/{subnet}")
    server = story.dhcp(network, "10.0.0.2")
    found = story.trace(a, "169.254.169.254:80")
    passes(found)
    assert found.reached == f"port/{server}"
    dropped(story.trace(b, "169.254.169.254:80"), Reason.NO_EGRESS_RULE, f"port/{b}")


def test_a_server_is_no_router(story: Story) -> None:
    network, a, _ = two(story, story.open())
    server = story.dhcp(network, "10.0.0.2")
    subnet = story.records["port", a]["fixed_ips"][0]["subnet_id"]
    story.put("subnet", subnet, host_routes=[{"destination": "172.16.0.0/12", "nexthop": "10.0.0.2"}])
    dropped(story.trace(a, "172.16.0.1"), Reason.NO_FORWARDING, f"port/{server}")
