"""The command `kaon`. Each command is a module with `configure(parser)` and `run(arguments) -> exit status`.

A module is imported only when its command is asked for, so that `kaon --help` is quick and `kaon up` stays small.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple

import kaon


class Command(NamedTuple):
    """A command: the module that it is, and one line about it."""

    module: str
    summary: str


COMMANDS: dict[str, Command] = {
    "up": Command("kaon.cli.up", "run Kaon: the API server and this host's agent"),
    "agent": Command("kaon.cli.agent", "run the agent of a host that follows a server on another one"),
    "host": Command("kaon.cli.host", "let hosts join this server, list those that have, and remove one"),
    "down": Command("kaon.cli.down", "stop the Kaon that runs on a data folder; networks stay unless told otherwise"),
    "status": Command("kaon.cli.status", "show what runs on a data folder, and where its API is"),
    "log": Command("kaon.cli.history", "show who changed what, and when"),
    "policy": Command("kaon.cli.policy", "list the rules in force, and explain what somebody may do and why"),
    "trace": Command("kaon.cli.trace", "predict what happens to a packet, hop by hop, and what would let it through"),
    "reach": Command("kaon.cli.reach", "show who can talk to whom in a project"),
    "attach": Command("kaon.cli.attach", "make a port appear on this host, in a namespace or as a tap device"),
    "detach": Command("kaon.cli.detach", "remove a port from this host"),
    "exec": Command("kaon.cli.inside", "run a command in the network of a Kaon that runs without root"),
    "identity": Command("kaon.cli.identity", "look after the embedded Keystone: rotate the keys of its tokens"),
    "demo": Command("kaon.cli.demo", "run the main job on this machine, in a network of its own, with the evidence"),
    "config": Command("kaon.cli.settings", "print every setting with its value, as a file to start from"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status. Errors that a person can mend are one line, without a traceback."""
    os.environ["PATH"] = with_system_programs(os.environ.get("PATH", ""))
    words = list(sys.argv[1:] if arguments is None else arguments)
    parser = parser_of(words)
    parsed = parser.parse_args(words)
    module = importlib.import_module(COMMANDS[parsed.command].module)
    try:
        status: int = module.run(parsed)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if not is_for_people(error):
            raise
        print(f"kaon {parsed.command}: {error}", file=sys.stderr)
        return 1
    return status


def parser_of(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of this command line: all commands by name, and the options of the one that it names."""
    parser = argparse.ArgumentParser(
        prog="kaon",
        description="OpenStack Networking on one machine, by one command.",
        epilog="`kaon COMMAND --help` tells about a command.",
    )
    parser.add_argument("--version", action="version", version=f"kaon {kaon.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if not word.startswith("-")), "")
    for name, command in COMMANDS.items():
        child = commands.add_parser(name, help=command.summary, description=command.summary)
        if name == wanted:
            importlib.import_module(command.module).configure(child)
    return parser


def with_system_programs(path: str) -> str:
    """A search path that ends with the folders of dnsmasq and nft: Debian leaves them out of an ordinary user's."""
    folders = [folder for folder in path.split(":") if folder]
    return ":".join([*folders, *(folder for folder in ("/usr/sbin", "/sbin") if folder not in folders)])


def is_for_people(error: Exception) -> bool:
    """Whether an error is one of Kaon's own, whose message says what to do; any other one is a defect."""
    return type(error).__module__.startswith("kaon.")


if __name__ == "__main__":
    sys.exit(main())
