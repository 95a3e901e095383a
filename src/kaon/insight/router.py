"""What a router does with a packet: translation, routes, and what it does not let in from outside."""

from __future__ import annotations

from kaon.insight import graph
from kaon.insight.answer import Change, Drop, Reason, Stage, Way
from kaon.insight.edge import not_working
from kaon.insight.graph import METADATA, Route, within
from kaon.insight.packet import Packet
from kaon.insight.walk import Delivered, Step, Switched, Walk, up
from kaon.ip_protocols import NUMBERS
from kaon.world.world import Record, World


def enter(walk: Walk, port: Record) -> Step:
    """A packet comes to a router by one of its ports."""
    router, gateway = walk.world.get("router", port["device_id"]), None
    if router is not None:
        gateway = graph.gateway_port(walk.world, router)
    if router is None or (graph.owner_of(port) == graph.GATEWAY and (gateway or {}).get("id") != port["id"]):
        why = f"port {port['id']} is a gateway beside its router's first one, by which alone the router works"
        return walk.drop(Reason.NOBODY_THERE, f"port/{port['id']}", why)
    wrong = _not_working(walk, router, port)
    if wrong is not None:
        return wrong
    original = walk.packet
    known = _known(walk, router)
    if known is not None:
        _translate(walk, router, known, "answer", "")
    else:
        _to_instance(walk, router, gateway)
    changed = walk.packet.destination != original.destination
    if _is_own(walk, router, gateway):
        what = "answered by the metadata service" if walk.packet.destination == METADATA else "received by the router"
        walk.hop(Stage.ROUTER, f"router/{router['id']}", what)
        return Delivered("router", router)
    forwarder = _forwarder(walk, router) if gateway is not None else None
    if forwarder is not None:
        what = f"received by the router: {walk.packet.destination} forwards other ports"
        walk.hop(Stage.ROUTER, f"router/{router['id']}", what, f"floatingip/{forwarder['id']}")
        return Delivered("router", router)
    if (
        gateway is not None
        and gateway["id"] == port["id"]
        and walk.packet.version == 4
        and known is None
        and not changed
        and _source_nat(router)
    ):
        return _private(walk, router, gateway)
    return _forward(walk, router, gateway, original, known is None)


def answer(walk: Walk, router: Record) -> Step:
    """A router answers a packet that was for itself."""
    return _forward(walk, router, None, walk.packet, False)


def _not_working(walk: Walk, router: Record, port: Record) -> Drop | None:
    if not graph.is_up(router):
        why = f"router {router['id']} is administratively down"
        return walk.drop(Reason.ROUTER_DOWN, f"router/{router['id']}", why, (up("router", router),))
    return not_working(walk, port)


def _source_nat(router: Record) -> bool:
    return bool((router.get("external_gateway_info") or {}).get("enable_snat", True))


def _known(walk: Walk, router: Record) -> Packet | None:
    """What an answer becomes in a router that has seen the packet which it answers."""
    if walk.way is Way.THERE:
        return None
    before = walk.translated.get((router["id"], walk.packet.reply))
    return None if before is None else before.reply


def _translate(walk: Walk, router: Record, packet: Packet, what: str, because: str) -> None:
    if packet != walk.packet:
        walk.packet = packet
        walk.hop(Stage.NAT, f"router/{router['id']}", what, because)


def _floating_ips(walk: Walk, router: Record) -> list[Record]:
    found = walk.world.by("floatingip", "router_id", router["id"])
    return [floating for floating in found if floating.get("fixed_ip_address")]


def _to_instance(walk: Walk, router: Record, gateway: Record | None) -> None:
    """What is for a floating IP is for the instance behind it; or, by the port, for one of several."""
    for floating in _floating_ips(walk, router) if gateway is not None else ():
        if floating["floating_ip_address"] == walk.packet.destination:
            fixed = walk.packet._replace(destination=floating["fixed_ip_address"])
            _translate(walk, router, fixed, "floating IP to fixed address", f"floatingip/{floating['id']}")
            return
    forwarder = _forwarder(walk, router) if gateway is not None else None
    for forwarding in walk.world.by("port_forwarding", "floatingip_id", forwarder["id"]) if forwarder else ():
        outer, inner = _first(forwarding["external_port_range"]), _first(forwarding["internal_port_range"])
        last = _last(forwarding["external_port_range"])
        if NUMBERS.get(forwarding["protocol"]) == walk.packet.protocol and outer <= walk.packet.port <= last:
            # A range leads to one of as many ports, or all of it to one port.
            distance = walk.packet.port - outer if _last(forwarding["internal_port_range"]) != inner else 0
            there = walk.packet._replace(destination=forwarding["internal_ip_address"], port=inner + distance)
            _translate(walk, router, there, "port forwarded", f"port_forwarding/{forwarding['id']}")
            return


def _forwarder(walk: Walk, router: Record) -> Record | None:
    """The floating IP that the packet is for, where only its ports lead further."""
    found = walk.world.by("floatingip", "router_id", router["id"])
    mine = (each for each in found if each["floating_ip_address"] == walk.packet.destination)
    return next((each for each in mine if not each.get("fixed_ip_address")), None)


def _first(span: str) -> int:
    return int(span.partition(":")[0])


def _last(span: str) -> int:
    return int(span.rpartition(":")[2])


def _is_own(walk: Walk, router: Record, gateway: Record | None) -> bool:
    inside = graph.inside_ports(walk.world, router)
    if walk.packet.destination == METADATA:
        return bool(inside)
    ports = [*inside, *([gateway] if gateway is not None else [])]
    return any(walk.packet.destination in graph.addresses(port) for port in ports)


def _private(walk: Walk, router: Record, gateway: Record) -> Drop:
    destination = walk.packet.destination
    why = f"router {router['id']} hides {destination} behind its own address: from outside only floating IPs lead in"
    has = next((each for each in _floating_ips(walk, router) if each["fixed_ip_address"] == destination), None)
    if has is not None:
        advice = f"send to {has['floating_ip_address']}, the floating IP of {destination}"
        return walk.drop(Reason.PRIVATE_FROM_OUTSIDE, f"router/{router['id']}", why, (), advice)
    route = graph.best(graph.routes(walk.world, router), destination)
    port = graph.holder(walk.world, route.port["network_id"], destination) if route is not None else None
    if port is None:
        return walk.drop(Reason.PRIVATE_FROM_OUTSIDE, f"router/{router['id']}", why, (), "and nobody has that address")
    attributes = {
        "floating_network_id": gateway["network_id"],
        "port_id": port["id"],
        "fixed_ip_address": destination,
    }
    text = f"make a floating IP for port {port['id']}, and send to that"
    change = Change("create", "floatingip", "", attributes, text)
    return walk.drop(Reason.PRIVATE_FROM_OUTSIDE, f"router/{router['id']}", why, (change,))


def _forward(walk: Walk, router: Record, gateway: Record | None, original: Packet, fresh: bool) -> Step:
    """Route a packet, and translate its source where a new connection needs it."""
    resource = f"router/{router['id']}"
    route = graph.best(graph.routes(walk.world, router), walk.packet.destination)
    if route is None:
        return _no_route(walk, router)
    via = route.via or walk.packet.destination
    walk.hop(Stage.ROUTER, resource, _told(route), route.said_by)
    if fresh and gateway is not None and walk.packet.version == 4:
        _from_floating_address(walk, router, gateway, route, walk.packet.destination != original.destination)
    if walk.way is Way.THERE:
        walk.translated[router["id"], walk.packet] = original
        if graph.owner_of(route.port) == graph.GATEWAY:
            walk.last_gateway = route.port
    return _not_working(walk, router, route.port) or Switched(route.port["network_id"], via)


def _told(route: Route) -> str:
    return f"routed to {route.to} via {route.via}" if route.via else f"routed to {route.to}, which is joined to it"


def _from_floating_address(walk: Walk, router: Record, gateway: Record, route: Route, to_floating: bool) -> None:
    """Who speaks from inside to the outside, or to a floating IP, does so from a floating IP or from the gateway's."""
    outwards = route.port["id"] == gateway["id"]
    inside = [
        each["cidr"] for port in graph.inside_ports(walk.world, router) for each in graph.subnets(walk.world, port)
    ]
    source = walk.packet.source
    if not outwards and not (to_floating and any(within(source, cidr) for cidr in inside)):
        return
    for floating in _floating_ips(walk, router):
        if floating["fixed_ip_address"] == source:
            packet = walk.packet._replace(source=floating["floating_ip_address"])
            _translate(walk, router, packet, "fixed address to floating IP", f"floatingip/{floating['id']}")
            return
    own = next((address for address in graph.addresses(gateway) if ":" not in address), "")
    if own and source != own and (not outwards or (_source_nat(router) and not to_floating)):
        _translate(walk, router, walk.packet._replace(source=own), "source to the router's own address", "")


def _no_route(walk: Walk, router: Record) -> Drop:
    destination, resource = walk.packet.destination, f"router/{router['id']}"
    why = f"router {router['id']} has no route to {destination}"
    subnet = _subnet_of(walk.world, router, destination)
    if subnet is not None:
        text = f"join subnet {subnet['id']} ({subnet['cidr']}) to router {router['id']}"
        change = Change("add_router_interface", "router", router["id"], {"subnet_id": subnet["id"]}, text)
        return walk.drop(Reason.NO_ROUTE, resource, why, (change,))
    wanted = {"*", router.get("project_id")}
    outside = next((each for each in walk.world.all("network") if wanted & set(each.get("external_to") or ())), None)
    if graph.gateway_port(walk.world, router) is None and outside is not None:
        text = f"give router {router['id']} a gateway to network {outside['id']}"
        info = {"external_gateway_info": {"network_id": outside["id"]}}
        return walk.drop(Reason.NO_ROUTE, resource, why, (Change("update", "router", router["id"], info, text),))
    return walk.drop(Reason.NO_ROUTE, resource, why, (), f"add a route to {destination} to the router's routes")


def _subnet_of(world: World, router: Record, address: str) -> Record | None:
    """A subnet inside, of the router's project, that holds an address; one where a port has it if there is any."""
    own = [
        subnet
        for subnet in world.all("subnet")
        if subnet.get("project_id") == router.get("project_id")
        and within(address, subnet["cidr"])
        and not (world.get("network", subnet["network_id"]) or {}).get("external_to")
    ]
    own.sort(key=lambda subnet: (graph.holder(world, subnet["network_id"], address) is None, subnet["id"]))
    return own[0] if own else None
