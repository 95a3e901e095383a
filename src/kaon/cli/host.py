"""`kaon host`: which hosts may follow the server of this data folder."""

from __future__ import annotations

import argparse
import re
import time
from pathlib import Path

import msgspec

from kaon.cli.datafolder import DataFolder, DataFolderError
from kaon.cli.options import add_settings, settings_from
from kaon.joining import JoinError, Token, fingerprint
from kaon.server import authority, membership
from kaon.server.membership import Member

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    summary = "print a token by which one host may join, once, by `kaon agent --join TOKEN`"
    token = actions.add_parser("token", help=summary, description=summary)
    token.add_argument("host", metavar="NAME", nargs="?", default="", help="the host that it is for (any host)")
    token.add_argument(
        "--expires", metavar="TIME", default="1h", help="how long it is good, such as 90s, 10m, 2h, 1d (1h)"
    )
    summary = "list the hosts that have joined"
    listing = actions.add_parser("list", help=summary, description=summary)
    listing.add_argument("--json", action="store_true", help="print one JSON object a line")
    summary = "refuse a host from now on; its ports stay bound to it, and what it built stays there"
    remove = actions.add_parser("remove", help=summary, description=summary)
    remove.add_argument("host", metavar="NAME", help="the host")
    for action in (token, listing, remove):
        add_settings(action, ("data",))


def run(arguments: argparse.Namespace) -> int:
    """Make a token, list hosts or remove one; a server that runs takes account of it at once."""
    server = DataFolder(Path(settings_from(arguments, ("data",)).data)).server
    folder = membership.members_folder(server)
    try:
        if not server.is_dir():
            raise DataFolderError(f"no server has run on {server.parent}; name its data folder by --data")
        if arguments.action == "token":
            found = authority.open_authority(folder)
            secret = membership.invite(folder, arguments.host, seconds(arguments.expires))
            print(Token(fingerprint(found.pem), secret))
        elif arguments.action == "list":
            for member in membership.members(folder):
                print(msgspec.json.encode(member).decode() if arguments.json else line(member))
        else:
            membership.remove(folder, arguments.host)
            print(f"Host {arguments.host} is removed: its agent is refused from now on")
    except PermissionError as error:
        raise DataFolderError(f"{error.filename}: {error.strerror}; ask as the user who owns it, or as root") from error
    return 0


def line(member: Member) -> str:
    """A host that has joined, in words."""
    joined, expires = (time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at)) for at in (member.joined, member.expires))
    return f"{member.host}  joined {joined} UTC, certificate until {expires} UTC"


def seconds(text: str) -> int:
    """A time such as 90s, 10m, 2h or 1d in seconds; raises JoinError."""
    found = re.fullmatch(r"([1-9][0-9]{0,5})([smhd])", text)
    if found is None:
        raise JoinError(f"--expires {text}: write a number and a unit, such as 90s, 10m, 2h or 1d")
    return int(found.group(1)) * _UNITS[found.group(2)]
