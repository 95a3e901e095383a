"""What an instance reads about itself: the documents of the OpenStack and EC2 metadata formats, as pure functions.

Nova's metadata API reference for the paths and documents; EC2's instance metadata for listings: one name a line, a
folder's with a slash. Every version that is listed serves the same tree.
"""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from kaon.rows import MetadataInstance

OPENSTACK_VERSIONS = ("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22")
EC2_VERSIONS = ("1.0", "2007-01-19", "2007-08-29", "2008-02-01", "2008-09-01", "2009-04-04")

Tree = Mapping[str, "Tree | bytes | str"]


class Guest(NamedTuple):
    """An instance that asks: what is known of it, all of its port's addresses, and the one that it asks from."""

    instance: MetadataInstance
    addresses: Sequence[str]
    asking: str

    @property
    def hostname(self) -> str:
        """Its name; one made from its address, as DNS knows it, when nobody gave it one."""
        return self.instance.hostname or "host-" + self.asking.replace(".", "-").replace(":", "-")

    @property
    def v4(self) -> list[str]:
        """Its IPv4 addresses."""
        return [address for address in self.addresses if ":" not in address]

    @property
    def v6(self) -> list[str]:
        """Its IPv6 addresses but for link-local ones."""
        return [item for item in self.addresses if ":" in item and not ipaddress.ip_address(item).is_link_local]


def document(guest: Guest, path: str) -> tuple[bytes, str] | None:
    """The body and content type at a path, None where there is nothing."""
    parts = [part for part in path.split("/") if part]
    if not parts:
        return _listing([*EC2_VERSIONS, "latest", "openstack/"])
    if parts[0] == "openstack":
        if len(parts) == 1:
            return _listing([*OPENSTACK_VERSIONS, "latest"])
        if parts[1] not in (*OPENSTACK_VERSIONS, "latest"):
            return None
        return _walk(_openstack(guest), parts[2:])
    if parts[0] not in (*EC2_VERSIONS, "latest"):
        return None
    return _walk(_ec2(guest), parts[1:])


def _walk(tree: Tree, parts: Sequence[str]) -> tuple[bytes, str] | None:
    node: Tree | bytes | str = tree
    for part in parts:
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    if isinstance(node, Mapping):
        return _listing([f"{name}/" if isinstance(child, Mapping) else name for name, child in node.items()])
    if isinstance(node, str):
        return node.encode(), "text/plain; charset=utf-8"
    json = bool(parts) and parts[-1].endswith(".json")
    return node, "application/json" if json else "application/octet-stream"


def _listing(names: Sequence[str]) -> tuple[bytes, str]:
    return "\n".join(names).encode(), "text/plain; charset=utf-8"


def _user_data(guest: Guest) -> bytes | None:
    return base64.b64decode(guest.instance.user_data) if guest.instance.user_data else None


def _openstack(guest: Guest) -> Tree:
    instance = guest.instance
    meta_data = {
        "uuid": instance.instance_id,
        "name": guest.hostname.split(".")[0],
        "hostname": guest.hostname,
        "launch_index": 0,
        "availability_zone": "nova",
        "project_id": instance.project_id,
        "meta": {},
        "devices": [],
        # An instance without a source of entropy starts from this; it is another one each time.
        "random_seed": base64.b64encode(os.urandom(512)).decode(),
    }
    tree: dict[str, Tree | bytes | str] = {
        "meta_data.json": msgspec.json.encode(meta_data),
        "network_data.json": msgspec.json.encode(network_data(guest)),
        "vendor_data.json": b"{}",
        "vendor_data2.json": b"{}",
    }
    user_data = _user_data(guest)
    if user_data is not None:
        tree["user_data"] = user_data
    return tree


def network_data(guest: Guest) -> dict[str, object]:
    """The document network_data.json: one link, and how it gets each of its addresses."""
    instance = guest.instance
    link = f"tap{instance.port_id[:11]}"
    networks = [
        {
            "id": f"network{number}",
            "network_id": instance.network_id,
            "type": _configuration(instance.mac, address),
            "link": link,
        }
        for number, address in enumerate((*guest.v4, *guest.v6))
    ]
    return {
        "links": [{"id": link, "vif_id": instance.port_id, "type": "phy", "ethernet_mac_address": instance.mac}],
        "networks": networks,
        "services": [],
    }


def _configuration(mac: str, address: str) -> str:
    """How an instance comes to an address: DHCP, or by itself (an EUI-64 of its MAC address, RFC 4291 appendix A)."""
    if ":" not in address:
        return "ipv4_dhcp"
    octets = bytes.fromhex(mac.replace(":", ""))
    if len(octets) != 6:
        return "ipv6_dhcpv6-stateful"
    eui64 = bytes((octets[0] ^ 2, octets[1], octets[2], 0xFF, 0xFE, *octets[3:]))
    return "ipv6_slaac" if ipaddress.ip_address(address).packed[8:] == eui64 else "ipv6_dhcpv6-stateful"


def _ec2(guest: Guest) -> Tree:
    instance = guest.instance
    interface: dict[str, Tree | bytes | str] = {"device-number": "0", "mac": instance.mac}
    meta_data: dict[str, Tree | bytes | str] = {
        "ami-launch-index": "0",
        "hostname": guest.hostname,
        "instance-id": instance.instance_id,
        "local-hostname": guest.hostname,
        "mac": instance.mac,
        "placement": {"availability-zone": "nova"},
        "public-hostname": guest.hostname,
        "reservation-id": instance.instance_id,
    }
    if guest.v4:
        own = guest.asking if guest.asking in guest.v4 else guest.v4[0]
        meta_data["local-ipv4"] = own
        interface["local-ipv4s"] = "\n".join(guest.v4)
    if guest.v6:
        interface["ipv6s"] = "\n".join(guest.v6)
    if instance.public_ipv4:
        meta_data["public-ipv4"] = instance.public_ipv4
        interface["public-ipv4s"] = instance.public_ipv4
    meta_data["network"] = {"interfaces": {"macs": {instance.mac: interface}}}
    tree: dict[str, Tree | bytes | str] = {"meta-data": dict(sorted(meta_data.items()))}
    user_data = _user_data(guest)
    if user_data is not None:
        tree["user-data"] = user_data
    return tree
