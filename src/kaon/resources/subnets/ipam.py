"""Which port holds which address: allocation from a subnet's free ranges, and release.

What is free in a subnet's allocation pools is kept as ranges, so that the next address is one index look-up however
many are in use; who holds an address is one row, unique in its subnet, so that concurrent writers cannot share it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.resources import ranges
from kaon.resources.errors import ApiError, bad_request, conflict, invalid
from kaon.resources.subnets import addressing
from kaon.store.journal import Record
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

ALLOCATIONS = sa.Table(
    "ip_allocations",
    metadata,
    sa.Column("subnet_id", sa.String(36), primary_key=True),
    sa.Column("address", sa.String(32), primary_key=True),
    sa.Column("ip", sa.String(45), nullable=False, index=True),
    sa.Column("port_id", sa.String(36), nullable=False, index=True),
    sa.Column("network_id", sa.String(36), nullable=False),
)

_INSERT = sa.insert(ALLOCATIONS)
_DELETE = sa.delete(ALLOCATIONS).where(
    ALLOCATIONS.c.subnet_id == sa.bindparam("_subnet"), ALLOCATIONS.c.address == sa.bindparam("_address")
)
_USED = sa.select(ALLOCATIONS.c.address).where(ALLOCATIONS.c.subnet_id == sa.bindparam("_subnet"))
_HOLDERS = sa.select(ALLOCATIONS.c.port_id).where(ALLOCATIONS.c.subnet_id == sa.bindparam("_subnet")).distinct()

FixedIp = dict[str, str]
"""``{"subnet_id": …, "ip_address": …}`` as the API shows it."""


class Wish(NamedTuple):
    """One address to allocate: `address` when a certain one is wanted, else the next free one of any of `subnets`."""

    subnets: Sequence[Record]
    address: int | None = None


def pool(subnet_id: str) -> str:
    """Name of the pool of free addresses of a subnet."""
    return f"subnet/{subnet_id}"


def pool_ranges(subnet: Record) -> list[addressing.Range]:
    """The allocation pools of a subnet as numbers, pools that touch as one: so are the free ranges that they become."""
    pools = subnet["allocation_pools"]
    return addressing.joined((addressing.number(item["start"]), addressing.number(item["end"])) for item in pools)


def refill(tx: Transaction, subnet: Record) -> None:
    """Make free what lies in the subnet's pools and nobody holds; for a new subnet and for changed pools."""
    used = (int(address, 16) for address in tx.execute(_USED, {"_subnet": subnet["id"]}).scalars())
    ranges.fill(tx, pool(subnet["id"]), addressing.without(pool_ranges(subnet), used))


def close(tx: Transaction, subnet_id: str) -> None:
    """Forget a subnet's free addresses; the caller has released those in use."""
    ranges.drop(tx, pool(subnet_id))


def holders(conn: sa.Connection, subnet_id: str) -> list[str]:
    """Ids of the ports with an address in a subnet."""
    return list(conn.execute(_HOLDERS, {"_subnet": subnet_id}).scalars())


def _row(subnet: Record, address: int, port_id: str) -> dict[str, Any]:
    return {
        "subnet_id": subnet["id"],
        "address": f"{address:032x}",
        "ip": addressing.text(subnet["ip_version"], address),
        "port_id": port_id,
        "network_id": subnet["network_id"],
    }


def _next(tx: Transaction, subnets: Sequence[Record]) -> tuple[Record, int] | None:
    for subnet in subnets:
        address = ranges.take_lowest(tx, pool(subnet["id"]))
        if address is not None:
            return subnet, address
    return None


def _exhausted(network_id: str) -> ApiError:
    return conflict("IpAddressGenerationFailure", f"No more IP addresses available on network {network_id}.")


def _used(subnet: Record, address: int) -> ApiError:
    return conflict(
        "IpAddressAlreadyAllocated",
        f"IP address {addressing.text(subnet['ip_version'], address)} already allocated in subnet {subnet['id']}",
    )


def allocate(tx: Transaction, port_id: str, wishes: Sequence[Wish]) -> list[FixedIp]:
    """Give a port the wished addresses, in order; raises 409 when one is taken or nothing is free.

    Certain addresses are taken first, so that the next free one of another wish is never among them.
    """
    rows: dict[int, dict[str, Any]] = {}
    for index, wish in enumerate(wishes):
        if wish.address is not None:
            ranges.take(tx, pool(wish.subnets[0]["id"]), wish.address)
            rows[index] = _row(wish.subnets[0], wish.address, port_id)
            try:
                tx.execute(_INSERT, rows[index])
            except sa.exc.IntegrityError:
                raise _used(wish.subnets[0], wish.address) from None
    for index, wish in enumerate(wishes):
        if wish.address is None:
            found = _next(tx, wish.subnets)
            if found is None:
                raise _exhausted(wish.subnets[0]["network_id"])
            rows[index] = _row(*found, port_id)
            tx.execute(_INSERT, rows[index])
    return [{"subnet_id": rows[index]["subnet_id"], "ip_address": rows[index]["ip"]} for index in range(len(wishes))]


def release(tx: Transaction, fixed_ips: Iterable[FixedIp], subnets: dict[str, Record]) -> None:
    """Take addresses back; they are free again where they lie in their subnet's pools."""
    for item in fixed_ips:
        address = addressing.number(item["ip_address"])
        tx.execute(_DELETE, {"_subnet": item["subnet_id"], "_address": f"{address:032x}"})
        subnet = subnets[item["subnet_id"]]
        if any(first <= address <= last for first, last in pool_ranges(subnet)):
            ranges.give_back(tx, pool(subnet["id"]), address)


# ---------------------------------------------------------------- which addresses a port is to get


ROUTER_INTERFACES = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)
"""Owners of ports that are a router's leg in a subnet: they take no address of their own accord."""
ROUTER_OWNERS = (*ROUTER_INTERFACES, "network:router_gateway", "network:floatingip")


def is_auto(subnet: Record) -> bool:
    """Whether hosts of an IPv6 subnet form their own addresses."""
    return subnet["ipv6_address_mode"] in addressing.AUTO_MODES or subnet["ipv6_ra_mode"] in addressing.AUTO_MODES


def eligible(subnets: Sequence[Record], network_id: str, device_owner: str) -> list[Record]:
    """Subnets that serve this kind of port, those reserved for it first; 409 when there are some but none fits."""
    fitting = [item for item in subnets if not item["service_types"] or device_owner in item["service_types"]]
    if subnets and not fitting:
        raise conflict(
            "IpAddressGenerationFailureNoMatchingSubnet",
            f"No valid service subnet for the given device owner, network {network_id}, service type {device_owner}.",
        )
    return sorted(fitting, key=lambda item: not item["service_types"])


def automatic(subnets: Sequence[Record], mac: str, device_owner: str, handled: Iterable[str] = ()) -> list[Wish]:
    """The addresses that every host of the network forms by itself, as wishes."""
    if device_owner in ROUTER_INTERFACES:
        return []
    skip = set(handled)
    return [
        Wish((item,), addressing.eui64(item["cidr"], mac))
        for item in subnets
        if item["id"] not in skip and is_auto(item)
    ]


def by_default(subnets: Sequence[Record]) -> list[Wish]:
    """What a port without wishes gets besides automatic addresses: one IPv4 and one IPv6 address."""
    v4 = [item for item in subnets if item["ip_version"] == 4]
    v6 = [item for item in subnets if item["ip_version"] == 6 and not is_auto(item)]
    return [Wish(group) for group in (v4, v6) if group]


def requested(
    fixed_ips: Sequence[FixedIp], subnets: Sequence[Record], network_id: str, mac: str, device_owner: str
) -> list[Wish]:
    """A client's ``fixed_ips`` as wishes; raises 400 for what the network cannot hold."""
    wishes: list[Wish] = []
    for item in fixed_ips:
        subnet = _subnet_for(item, subnets, network_id, device_owner)
        if "ip_address" in item:
            address = addressing.number(item["ip_address"])
            if (
                is_auto(subnet)
                and device_owner not in ROUTER_INTERFACES
                and address != addressing.eui64(subnet["cidr"], mac)
            ):
                raise bad_request(
                    f"IPv6 address {item['ip_address']} cannot be directly assigned to a port on subnet "
                    f"{subnet['id']} as the subnet is configured for automatic addresses",
                    "AllocationOnAutoAddressSubnet",
                )
            wishes.append(Wish((subnet,), address))
        elif not is_auto(subnet) or device_owner in ROUTER_INTERFACES:
            wishes.append(Wish((subnet,)))
    return wishes


def _subnet_for(item: FixedIp, subnets: Sequence[Record], network_id: str, device_owner: str) -> Record:
    address = item.get("ip_address")
    anycast = device_owner in ROUTER_OWNERS or not device_owner
    if not subnets:
        raise invalid("IP allocation requires subnets for network")
    if "subnet_id" in item:
        subnet = next((found for found in subnets if found["id"] == item["subnet_id"]), None)
        if subnet is None:
            raise invalid(
                f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet "
                f"{item['subnet_id']}"
            )
        if address is not None and not addressing.usable(addressing.network(subnet["cidr"]), address, anycast):
            raise bad_request(f"IP address {address} is not a valid IP for the specified subnet.", "InvalidIpForSubnet")
        return subnet
    if address is None:
        raise invalid("IP allocation requires subnet_id or ip_address")
    for subnet in subnets:
        if addressing.usable(addressing.network(subnet["cidr"]), address, anycast):
            return subnet
    raise bad_request(
        f"IP address {address} is not a valid IP for any of the subnets on the specified network.",
        "InvalidIpForNetwork",
    )


def difference(
    held: Sequence[FixedIp],
    wanted: Sequence[FixedIp],
    subnets: dict[str, Record],
    device_owner: str,
    mac_changed: bool,
) -> tuple[list[FixedIp], list[FixedIp]]:
    """What of the held addresses stays, and which wishes remain to be allocated.

    A wish that names only a subnet is met by any address held there. Addresses that hosts form themselves stay
    unasked, except that a changed MAC address forms others.
    """
    keep: list[FixedIp] = []
    add: list[FixedIp] = []
    free = {item["ip_address"]: item for item in held}
    stale = set()
    if mac_changed:
        stale = {
            address
            for address, item in free.items()
            if is_auto(subnets[item["subnet_id"]]) and addressing.is_eui64(address)
        }
    for item in (item for item in wanted if "ip_address" in item):
        if item["ip_address"] in stale:
            continue
        found = free.pop(item["ip_address"], None)
        if found is None:
            add.append(item)
        else:
            keep.append(found)
    for item in (item for item in wanted if "ip_address" not in item):
        found = next(
            (ip for ip in free.values() if ip["subnet_id"] == item.get("subnet_id") and ip["ip_address"] not in stale),
            None,
        )
        if found is None:
            add.append(item)
        else:
            keep.append(free.pop(found["ip_address"]))
    if device_owner not in ROUTER_INTERFACES:
        keep += [ip for ip in free.values() if is_auto(subnets[ip["subnet_id"]]) and ip["ip_address"] not in stale]
    return keep, add
