"""Addresses: never shared, never lost, and as quick to find in a full subnet as in an empty one."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kaon.resources import ranges
from kaon.resources.errors import ApiError
from kaon.resources.subnets import addressing, ipam
from kaon.store.engine import Store
from kaon.store.journal import Record
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

CIDR = "10.0.0.0/27"
EVERY = [int(address) for address in ipaddress.ip_network(CIDR).hosts()]


def subnet(cidr: str = CIDR, *pools: tuple[int, int]) -> Record:
    """As much of a subnet's record as allocation reads."""
    first, last = addressing.hosts(addressing.network(cidr))
    return {
        "id": "s",
        "network_id": "n",
        "ip_version": 4,
        "cidr": cidr,
        "allocation_pools": [
            {"start": addressing.text(4, start), "end": addressing.text(4, end)}
            for start, end in pools or [(first, last)]
        ],
    }


class Allocation(RuleBasedStateMachine):
    """Allocation against a plain set: what is held, and what the pools allow."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.store = Store(Path(self.folder.name) / "kaon.db")
        metadata.create_all(self.store.engine)
        self.held: set[int] = set()
        self.subnet = subnet()

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    def run(self, fn: Any) -> Any:
        return asyncio.run(self.store.write(fn))

    def pooled(self) -> set[int]:
        return {number for first, last in ipam.pool_ranges(self.subnet) for number in range(first, last + 1)}

    @initialize()
    def open(self) -> None:
        self.run(lambda tx: ipam.refill(tx, self.subnet))

    @rule()
    def take_next(self) -> None:
        free = self.pooled() - self.held
        try:
            (ip,) = self.run(lambda tx: ipam.allocate(tx, "p", [ipam.Wish((self.subnet,))]))
        except ApiError as error:
            assert error.type == "IpAddressGenerationFailure" and not free
            return
        assert addressing.number(ip["ip_address"]) == min(free)
        self.held.add(min(free))

    @rule(number=st.sampled_from(EVERY))
    def take_this(self, number: int) -> None:
        try:
            self.run(lambda tx: ipam.allocate(tx, "p", [ipam.Wish((self.subnet,), number)]))
        except ApiError as error:
            assert error.type == "IpAddressAlreadyAllocated" and number in self.held
            return
        assert number not in self.held
        self.held.add(number)

    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        if self.held:
            number = data.draw(st.sampled_from(sorted(self.held)))
            ip = {"subnet_id": "s", "ip_address": addressing.text(4, number)}
            self.run(lambda tx: ipam.release(tx, [ip], {"s": self.subnet}))
            self.held.remove(number)

    @rule(ends=st.lists(st.sampled_from(EVERY), min_size=2, max_size=4, unique=True))
    def change_pools(self, ends: list[int]) -> None:
        ends = sorted(ends)[: len(ends) // 2 * 2]
        self.subnet = subnet(CIDR, *zip(ends[::2], ends[1::2], strict=True))
        self.run(lambda tx: ipam.refill(tx, self.subnet))

    @invariant()
    def free_is_what_the_pools_hold_and_nobody_has(self) -> None:
        free = self.store.read_now(lambda conn: ranges.free(conn, ipam.pool("s")))
        assert free == addressing.without(ipam.pool_ranges(self.subnet), self.held)


TestAllocation = Allocation.TestCase
TestAllocation.settings = settings(
    max_examples=15, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


def test_pools_that_touch_are_one_range() -> None:
    touching = subnet(CIDR, *([EVERY[0], EVERY[1]], [EVERY[2], EVERY[3]], [EVERY[5], EVERY[5]]))
    assert ipam.pool_ranges(touching) == [(EVERY[0], EVERY[3]), (EVERY[5], EVERY[5])]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    """A store with the tables and nothing in them."""
    made = Store(tmp_path / "kaon.db")
    metadata.create_all(made.engine)
    yield made
    made.close()


async def test_many_writers_never_share_an_address(store: Store) -> None:
    held = subnet("10.0.0.0/25")
    await store.write(lambda tx: ipam.refill(tx, held))

    async def one(port: int) -> str:
        wish = ipam.Wish((held,), EVERY[port] if port % 5 == 0 else None)
        try:
            (ip,) = await store.write(lambda tx: ipam.allocate(tx, f"p{port}", [wish]))
        except ApiError:
            return ""
        return ip["ip_address"]

    given = [
        ip for ip in await asyncio.gather(*(one(port % 30 if port % 5 else port % 25) for port in range(200))) if ip
    ]
    assert (
        len(given)
        == len(set(given))
        == store.read_now(
            lambda conn: conn.execute(sa.select(sa.func.count()).select_from(ipam.ALLOCATIONS)).scalar_one()
        )
    )
    assert len(given) == 126


async def test_a_nearly_full_16_is_as_quick_as_an_empty_one(store: Store) -> None:
    """Statements and the rows that they read are counted, as time depends on the machine."""
    held = subnet("10.0.0.0/16")

    def counted(tx: Transaction) -> list[str]:
        plans: list[str] = []

        def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            plan = tx.conn.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(row[3] for row in plan.fetchall())
            plans.append(statement.partition(" ")[0])

        sa.event.listen(tx.conn, "before_cursor_execute", note)
        ipam.allocate(tx, "p", [ipam.Wish((held,))])
        sa.event.remove(tx.conn, "before_cursor_execute", note)
        return plans

    def use_60_000(tx: Transaction) -> None:
        first, _ = addressing.hosts(addressing.network(held["cidr"]))
        # Every address up to 60,000 but two in each thousand, so that holes are there to be searched.
        taken = [number for number in range(first + 1, first + 60_000) if (number - first) % 1000 > 2]
        tx.execute(
            sa.insert(ipam.ALLOCATIONS),
            [
                {
                    "subnet_id": "s",
                    "address": f"{number:032x}",
                    "ip": addressing.text(4, number),
                    "port_id": "p",
                    "network_id": "n",
                }
                for number in taken
            ],
        )
        ipam.refill(tx, held)

    await store.write(lambda tx: ipam.refill(tx, held))
    empty = await store.write(counted)
    await store.write(use_60_000)
    full = await store.write(counted)
    assert full == empty
    assert [step for step in empty if step.isupper()] == ["SELECT", "UPDATE", "INSERT"]
    assert not [step for step in empty if step.startswith("SCAN")]


@pytest.mark.parametrize(
    ("cidr", "mac", "address"),
    [
        # The example of RFC 4291 appendix A is 34-56-78-9A-BC-DE.
        ("fd00::/64", "34:56:78:9a:bc:de", "fd00::3656:78ff:fe9a:bcde"),
        ("2001:db8:0:1::/64", "fa:16:3e:00:00:01", "2001:db8:0:1:f816:3eff:fe00:1"),
    ],
)
def test_an_address_formed_from_a_mac(cidr: str, mac: str, address: str) -> None:
    formed = addressing.text(6, addressing.eui64(cidr, mac))
    assert formed == address and addressing.is_eui64(formed)
