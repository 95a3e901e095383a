"""Predicts from intent alone what happens to a packet, hop by hop, and to its answer.

What is assumed of the sides that nobody declares: an instance is configured as the API says (addresses, gateway, host
routes) and answers whatever reaches it; hosts outside have a route to what lies behind a router by that router.
"""

from __future__ import annotations

from kaon.insight import edge, graph, router
from kaon.insight.answer import Change, Drop, Outcome, Reason, Stage, Trace, Way
from kaon.insight.packet import EXTERNAL, UDP, Packet, Question
from kaon.insight.walk import Arrived, Delivered, Outside, Step, Switched, Walk, up
from kaon.world.addresses import link_local
from kaon.world.world import Record, World

LONGEST = 64
"""Steps after which a packet counts as going round in circles."""
_TO_DHCP = {"255.255.255.255": (67, 68, "0.0.0.0"), "ff02::1:2": (547, 546, "")}
"""Where DHCP clients ask for an address: the server's port, their own, and where they ask from (RFC 2131, RFC 8415)."""


class NoAnswer(Exception):
    """A question that makes no sense: why, and how to ask."""


def trace(world: World, question: Question) -> Trace:
    """What happens to a packet. Raises NoAnswer for a sender that is none, and for what goes to many."""
    if question.sender == EXTERNAL:
        walk, step = _from_outside(world, question)
        return _told(walk, _follow(walk, step))
    port = world.get("port", question.sender)
    if port is None:
        raise NoAnswer(f"there is no port {question.sender}: --from takes a port's id, or {EXTERNAL}")
    if graph.is_service(port):
        raise NoAnswer(
            f"port {port['id']} is a service of Kaon's ({graph.owner_of(port)}): ask from an instance's port"
        )
    if question.destination in _TO_DHCP and question.protocol == UDP:
        return _ask_dhcp(world, question, port)
    destination = graph.prefix(question.destination)
    if destination.is_multicast or question.destination == "255.255.255.255":
        raise NoAnswer(f"{question.destination} is not one receiver: ask for each by its own address")
    source = question.source or _own_address(world, port, question.destination)
    walk = Walk(world, question.packet(source or ("::" if ":" in question.destination else "0.0.0.0")))
    if not source:
        version = walk.packet.version
        why = f"port {port['id']} has no IPv{version} address"
        advice = f"add an IPv{version} subnet to its network, and an address of it to the port"
        return _told(walk, walk.drop(Reason.NO_ADDRESS, f"port/{port['id']}", why, (), advice))
    return _told(walk, _follow(walk, edge.leave(walk, port)))


def _own_address(world: World, port: Record, destination: str) -> str:
    """The address that an instance sends from: one on the destination's subnet, else its first of that IP version."""
    fixed = [ip for ip in port.get("fixed_ips") or () if (":" in ip["ip_address"]) == (":" in destination)]
    near = [
        ip
        for ip in fixed
        if graph.within(destination, (world.get("subnet", ip["subnet_id"]) or {}).get("cidr", "::/128"))
    ]
    return next((str(ip["ip_address"]) for ip in (*near, *fixed)), "")


def _follow(walk: Walk, step: Step) -> Delivered | Drop:
    """Go from step to step until the packet has arrived or is lost."""
    for _ in range(LONGEST):
        if isinstance(step, Delivered | Drop):
            return step
        if isinstance(step, Switched):
            step = edge.switch(walk, step)
        elif isinstance(step, Outside):
            return _out(walk, step)
        elif graph.owner_of(step.port).startswith("network:router_"):
            step = router.enter(walk, step.port)
        else:
            step = edge.arrive(walk, step.port)
    why = "the packet goes round in circles: routes point at each other"
    return walk.drop(Reason.LOOP, walk.hops[-1].resource, why, (), "look at the routes of the routers on its way")


def _out(walk: Walk, step: Outside) -> Delivered:
    network = walk.world.get("network", step.network_id) or {"id": step.network_id}
    walk.hop(Stage.OUTSIDE, f"network/{step.network_id}", "outside, where Kaon knows nobody")
    return Delivered("external", network)


def _told(there: Walk, end: Delivered | Drop) -> Trace:
    """The trace of a packet that has come to its end, with the way of its answer if it arrived."""
    packet = str(there.hops[0].packet if there.hops else there.packet)
    if isinstance(end, Drop):
        return Trace(Outcome.DROPPED, packet, "", tuple(there.hops), (), end)
    back = there.back()
    home = _follow(back, _answered(back, end))
    drop = home if isinstance(home, Drop) else None
    outcome = Outcome.DROPPED if drop else Outcome.LEFT if end.kind == "external" else Outcome.DELIVERED
    return Trace(outcome, packet, end.name, tuple(there.hops), tuple(back.hops), drop)


def _answered(back: Walk, end: Delivered) -> Step:
    """Where the answer begins."""
    if end.kind == "router":
        return router.answer(back, end.at)
    if end.kind == "port":
        return edge.leave(back, end.at)
    destination, network_id = back.packet.destination, end.at["id"]
    subnets = back.world.by("subnet", "network_id", network_id)
    back.hop(Stage.OUTSIDE, f"network/{network_id}", "answered from outside")
    if back.last_gateway is None or any(graph.within(destination, each["cidr"]) for each in subnets):
        return Switched(network_id, destination)
    # The source was not translated, so the outside must have a route to it, by the router that it saw it come from.
    back.passed(network_id)
    return Arrived(back.last_gateway)


def _from_outside(world: World, question: Question) -> tuple[Walk, Step]:
    """A packet that a host outside sends: on the external network of its destination, else by a router to what is
    behind it."""
    destination = question.destination
    external = [network for network in world.all("network") if network.get("external_to")]
    for network in sorted(external, key=lambda each: str(each["id"])):
        for subnet in world.by("subnet", "network_id", network["id"]):
            if graph.within(destination, subnet["cidr"]):
                walk = Walk(world, question.packet(question.source or _outsider(subnet)))
                return walk, _came_in(walk, network) or Switched(network["id"], destination)
    found = _router_before(world, question)
    if found is None:
        walk = Walk(world, question.packet(question.source or ("::" if ":" in destination else "0.0.0.0")))
        why = f"{destination} is on no external network, and behind no router that has a gateway to one"
        return walk, walk.drop(Reason.NO_ROUTE, "external", why, (), "give its router a gateway to an external network")
    gateway, subnet = found
    network = world.get("network", gateway["network_id"]) or {}
    walk = Walk(world, question.packet(question.source or _outsider(subnet)))
    return walk, _came_in(walk, network) or Arrived(gateway)


def _outsider(subnet: Record) -> str:
    """A host outside: whoever is the gateway of an external subnet, the last address where there is none."""
    return str(subnet.get("gateway_ip") or graph.prefix(subnet["cidr"])[-2])


def _came_in(walk: Walk, network: Record) -> Drop | None:
    resource = f"network/{network['id']}"
    if not graph.is_up(network):
        return walk.drop(
            Reason.NETWORK_DOWN,
            resource,
            f"network {network['id']} is administratively down",
            (up("network", network),),
        )
    if not graph.physical_network(network):
        why = f"external network {network['id']} is on no physical network, so nobody outside is on it"
        return walk.drop(Reason.NO_PHYSICAL_NETWORK, resource, why, (), "make it with provider:physical_network")
    walk.passed(network["id"])
    walk.hop(Stage.OUTSIDE, resource, "sent by a host outside")
    return None


def _router_before(world: World, question: Question) -> tuple[Record, Record] | None:
    """The gateway port of a router with a subnet that holds an address, and the gateway's subnet of that IP version.

    Of several such routers one of the project that is asked for, and one behind which somebody has the address.
    """
    destination, found = question.destination, []
    for each in world.all("router"):
        gateway = graph.gateway_port(world, each)
        if gateway is None or (question.project and each.get("project_id") != question.project):
            continue
        outer = [own for own in graph.subnets(world, gateway) if (":" in own["cidr"]) == (":" in destination)]
        for port in graph.inside_ports(world, each):
            inner = any(graph.within(destination, subnet["cidr"]) for subnet in graph.subnets(world, port))
            if inner and outer:
                empty = graph.holder(world, port["network_id"], destination) is None
                found.append((empty, str(each["id"]), gateway, outer[0]))
    if not found:
        return None
    _, _, gateway, subnet = min(found, key=lambda item: item[:2])
    return gateway, subnet


def _ask_dhcp(world: World, question: Question, port: Record) -> Trace:
    """An instance asks its network's DHCP server for its address."""
    server_port, client_port, source = _TO_DHCP[question.destination]
    version = 6 if ":" in question.destination else 4
    packet = Packet(
        source or link_local(port["mac_address"].lower()), question.destination, UDP, client_port, server_port
    )
    walk = Walk(world, packet)
    wrong = edge.not_working(walk, port) or edge.judge(walk, port, "egress")
    if wrong is not None:
        return _told(walk, wrong)
    subnets = [each for each in graph.subnets(world, port) if (":" in each["cidr"]) == (version == 6)]
    server = graph.dhcp_port(world, port["network_id"])
    served = [each for each in subnets if each.get("enable_dhcp", True) and _answers(each)]
    has_address = {ip["subnet_id"] for ip in (server or {}).get("fixed_ips") or ()}
    drop = None
    if server is None or not any(each["id"] in has_address for each in served):
        drop = _no_dhcp(walk, port, version, subnets)
    if server is not None and drop is None:
        drop = edge.not_working(walk, server)
    if server is None or drop is not None:
        return _told(walk, drop or _no_dhcp(walk, port, version, subnets))
    walk.hop(Stage.SERVICE, f"port/{server['id']}", "answered by the network's DHCP server")
    back = Walk(world, Packet(graph.addresses(server)[0], packet.source, UDP, server_port, client_port), Way.BACK)
    drop = edge.judge(back, port, "ingress")
    outcome = Outcome.DELIVERED if drop is None else Outcome.DROPPED
    return Trace(outcome, str(packet), f"port/{server['id']}", tuple(walk.hops), tuple(back.hops), drop)


def _answers(subnet: Record) -> bool:
    """Whether a DHCP server has something to say on a subnet: always by IPv4, by IPv6 in two of its modes."""
    if ":" not in subnet["cidr"]:
        return True
    return subnet.get("ipv6_address_mode") in ("dhcpv6-stateful", "dhcpv6-stateless")


def _no_dhcp(walk: Walk, port: Record, version: int, subnets: list[Record]) -> Drop:
    why = f"no IPv{version} subnet of port {port['id']} is served by DHCP"
    off = [each for each in subnets if not each.get("enable_dhcp", True)]
    changes = tuple(
        Change("update", "subnet", each["id"], {"enable_dhcp": True}, f"enable DHCP on subnet {each['id']}")
        for each in off[:1]
    )
    resource = f"subnet/{subnets[0]['id']}" if subnets else f"port/{port['id']}"
    return walk.drop(Reason.NO_DHCP, resource, why, changes, "" if changes else "configure the address by hand")
