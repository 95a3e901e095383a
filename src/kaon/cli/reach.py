"""`kaon reach`: who can talk to whom in a project."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from kaon.cli.client import connected
from kaon.cli.history import value
from kaon.cli.options import add_settings

_SIGNS = {"delivered": "+", "left": "+", "hidden": "?"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument("--project", metavar="PROJECT", default="admin", help="id or name of the project (admin)")
    parser.add_argument("--network", metavar="ID", default="", help="only ports of this network")
    parser.add_argument("--proto", metavar="NAME", default="", help="tcp, udp, icmp, … (tcp with a port, else icmp)")
    parser.add_argument("--port", metavar="PORT", default="", help="port of the receiver, for protocols with ports")
    parser.add_argument("--ipv6", action="store_true", help="by IPv6 addresses (IPv4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with the reasons")


def run(arguments: argparse.Namespace) -> int:
    """Print the matrix: + is a way, ? is decided by another project, a letter is a reason told below."""
    given = {"network": arguments.network, "protocol": arguments.proto, "port": arguments.port}
    with connected(arguments) as client:
        project = client.id_of("project", arguments.project)
        query = {name: value for name, value in given.items() if value}
        version = "6" if arguments.ipv6 else "4"
        found = client.get(f"{client.url}/kaon/v1/reach", project=project, ip_version=version, **query)["reach"]
    print(json.dumps(found) if arguments.json else "\n".join(told(found)))
    return 0


def told(found: dict[str, Any]) -> Iterator[str]:
    """The matrix for people: a row is who sends, a column who is to receive, by number."""
    ends, reasons = found["ends"], dict[str, int]()
    names = [value(end["name"] or end["id"][:8]) for end in ends]
    width = max((len(name) for name in names), default=0)
    asked = found["protocol"] + (f" {found['port']}" if found["port"] is not None else "")
    yield f"{asked}: rows send, columns receive"
    yield " " * (width + 4) + "".join(f"{number:>4}" for number in range(1, len(ends) + 1))
    for number, (name, row) in enumerate(zip(names, found["rows"], strict=True), 1):
        yield f"{number:>3} {name:<{width}}" + "".join(f"{_sign(cell, reasons):>4}" for cell in row["cells"])
    for reason, letter in reasons.items():
        yield f"{_letters(letter):>3} {reason}"


def _sign(cell: dict[str, Any] | None, reasons: dict[str, int]) -> str:
    if cell is None:
        return "."
    if cell["outcome"] in _SIGNS:
        return _SIGNS[cell["outcome"]]
    return _letters(reasons.setdefault(cell["reason"], len(reasons)))


def _letters(number: int) -> str:
    """a, b, … z for the reasons, of which there are fewer than letters."""
    return chr(ord("a") + number)
