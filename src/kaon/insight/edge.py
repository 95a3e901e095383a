"""Where a packet enters and leaves the network: an instance's port, what filters it, and the instance's own routes."""

from __future__ import annotations

from kaon.insight import graph, security
from kaon.insight.answer import Change, Drop, Reason, Stage, Way
from kaon.insight.graph import METADATA, within
from kaon.insight.packet import ICMP, ICMPV6, TCP
from kaon.insight.walk import Arrived, Delivered, Outside, Step, Switched, Walk, up
from kaon.world.world import Record


def not_working(walk: Walk, port: Record) -> Drop | None:
    """Why a port carries nothing, None when it does."""
    resource = f"port/{port['id']}"
    network = walk.world.get("network", port["network_id"])
    if network is not None and not graph.is_up(network):
        why = f"network {network['id']} is administratively down"
        return walk.drop(Reason.NETWORK_DOWN, f"network/{network['id']}", why, (up("network", network),))
    if not graph.is_up(port):
        why = f"port {port['id']} is administratively down"
        return walk.drop(Reason.PORT_DOWN, resource, why, (up("port", port),))
    if not graph.is_service(port) and not graph.is_attached(walk.world, port):
        why = f"port {port['id']} is attached to no host"
        change = Change("attach", "port", port["id"], {}, f"attach it: kaon attach {port['id']}")
        return walk.drop(Reason.NOT_ATTACHED, resource, why, (change,))
    return None


def leave(walk: Walk, port: Record) -> Step:
    """A packet leaves an instance (or a DHCP server) by its port."""
    wrong = not_working(walk, port) or _spoofs(walk, port) or judge(walk, port, "egress")
    if wrong is not None:
        return wrong
    target = next_hop(walk, port)
    return target if isinstance(target, Drop) else Switched(port["network_id"], target)


def _spoofs(walk: Walk, port: Record) -> Drop | None:
    """Why port security drops a packet for what it says of its sender."""
    resource, source = f"port/{port['id']}", walk.packet.source
    if not security.is_filtered(port):
        if not graph.is_service(port):
            walk.hop(Stage.PORT, resource, "sent; port security is off")
        return None
    if security.plays_dhcp_server(walk.packet):
        return walk.drop(
            Reason.PLAYS_DHCP_SERVER,
            resource,
            f"port {port['id']} sends what only a DHCP server sends",
            (_off(port),),
        )
    if not security.may_send_from(port, source):
        pairs = [*(port.get("allowed_address_pairs") or ()), {"ip_address": source}]
        text = f"allow the address pair {source} on port {port['id']}"
        change = Change("update", "port", port["id"], {"allowed_address_pairs": pairs}, text)
        why = f"{source} is neither a fixed address of port {port['id']} nor an allowed address pair of it"
        return walk.drop(Reason.FOREIGN_SOURCE, resource, why, (change,))
    walk.hop(Stage.PORT, resource, "sent from an address of its own")
    return None


def _off(port: Record) -> Change:
    attributes = {"port_security_enabled": False, "security_groups": []}
    return Change("update", "port", port["id"], attributes, f"switch port security of port {port['id']} off")


def judge(walk: Walk, port: Record, direction: str) -> Drop | None:
    """What the security groups of a port say of a packet that it sends (egress) or is to receive (ingress)."""
    if not security.is_filtered(port):
        return None
    stage = Stage.EGRESS if direction == "egress" else Stage.INGRESS
    resource, packet, held = f"port/{port['id']}", walk.packet, security.groups(port)
    if security.is_configuration(packet, direction):
        walk.hop(stage, resource, "address configuration needs no rule")
        return None
    if not held:
        changes = security.missing_rule(walk.world, port, direction, packet, answer=walk.way is Way.BACK)
        why = f"port {port['id']} has no security group: nothing but address configuration passes"
        advice = "" if changes else "give it a security group that admits this"
        return walk.drop(Reason.NO_SECURITY_GROUP, resource, why, changes, advice)
    if security.is_stateful(walk.world, port):
        if walk.answers(port["network_id"]):
            walk.hop(stage, resource, "passes as the answer of a connection")
            return None
        if walk.way is Way.BACK and packet.protocol in (TCP, ICMP, ICMPV6):
            why = f"port {port['id']} gets the answer of a connection whose beginning its network has not seen"
            advice = "lead both ways through the same networks, or use stateless groups"
            return walk.drop(Reason.NO_CONNECTION, resource, why, (), advice)
    rule = security.admitting_rule(walk.world, held, direction, packet)
    if rule is None:
        reason = Reason.NO_EGRESS_RULE if direction == "egress" else Reason.NO_INGRESS_RULE
        state = "" if security.is_stateful(walk.world, port) else " (they are stateless: answers need rules too)"
        why = f"no {direction} rule of port {port['id']}'s security groups admits {packet}{state}"
        changes = security.missing_rule(walk.world, port, direction, packet, answer=walk.way is Way.BACK)
        return walk.drop(reason, resource, why, changes)
    walk.hop(stage, resource, f"admitted by a rule of group {rule['security_group_id']}", _named(rule))
    return None


def _named(rule: Record) -> str:
    return f"security_group_rule/{rule['id']}"


def next_hop(walk: Walk, port: Record) -> str | Drop:
    """Whom an instance gives a packet to: the routes that the API has for it, longest prefix first."""
    destination = walk.packet.destination
    subnets = [each for each in graph.subnets(walk.world, port) if (":" in each["cidr"]) == (":" in destination)]
    # Of several ways out of equal length the one that the source's own subnet has.
    subnets.sort(key=lambda each: not within(walk.packet.source, each["cidr"]))
    ways = [(each["cidr"], destination) for each in subnets]
    if destination.startswith("fe80:"):
        return destination
    for subnet in subnets:
        if subnet.get("enable_dhcp", True):
            ways += [(route["destination"], route["nexthop"]) for route in subnet.get("host_routes") or ()]
            ways += _to_metadata(walk, subnet)
    ways += [
        ("::/0" if ":" in destination else "0.0.0.0/0", via) for each in subnets if (via := each.get("gateway_ip"))
    ]
    own = graph.addresses(port)
    fitting = [(to, via) for to, via in ways if within(destination, to) and (via == destination or via not in own)]
    found = max(fitting, key=lambda way: graph.prefix(way[0]).prefixlen, default=None)
    if found is not None:
        return found[1]
    resource = f"subnet/{subnets[0]['id']}" if subnets else f"port/{port['id']}"
    if not subnets:
        why = f"port {port['id']} has no address of IPv{walk.packet.version}, so it knows no way to {destination}"
        return walk.drop(Reason.NO_ADDRESS, resource, why, (), "give the port an address of that IP version")
    why = f"{destination} is not on subnet {subnets[0]['cidr']}, and the subnet has no gateway"
    return walk.drop(Reason.NO_GATEWAY, resource, why, (), f"set gateway_ip of {resource}, and join it to a router")


def _to_metadata(walk: Walk, subnet: Record) -> list[tuple[str, str]]:
    """The route to the metadata service that DHCP gives along, by the DHCP server's address on the subnet."""
    server = graph.dhcp_port(walk.world, subnet["network_id"])
    fixed = (server or {}).get("fixed_ips") or ()
    return [(f"{METADATA}/32", ip["ip_address"]) for ip in fixed if ip["subnet_id"] == subnet["id"]]


def arrive(walk: Walk, port: Record) -> Step:
    """A packet comes to a port that is none of a router's."""
    wrong = not_working(walk, port)
    if wrong is not None:
        return wrong
    if graph.is_service(port):
        return _serve(walk, port)
    wrong = judge(walk, port, "ingress")
    if wrong is not None:
        return wrong
    resource = f"port/{port['id']}"
    if walk.packet.destination in graph.addresses(port):
        walk.hop(Stage.PORT, resource, "received")
    else:
        walk.hop(Stage.PORT, resource, "received, for an address that the instance may use or route to")
    return Delivered("port", port)


def _serve(walk: Walk, port: Record) -> Step:
    """A packet comes to a network's DHCP server, which has metadata and DNS too."""
    destination, resource = walk.packet.destination, f"port/{port['id']}"
    server = graph.dhcp_port(walk.world, port["network_id"])
    if server is None or server["id"] != port["id"]:
        why = f"port {port['id']} ({graph.owner_of(port)}) is of no service that runs"
        return walk.drop(Reason.NOBODY_THERE, resource, why, (), "attach a port to its network, which DHCP then serves")
    if destination == METADATA:
        walk.hop(Stage.SERVICE, resource, "answered by the metadata service of the network")
    elif destination in graph.addresses(port):
        walk.hop(Stage.SERVICE, resource, "received by the network's DHCP and DNS server")
    else:
        why = f"port {port['id']} is the network's DHCP server, and forwards nothing"
        return walk.drop(Reason.NO_FORWARDING, resource, why, (), "name a router as the next hop")
    return Delivered("port", port)


def switch(walk: Walk, at: Switched) -> Step:
    """A packet crosses a network to whoever has the address that it is given to there."""
    world, network = walk.world, walk.world.get("network", at.network_id)
    resource = f"network/{at.network_id}"
    walk.passed(at.network_id)
    floating = graph.floating_ip(world, at.network_id, at.target)
    if floating is not None:
        return _to_floating_ip(walk, floating, resource)
    port = graph.holder(world, at.network_id, at.target)
    if port is not None:
        walk.hop(Stage.NETWORK, resource, f"switched to {at.target}")
        return Arrived(port)
    physical = graph.physical_network(network or {})
    if physical:
        walk.hop(Stage.NETWORK, resource, f"{at.target} is no port's: out by physical network {physical}")
        return Outside(at.network_id)
    subnet = next(
        (each for each in world.by("subnet", "network_id", at.network_id) if each.get("gateway_ip") == at.target), None
    )
    if subnet is not None and (at.target != walk.packet.destination):
        return _no_router(walk, subnet)
    why = f"nobody on network {at.network_id} has {at.target}"
    return walk.drop(Reason.NOBODY_THERE, resource, why, (), "see which address the other side has")


def _to_floating_ip(walk: Walk, floating: Record, resource: str) -> Step:
    address, id = floating["floating_ip_address"], floating["id"]
    router = walk.world.get("router", floating.get("router_id") or "")
    gateway = graph.gateway_port(walk.world, router) if router is not None else None
    leads = floating.get("fixed_ip_address") or walk.world.by("port_forwarding", "floatingip_id", id)
    if not leads or gateway is None:
        what = "has no port" if not floating.get("port_id") else "has no router on the way to its port"
        why = f"floating IP {address} {what}"
        advice = f"associate floating IP {id} with a port whose subnet is joined to a router with a gateway"
        return walk.drop(Reason.FLOATING_IP_UNASSOCIATED, f"floatingip/{id}", why, (), advice)
    walk.hop(Stage.NETWORK, resource, f"switched to the router that has floating IP {address}", f"floatingip/{id}")
    return Arrived(gateway)


def _no_router(walk: Walk, subnet: Record) -> Drop:
    why = f"{subnet['gateway_ip']}, the gateway of subnet {subnet['id']}, is nobody's: no router is joined to it"
    own = [each for each in walk.world.all("router") if each.get("project_id") == subnet.get("project_id")]
    if not own:
        advice = f"make a router, and join subnet {subnet['id']} to it"
        return walk.drop(Reason.NO_ROUTER, f"subnet/{subnet['id']}", why, (), advice)
    router = min(own, key=lambda each: str(each["id"]))
    text = f"join subnet {subnet['id']} to router {router['id']}"
    change = Change("add_router_interface", "router", router["id"], {"subnet_id": subnet["id"]}, text)
    return walk.drop(Reason.NO_ROUTER, f"subnet/{subnet['id']}", why, (change,))
