"""The command line itself: what each command imports, and how errors look."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kaon.cli import main
from kaon.cli.main import COMMANDS


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main.main([name, "--help"])
    assert ended.value.code == 0
    assert f"kaon {name}" in capsys.readouterr().out


def test_help_imports_no_command_and_up_no_server() -> None:
    heavy = ("asyncio", "sqlalchemy", "starlette", "rich", "ssl", "kaon.server", "kaon.engines")
    code = (
        "import sys, kaon.cli.main\n"
        "print([m for m in sys.modules if m.startswith('kaon.cli.') and m != 'kaon.cli.main'])\n"
        "import kaon.cli.up\n"
        f"print([m for m in {heavy!r} if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines() == ["[]", "[]"], done.stderr


def test_an_error_that_a_person_can_mend_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAON_NETWROK_MTU", "1500")
    assert main.main(["config"]) == 1
    assert capsys.readouterr().err == (
        "kaon config: environment: unknown setting KAON_NETWROK_MTU; did you mean KAON_NETWORK_MTU?\n"
    )


def test_config_prints_the_settings_in_force(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAON_ADMIN_PASSWORD", "geheim")
    assert main.main(["config"]) == 0
    text = capsys.readouterr().out
    assert 'listen = "127.0.0.1:9696"' in text
    assert "geheim" not in text


@pytest.mark.parametrize(
    ("path", "whole"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin:/usr/sbin:/sbin"),
        ("/usr/sbin:/usr/bin", "/usr/sbin:/usr/bin:/sbin"),
        ("", "/usr/sbin:/sbin"),
    ],
)
def test_an_ordinary_users_search_path_is_completed(path: str, whole: str) -> None:
    assert main.with_system_programs(path) == whole
