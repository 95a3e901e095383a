"""What a trace predicts, real packets do: those that pass, and those that are dropped for the reason that it names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from kaon.insight.answer import Reason
from tests import sandbox
from tests.packets.lab import OUTSIDE, OUTSIDE4, OUTSIDE6, Body, Lab, Machine, Project, ip
from tests.wait import until

pytestmark = [pytest.mark.root, pytest.mark.slow]

LEFT4, LEFT6 = "10.0.0.0/24", "fd00:1::/64"
RIGHT4, RIGHT6 = "10.0.1.0/24", "fd00:2::/64"
PORT = 80


def predicted(lab: Lab, sender: str, to: str, **more: str) -> Body:
    """What Kaon predicts of a packet."""
    query = "&".join(f"{name}={value}" for name, value in {"from": sender, "to": to, **more}.items())
    return dict(lab.admin.call("GET", f"/kaon/v1/trace?{query}")["trace"])


def reason(found: Body) -> str:
    """Why a packet is dropped, empty when it passes."""
    return str(found["drop"]["reason"]) if found["drop"] else ""


def agreed(lab: Lab, sender: Machine | None, address: str, port: int = 0) -> str:
    """The reason that is predicted for a packet (None: from outside), after a real one has been seen to agree."""
    to = address if not port else f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    found = predicted(lab, sender.id if sender else "external", to)
    passes = found["outcome"] in ("delivered", "left")
    netns, seconds = sender.netns if sender else OUTSIDE, 3 if passes else 0.4
    real = sandbox.connects(netns, address, port, seconds) if port else sandbox.ping(netns, address, seconds)
    assert real == passes, f"{netns} to {to}: a packet {'passes' if real else 'is dropped'}, predicted was {found}"
    return reason(found)


@contextmanager
def listening(*machines: Machine) -> Iterator[None]:
    """Whatever comes to these machines' addresses on the port is accepted, so that silence means a drop."""
    with ExitStack() as opened:
        for machine in machines:
            for address in machine.addresses:
                opened.enter_context(sandbox.listen(machine.netns, address, PORT))
        yield


def test_predictions_within_a_network(lab: Lab, project: Project) -> None:
    network = project.network(LEFT4, LEFT6)
    web_only = project.group({"protocol": "tcp", "port_range_min": PORT, "port_range_max": PORT})
    friends = project.open()
    of_friends = project.group({"remote_group_id": friends["id"]}, {"ethertype": "IPv6", "protocol": "ipv6-icmp"})
    stateless = project.cloud.create("security_groups", name=f"{project.name}-stateless", stateful=False)
    for rule in stateless["security_group_rules"]:
        project.cloud.delete("security_group_rules", rule["id"])
    project.rule(stateless, protocol="tcp", port_range_min=PORT, port_range_max=PORT)
    web, friend = project.machine(network, web_only), project.machine(network, friends)
    guarded, mute = project.machine(network, of_friends), project.machine(network, project.group(egress=False))
    forgetful, closed = project.machine(network, stateless), project.machine(network)
    free = project.machine(network, port_security_enabled=False)
    until(lab.settled, what="all is real")
    with listening(web, friend, guarded, forgetful, closed, free):
        told = [
            (agreed(lab, friend, web.ipv4, PORT), ""),
            (agreed(lab, friend, web.ipv4), Reason.NO_INGRESS_RULE),
            (agreed(lab, friend, web.ipv6, PORT), Reason.NO_INGRESS_RULE),
            (agreed(lab, friend, guarded.ipv4), ""),
            (agreed(lab, web, guarded.ipv4), Reason.NO_INGRESS_RULE),
            (agreed(lab, web, guarded.ipv6), ""),
            (agreed(lab, mute, free.ipv4, PORT), Reason.NO_EGRESS_RULE),
            (agreed(lab, friend, closed.ipv4, PORT), Reason.NO_SECURITY_GROUP),
            (agreed(lab, free, friend.ipv6, PORT), ""),
            (agreed(lab, free, web.ipv4), Reason.NO_INGRESS_RULE),
            (agreed(lab, friend, "10.0.0.250"), Reason.NOBODY_THERE),
            # The request is admitted, and the answer is not.
            (agreed(lab, friend, forgetful.ipv4, PORT), Reason.NO_EGRESS_RULE),
        ]
        assert [was for was, _ in told] == [should for _, should in told]
        # What the trace proposes for the last one helps.
        found = predicted(lab, friend.id, f"{forgetful.ipv4}:{PORT}")
        assert found["drop"]["way"] == "back"
        for change in found["drop"]["changes"]:
            project.cloud.create("security_group_rules", **change["attributes"])
        until(lab.settled, what="the rule is real")
        assert agreed(lab, friend, forgetful.ipv4, PORT) == ""
    project.cloud.update("ports", web.id, admin_state_up=False)
    until(lab.settled, what="the port is down")
    assert agreed(lab, friend, web.ipv4, PORT) == Reason.PORT_DOWN


def test_predictions_across_routers_and_to_the_outside(lab: Lab, project: Project) -> None:
    left, right = project.network(LEFT4, LEFT6), project.network(RIGHT4, RIGHT6)
    lonely = project.network("10.0.2.0/24")
    members = project.group({"protocol": "icmp"})
    project.rule(members, protocol="tcp", remote_group_id=members["id"])
    one, two = project.machine(left, members), project.machine(right, members)
    near, alone = project.machine(left, members), project.machine(lonely, project.open())
    router = project.router(*left.subnets, *right.subnets, outside=True)
    floating = project.floating(near)["floating_ip_address"]
    own = router["external_gateway_info"]["external_fixed_ips"]
    gateway = next(each["ip_address"] for each in own if ":" not in each["ip_address"])
    until(lab.settled, what="all is real")
    with listening(one, two, near, alone):
        told = [
            (agreed(lab, one, two.ipv4), ""),
            (agreed(lab, one, two.ipv4, PORT), ""),
            (agreed(lab, one, two.ipv6), Reason.NO_INGRESS_RULE),
            (agreed(lab, one, "10.0.1.1"), ""),
            (agreed(lab, one, OUTSIDE4), ""),
            (agreed(lab, alone, one.ipv4), Reason.NO_ROUTER),
            (agreed(lab, None, floating), ""),
            (agreed(lab, None, floating, PORT), Reason.NO_INGRESS_RULE),
            (agreed(lab, None, gateway), ""),
            # By the floating IP the sender is no member any more, by the fixed address it is.
            (agreed(lab, one, floating), ""),
            (agreed(lab, one, floating, PORT), Reason.NO_INGRESS_RULE),
            (agreed(lab, one, near.ipv4, PORT), ""),
        ]
        assert [was for was, _ in told] == [should for _, should in told]
    # A trace assumes that hosts outside know the way to what is behind a router; this one has to be told.
    six = next(each["ip_address"] for each in own if ":" in each["ip_address"])
    routes = [("-4", LEFT4, gateway), ("-6", LEFT6, six)]
    for family, subnet, via in routes:
        ip(family, "route", "add", subnet, "via", via, netns=OUTSIDE)
    try:
        assert agreed(lab, None, near.ipv4) == Reason.PRIVATE_FROM_OUTSIDE
        assert agreed(lab, one, OUTSIDE6) == ""
        assert agreed(lab, None, one.ipv6) == Reason.NO_INGRESS_RULE
    finally:
        for family, subnet, via in routes:
            ip(family, "route", "del", subnet, "via", via, netns=OUTSIDE)
    project.cloud.update("routers", router["id"], admin_state_up=False)
    until(lab.settled, what="the router is down")
    assert agreed(lab, one, two.ipv4) == Reason.ROUTER_DOWN


def test_an_echo_like_one_by_the_floating_ip_does_not_reach_the_private_address(lab: Lab, project: Project) -> None:
    network = project.network(LEFT4)
    machine = project.machine(network, project.pings())
    router = project.router(*network.subnets, outside=True)
    floating = project.floating(machine)["floating_ip_address"]
    own = router["external_gateway_info"]["external_fixed_ips"]
    gateway = next(each["ip_address"] for each in own if ":" not in each["ip_address"])
    until(lab.settled, what="all is real")
    ip("route", "add", LEFT4, "via", gateway, netns=OUTSIDE)
    try:
        # All pings of this process have the same identifier.
        assert agreed(lab, None, floating) == ""
        assert agreed(lab, None, machine.ipv4) == Reason.PRIVATE_FROM_OUTSIDE
    finally:
        ip("route", "del", LEFT4, netns=OUTSIDE)
