"""The count that follows a crash would find what is half: each way of it is made by hand here."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.api.cloud import Cloud
from tests.e2e import recount


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        ("DELETE FROM ip_allocations", "is on a port 1 times more than it is allocated"),
        ("DELETE FROM ports", "is allocated 1 times more than ports have it"),
        ("DELETE FROM ports", "journalled as"),
        ("UPDATE ports SET name = 'other'", "is stored as"),
        ("DELETE FROM journal WHERE kind = 'subnet'", "journalled as None"),
        ("UPDATE quota_usages SET used = used + 1 WHERE resource = 'port'", "2 is stored, 1 are there"),
        ("DELETE FROM free_ranges WHERE pool LIKE 'subnet/%'", "numbers are free or taken"),
        (f"UPDATE free_ranges SET first = '{1:032x}' WHERE pool = 'conntrack-zone'", "are free and taken"),
        ("DELETE FROM networks", "names network"),
    ],
)  # fmt: skip
async def test_what_is_half_is_found(tmp_path: Path, damage: str, fault: str) -> None:
    cloud = await Cloud(tmp_path).start()
    try:
        network = await cloud.made("member:red", "/networks")
        await cloud.made("member:red", "/subnets", network_id=network["id"], ip_version=4, cidr="10.0.0.0/24")
        await cloud.made("member:red", "/ports", network_id=network["id"])
        assert recount.faults(tmp_path / "kaon.db") == []
        await cloud.store.write(lambda tx: tx.execute(sa.text(damage)))
        assert [found for found in recount.faults(tmp_path / "kaon.db") if fault in found]
    finally:
        await cloud.stop()
