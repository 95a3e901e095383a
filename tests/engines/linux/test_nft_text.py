"""One canonical text for the many ways of nft."""

from __future__ import annotations

import pytest

from kaon.engines.linux import nft_text
from kaon.rows import Rule


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ('"tap1" . 10.0.0.5', '"tap1" . 10.0.0.5'),
        ("tap1 . 10.0.0.5/32", '"tap1" . 10.0.0.5'),
        ("tcp . 80-80", "6 . 80"),
        ("0x0000000b", "11"),
        ("10.0.0.0-10.0.0.255", "10.0.0.0/24"),
        ("10.0.0.1-10.0.0.3", "10.0.0.1-10.0.0.3"),
        ("FD00:0:0::1", "fd00::1"),
        ("AA:BB:CC:00:11:22", "aa:bb:cc:00:11:22"),
        ("10.0.0.7/24", "10.0.0.0/24"),
    ],
)
def test_an_element_has_one_text(written: str, canonical: str) -> None:
    assert nft_text.element(written) == canonical
    assert nft_text.element(canonical) == canonical


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"concat": ["tap1", 6, {"range": [80, 90]}]}, '"tap1" . 6 . 80-90'),
        ({"prefix": {"addr": "10.0.0.0", "len": 24}}, "10.0.0.0/24"),
        ({"range": ["fd00::1", "fd00::3"]}, "fd00::1-fd00::3"),
        ({"elem": {"val": "10.0.0.1", "expires": 3}}, "10.0.0.1"),
        ("aa:bb:cc:00:11:22", "aa:bb:cc:00:11:22"),
        (11, "11"),
    ],
)
def test_json_gives_the_same_text(value: object, text: str) -> None:
    assert nft_text.element_from_json(value) == text


def test_a_hook_is_the_same_by_name_and_by_number() -> None:
    named = nft_text.hook("inet", "type filter hook forward priority filter - 5; policy drop;")
    assert named == nft_text.hook("inet", "type filter hook forward priority -5;  policy drop;")
    assert nft_text.hook("bridge", "type filter hook forward priority filter;") != nft_text.hook(
        "inet", "type filter hook forward priority filter;"
    ), "the bridge family has priorities of its own"


def test_a_rule_carries_its_origin_and_a_digest_that_changes_with_its_text() -> None:
    one, other = (nft_text.rule_comment(Rule(text, "security_group_rule/x")) for text in ("accept", "drop"))
    assert nft_text.parse_comment(one)[0] == "security_group_rule/x"
    assert nft_text.parse_comment(one) != nft_text.parse_comment(other)
    assert nft_text.parse_comment("someone else wrote this") == ("someone else wrote this", "")
    assert len(nft_text.rule_comment(Rule("accept", "x" * 500))) < 128
