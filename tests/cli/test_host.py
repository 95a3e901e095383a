"""`kaon host` and `kaon agent` by their command lines, without a server that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaon.cli import datafolder
from kaon.cli import main as cli
from kaon.cli.datafolder import DataFolder, State
from kaon.joining import fingerprint, parse_token
from kaon.server import membership


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder on which a server has run."""
    (tmp_path / "server").mkdir(mode=0o700)
    return tmp_path


def kaon(*words: str) -> int:
    return cli.main(list(words))


def test_a_token_names_the_authority_of_this_server_and_no_two_are_the_same(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert kaon("host", "token", "beta", "--data", str(data)) == 0
    one, other = map(parse_token, capsys.readouterr().out.split())
    folder = membership.members_folder(data / "server")
    assert one.fingerprint == other.fingerprint == fingerprint((folder / "authority.pem").read_text())
    assert one.secret != other.secret
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert one.secret.encode() not in kept
    assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}


def test_hosts_are_listed_and_removed(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = membership.members_folder(data / "server")
    membership.prepare(folder)
    membership.keep(folder, "beta", "its key", 1_900_000_000.0)
    assert kaon("host", "list", "--json", "--data", str(data)) == 0
    assert json.loads(capsys.readouterr().out)["host"] == "beta"
    assert kaon("host", "list", "--data", str(data)) == 0
    assert "certificate until 2030-03-17" in capsys.readouterr().out

    assert kaon("host", "remove", "beta", "--data", str(data)) == 0
    assert kaon("host", "list", "--data", str(data)) == 0
    assert capsys.readouterr().out == "Host beta is removed: its agent is refused from now on\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("host", "token", "a b"), "at most 64 letters"),
        (("host", "token", "--expires", "soon"), "90s, 10m, 2h or 1d"),
        (("host", "remove", "nobody"), "`kaon host list`"),
        (("agent", "--engine", "fake"), "make a token there by `kaon host token NAME`"),
        (("agent", "--engine", "fake", "--server", "tls://127.0.0.1:1"), "make a token there"),
        (("agent", "--engine", "fake", "--server", "http://a", "--join", "x"), "write tls://ADDRESS:PORT"),
        (("agent", "--engine", "fake", "--server", "tls://127.0.0.1:1", "--join", "x"), "copy the whole line"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    data: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reason: str
) -> None:
    assert kaon(*words, "--data", str(data)) == 1
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("\n") == 1


def test_where_no_server_has_run_there_is_nothing_to_join(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert kaon("host", "token", "--data", str(tmp_path)) == 1
    assert "no server has run" in capsys.readouterr().err


def test_questions_for_the_api_are_sent_to_the_host_that_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = DataFolder(tmp_path)
    datafolder.prepare_agent(folder)
    datafolder.write_state(folder, State(follows="tls://controller:9697", supervisor=1))
    assert kaon("log", "--data", str(tmp_path)) == 1
    assert "ask on the host of its server, tls://controller:9697" in capsys.readouterr().err
