"""A small cloud to compile: says what a tenant would ask for, and gives the journal that the API would write."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any

from kaon.world.addresses import link_local
from kaon.world.world import Change

HOST = "host1"


def named(text: str) -> str:
    """The same id for the same name, always."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, text))


class Cloud:
    """Records by kind and id; every method that changes them returns nothing and adds to `changes`."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], dict[str, Any]] = {}
        self.changes: list[Change] = []
        self._macs = 0

    def put(self, kind: str, id: str, **attributes: Any) -> str:
        before = self.records.get((kind, id))
        after = {**(before or {"id": id}), **attributes}
        self.records[kind, id] = after
        self.changes.append(Change(kind, id, before, after, len(self.changes) + 1))
        return id

    def delete(self, kind: str, id: str) -> None:
        before = self.records.pop((kind, id))
        self.changes.append(Change(kind, id, before, None, len(self.changes) + 1))

    def take(self) -> list[Change]:
        """The changes since the last time."""
        changes, self.changes = self.changes, []
        return changes

    def network(self, name: str, zone: int, *cidrs: str, **attributes: Any) -> str:
        """A network with a subnet for each prefix, gateway the first address; IPv6 ones by SLAAC."""
        network = self.put("network", named(name), zone=zone, **{"mtu": 1500, "admin_state_up": True, **attributes})
        for cidr in cidrs:
            self.subnet(network, cidr)
        return network

    def subnet(self, network: str, cidr: str, **attributes: Any) -> str:
        prefix = ipaddress.ip_network(cidr)
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if prefix.version == 6 else {}
        defaults = {"gateway_ip": str(prefix[1]), "enable_dhcp": True, "host_routes": [], "dns_nameservers": []}
        values = {"network_id": network, "cidr": cidr, **defaults, **modes, **attributes}
        return self.put("subnet", named(f"{network} {cidr}"), **values)

    def subnets(self, network: str) -> list[dict[str, Any]]:
        return [r for (kind, _), r in self.records.items() if kind == "subnet" and r["network_id"] == network]

    def port(self, name: str, network: str, *addresses: str, **attributes: Any) -> str:
        """A port; an address given with a trailing ``::`` becomes the one that SLAAC makes of its MAC address."""
        self._macs += 1
        mac = f"fa:16:3e:00:{self._macs // 256:02x}:{self._macs % 256:02x}"
        fixed_ips = []
        for address in addresses:
            if address.endswith("::"):
                suffix = int(ipaddress.IPv6Address(link_local(mac))) & (2**64 - 1)
                address = str(ipaddress.IPv6Address(int(ipaddress.IPv6Address(address)) | suffix))
            subnet = next(
                subnet
                for subnet in self.subnets(network)
                if ipaddress.ip_address(address) in ipaddress.ip_network(subnet["cidr"])
            )
            fixed_ips.append({"subnet_id": subnet["id"], "ip_address": address})
        defaults = {"admin_state_up": True, "security_groups": [], "port_security_enabled": True, "device_owner": ""}
        values = {"network_id": network, "mac_address": mac, "fixed_ips": fixed_ips, **defaults, **attributes}
        return self.put("port", named(name), **values)

    def attach(self, port: str, netns: str = "", **attributes: Any) -> str:
        values = {"port_id": port, "host": HOST, "netns": netns, "ifname": "eth0", "tap": "", **attributes}
        return self.put("attachment", port, **values)

    def dhcp(self, network: str, *addresses: str) -> str:
        return self.port(f"dhcp {network}", network, *addresses, device_owner="network:dhcp")

    def group(self, name: str, *rules: dict[str, Any]) -> str:
        group = self.put("security_group", named(name), name=name)
        for rule in rules:
            self.rule(group, **rule)
        return group

    def rule(self, group: str, direction: str, ethertype: str = "IPv4", **attributes: Any) -> str:
        id = named(f"{group} {direction} {ethertype} {sorted(attributes.items())}")
        values = {"security_group_id": group, "direction": direction, "ethertype": ethertype, **attributes}
        return self.put("security_group_rule", id, **values)

    def default_group(self, name: str) -> str:
        """The group that each project starts with: everything out, in from members only."""
        group = self.group(name, {"direction": "egress"}, {"direction": "egress", "ethertype": "IPv6"})
        for ethertype in ("IPv4", "IPv6"):
            self.rule(group, "ingress", ethertype, remote_group_id=group)
        return group

    def router(self, name: str, **attributes: Any) -> str:
        return self.put("router", named(name), **{"admin_state_up": True, "routes": [], **attributes})

    def interface(self, router: str, network: str, *addresses: str, gateway: bool = False) -> str:
        owner = "network:router_gateway" if gateway else "network:router_interface"
        return self.port(f"{router} {network} {addresses}", network, *addresses, device_id=router, device_owner=owner)

    def gateway(self, router: str, network: str, *addresses: str, enable_snat: bool = True) -> str:
        self.put("router", router, external_gateway_info={"network_id": network, "enable_snat": enable_snat})
        return self.interface(router, network, *addresses, gateway=True)

    def floatingip(self, address: str, router: str, port: str, fixed: str) -> str:
        values = {"floating_ip_address": address, "router_id": router, "port_id": port, "fixed_ip_address": fixed}
        return self.put("floatingip", named(address), **values)
