"""Packets across routers: routes, translation both ways, floating IPs, the outside, and the way back."""

from __future__ import annotations

import pytest

from kaon.insight.answer import Outcome, Reason, Stage, Trace, Way
from kaon.insight.packet import EXTERNAL
from tests.compile.cloud import named
from tests.insight.story import OUTSIDE, Story, dropped, mended, passes

LEFT, RIGHT = "10.0.0.0/24", "10.0.1.0/24"


@pytest.fixture
def story() -> Story:
    return Story()


def pair(story: Story) -> tuple[str, str, str, str]:
    """Two networks with an instance in each, open to all: the networks, then the instances."""
    group = story.open()
    left, right = story.network("left", 1, LEFT, "fd00:1::/64"), story.network("right", 2, RIGHT, "fd00:2::/64")
    a = story.vm("a", left, "10.0.0.5", "fd00:1::5", groups=(group,))
    return left, right, a, story.vm("b", right, "10.0.1.5", "fd00:2::5", groups=(group,))


def nat(found: Trace) -> list[str]:
    """The packets after each translation, there and back."""
    return [hop.packet for hop in (*found.hops, *found.back) if hop.stage is Stage.NAT]


def test_a_router_joins_networks_and_without_it_they_are_apart(story: Story) -> None:
    left, right, a, b = pair(story)
    (subnet, *_) = story.subnets(left)
    story.router("r")
    found = dropped(story.trace(a, "10.0.1.5"), Reason.NO_ROUTER, f"subnet/{subnet['id']}")
    story.make(found.drop.changes[0])
    router = next(id for kind, id in story.records if kind == "router")
    found = dropped(story.trace(a, "10.0.1.5"), Reason.NO_ROUTE, f"router/{router}")
    mended(story, found, a, "10.0.1.5")
    found = story.trace(a, "10.0.1.5")
    stages = [Stage.PORT, Stage.EGRESS, Stage.NETWORK, Stage.ROUTER, Stage.NETWORK, Stage.INGRESS, Stage.PORT]
    passes(found, *stages)
    assert found.reached == f"port/{b}" and nat(found) == []


def test_without_a_router_in_the_project_one_must_be_made(story: Story) -> None:
    left, _, a, _ = pair(story)
    found = dropped(story.trace(a, "10.0.1.5"), Reason.NO_ROUTER, f"subnet/{story.subnets(left)[0]['id']}")
    assert "make a router" in found.drop.advice


def test_a_subnet_without_a_gateway_has_no_way_out(story: Story) -> None:
    left, _, a, _ = pair(story)
    subnet = story.subnets(left)[0]["id"]
    story.put("subnet", subnet, gateway_ip=None)
    dropped(story.trace(a, "10.0.1.5"), Reason.NO_GATEWAY, f"subnet/{subnet}")


def test_the_answer_is_lost_where_its_gateway_is_nobody(story: Story) -> None:
    left, right, a, b = pair(story)
    router = story.router("r")
    story.interface(router, left, "10.0.0.1")
    story.interface(router, right, "10.0.1.254")
    subnet = story.subnets(right)[0]["id"]
    found = dropped(story.trace(a, "10.0.1.5"), Reason.NO_ROUTER, f"subnet/{subnet}", Way.BACK)
    assert found.hops[-1].resource == f"port/{b}"
    mended(story, found, a, "10.0.1.5")


def test_a_router_or_a_port_of_it_that_is_down_carries_nothing(story: Story) -> None:
    left, right, a, _ = pair(story)
    router = story.router("r")
    near, far = story.interface(router, left, "10.0.0.1"), story.interface(router, right, "10.0.1.1")
    passes(story.trace(a, "10.0.1.5"))
    story.put("router", router, admin_state_up=False)
    mended(story, dropped(story.trace(a, "10.0.1.5"), Reason.ROUTER_DOWN, f"router/{router}"), a, "10.0.1.5")
    for port in (near, far):
        story.put("port", port, admin_state_up=False)
        mended(story, dropped(story.trace(a, "10.0.1.5"), Reason.PORT_DOWN, f"port/{port}"), a, "10.0.1.5")
    story.put("network", right, admin_state_up=False)
    dropped(story.trace(a, "10.0.1.5"), Reason.NETWORK_DOWN, f"network/{right}")


def test_a_router_answers_for_itself_on_every_interface(story: Story) -> None:
    left, right, a, _ = pair(story)
    router = story.edge_router((left, "10.0.0.1"), (right, "10.0.1.1"))
    for address in ("10.0.0.1", "10.0.1.1", "203.0.113.10", "169.254.169.254"):
        found = story.trace(a, address)
        passes(found)
        assert found.reached == f"router/{router}"


def test_an_extra_route_leads_through_an_instance(story: Story) -> None:
    left, right, a, _ = pair(story)
    router = story.router("r")
    story.interface(router, left, "10.0.0.1")
    story.interface(router, right, "10.0.1.1")
    group = story.open("hops")
    hop = story.vm("hop", right, "10.0.1.9", groups=(group,))
    dropped(story.trace(a, "172.20.0.1"), Reason.NO_ROUTE, f"router/{router}")
    story.put("router", router, routes=[{"destination": "172.20.0.0/16", "nexthop": "10.0.1.9"}])
    # The instance must be allowed to answer from there.
    found = dropped(story.trace(a, "172.20.0.1"), Reason.FOREIGN_SOURCE, f"port/{hop}", Way.BACK)
    mended(story, found, a, "172.20.0.1")
    # A next hop that is on none of the router's subnets leads nowhere.
    story.put("router", router, routes=[{"destination": "172.20.0.0/16", "nexthop": "192.0.2.1"}])
    dropped(story.trace(a, "172.20.0.1"), Reason.NO_ROUTE, f"router/{router}")


def test_host_routes_lead_to_another_router_than_the_gateway(story: Story) -> None:
    left, right, a, _ = pair(story)
    other = story.router("other")
    story.interface(other, left, "10.0.0.250")
    story.interface(other, right, "10.0.1.1")
    routes = [{"destination": RIGHT, "nexthop": "10.0.0.250"}]
    story.put("subnet", story.subnets(left)[0]["id"], host_routes=routes)
    passes(story.trace(a, "10.0.1.5"))


def test_routers_that_point_at_each_other_let_packets_circle(story: Story) -> None:
    left, right, a, _ = pair(story)
    one, two = story.router("one"), story.router("two")
    story.interface(one, left, "10.0.0.1")
    story.interface(one, right, "10.0.1.1")
    story.interface(two, right, "10.0.1.2")
    story.put("router", one, routes=[{"destination": "172.20.0.0/16", "nexthop": "10.0.1.2"}])
    story.put("router", two, routes=[{"destination": "172.20.0.0/16", "nexthop": "10.0.1.1"}])
    assert story.trace(a, "172.20.0.1").drop.reason is Reason.LOOP


def test_the_answer_by_another_way_has_no_connection(story: Story) -> None:
    left, right, a, b = pair(story)
    middle = story.network("middle", 3, "10.0.2.0/24")
    one, two = story.router("one"), story.router("two")
    story.interface(one, left, "10.0.0.1")
    story.interface(one, right, "10.0.1.254")
    # b answers by a router that leads to a by way of a third network, on which nobody has seen the request.
    story.interface(two, right, "10.0.1.1")
    story.interface(two, middle, "10.0.2.1")
    hop = story.vm("hop", middle, "10.0.2.9", groups=(story.open("hops"),))
    story.put("router", two, routes=[{"destination": LEFT, "nexthop": "10.0.2.9"}])
    dropped(story.trace(a, "10.0.1.5:80"), Reason.NO_CONNECTION, f"port/{hop}", Way.BACK)


def test_the_outside_sees_the_routers_address(story: Story) -> None:
    left, _, a, _ = pair(story)
    router = story.router("edge")
    story.interface(router, left, "10.0.0.1")
    found = dropped(story.trace(a, f"{OUTSIDE}:80"), Reason.NO_ROUTE, f"router/{router}")
    assert found.drop.changes[0].attributes == {"external_gateway_info": {"network_id": story.external}}
    story.gateway(router, story.external, "203.0.113.10")
    found = story.trace(a, f"{OUTSIDE}:80")
    passes(found)
    assert found.outcome is Outcome.LEFT and found.reached == f"external/{story.external}"
    assert nat(found) == ["tcp 203.0.113.10:40000 > 203.0.113.1:80", "tcp 203.0.113.1:80 > 10.0.0.5:40000"]
    # What is further away goes by the gateway of the external subnet.
    passes(story.trace(a, "198.51.100.7:80"))


def test_without_source_nat_the_private_address_goes_out(story: Story) -> None:
    left, _, a, _ = pair(story)
    story.edge_router((left, "10.0.0.1"), enable_snat=False)
    found = story.trace(a, f"{OUTSIDE}:80")
    passes(found)
    assert nat(found) == []
    passes(story.trace(EXTERNAL, "10.0.0.5:80"))


def test_private_addresses_are_hidden_from_outside(story: Story) -> None:
    left, _, a, _ = pair(story)
    router = story.edge_router((left, "10.0.0.1"))
    found = dropped(story.trace(EXTERNAL, "10.0.0.5:22"), Reason.PRIVATE_FROM_OUTSIDE, f"router/{router}")
    (change,) = found.drop.changes
    assert (change.kind, change.attributes["port_id"]) == ("floatingip", a)
    story.floating("203.0.113.50", router, a, "10.0.0.5")
    found = dropped(story.trace(EXTERNAL, "10.0.0.5:22"), Reason.PRIVATE_FROM_OUTSIDE, f"router/{router}")
    assert "203.0.113.50" in found.drop.advice
    dropped(story.trace(EXTERNAL, "10.9.9.9:22"), Reason.NO_ROUTE, "external")


def test_a_floating_ip_leads_in_and_out(story: Story) -> None:
    left, _, a, _ = pair(story)
    router = story.edge_router((left, "10.0.0.1"))
    floating = story.floating("203.0.113.50", router, a, "10.0.0.5")
    found = story.trace(EXTERNAL, "203.0.113.50:22")
    passes(found)
    assert found.reached == f"port/{a}"
    assert nat(found) == ["tcp 203.0.113.1:40000 > 10.0.0.5:22", "tcp 203.0.113.50:22 > 203.0.113.1:40000"]
    assert f"floatingip/{floating}" in [hop.because for hop in found.hops]
    assert nat(story.trace(a, OUTSIDE))[0] == "icmp echo 203.0.113.50 > 203.0.113.1"


def test_a_floating_ip_without_a_port_or_a_router_leads_nowhere(story: Story) -> None:
    left, _, a, _ = pair(story)
    story.edge_router((left, "10.0.0.1"))
    for port, fixed in ((None, None), (a, "10.0.0.5")):
        floating = story.floating("203.0.113.50", None, port, fixed)
        found = story.trace(EXTERNAL, "203.0.113.50")
        dropped(found, Reason.FLOATING_IP_UNASSOCIATED, f"floatingip/{floating}")


def test_forwarded_ports_lead_to_their_instances_and_the_others_to_the_router(story: Story) -> None:
    left, _, a, _ = pair(story)
    b = story.vm("second", left, "10.0.0.6", groups=(story.open("wide"),))
    router = story.edge_router((left, "10.0.0.1"))
    floating = story.floating("203.0.113.50", router, None, None)
    for name, port, address, outer, inner in (
        ("one", a, "10.0.0.5", "2222", "22"),
        ("moved", b, "10.0.0.6", "8000:8009", "9000:9009"),
        ("gathered", b, "10.0.0.6", "7000:7009", "70"),
    ):
        story.put(
            "port_forwarding",
            named(name),
            floatingip_id=floating,
            protocol="tcp",
            internal_port_id=port,
            internal_ip_address=address,
            external_port_range=outer,
            internal_port_range=inner,
        )
    for outer, port, there in ((2222, a, "10.0.0.5:22"), (8003, b, "10.0.0.6:9003"), (7003, b, "10.0.0.6:70")):
        found = story.trace(EXTERNAL, f"203.0.113.50:{outer}")
        passes(found)
        assert found.reached == f"port/{port}"
        asks, answers = f"tcp 203.0.113.1:40000 > {there}", f"tcp 203.0.113.50:{outer} > 203.0.113.1:40000"
        assert nat(found) == [asks, answers]
    # From inside as well, and then the answer comes back by the router.
    passes(story.trace(b, "203.0.113.50:2222"))
    for to, protocol in (("203.0.113.50:23", "tcp"), ("203.0.113.50:2222", "udp"), ("203.0.113.50", "icmp")):
        assert story.trace(EXTERNAL, to, protocol).reached == f"router/{router}"
    assert nat(story.trace(a, OUTSIDE))[0] == "icmp echo 203.0.113.10 > 203.0.113.1"


def test_the_hairpin_hides_who_asks_so_that_a_remote_group_does_not_admit_it(story: Story) -> None:
    left, _, a, _ = pair(story)
    router = story.edge_router((left, "10.0.0.1"))
    members = story.group("members", {"direction": "egress"})
    story.rule(members, "ingress", remote_group_id=members)
    story.put("port", a, security_groups=[members])
    c = story.vm("c", left, "10.0.0.6", groups=(members,))
    story.floating("203.0.113.60", router, c, "10.0.0.6")
    passes(story.trace(a, "10.0.0.6"))
    found = dropped(story.trace(a, "203.0.113.60"), Reason.NO_INGRESS_RULE, f"port/{c}")
    assert found.drop.changes[0].attributes["remote_ip_prefix"] == "203.0.113.10/32"
    mended(story, found, a, "203.0.113.60")
    assert nat(story.trace(a, "203.0.113.60"))[:2] == [
        "icmp echo 10.0.0.5 > 10.0.0.6",
        "icmp echo 203.0.113.10 > 10.0.0.6",
    ]
    # With a floating IP of its own it is seen by that.
    story.floating("203.0.113.50", router, a, "10.0.0.5")
    assert nat(story.trace(a, "203.0.113.60"))[1] == "icmp echo 203.0.113.50 > 10.0.0.6"


def test_two_routers_meet_on_the_external_network(story: Story) -> None:
    left, right, a, b = pair(story)
    story.edge_router((left, "10.0.0.1"))
    far = story.router("far")
    story.interface(far, right, "10.0.1.1")
    story.gateway(far, story.external, "203.0.113.20")
    story.floating("203.0.113.60", far, b, "10.0.1.5")
    found = story.trace(a, "203.0.113.60:80")
    passes(found)
    assert found.reached == f"port/{b}"
    assert nat(found) == [
        "tcp 203.0.113.10:40000 > 203.0.113.60:80",
        "tcp 203.0.113.10:40000 > 10.0.1.5:80",
        "tcp 203.0.113.60:80 > 203.0.113.10:40000",
        "tcp 203.0.113.60:80 > 10.0.0.5:40000",
    ]


def test_ipv6_is_not_translated(story: Story) -> None:
    left, _, a, _ = pair(story)
    story.subnet(story.external, "2001:db8:113::/64")
    router = story.router("edge")
    story.interface(router, left, "10.0.0.1", "fd00:1::1")
    story.gateway(router, story.external, "203.0.113.10", "2001:db8:113::10")
    for found in (story.trace(a, "2001:db8:113::1"), story.trace(EXTERNAL, "[fd00:1::5]:80")):
        passes(found)
        assert nat(found) == []


def test_an_external_network_without_a_physical_one_has_no_outside(story: Story) -> None:
    left, _, a, _ = pair(story)
    story.put("network", story.external, **{"provider:physical_network": None})
    story.edge_router((left, "10.0.0.1"))
    dropped(story.trace(EXTERNAL, "203.0.113.10"), Reason.NO_PHYSICAL_NETWORK, f"network/{story.external}")
    dropped(story.trace(a, "203.0.113.77"), Reason.NOBODY_THERE, f"network/{story.external}")


def test_a_router_works_by_its_first_gateway_alone(story: Story) -> None:
    left, _, a, _ = pair(story)
    router = story.edge_router((left, "10.0.0.1"))
    first = next(id for (kind, id), r in story.records.items() if kind == "port" and "gateway" in r["device_owner"])
    spare = story.interface(router, story.external, "203.0.113.11", gateway=True)
    story.put("router", router, gateways=[{"port_id": first}, {"port_id": spare}])
    assert story.trace(a, "203.0.113.10").reached == f"router/{router}"
    assert story.trace(EXTERNAL, "203.0.113.11").drop.resource == f"port/{spare}"
