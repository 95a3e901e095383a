"""DHCP and DNS of a network: dnsmasq in the network's namespace, on the interface of the network's DHCP port."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.facts import NetworkTerms
from kaon.compile.metadata import METADATA_ADDRESS
from kaon.compile.view import View
from kaon.rows import Address, DhcpHost, DhcpServer, Netns, Route, Row, Sysctl, row
from kaon.world.world import Record

# Addresses come from the API alone, and are unique there: waiting for duplicate address detection serves nobody.
NAMESPACE_SYSCTLS = {
    "net/ipv6/conf/all/accept_ra": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
}


def network_rows(view: View, network_id: str) -> Iterator[Row]:
    """The namespace and the server of a network whose DHCP port is realised on this host."""
    port_id = view.fact(facts.dhcp_port, network_id)
    port = view.get("port", port_id) if port_id else None
    network = view.fact(facts.network_terms, network_id)
    if port is None or network is None:
        return
    origin = f"network/{network_id}"
    netns = names.network_netns(network_id)
    yield row(Netns(), netns, origin=origin)
    for name, value in NAMESPACE_SYSCTLS.items():
        yield row(Sysctl(value), netns, name, origin=origin)
    served = view.fact(facts.served_subnets, network_id)
    own = {ip["subnet_id"]: ip["ip_address"] for ip in port.get("fixed_ips") or ()}
    subnets = view.by("subnet", "network_id", network_id)
    for subnet in subnets:
        if subnet["id"] in own:
            yield from _interface_rows(netns, own[subnet["id"]], subnet, f"port/{port_id}")
    if view.config.metadata:
        yield row(Address(), netns, names.DHCP_DEVICE, f"{METADATA_ADDRESS}/32", origin=f"port/{port_id}")
    if served and network.up:
        answered = [subnet for subnet in subnets if subnet["id"] in served and subnet["id"] in own]
        options = tuple(_options(view, network, answered, own))
        yield row(DhcpServer(options, tuple(_options_v6(view, network, answered, own))), netns, origin=origin)


def _interface_rows(netns: str, address: str, subnet: Record, origin: str) -> Iterator[Row]:
    prefix = ipaddress.ip_network(subnet["cidr"])
    yield row(Address(), netns, names.DHCP_DEVICE, f"{address}/{prefix.prefixlen}", origin=origin)
    gateway = subnet.get("gateway_ip")
    if gateway and ipaddress.ip_address(gateway) in prefix:
        # The way to the DNS servers that are asked for names of the world outside.
        default = "0.0.0.0/0" if prefix.version == 4 else "::/0"
        yield row(Route(gateway, names.DHCP_DEVICE), netns, default, origin=origin)


def _options(view: View, network: NetworkTerms, subnets: list[Record], own: dict[str, str]) -> Iterator[str]:
    """The configuration of dnsmasq (dnsmasq(8)): the server answers known ports only, each on its subnets' terms."""
    yield f"interface={names.DHCP_DEVICE}"
    yield "except-interface=lo"
    yield "bind-dynamic"
    yield "no-hosts"
    yield "no-resolv"
    for server in view.config.dns_servers:
        yield f"server={server}"
    yield f"domain={network.domain}"
    yield f"local=/{network.domain}/"
    yield "dhcp-authoritative"
    for subnet in subnets:
        prefix = ipaddress.ip_network(subnet["cidr"])
        if prefix.version == 4:
            tag, address = _tag(subnet), own[subnet["id"]]
            yield f"dhcp-range=set:{tag},{prefix.network_address},static,{prefix.netmask},{view.config.lease_seconds}s"
            yield from _options_v4(view, network, subnet, tag, address)


def _options_v6(view: View, network: NetworkTerms, subnets: list[Record], own: dict[str, str]) -> Iterator[str]:
    """The configuration of the dnsmasq for DHCPv6. It keeps no leases: an address belongs to a port, not to a DUID."""
    answered = [subnet for subnet in subnets if _dhcpv6(subnet)]
    if answered:
        yield f"interface={names.DHCP_DEVICE}"
        yield "except-interface=lo"
        yield "bind-dynamic"
        yield f"domain={network.domain}"
    for subnet in answered:
        tag, prefix = _tag(subnet), ipaddress.ip_network(subnet["cidr"])
        lease = f"{view.config.lease_seconds}s"
        yield f"dhcp-range=set:{tag},{prefix.network_address},static,{prefix.prefixlen},{lease}"
        servers = subnet.get("dns_nameservers") or [own[subnet["id"]]]
        yield f"dhcp-option=tag:{tag},option6:dns-server," + ",".join(f"[{server}]" for server in servers)
        yield f"dhcp-option=tag:{tag},option6:domain-search,{network.domain}"


def _tag(subnet: Record) -> str:
    return f"subnet-{subnet['id'][:8]}"


def _dhcpv6(subnet: Record) -> bool:
    """Whether DHCPv6 says anything on an IPv6 subnet: addresses (stateful) or only options (stateless)."""
    return (subnet.get("ipv6_address_mode") or "") in ("dhcpv6-stateful", "dhcpv6-stateless")


def _options_v4(view: View, network: NetworkTerms, subnet: Record, tag: str, address: str) -> Iterator[str]:
    option = f"dhcp-option=tag:{tag},option:"
    gateway = subnet.get("gateway_ip")
    yield f"{option}router,{gateway}" if gateway else f"{option}router"
    servers = subnet.get("dns_nameservers") or [address]
    # 0.0.0.0 as a subnet's only DNS server means that instances are told of none.
    yield f"{option}dns-server" + ("" if servers == ["0.0.0.0"] else "," + ",".join(servers))
    routes = [(route["destination"], route["nexthop"]) for route in subnet.get("host_routes") or ()]
    if view.config.metadata and not any(destination == f"{METADATA_ADDRESS}/32" for destination, _ in routes):
        routes.append((f"{METADATA_ADDRESS}/32", address))
    if gateway and routes:
        # A client that takes classless routes ignores the router option (RFC 3442).
        routes.append(("0.0.0.0/0", gateway))
    if routes:
        text = ",".join(f"{destination},{nexthop}" for destination, nexthop in routes)
        yield f"{option}classless-static-route,{text}"
        yield f"dhcp-option=tag:{tag},249,{text}"
    yield f"{option}mtu,{network.mtu}"


def port_rows(view: View, port: Record) -> Iterator[Row]:
    """A port as the DHCP server of its network knows it."""
    network = view.fact(facts.network_terms, port["network_id"])
    if facts.is_service(port) or network is None or not view.fact(facts.dhcp_port, port["network_id"]):
        return
    served = view.fact(facts.served_subnets, port["network_id"])
    addresses = tuple(ip["ip_address"] for ip in port.get("fixed_ips") or () if ip["subnet_id"] in served)
    if not addresses:
        return
    host = DhcpHost(
        port["mac_address"].lower(),
        addresses,
        _names(port, addresses[0], network.domain, view.config.dns_domain.rstrip(".")),
        tuple(_port_options(port)),
    )
    yield row(host, names.network_netns(port["network_id"]), port["id"], origin=f"port/{port['id']}")


def _names(port: Record, address: str, *domains: str) -> tuple[str, ...]:
    """What a port is called: its own name or one by its address, alone and in each domain that it is known in."""
    name = port.get("dns_name") or "host-" + address.replace(".", "-").replace(":", "-")
    published = (port.get("published_domain") or "").rstrip(".")
    if name.endswith("."):
        # A whole name is one in the cloud's domain, the last of these.
        name = name[:-1].removesuffix(f".{domains[-1]}")
    return tuple(dict.fromkeys((name, *(f"{name}.{domain}" for domain in (published, *domains) if domain))))


def _port_options(port: Record) -> Iterator[str]:
    for option in port.get("extra_dhcp_opts") or ():
        name, value = str(option["opt_name"]), str(option.get("opt_value") or "")
        if not (name + value).isprintable():
            continue  # A line break would be an option of the tenant's own making.
        prefix = "option6" if str(option.get("ip_version") or 4) == "6" else "option"
        bare = name.isdecimal() and prefix == "option"
        yield ",".join(part for part in (name if bare else f"{prefix}:{name}", value) if part)
