"""The intent as an indexed graph in memory: records by kind and id, found again by the attributes that matter.

A record is a plain dict of JSON-able values under the names that the API uses. The world changes only by `apply`, one
journal entry at a time, and it is never asked to scan: whatever the compiler needs to find has an index.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from kaon.world.addresses import canonical, is_prefix, port_addresses

Record = Mapping[str, Any]
Values = Callable[[Record], Iterable[str]]
"""The index values of a record; a record is found under each of them."""
Entry = tuple[str, str, str]
"""Kind, name of an index, value: one entry of an index."""


class Change(NamedTuple):
    """One journal entry: a record of `kind` became `after` (None: deleted); `seq` orders the journal."""

    kind: str
    id: str
    before: Record | None
    after: Record | None
    seq: int = 0


def policy_key(port: Record) -> str:
    """Name the policy of a port: its security groups in order, with commas; ports that share it share chains."""
    return ",".join(sorted(port.get("security_groups") or ()))


def policy_bucket(policy: str) -> str:
    """Hash a policy to 24 bits, as six hexadecimal digits, never zero; policies of a bucket are told apart by rank."""
    digest = int.from_bytes(hashlib.blake2b(policy.encode(), digest_size=3).digest())
    return f"{digest or 1:06x}"


def _one(attribute: str) -> Values:
    def values(record: Record) -> Iterable[str]:
        value = record.get(attribute)
        return (str(value),) if value else ()

    return values


def _groups(port: Record) -> Iterable[str]:
    return port.get("security_groups") or ()


def _subnets(port: Record) -> Iterable[str]:
    return {ip["subnet_id"] for ip in port.get("fixed_ips") or ()}


def _router_network(port: Record) -> Iterable[str]:
    return (port["network_id"],) if port.get("device_owner", "").startswith("network:router_") else ()


def _dhcp_network(port: Record) -> Iterable[str]:
    return (port["network_id"],) if port.get("device_owner") == "network:dhcp" else ()


def _paired(port: Record) -> Iterable[str]:
    addresses = [canonical(pair["ip_address"]) for pair in port.get("allowed_address_pairs") or ()]
    return {f"{port['network_id']} {'prefix' if is_prefix(address) else address}" for address in addresses}


def _tunneling(agent: Record) -> Iterable[str]:
    return ("ip",) if (agent.get("configurations") or {}).get("tunneling_ip") else ()


def _gateway_network(router: Record) -> Iterable[str]:
    gateway = router.get("external_gateway_info") or {}
    return (gateway["network_id"],) if gateway.get("network_id") else ()


def _limited_router(floatingip: Record) -> Iterable[str]:
    return (floatingip["router_id"],) if floatingip.get("qos_policy_id") and floatingip.get("router_id") else ()


def _limited_service(port: Record) -> Iterable[str]:
    service = (port.get("device_owner") or "").startswith("network:")
    return ("any",) if service and port.get("qos_policy_id") else ()


def _limited_host(attachment: Record, port: Record) -> Iterable[str]:
    return (attachment["host"],) if port.get("qos_policy_id") or port.get("qos_network_policy_id") else ()


def _group_addresses(port: Record) -> Iterable[str]:
    groups = _groups(port)
    return [f"{group} {address}" for address in port_addresses(port) for group in groups] if groups else ()


def _group_prefixes(port: Record) -> Iterable[str]:
    pairs = port.get("allowed_address_pairs")
    return _groups(port) if pairs and any(is_prefix(address) for address in port_addresses(port)) else ()


INDEXES: dict[str, dict[str, Values]] = {
    "port": {
        "network_id": _one("network_id"),
        "device_id": _one("device_id"),
        "binding:host_id": _one("binding:host_id"),
        "security_groups": _groups,
        "subnet_id": _subnets,
        "policy": lambda port: (policy_key(port),),
        "group_address": _group_addresses,
        "group_prefixes": _group_prefixes,
        "router_network": _router_network,
        "dhcp_network": _dhcp_network,
        "limited_service": _limited_service,
        "paired": _paired,
    },
    "subnet": {"network_id": _one("network_id")},
    "router": {"gateway_network": _gateway_network},
    "floatingip": {
        "port_id": _one("port_id"),
        "router_id": _one("router_id"),
        "limited_router": _limited_router,
        "floating_network_id": _one("floating_network_id"),
    },
    "security_group_rule": {
        "security_group_id": _one("security_group_id"),
        "remote_group_id": _one("remote_group_id"),
    },
    "attachment": {"host": _one("host")},
    "conntrack_helper": {"router_id": _one("router_id")},
    "port_forwarding": {"floatingip_id": _one("floatingip_id")},
    "agent": {
        "host": _one("host"),
        "role": lambda agent: (f"{agent['host']} {agent['agent_type']}",),
        "tunneling": _tunneling,
    },
    "agent_placement": {"place": lambda placement: (f"{placement['host']} {placement['resource_id']}",)},
}
"""Kind -> name of an index -> the values under which a record of the kind is found."""

JOINED: dict[str, Callable[[Record, Record], Iterable[str]]] = {
    "host_network": lambda attachment, port: (f"{attachment['host']} {port['network_id']}",),
    "host_policy": lambda attachment, port: (f"{attachment['host']} {policy_key(port)}",),
    "limited_host": _limited_host,
    "host_group": lambda attachment, port: [f"{attachment['host']} {group}" for group in _groups(port)],
}
"""Indexes of attachments by what their ports (the records of the same id) say."""

Derived = Callable[[str], tuple[Entry, str]]
DERIVED: dict[tuple[str, str], Derived] = {
    ("port", "policy"): lambda policy: (("policy", "bucket", policy_bucket(policy)), policy),
    ("attachment", "host_network"): lambda value: (
        ("host", "network", value.rpartition(" ")[2]),
        value.rpartition(" ")[0],
    ),
}
"""Indexes of what is no record of its own, from the values of another index: the policies that ports have by hash,
and the hosts that have a port of a network."""


_DERIVED = {("policy", "bucket"), ("host", "network")}


class World:
    """Records by kind and id, with the indexes declared above. Records that it hands out must not be changed."""

    def __init__(self, changes: Iterable[Change] = ()) -> None:
        self._records: dict[str, dict[str, Record]] = {}
        self._index: dict[Entry, dict[str, None]] = {}
        self.seq = 0
        for change in changes:
            self.apply(change)

    def get(self, kind: str, id: str) -> Record | None:
        """Find a record; None when there is none."""
        return self._records.get(kind, {}).get(id)

    def all(self, kind: str) -> Iterator[Record]:
        """Every record of a kind, in no promised order."""
        return iter(self._records.get(kind, {}).values())

    def kinds(self) -> Collection[str]:
        """The kinds of which records exist or existed."""
        return self._records.keys()

    def ids_by(self, kind: str, attribute: str, value: str) -> Collection[str]:
        """The ids of the records that an index holds under a value; KeyError when the index is not declared."""
        joined = kind == "attachment" and attribute in JOINED
        if attribute not in INDEXES.get(kind, {}) and not joined and (kind, attribute) not in _DERIVED:
            raise KeyError(f"{kind} has no index by {attribute}: declare it in kaon.world.world.INDEXES")
        return self._index.get((kind, attribute, value), {}).keys()

    def by(self, kind: str, attribute: str, value: str) -> list[Record]:
        """The records that an index holds under a value, ordered by id."""
        records = self._records.get(kind, {})
        return [records[id] for id in sorted(self.ids_by(kind, attribute, value))]

    def apply(self, change: Change) -> dict[Entry, bool]:
        """Take a change over; tells which index entries gained or lost a record.

        The result maps (kind, index, value) to whether the entry came to be or ceased to be (its first record came,
        its last one went): who asked only whether there is any need not look again otherwise.
        """
        records = self._records.setdefault(change.kind, {})
        old, new = records.get(change.id), change.after
        before = self._entries(change.kind, change.id, old)
        if new is None:
            records.pop(change.id, None)
        else:
            records[change.id] = new
        after = self._entries(change.kind, change.id, new)
        touched: dict[Entry, bool] = {}
        for entry, id in before - after:
            touched[entry] = self._remove(entry, id)
        for entry, id in after - before:
            touched[entry] = self._add(entry, id)
        for (kind, name, value), flipped in list(touched.items()):
            if flipped and (derive := DERIVED.get((kind, name))) is not None:
                entry, id = derive(value)
                exists = (kind, name, value) in self._index
                touched[entry] = self._add(entry, id) if exists else self._remove(entry, id)
        self.seq = max(self.seq, change.seq)
        return touched

    def _add(self, entry: Entry, id: str) -> bool:
        ids = self._index.setdefault(entry, {})
        ids[id] = None
        return len(ids) == 1

    def _remove(self, entry: Entry, id: str) -> bool:
        ids = self._index[entry]
        del ids[id]
        if not ids:
            del self._index[entry]
        return not ids

    def _entries(self, kind: str, id: str, record: Record | None) -> set[tuple[Entry, str]]:
        entries: set[tuple[Entry, str]] = set()
        if record is not None:
            for name, values in INDEXES.get(kind, {}).items():
                entries.update(((kind, name, value), id) for value in values(record))
        attachment = record if kind == "attachment" else self.get("attachment", id) if kind == "port" else None
        port = record if kind == "port" else self.get("port", id) if kind == "attachment" else None
        if attachment is not None and port is not None:
            for name, joined in JOINED.items():
                entries.update((("attachment", name, value), id) for value in joined(attachment, port))
        return entries
