"""Encoded rows are kept within their room, the newest of them."""

from __future__ import annotations

from kaon.api.encoded import OVERHEAD, EncodedRows, View

MINE: View = (frozenset(), ("a",))
THEIRS: View = (frozenset({"host"}), ("a",))


def of(count: int) -> EncodedRows:
    """Room for so many rows of ten bytes."""
    return EncodedRows(count * (OVERHEAD + 10))


def test_a_row_is_valid_for_its_revision_and_its_view_alone() -> None:
    rows = of(9)
    rows.keep("p", 1, MINE, b"0123456789")
    assert rows.get("p", 1, MINE) == b"0123456789"
    assert rows.get("p", 2, MINE) is None
    assert rows.get("p", 1, THEIRS) is None
    assert rows.get("q", 1, MINE) is None


def test_a_newer_revision_takes_the_place_of_the_older_one() -> None:
    rows = of(1)
    rows.keep("p", 1, MINE, b"0123456789")
    rows.keep("p", 2, MINE, b"01234")
    assert rows.get("p", 1, MINE) is None
    assert rows.get("p", 2, MINE) == b"01234"
    assert rows.size == OVERHEAD + 5


def test_without_more_room_the_oldest_goes_and_the_others_stay() -> None:
    rows = of(3)
    for id in ("a", "b", "c", "d"):
        rows.keep(id, 0, MINE, b"0123456789")
    assert [rows.get(id, 0, MINE) is not None for id in ("a", "b", "c", "d")] == [False, True, True, True]
    assert rows.size == 3 * (OVERHEAD + 10)


def test_a_row_that_is_kept_again_is_the_newest() -> None:
    rows = of(2)
    rows.keep("a", 0, MINE, b"0123456789")
    rows.keep("b", 0, MINE, b"0123456789")
    rows.keep("a", 1, MINE, b"0123456789")
    rows.keep("c", 0, MINE, b"0123456789")
    assert rows.get("b", 0, MINE) is None
    assert rows.get("a", 1, MINE) is not None


def test_a_row_that_is_too_big_for_all_room_is_not_kept() -> None:
    rows = of(1)
    rows.keep("a", 0, MINE, b"0" * 1000)
    assert (rows.get("a", 0, MINE), rows.size) == (None, 0)
