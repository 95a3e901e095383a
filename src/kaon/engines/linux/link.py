"""Links as the kernel tells of them, and the messages that make and change them (linux/if_link.h).

A link of ours carries ``kaon:<origin>`` as its alias, with what cannot be read back from this side of it behind.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from kaon.engines.linux import netlink as nl
from kaon.engines.linux.namespaces import Namespace

NEWLINK, DELLINK, GETLINK = 16, 17, 18
UP = 1
MARK = "kaon:"
FAR = "kaon-far:"
ALIAS_BYTES = 255

_ADDRESS, _IFNAME, _MTU, _MASTER, _LINKINFO, _ALIAS, _AF_SPEC = 1, 3, 4, 10, 18, 20, 26
_GROUP, _NET_NS_FD, _EXT_MASK, _LINK_NETNSID, _IPV6 = 27, 28, 29, 37, 10
_SKIP_STATISTICS = 8
_GEN_MODE_NONE = 1
_IFINFO = struct.Struct("=BxHiII")
_FORWARD_DELAY, _STP, _SNOOPING, _CALL_IP, _CALL_IP6, _SWITCHES = 1, 5, 23, 36, 37, 46
_NO_LINK_LOCAL_LEARNING = 1
_DISABLE_IPV6 = 26 * 4
_TUN_OWNER, _TUN_TYPE, _TUN_VNET_HDR, _TUN_PERSIST = 1, 3, 5, 6
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT, _VXLAN_LOCAL6 = 1, 4, 7, 15, 17
_VXLAN_UDP_PORT = 4789
_SLAVE_KIND, _SLAVE_DATA, _PORT_LEARNING, _PORT_PROXYARP_WIFI = 4, 5, 8, 12


class Link(NamedTuple):
    """One network interface. `fit` is false when a setting that Kaon always makes is not as Kaon makes it."""

    number: int
    name: str
    kind: str
    alias: str
    mtu: int
    mac: str
    up: bool
    master: int
    owner: int
    fit: bool
    vni: int = -1
    local: str = ""

    @property
    def ours(self) -> bool:
        """Whether Kaon made it."""
        return self.alias.startswith(MARK)

    @property
    def words(self) -> list[str]:
        """The alias: origin first, then what its table keeps there."""
        return self.alias.removeprefix(MARK).split(" ")


def parse(body: bytes) -> Link:
    """A link from the body of a NEWLINK or DELLINK message."""
    _, _, index, flags, _ = _IFINFO.unpack_from(body)
    found = nl.attrs(body, _IFINFO.size)
    alias = nl.text(found.get(_ALIAS, b""))
    kind, owner, fit, vni, local = "", -1, True, -1, ""
    if _LINKINFO in found:
        info = nl.attrs(found[_LINKINFO])
        kind = nl.text(info.get(1, b""))
        if alias.startswith(MARK):
            data = nl.attrs(info.get(2, b""))
            if kind == "bridge":
                fit = _bridge_fits(data, found.get(_AF_SPEC, b""))
            elif kind == "tun":
                owner = nl.number(data.get(_TUN_OWNER, b"\xff\xff\xff\xff"))
                fit = data.get(_TUN_VNET_HDR, b"\1") == b"\1"
            elif kind == "vxlan":
                vni = nl.number(data.get(_VXLAN_ID, b""))
                raw = data.get(_VXLAN_LOCAL) or data.get(_VXLAN_LOCAL6)
                local = str(ipaddress.ip_address(raw)) if raw else ""
                fit = _vxlan_fits(data, nl.attrs(info.get(_SLAVE_DATA, b"")))
    return Link(
        index,
        nl.text(found.get(_IFNAME, b"")),
        kind,
        alias,
        nl.number(found.get(_MTU, b"")),
        found.get(_ADDRESS, b"").hex(":"),
        bool(flags & UP),
        nl.number(found.get(_MASTER, b"")),
        -1 if owner == 0xFFFFFFFF else owner,
        fit,
        vni,
        local,
    )


def _bridge_fits(data: dict[int, bytes], families: bytes) -> bool:
    settings = nl.attrs(nl.attrs(families).get(_IPV6, b"")).get(2, b"")
    return (
        not any(data.get(_STP, b""))
        and not any(data.get(_SNOOPING, b""))
        and any(data.get(_CALL_IP, b"\1"))
        and any(data.get(_CALL_IP6, b"\1"))
        and any(data.get(_SWITCHES, b"\1")[:4])
        # Without IPv6 in the kernel there is nothing to switch off.
        and any(settings[_DISABLE_IPV6 : _DISABLE_IPV6 + 4] or b"\1")
    )


def _vxlan_fits(data: dict[int, bytes], port: dict[int, bytes]) -> bool:
    return (
        not any(data.get(_VXLAN_LEARNING, b""))
        and int.from_bytes(data.get(_VXLAN_PORT, b"")) == _VXLAN_UDP_PORT
        and not any(port.get(_PORT_LEARNING, b"\1"))
        and any(port.get(_PORT_PROXYARP_WIFI, b""))
    )


def dump(namespace: Namespace) -> dict[str, Link]:
    """All links of a namespace by name."""
    body = _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_EXT_MASK, _SKIP_STATISTICS)
    return {link.name: link for link in map(parse, namespace.route.dump(GETLINK, body))}


def find(namespace: Namespace, which: str | int) -> Link | None:
    """The link of that name or number, if there is one. One message each way, whatever else there is."""
    number, name = (which, b"") if isinstance(which, int) else (0, nl.attr(_IFNAME, which))
    try:
        body = _IFINFO.pack(0, 0, number, 0, 0) + name + nl.attr(_EXT_MASK, _SKIP_STATISTICS)
        for answer in namespace.route.query(GETLINK, body):
            return parse(answer)
    except nl.NetlinkError as error:
        if error.errno not in (19, 2):
            raise
    return None


def index_of(namespace: Namespace, name: str) -> int:
    """The index of the link of that name; raises OSError naming it when there is none."""
    link = find(namespace, name)
    if link is None:
        raise OSError(19, f"interface {name} does not exist in {_where(namespace)}")
    return link.number


Request = tuple[int, int, bytes]


def create_bridge(name: str, mtu: int) -> Request:
    """The message that makes a bridge, down, with its settings."""
    info = nl.nest(_LINKINFO, nl.attr(1, "bridge"), nl.attr(2 | nl.NESTED, bridge_data()))
    body = _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name) + nl.attr(_MTU, mtu) + info
    return NEWLINK, nl.CREATE | nl.EXCL, body


def create_vxlan(name: str, vni: int, local: str, mtu: int) -> Request:
    """The message that makes a VXLAN device, down."""
    address = ipaddress.ip_address(local)
    data = nl.nest(
        2,
        nl.attr(_VXLAN_ID, vni),
        nl.attr(_VXLAN_LOCAL if address.version == 4 else _VXLAN_LOCAL6, address.packed),
        nl.attr(_VXLAN_LEARNING, b"\0"),
        nl.attr(_VXLAN_PORT, _VXLAN_UDP_PORT.to_bytes(2)),
    )
    info = nl.nest(_LINKINFO, nl.attr(1, "vxlan"), data)
    body = _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name) + nl.attr(_MTU, mtu) + info
    return NEWLINK, nl.CREATE | nl.EXCL, body


def settle_tunnel_port(name: str) -> Request:
    """The message that gives a tunnel its settings as a bridge port: nothing is learnt, known ARP is answered.

    The flag for wireless ports rather than neighbour suppression, which would keep gratuitous ARP from crossing.
    """
    data = nl.nest(_SLAVE_DATA, nl.attr(_PORT_LEARNING, b"\0"), nl.attr(_PORT_PROXYARP_WIFI, b"\1"))
    info = nl.nest(_LINKINFO, nl.attr(_SLAVE_KIND, "bridge"), data)
    return NEWLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name) + info


def settle(
    name: str, alias: str | None, *, mtu: int = 0, master: int | None = None, quiet: bool = True, mac: str = ""
) -> Request:
    """The message that gives an existing link its settings. `bring_up` comes after: addresses are made on the way up.

    `quiet`: no IPv6 address of its own. `master`: the bridge's index, 0 to leave its bridge, None to stay.
    """
    parts = [_IFINFO.pack(0, 0, 0, 0, 0), nl.attr(_IFNAME, name)]
    if alias is not None:
        parts.append(nl.attr(_ALIAS, alias.encode()))
    if mtu:
        parts.append(nl.attr(_MTU, mtu))
    if master is not None:
        parts.append(nl.attr(_MASTER, master))
    if mac:
        parts.append(nl.attr(_ADDRESS, bytes.fromhex(mac.replace(":", ""))))
    if quiet:
        parts.append(nl.nest(_AF_SPEC, nl.nest(_IPV6, nl.attr(8, bytes([_GEN_MODE_NONE])))))
    return NEWLINK, 0, b"".join(parts)


def bring_up(name: str) -> Request:
    """The message that brings a link up."""
    return NEWLINK, 0, _IFINFO.pack(0, 0, 0, UP, UP) + nl.attr(_IFNAME, name)


def enslave(index: int, master: int) -> Request:
    """The message that makes a link a port of a bridge, or (0) of none."""
    return NEWLINK, 0, _IFINFO.pack(0, 0, index, 0, 0) + nl.attr(_MASTER, master)


def delete(name: str) -> Request:
    """The message that removes a link."""
    return DELLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name)


def put_in_group(name: str, group: int) -> Request:
    """The message that puts a link into a group."""
    return NEWLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name) + nl.attr(_GROUP, group)


def delete_group(group: int) -> Request:
    """The message that removes every link of a group at once."""
    return DELLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_GROUP, group)


def bridge_data() -> bytes:
    """Settings of every bridge of ours: forwards at once, floods multicast, and passes through netfilter.

    LLDP and its like reach no bridge hook, so the filter cannot keep a bridge from learning what they claim to be from.
    """
    on, off = b"\1", b"\0"
    switch = _NO_LINK_LOCAL_LEARNING
    return b"".join(
        (
            nl.attr(_FORWARD_DELAY, 0),
            nl.attr(_STP, 0),
            nl.attr(_SNOOPING, off),
            nl.attr(_CALL_IP, on),
            nl.attr(_CALL_IP6, on),
            nl.attr(_SWITCHES, struct.pack("=II", switch, switch)),
        )
    )


def change_bridge(name: str) -> Request:
    """The message that gives a bridge its settings again."""
    info = nl.nest(_LINKINFO, nl.attr(1, "bridge"), nl.attr(2 | nl.NESTED, bridge_data()))
    return NEWLINK, 0, _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name) + info


def create_veth(name: str, mtu: int, peer: Namespace, peer_name: str, peer_mac: str, *, up: bool = True) -> Request:
    """The message that makes a veth pair: the far end `up`, in its namespace, under its name and MAC address.

    The far end is the link that the message is about, because only that one can come up in the message that makes it.
    """
    near = _IFINFO.pack(0, 0, 0, 0, 0) + nl.attr(_IFNAME, name) + nl.attr(_MTU, mtu)
    flags = UP if up else 0
    parts = [_IFINFO.pack(0, 0, 0, flags, flags), nl.attr(_IFNAME, peer_name), nl.attr(_MTU, mtu)]
    if peer_mac:
        parts.append(nl.attr(_ADDRESS, bytes.fromhex(peer_mac.replace(":", ""))))
    parts.append(nl.attr(_NET_NS_FD, peer.descriptor))
    data = nl.nest(2, nl.attr(1 | nl.NESTED, near))
    parts.append(nl.nest(_LINKINFO, nl.attr(1, "veth"), data))
    return NEWLINK, nl.CREATE | nl.EXCL, b"".join(parts)


def _where(namespace: Namespace) -> str:
    return f"namespace {namespace.name}" if namespace.name else "the agent's namespace"
