"""`kaon identity`: what an administrator does to the embedded Keystone beside its API."""

from __future__ import annotations

import argparse
from pathlib import Path

from kaon.cli.datafolder import DataFolder, DataFolderError
from kaon.cli.options import add_settings, settings_from


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "make a new key for tokens; those that were given out stay valid until the next rotation"
    add_settings(actions.add_parser("rotate-keys", help=summary, description=summary), ("data",))


def run(arguments: argparse.Namespace) -> int:
    """Rotate the keys; a server that runs takes the new ones by itself. Raises DataFolderError."""
    from kaon.identity import keys

    folder = DataFolder(Path(settings_from(arguments, ("data",)).data))
    path = keys.keys_folder(folder.server)
    try:
        if not path.exists():
            raise DataFolderError(f"{path} does not exist; `kaon up` makes it, or name another data folder by --data")
        primary = keys.rotate(path)
    except PermissionError as error:
        raise DataFolderError(f"{path}: {error.strerror}; ask as the user who owns it, or as root") from error
    print(f"Key {primary} of {path} encrypts tokens from now on")
    return 0
