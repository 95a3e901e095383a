"""`kaon down`: stop the Kaon that runs on a data folder; with `--remove`, take its networks from this host, too."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path

from kaon.agent import main as agent
from kaon.cli import datafolder, networklock
from kaon.cli.datafolder import DataFolder, DataFolderError, holder
from kaon.cli.options import add_settings, settings_from
from kaon.cli.rootless import namespace

PATIENCE = 15.0


class RemovalError(Exception):
    """Something that Kaon made could not be removed; the message says what, and why."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data", "engine"))
    parser.add_argument(
        "--remove",
        action="store_true",
        help="also remove all that Kaon made on this host (bridges, ports, routers, filters, DHCP servers); "
        "the data folder stays, and the next `kaon up` builds everything in it again",
    )


def run(arguments: argparse.Namespace) -> int:
    """Ask the supervisor to end, wait until it has, and remove what it made if that is asked for."""
    settings = settings_from(arguments, ("data", "engine"))
    folder = DataFolder(Path(settings.data))
    process = holder(folder)
    if process:
        stays = _stop(folder, process)
        fate = "its network went with it"
        if stays:
            fate = "what it built in the kernel stays, and `kaon up` takes it over again"
        print(f"Kaon on {folder.root} has stopped" + ("" if arguments.remove and stays else f"; {fate}"))
    else:
        stays = True
        print(f"Kaon does not run on {folder.root}")
    if arguments.remove and stays:
        remove(folder, settings.engine)
        print(f"All that Kaon made on this host is removed; {folder.root} stays")
    return 0


def _stop(folder: DataFolder, process: int) -> bool:
    """End a supervisor; returns whether its network is this process's own, and thus still there."""
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
    return stays


def remove(folder: DataFolder, engine: str) -> None:
    """Remove all that Kaon made in this network, and only that. Raises RemovalError naming what is left, and why."""
    if engine == "linux" and os.geteuid() != 0:
        raise RemovalError("the networks of this host are root's: run `sudo kaon down --remove`")
    if not folder.agent.is_dir():
        raise DataFolderError(f"{folder.root} is no data folder of Kaon's; name the one that it ran on by --data")
    datafolder.lock(folder)
    networklock.lock()
    left = agent.cleanup(engine, folder.agent)
    if left:
        raise RemovalError("not everything could be removed: " + "; ".join(left))
