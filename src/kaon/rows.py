"""The rows that must exist on a host: the one language between compiler, converger and engines.

A row is a table, a key, a value and an origin. Tables are the `Value` types below; each names the fields of its key.
The compiler yields rows, the converger takes the difference between desired and actual rows, an engine reads actual
rows and applies the difference. Two rows are the same when table, key and value are equal; the origin (the API id
that the row came from, such as ``port/6f1c…``) explains the row in logs, reports and drops and takes no part in
equality.

Namespaces: ``netns=""`` is the network namespace in which the agent runs; every other name is a named namespace as
`ip netns` shows it. Interface names are at most 15 characters. Addresses and prefixes are canonical text (RFC 5952).
MTUs are bytes, MAC addresses lower-case with colons.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import msgspec

Key = tuple[str, ...]


class Value(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of every table's value; `table` and `key` name the table and the fields of its key."""

    table: ClassVar[str]
    key: ClassVar[tuple[str, ...]]


class RowId(NamedTuple):
    """What a row is about: its table and its key."""

    table: str
    key: Key


class Row(NamedTuple):
    """One thing that must exist (desired) or that exists (actual)."""

    id: RowId
    value: Value
    origin: str = ""


# ---------------------------------------------------------------- links, addresses, routes


class Netns(Value, frozen=True):
    """A named network namespace that Kaon makes and removes, loopback up."""

    table: ClassVar[str] = "netns"
    key: ClassVar[tuple[str, ...]] = ("netns",)


class Bridge(Value, frozen=True):
    """A Linux bridge, up, without an address of its own, with nf-call switched on for this bridge only."""

    table: ClassVar[str] = "bridge"
    key: ClassVar[tuple[str, ...]] = ("netns", "name")
    mtu: int


class Veth(Value, frozen=True):
    """A veth pair, both ends up. The key names the near end, which is a port of bridge `master` when that is set.

    The far end lives in `peer_netns` under `peer_name`. With `peer_owned` false the far namespace belongs to a tenant
    (an instance): it is never made or removed, and what the tenant does to the far end there is no drift as long as
    the near end exists. A missing tenant namespace fails the row with a reason.
    """

    table: ClassVar[str] = "veth"
    key: ClassVar[tuple[str, ...]] = ("netns", "name")
    peer_netns: str
    peer_name: str
    peer_mac: str
    mtu: int
    master: str = ""
    peer_owned: bool = True


class Tap(Value, frozen=True):
    """A persistent tap device (vnet_hdr on), up, port of bridge `master`, for a virtual machine monitor to open."""

    table: ClassVar[str] = "tap"
    key: ClassVar[tuple[str, ...]] = ("netns", "name")
    mtu: int
    master: str
    owner_uid: int = -1


class Vxlan(Value, frozen=True):
    """A VXLAN device (RFC 7348), UDP port 4789, up, port of bridge `master`, that learns nothing from what arrives.

    Where frames go is said by Fdb rows alone. The bridge answers ARP requests for the addresses of Neigh rows whose
    MAC address lies behind it, instead of flooding them into it. `vni` has 24 bits, `local` is the address of the
    underlay that frames are sent from.
    """

    table: ClassVar[str] = "vxlan"
    key: ClassVar[tuple[str, ...]] = ("netns", "name")
    vni: int
    local: str
    mtu: int
    master: str


class Fdb(Value, frozen=True):
    """A VXLAN device sends frames for a MAC address to a remote tunnel endpoint.

    `bridged`: the device's bridge sends frames for it there as well, from whatever port they come. The address
    ``00:00:00:00:00:00`` (one row a remote, not bridged) stands for broadcast, multicast and addresses without a row.
    """

    table: ClassVar[str] = "fdb"
    key: ClassVar[tuple[str, ...]] = ("netns", "dev", "mac", "remote")
    bridged: bool = True


class Neigh(Value, frozen=True):
    """The MAC address behind an IP address, as an interface knows it for good."""

    table: ClassVar[str] = "neigh"
    key: ClassVar[tuple[str, ...]] = ("netns", "dev", "address")
    mac: str


class Member(Value, frozen=True):
    """An existing interface (the operator's) made a port of a Kaon bridge; removing the row only releases it."""

    table: ClassVar[str] = "member"
    key: ClassVar[tuple[str, ...]] = ("netns", "name")
    master: str


class Address(Value, frozen=True):
    """An address on an interface. `announce`: gratuitous ARP / unsolicited NA when it is added.

    `exclusive`: connections through this address end when it is removed (a floating IP): conntrack entries of this
    namespace that name it are deleted.
    """

    table: ClassVar[str] = "address"
    key: ClassVar[tuple[str, ...]] = ("netns", "dev", "cidr")
    announce: bool = False
    exclusive: bool = False


class Route(Value, frozen=True):
    """A route in the main table. `destination` is a prefix, ``0.0.0.0/0`` and ``::/0`` are the defaults.

    One of `via` (next hop) and `dev` (on link) at least is set. `more` are further next hops of the same cost, without
    `dev`: connections are spread over all of them.
    """

    table: ClassVar[str] = "route"
    key: ClassVar[tuple[str, ...]] = ("netns", "destination")
    via: str = ""
    dev: str = ""
    more: tuple[str, ...] = ()


class NeighbourProxy(Value, frozen=True):
    """An address for which an interface answers neighbour solicitations; announced when it is new.

    The interface's proxy_ndp must be on.
    """

    table: ClassVar[str] = "neighbour_proxy"
    key: ClassVar[tuple[str, ...]] = ("netns", "dev", "address")


class Sysctl(Value, frozen=True):
    """A setting below /proc/sys of a namespace, such as ``net/ipv4/ip_forward``. Removing the row restores nothing."""

    table: ClassVar[str] = "sysctl"
    key: ClassVar[tuple[str, ...]] = ("netns", "name")
    value: str


class RateLimit(Value, frozen=True):
    """How fast an interface of ours may carry what leaves by it, or what comes in by it: a token bucket with a queue.

    `direction` is ``egress`` or ``ingress`` of the interface itself; `rate` is in bytes a second, `burst` is how many
    bytes may go at once after a pause, `queue` how many wait before some are dropped. What comes in waits in an
    intermediate device of the name `via` (ifb), which the row makes and removes; empty for what leaves.
    """

    table: ClassVar[str] = "rate_limit"
    key: ClassVar[tuple[str, ...]] = ("netns", "dev", "direction")
    rate: int
    burst: int
    queue: int
    via: str = ""


# ---------------------------------------------------------------- nftables


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One nft rule: its text without a comment, and the API id that it serves (carried in the kernel as a comment)."""

    text: str
    origin: str = ""


class Chain(Value, frozen=True):
    """An nft chain with all of its rules, in order; a change replaces the rules in one transaction.

    `hook` is empty for a regular chain, else the text between the braces of a base chain, for example
    ``type filter hook forward priority 0; policy accept;``. The nft table exists while any row names it.
    Chains may jump to chains of other rows; the engine orders operations so that a target exists first.
    """

    table: ClassVar[str] = "chain"
    key: ClassVar[tuple[str, ...]] = ("netns", "family", "nft_table", "name")
    hook: str = ""
    rules: tuple[Rule, ...] = ()


class Set(Value, frozen=True):
    """An nft set, or a map when `data_type` is set (``verdict`` included), declared by type or by typeof expression.

    `key_type` is nft text, for example ``ifname . ether_addr . ipv4_addr`` or ``typeof iifname``.
    """

    table: ClassVar[str] = "set"
    key: ClassVar[tuple[str, ...]] = ("netns", "family", "nft_table", "name")
    key_type: str
    data_type: str = ""
    flags: tuple[str, ...] = ()


class Element(Value, frozen=True):
    """One element of a set or map; the last key field is the element in nft text (``"tap1" . 10.0.0.5``).

    `exclusive`: the element is an address, a protocol and a port or range of ports to which connections are made, and
    its data begin with the address that they are led to; connections to these ports end when it goes or leads
    elsewhere, and when it comes those that led elsewhere.
    """

    table: ClassVar[str] = "element"
    key: ClassVar[tuple[str, ...]] = ("netns", "family", "nft_table", "set", "element")
    data: str = ""
    exclusive: bool = False


class ConntrackHelper(Value, frozen=True):
    """An nft ct helper: chains give it connections of `protocol` to read; `helper` is what the kernel calls it."""

    table: ClassVar[str] = "conntrack_helper"
    key: ClassVar[tuple[str, ...]] = ("netns", "family", "nft_table", "name")
    helper: str
    protocol: str


# ---------------------------------------------------------------- connection policy (read when access is revoked)


class AclRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """One security-group rule in canonical form. Empty or negative fields match anything.

    `protocol` is an IP protocol number or -1; ports are inclusive, for ICMP they hold type and code (-1: any);
    `remote_cidr` a prefix; `remote_group` the id of a group whose members may be the other side.
    """

    id: str
    direction: str
    ethertype: int
    protocol: int = -1
    port_min: int = -1
    port_max: int = -1
    remote_cidr: str = ""
    remote_group: str = ""


class AclGroup(Value, frozen=True):
    """The rules of a security group, as the agent needs them to judge an established connection again."""

    table: ClassVar[str] = "acl_group"
    key: ClassVar[tuple[str, ...]] = ("group",)
    rules: tuple[AclRule, ...] = ()


class AclPort(Value, frozen=True):
    """A filtered port: its conntrack zone, its addresses (prefixes) and its groups.

    When an AclGroup or AclPort row changes or goes, connections of the affected ports that policy no longer admits
    are deleted from the zone. A port that lost its filter (port security off) is simply not judged any more.
    `local`: the port is attached on this host; other ports are known only as members of remote groups.
    """

    table: ClassVar[str] = "acl_port"
    key: ClassVar[tuple[str, ...]] = ("port",)
    zone: int
    addresses: tuple[str, ...]
    groups: tuple[str, ...]
    local: bool = True


# ---------------------------------------------------------------- services


class DhcpServer(Value, frozen=True):
    """A dnsmasq in a namespace: DHCPv4, DHCPv6 and DNS of a network, or the router advertisements of a router.

    `options` are dnsmasq configuration lines (``dhcp-range=set:…``); a change restarts the daemon. Hosts are rows of
    their own (DhcpHost) and only reload it. It survives the agent, and a restarted agent adopts it. `leaseless` are
    the lines of a second daemon beside it, which serves DHCPv6 and keeps no leases.
    """

    table: ClassVar[str] = "dhcp_server"
    key: ClassVar[tuple[str, ...]] = ("netns",)
    options: tuple[str, ...]
    leaseless: tuple[str, ...] = ()


class DhcpHost(Value, frozen=True):
    """One port known to a DhcpServer: a dhcp-host line's parts, its own DHCP options and its DNS names.

    `addresses` are IPv4 and IPv6 text; `options` are dnsmasq dhcp-optsfile lines after the tag, for example
    ``option:mtu,1450`` or ``option6:dns-server,[fd00::1]``, sent with the tag of this port only.
    """

    table: ClassVar[str] = "dhcp_host"
    key: ClassVar[tuple[str, ...]] = ("netns", "port")
    mac: str
    addresses: tuple[str, ...]
    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class MetadataListener(Value, frozen=True):
    """The agent listens on these addresses, TCP port 80, inside the namespace and serves instance metadata."""

    table: ClassVar[str] = "metadata_listener"
    key: ClassVar[tuple[str, ...]] = ("netns",)
    addresses: tuple[str, ...]


class MetadataInstance(Value, frozen=True):
    """Who asks: the instance behind a source address seen by a metadata listener of the namespace."""

    table: ClassVar[str] = "metadata_instance"
    key: ClassVar[tuple[str, ...]] = ("netns", "address")
    port_id: str
    instance_id: str
    project_id: str
    hostname: str = ""
    user_data: str = ""
    mac: str = ""
    network_id: str = ""
    public_ipv4: str = ""


VALUES: tuple[type[Value], ...] = (
    Netns,
    Bridge,
    Veth,
    Tap,
    Vxlan,
    Fdb,
    Neigh,
    Member,
    Address,
    Route,
    NeighbourProxy,
    Sysctl,
    RateLimit,
    Chain,
    Set,
    Element,
    ConntrackHelper,
    AclGroup,
    AclPort,
    DhcpServer,
    DhcpHost,
    MetadataListener,
    MetadataInstance,
)
TABLES: dict[str, type[Value]] = {value.table: value for value in VALUES}


def row(value: Value, *key: str, origin: str = "") -> Row:
    """Make a row of the table that `value` belongs to; raises ValueError when the key has the wrong length."""
    if len(key) != len(type(value).key):
        raise ValueError(f"{type(value).table} rows are keyed by {type(value).key}, not by {key}")
    return Row(RowId(type(value).table, key), value, origin)


def by_id(rows: Iterable[Row]) -> dict[RowId, Row]:
    """Index rows by what they are about; raises ValueError when two rows claim the same id with other values."""
    index: dict[RowId, Row] = {}
    for item in rows:
        other = index.setdefault(item.id, item)
        if other.value != item.value:
            raise ValueError(f"two rows for {item.id}: {other} and {item}")
    return index
