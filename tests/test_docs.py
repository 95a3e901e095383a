"""Every block in README.md and docs/ that is marked `<!-- run -->` runs, in order, against a running Kaon."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.running import Running, running

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^<!-- run -->\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of a page: where it starts, in which language, and its text."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in _BLOCK.finditer(text):
        yield Block(page, text.count("\n", 0, match.start()) + 2, match.group(1), match.group(2))


BLOCKS = [block for page in PAGES for block in blocks(page)]


@pytest.fixture(scope="module")
def kaon() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="kaon-docs-") as folder:
        # The server's user must be able to enter.
        Path(folder).chmod(0o755)
        with running(Path(folder) / "data", "--engine", "fake") as kaon:
            yield kaon


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_what_the_pages_tell_to_run_runs(block: Block, kaon: Running) -> None:
    programs = {"sh": ["/bin/sh", "-eu"], "python": [sys.executable, "-"]}
    done = subprocess.run(
        programs[block.language],
        input=block.text,
        env=kaon.environment | {"KAON_DATA": str(kaon.data)},
        cwd=kaon.data.parent,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}\n{kaon.output.read_text()}"


def test_the_pages_have_blocks_that_run() -> None:
    assert {"sh", "python"} <= {block.language for block in BLOCKS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_make_target_of_the_readme_exists() -> None:
    told = set(re.findall(r"`make (\w+)`", (ROOT / "README.md").read_text()))
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"setup", "check"} <= told <= targets


def test_the_pages_of_commands_and_settings_say_what_the_code_does() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "docs.py"), "--check"], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_a_page_that_says_something_else_is_stale(tmp_path: Path) -> None:
    """The page of the settings without one of them, checked by a copy of the script beside it."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "docs").mkdir()
    script = tmp_path / "scripts" / "docs.py"
    script.write_text((ROOT / "scripts" / "docs.py").read_text())
    for name in ("commands.md", "configuration.md", "extensions.md"):
        text = (ROOT / "docs" / name).read_text()
        (tmp_path / "docs" / name).write_text(re.sub(r"^\| `keep_days`.*\n", "", text, flags=re.MULTILINE))
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "docs/configuration.md is stale: run `make docs`\n"), done.stderr
