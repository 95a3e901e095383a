"""`kaon detach`: remove a port from this host; the port itself stays."""

from __future__ import annotations

import argparse
import asyncio

from kaon.agent import control
from kaon.cli.attach import add_wait, control_socket
from kaon.cli.options import add_settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument("port", metavar="PORT", help="id of the port")
    add_wait(parser)


def run(arguments: argparse.Namespace) -> int:
    """Detach a port."""
    wait = control.PATIENCE if arguments.wait else 0.0
    asyncio.run(control.detach(control_socket(arguments), arguments.port, wait))
    print(f"{arguments.port} is detached")
    return 0
