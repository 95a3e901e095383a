#!/usr/bin/env python3
"""Write the pages of the documentation that say again what the code declares: every command, setting, extension.

scripts/docs.py            # writes commands.md, configuration.md and extensions.md below docs/
scripts/docs.py --check    # says which of them are stale, and writes nothing
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from kaon.cli.main import COMMANDS, parser_of
from kaon.config import SETTINGS, Setting
from kaon.resources.catalog import extensions

DOCS = Path(__file__).parents[1] / "docs"
WIDTH = 100
"""Columns of what `--help` prints."""


def commands() -> str:
    """The page of the commands: what each `--help` prints."""
    lines = [
        "# Commands",
        "",
        "What `--help` says, written by `make docs`. Options with a name in brackets are settings: the environment or",
        "a file may give them as well ([configuration](configuration.md)).",
        "",
        *_help("kaon", parser_of([])),
    ]
    for name in COMMANDS:
        parser = _subparsers(parser_of([name]))[name]
        lines += ["", *_help(f"kaon {name}", parser)]
        for action, inner in _subparsers(parser).items():
            lines += ["", *_help(f"kaon {name} {action}", inner)]
    return "\n".join(lines) + "\n"


def _subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found.update(action.choices)
    return found


def _help(title: str, parser: argparse.ArgumentParser) -> list[str]:
    return [f"## {title}", "", "```", parser.format_help().rstrip(), "```"]


def configuration() -> str:
    """The page of the settings: name, environment, flag, values, default and meaning of each."""
    lines = [
        "# Configuration",
        "",
        "Every setting, written by `make docs`. They are read from a TOML file (`--config FILE`, else `KAON_CONFIG`,",
        "else `/etc/kaon/kaon.toml` as root and `~/.config/kaon/kaon.toml` otherwise), then from the environment, then",
        "from the options of `kaon up`; the later one wins. `kaon config` prints those in force, to start a file from.",
    ]
    up = _subparsers(parser_of(["up"]))["up"]
    options = {action.dest: action.option_strings[0] for action in up._actions if action.dest in SETTINGS}
    section: str | None = None
    for setting in SETTINGS.values():
        if setting.section != section:
            section = setting.section
            lines += ["", f"## {f'[{section}]' if section else 'At the top of the file'}", "", *_HEAD]
        lines.append(_row(setting, options.get(setting.path)))
    return "\n".join(lines) + "\n"


_HEAD = ("| setting | values | default | what it is | environment, option |", "|---|---|---|---|---|")


def _row(setting: Setting, option: str | None) -> str:
    where = f"`{setting.variable}`" + (f", `{option}`" if option else "")
    cells = (f"`{setting.name}`", _values(setting), _default(setting.default), setting.description, where)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _values(setting: Setting) -> str:
    kind, *metas = get_args(setting.type)
    choices = get_args(kind)
    if choices and all(isinstance(choice, str) for choice in choices):
        return ", ".join(f"`{choice}`" for choice in choices)
    least, most = (
        next((value for meta in metas if (value := getattr(meta, of)) is not None), None) for of in ("ge", "le")
    )
    if least is not None:
        return f"{least} to {most}" if most is not None else f"{least} or more"
    return {"str": "text", "int": "number", "bool": "true, false"}.get(getattr(kind, "__name__", ""), _many(kind))


def _many(kind: Any) -> str:
    return "table of texts" if str(kind).startswith("dict") else "list of texts"


def _default(value: Any) -> str:
    return f"`{value}`" if value not in ("", (), {}) else ""


def announced() -> str:
    """The page of the API's extensions: each alias, and what of it is not on the wire yet."""
    found = extensions().values()
    waiting = [item for item in found if item.awaits]
    lines = [
        "# Extensions",
        "",
        "The extensions of the Network API that Kaon announces, written by `make docs`. Names, attributes, rules and",
        "refusals are Neutron's, and all that is asked for is kept and told. By these, "
        f"{len(waiting)} of {len(found)}, one asks for",
        "what no engine does yet:",
        "",
        "| extension | so far |",
        "|---|---|",
        *(f"| `{item.alias}` | {item.awaits} |" for item in waiting),
        "",
        "## All of them",
        "",
        "| extension | what it is |",
        "|---|---|",
        *(f"| `{item.alias}` | {' '.join(item.description.split())} |" for item in found),
    ]
    return "\n".join(lines) + "\n"


PAGES = {"commands.md": commands, "configuration.md": configuration, "extensions.md": announced}


def stale() -> Iterator[str]:
    """Names of the pages that do not say what the code does."""
    for name, page in PAGES.items():
        path = DOCS / name
        # Where lines are wrapped is Python's choice, and changes with its versions.
        if not path.exists() or path.read_text().split() != page().split():
            yield name


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="only say which pages are stale")
    arguments = parser.parse_args()
    # argparse wraps by the width of the terminal.
    os.environ["COLUMNS"] = str(WIDTH)
    if arguments.check:
        found = list(stale())
        print("\n".join(f"docs/{name} is stale: run `make docs`" for name in found), end="\n" if found else "")
        return 1 if found else 0
    for name, page in PAGES.items():
        (DOCS / name).write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main())
