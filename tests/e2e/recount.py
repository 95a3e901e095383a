"""Counts a database again from what it holds twice: tables against the journal, usage and free ranges against records.

Whatever killed a server, these agree or something was half written.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from kaon.resources import ranges, records, usage
from kaon.resources.access.quota import LIMITS
from kaon.resources.catalog import resources
from kaon.resources.declare import counted
from kaon.resources.networks import network
from kaon.resources.ports.port import PORT
from kaon.resources.segments import allocation
from kaon.resources.subnets import ipam
from kaon.resources.subnets.subnet import SUBNET
from kaon.store import journal
from kaon.store.engine import Store

Record = dict[str, Any]
Records = dict[tuple[str, str], Record]

DERIVED = {"port": ("status", "kaon:status_reason", "updated_at", "revision_number")}
"""What is written without the journal, because it follows from something else: the status of ports."""
UNJOURNALLED = ("agent",)


def faults(database: Path) -> list[str]:
    """What does not agree in the database of a server that does not run; it is copied first, log and all."""
    with tempfile.TemporaryDirectory() as folder:
        for file in database.parent.glob(f"{database.name}*"):
            shutil.copy(file, folder)
        store = Store(Path(folder) / database.name)
        try:
            return store.read_now(lambda conn: list(_faults(conn)))
        finally:
            store.close()


def _faults(conn: sa.Connection) -> Iterator[str]:
    (whole,) = conn.exec_driver_sql("PRAGMA integrity_check").scalars()
    if whole != "ok":
        yield f"the file is damaged: {whole}"
    held = {(kind, record["id"]): record for kind, record in records.load_all(conn, resources())}
    for project, kind, limit in conn.execute(sa.select(LIMITS.c.project_id, LIMITS.c.resource, LIMITS.c.limit)):
        held.setdefault(("quota", project), {"id": project})[kind] = limit
    yield from _journal(conn, held)
    yield from _usage(conn, held)
    yield from _addresses(conn, held)
    yield from _numbers(conn, held)
    yield from _references(held)


def _of(held: Records, kind: str) -> list[Record]:
    return [record for (found, _), record in held.items() if found == kind]


def _intent(kind: str, record: Record | None) -> Record | None:
    if record is None:
        return None
    return {name: value for name, value in record.items() if name not in DERIVED.get(kind, ())}


def _journal(conn: sa.Connection, held: Records) -> Iterator[str]:
    """Every change begins where the one before it ended, and the last one of each record is what is stored."""
    told: Records = {}
    seq = 0
    while batch := journal.since(conn, seq):
        for change in batch:
            key, seq = (change.kind, change.id), change.seq
            if _intent(change.kind, told.get(key)) != _intent(change.kind, change.before):
                yield f"journal {change.seq}: {key} was not as it says"
            if change.after is None:
                told.pop(key, None)
            else:
                told[key] = change.after
    for key in sorted({*told, *held}):
        if key[0] not in UNJOURNALLED and _intent(key[0], told.get(key)) != _intent(key[0], held.get(key)):
            yield f"{key} is stored as {held.get(key)}, journalled as {told.get(key)}"


def _usage(conn: sa.Connection, held: Records) -> Iterator[str]:
    kinds = {resource.name for resource in counted()}
    there = Counter((record["project_id"], kind) for (kind, _), record in held.items() if kind in kinds)
    told = {(row.project_id, row.resource): row.used for row in conn.execute(sa.select(usage.USAGE))}
    for key in sorted({*there, *told}):
        if there.get(key, 0) != told.get(key, 0):
            yield f"usage of {key}: {told.get(key, 0)} is stored, {there.get(key, 0)} are there"


def _addresses(conn: sa.Connection, held: Records) -> Iterator[str]:
    """An allocation for each address of each port, once; and what no port has is free."""
    stored = [(row.subnet_id, row.ip, row.port_id) for row in conn.execute(sa.select(ipam.ALLOCATIONS))]
    wanted = [
        (entry["subnet_id"], entry["ip_address"], port["id"])
        for port in _of(held, PORT.name)
        for entry in port["fixed_ips"]
    ]
    for entry, count in (Counter(stored) - Counter(wanted)).items():
        yield f"address {entry} is allocated {count} times more than ports have it"
    for entry, count in (Counter(wanted) - Counter(stored)).items():
        yield f"address {entry} is on a port {count} times more than it is allocated"
    for (subnet, address), count in Counter((subnet, address) for subnet, address, _ in stored).items():
        if count > 1:
            yield f"address {address} of subnet {subnet} is held {count} times"
    used = {(row.subnet_id, int(row.address, 16)) for row in conn.execute(sa.select(ipam.ALLOCATIONS))}
    for subnet in _of(held, SUBNET.name):
        taken = {number for id, number in used if id == subnet["id"]}
        yield from _pool(conn, ipam.pool(subnet["id"]), ipam.pool_ranges(subnet), taken)


def _numbers(conn: sa.Connection, held: Records) -> Iterator[str]:
    networks = _of(held, network.NETWORK.name)
    yield from _pool(conn, network.ZONES, [(1, 2**16 - 1)], {item["zone"] for item in networks})
    segments = [allocation.of(item) for item in _of(held, "segment")]
    for kind in allocation.TUNNELS:
        taken = {item.number for item in segments if item.kind == kind and item.number is not None}
        yield from _pool(conn, allocation.pool(kind, None), [allocation.LIMITS[kind]], taken)


def _pool(conn: sa.Connection, pool: str, whole: list[tuple[int, int]], taken: set[int]) -> Iterator[str]:
    """Free and taken numbers make up the whole pool, and share none."""
    rows = conn.execute(sa.select(ranges.FREE).where(ranges.FREE.c.pool == pool).order_by(ranges.FREE.c.first))
    free = [(int(row.first, 16), int(row.last, 16)) for row in rows]
    inside = {number for number in taken if any(first <= number <= last for first, last in whole)}
    both = [number for number in inside if any(first <= number <= last for first, last in free)]
    size = sum(last - first + 1 for first, last in free) + len(inside)
    if both:
        yield f"pool {pool}: {both} are free and taken"
    elif size != sum(last - first + 1 for first, last in whole):
        yield f"pool {pool}: {size} numbers are free or taken, not {sum(last - first + 1 for first, last in whole)}"


REFERENCES = {
    "network_id": "network",
    "subnet_id": "subnet",
    "router_id": "router",
    "security_group_id": "security_group",
    "port_id": "port",
    "segment_id": "segment",
}
"""Attribute -> the kind of record that it names."""


def _references(held: Records) -> Iterator[str]:
    for (kind, id), record in held.items():
        for name, other in REFERENCES.items():
            if record.get(name) and (other, record[name]) not in held:
                yield f"{kind} {id} names {other} {record[name]}, which is not there"
