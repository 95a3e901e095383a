"""Token payloads and the keys that seal them."""

from __future__ import annotations

import os
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kaon import privileges
from kaon.identity import keys, tokens
from kaon.identity.keys import KeyRing
from kaon.identity.tokens import METHODS, Payload, Scope

HEX_ID = st.text("0123456789abcdef", min_size=32, max_size=32)
ID = HEX_ID | st.sampled_from(["default", ""]) | st.text(string.printable + "éß漢", max_size=64)
TIME = st.integers(0, 2**62)
PAYLOAD = st.builds(
    Payload,
    user_id=ID,
    methods=st.sets(st.sampled_from(METHODS)).map(lambda chosen: tuple(m for m in METHODS if m in chosen)),
    scope=st.sampled_from(Scope),
    scope_id=ID,
    issued_at=TIME,
    expires_at=TIME,
    audit_id=st.text(string.ascii_letters + string.digits + "-_", max_size=22),
    parent_audit_id=st.text(string.ascii_letters, max_size=22),
    application_credential_id=ID,
)


@pytest.fixture(scope="module")
def ring(tmp_path_factory: pytest.TempPathFactory) -> KeyRing:
    return KeyRing(tmp_path_factory.mktemp("keys"))


@given(PAYLOAD)
def test_a_payload_survives_packing(payload: Payload) -> None:
    assert tokens.unpack(tokens.pack(payload)) == payload


@given(PAYLOAD)
def test_a_payload_survives_sealing(ring: KeyRing, payload: Payload) -> None:
    assert tokens.unseal(tokens.seal(payload, ring), ring) == payload


def example() -> Payload:
    """A payload as full as they get."""
    id = "0123456789abcdef" * 2
    return Payload(
        user_id=id,
        methods=METHODS,
        scope=Scope.PROJECT,
        scope_id=id,
        issued_at=1,
        expires_at=2**50,
        audit_id=tokens.new_audit_id(),
        parent_audit_id=tokens.new_audit_id(),
        application_credential_id=id,
    )


def test_the_longest_token_fits_where_clients_keep_it(ring: KeyRing) -> None:
    assert len(tokens.seal(example(), ring)) <= 255 + 64
    assert "=" not in tokens.seal(example(), ring)


@given(st.integers(0, 10_000), st.characters(codec="ascii"))
def test_a_token_changed_anywhere_is_no_token(ring: KeyRing, place: int, character: str) -> None:
    token = tokens.seal(example(), ring)
    place %= len(token)
    forged = token[:place] + character + token[place + 1 :]
    assert forged == token or tokens.unseal(forged, ring) is None


@given(st.text(max_size=300))
def test_nothing_else_is_a_token(ring: KeyRing, text: str) -> None:
    assert tokens.unseal(text, ring) is None


def test_a_token_of_another_cloud_is_none_of_ours(ring: KeyRing, tmp_path: Path) -> None:
    assert tokens.unseal(tokens.seal(example(), KeyRing(tmp_path)), ring) is None


def test_the_staged_key_of_one_server_reads_what_the_next_primary_of_another_writes(tmp_path: Path) -> None:
    slow = KeyRing(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    keys.rotate(tmp_path)
    assert (tmp_path / "2").read_bytes() == before["0"]
    assert (tmp_path / "1").read_bytes() == before["1"]
    token = tokens.seal(example(), KeyRing(tmp_path))
    assert tokens.unseal(token, slow) is not None


def test_rotation_is_noticed_and_keeps_as_many_keys_as_it_is_told(tmp_path: Path) -> None:
    ring = KeyRing(tmp_path)
    issued = []
    for _ in range(6):
        issued.append(tokens.seal(example(), ring))
        keys.rotate(tmp_path, max_active=4)
    alive = [tokens.unseal(token, ring) is not None for token in issued]
    assert alive == [False, False, False, False, True, True]
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [0, 5, 6, 7]


def test_a_folder_that_exists_keeps_its_keys(tmp_path: Path) -> None:
    token = tokens.seal(example(), KeyRing(tmp_path))
    assert tokens.unseal(token, KeyRing(tmp_path)) is not None


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_text("no key")])
def test_keys_that_are_lost_or_broken_while_running_end_no_token(
    tmp_path: Path, harm: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    ring = KeyRing(tmp_path)
    token = tokens.seal(example(), ring)
    for path in list(tmp_path.iterdir()):
        harm(path)
    (tmp_path / "7").write_text("no key")
    for _ in range(3):
        assert tokens.unseal(token, ring) is not None
    assert [record.message for record in caplog.records] == ["keys_unreadable"]


def test_a_key_made_by_root_belongs_to_the_owner_of_the_folder(tmp_path: Path) -> None:
    if not privileges.can_change_user():
        pytest.skip("only a root among other users can give files away")
    keys.create(tmp_path)
    os.chown(tmp_path, 65534, 65534)
    keys.rotate(tmp_path)
    assert {path.stat().st_uid for path in tmp_path.iterdir() if path.name == "0"} == {65534}
