"""Pools of free numbers against the plainest model there is: a set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kaon.resources import ranges
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction

BASE = 2**127
"""Numbers of the middle of the IPv6 space, so that order as text and order as number must agree."""


@pytest.fixture(scope="module")
def conn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    path: Path = tmp_path_factory.mktemp("ranges") / "kaon.db"
    engine = sa.create_engine(f"sqlite:///{path}")
    metadata.create_all(engine, tables=[ranges.FREE])
    with engine.connect() as made:
        yield made
    engine.dispose()


def _ranges(numbers: set[int]) -> list[tuple[int, int]]:
    """A set as inclusive ranges, none beside another."""
    found: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


NUMBERS = st.integers(0, 24)
STEPS = st.lists(
    st.one_of(st.just(("lowest", 0)), st.tuples(st.sampled_from(["take", "give"]), NUMBERS)), min_size=1, max_size=60
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pool=st.sets(NUMBERS), steps=STEPS, base=st.sampled_from([0, 250, BASE, 2**128 - 25]))
def test_a_pool_is_a_set_whatever_is_taken_and_given_back(
    conn: sa.Connection, pool: set[int], steps: list[tuple[str, int]], base: int
) -> None:
    free = {base + number for number in pool}
    tx = Transaction(conn)
    ranges.fill(tx, "pool", _ranges(free))
    ranges.fill(tx, "pool2", [(0, 2**128 - 1)])  # a neighbour by name
    for step, offset in steps:
        number = base + offset
        if step == "lowest":
            lowest = min(free, default=None)
            assert ranges.take_lowest(tx, "pool") == lowest
            free.discard(-1 if lowest is None else lowest)
        elif step == "take":
            assert ranges.take(tx, "pool", number) == (number in free)
            free.discard(number)
        else:
            ranges.give_back(tx, "pool", number)
            free.add(number)
        assert ranges.free(conn, "pool") == _ranges(free)
    assert ranges.free(conn, "pool2") == [(0, 2**128 - 1)]
    ranges.drop(tx, "pool")
    assert ranges.free(conn, "pool") == []


def test_the_next_free_number_costs_the_same_in_a_pool_full_of_holes(conn: sa.Connection) -> None:
    """Steps of SQLite's virtual machine are counted, not time."""
    tx = Transaction(conn)
    driver = conn.connection.driver_connection
    assert driver is not None

    def steps(pool: str) -> int:
        counted = 0

        def count() -> int:
            nonlocal counted
            counted += 1
            return 0

        driver.set_progress_handler(count, 1)
        assert ranges.take_lowest(tx, pool) is not None
        driver.set_progress_handler(None, 0)
        return counted

    ranges.fill(tx, "empty", [(0, 65_535)])
    ranges.fill(tx, "used", [(number, number) for number in range(0, 60_000, 60)] + [(60_000, 65_535)])
    assert steps("used") <= steps("empty") + 20
