"""`kaon exec`: run a command in the network of a Kaon that runs without root, from any terminal of the same user."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kaon.cli.datafolder import DataFolder, DataFolderError, holder
from kaon.cli.options import add_settings, settings_from
from kaon.cli.rootless import namespace


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run; a shell by default")


def run(arguments: argparse.Namespace) -> int:
    """Replace this process by the command, in Kaon's namespaces where it has some of its own."""
    folder = DataFolder(Path(settings_from(arguments, ("data",)).data))
    process = holder(folder)
    if not process:
        raise DataFolderError(f"Kaon does not run on {folder.root}; start it by `kaon up --data {folder.root}`")
    words = [word for index, word in enumerate(arguments.words) if index or word != "--"]
    words = words or [os.environ.get("SHELL", "/bin/sh")]
    enter: list[str] = []
    try:
        same = namespace(process, "user") == namespace(os.getpid(), "user")
    except PermissionError as error:
        raise DataFolderError(f"process {process} belongs to another user; ask as that user") from error
    if not same:
        # Not the other way round: the user namespace is what allows the others to be entered.
        enter = ["nsenter", "--target", str(process), "--user", "--net", "--mount", "--preserve-credentials", "--"]
    try:
        os.execvp((enter or words)[0], [*enter, *words])
    except OSError as error:
        raise DataFolderError(f"{(enter or words)[0]}: {error.strerror}") from error
