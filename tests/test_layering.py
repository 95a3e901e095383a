"""The layers of docs/architecture.md: who may import whom, how deep folders go, how long a file may be."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import kaon

SOURCE = Path(kaon.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

DEEPEST = 3
"""Folders below src, the package itself among them."""

LONGEST = 600
"""Lines of a file."""

PROCESS = {"log", "privileges", "launch", "config"}
"""How a process starts: settings, sockets, logs, privileges."""

TOP = {"cli", "demo"}
"""One layer at the top: the commands, and the demo that one of them plays. They may import everything."""

LAYERS: dict[str, set[str]] = {
    "rows": set(),
    "channel": {"rows"},
    "joining": {"channel"},
    "caller": set(),
    "ip_protocols": set(),
    "log": set(),
    "privileges": set(),
    "config": set(),
    "launch": {"config"},
    "engines": {"rows"},
    "converge": {"rows", "engines.base"},
    "agent": {"channel", "joining", "rows", "converge", "engines", *PROCESS},
    "world": set(),
    "compile": {"ip_protocols", "rows", "world"},
    "insight": {"ip_protocols", "world"},
    "store": {"caller"},
    "resources": {"caller", "ip_protocols", "store"},
    "identity": {"caller", "resources", "store"},
    "api": {"caller", "resources", "store"},
    "server": {
        *("caller", "api", "identity", "resources", "store", "world", "insight", "compile"),
        *("channel", "joining", "rows"),
        *PROCESS,
    },
}
"""What each package may import besides itself; docs/architecture.md has the same table."""


def modules_imported(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name, without `kaon.`, of each module of Kaon that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports are written in full"
            names = [f"kaon.{alias.name}" for alias in node.names] if node.module == "kaon" else [str(node.module)]
        else:
            continue
        yield from ((node.lineno, name.removeprefix("kaon.")) for name in names if name.startswith("kaon."))


def layer(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def allowed(own: str, name: str) -> bool:
    if own in TOP or name.split(".")[0] == own or name.startswith("__"):
        return True
    return any(name == item or name.startswith(item + ".") for item in LAYERS[own])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down_the_picture(path: Path) -> None:
    own = layer(path)
    if own == "__init__":
        assert list(modules_imported(path)) == []
        return
    assert own in TOP or own in LAYERS, f"{own} has no place in docs/architecture.md"
    up = [f"line {line}: {own} imports {name}" for line, name in modules_imported(path) if not allowed(own, name)]
    assert up == []


def test_packages_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for path in FILES:
        if layer(path) not in TOP:
            graph.setdefault(layer(path), set()).update(name.split(".")[0] for _, name in modules_imported(path))
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for other in sorted(graph.get(name, set()) - {name}):
                visit(other, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_the_architecture_tells_the_same_table() -> None:
    table = (SOURCE.parents[1] / "docs" / "architecture.md").read_text()
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    told = {name.strip(" `") for row in rows for name in row.split(",")}
    assert set(LAYERS) | TOP <= told


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_file_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.relative_to(SOURCE.parent).parts) - 1 <= DEEPEST
    # Revisions of the database are written by a script, and read for what they change.
    assert path.parent.name == "migrations" or len(path.read_text().splitlines()) <= LONGEST


def test_the_walk_finds_imports_of_packages_and_of_modules() -> None:
    found = {name for _, name in modules_imported(SOURCE / "cli" / "up.py")}
    assert {"privileges", "log", "cli", "cli.supervise", "config", "launch"} <= found
