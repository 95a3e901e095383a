"""Arithmetic on ranges and prefixes, against sets of numbers."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from kaon.resources.subnets import addressing, prefixes
from kaon.resources.subnets.addressing import Range


@st.composite
def disjoint(draw: st.DrawFn) -> list[Range]:
    """A few ranges of small numbers that share none, in any order."""
    ends = sorted(draw(st.sets(st.integers(0, 60), max_size=10)))
    return draw(st.permutations(list(zip(ends[::2], ends[1::2], strict=False))))


def numbers(ranges: list[Range]) -> set[int]:
    """Every number in some ranges."""
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(ranges=disjoint(), holes=disjoint())
def test_a_difference_of_ranges_is_a_difference_of_sets(ranges: list[Range], holes: list[Range]) -> None:
    left = addressing.difference(ranges, holes)
    assert numbers(left) == numbers(ranges) - numbers(holes)
    assert left == sorted(left) and addressing.overlapping(left) is None


@given(left=disjoint(), right=disjoint())
def test_two_sides_overlap_when_they_share_a_number(left: list[Range], right: list[Range]) -> None:
    assert (addressing.overlapping(left + right) is not None) == bool(numbers(left) & numbers(right))


PREFIXES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(24, 32)).map(
        lambda pair: str(ipaddress.ip_network(f"10.0.0.{pair[0]}/{pair[1]}", strict=False))
    ),
    max_size=6,
)


def hosts(items: list[str]) -> set[str]:
    """Every address in some prefixes."""
    return {str(address) for item in items for address in ipaddress.ip_network(item)}


@given(whole=PREFIXES, taken=PREFIXES)
def test_prefixes_are_subtracted_and_compared_address_by_address(whole: list[str], taken: list[str]) -> None:
    networks = [[ipaddress.ip_network(item) for item in side] for side in (whole, taken)]
    left = prefixes.less(*networks)
    assert hosts([str(item) for item in left]) == hosts(whole) - hosts(taken)
    assert prefixes.share_any(whole, taken) == bool(hosts(whole) & hosts(taken))
    assert prefixes.contains_all(whole, taken) == (hosts(taken) <= hosts(whole))
