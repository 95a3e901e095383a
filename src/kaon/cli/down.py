"""`kaon down`: stop the Kaon that runs on a data folder."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from kaon.cli.datafolder import DataFolder, DataFolderError, holder
from kaon.cli.options import add_settings, settings_from
from kaon.cli.rootless import namespace

PATIENCE = 15.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))


def run(arguments: argparse.Namespace) -> int:
    """Ask the supervisor to end, and wait until it has."""
    folder = DataFolder(Path(settings_from(arguments, ("data",)).data))
    process = holder(folder)
    if not process:
        print(f"Kaon does not run on {folder.root}")
        return 0
    try:
        stays = namespace(process, "net") == namespace(os.getpid(), "net")
        os.kill(process, signal.SIGTERM)
    except PermissionError as error:
        raise DataFolderError(f"process {process} belongs to another user; ask as that user, or as root") from error
    deadline = time.monotonic() + PATIENCE
    while holder(folder):
        if time.monotonic() > deadline:
            raise DataFolderError(f"process {process} has not ended within {PATIENCE:.0f} s")
        time.sleep(0.02)
    left = (
        "what it built in the kernel stays, and `kaon up` takes it over again" if stays else "its network went with it"
    )
    print(f"Kaon on {folder.root} has stopped; {left}")
    return 0
