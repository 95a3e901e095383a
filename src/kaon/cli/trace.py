"""`kaon trace`: what happens to a packet, hop by hop, and what would let it through."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import Any

from kaon.cli.client import Client, ClientError, connected
from kaon.cli.options import add_settings

EXTERNAL = "external"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument(
        "--from", dest="sender", metavar="PORT", required=True, help="id or name of a port, or external"
    )
    parser.add_argument("--to", metavar="IP[:PORT]", required=True, help="where to; write [IPv6]:PORT")
    parser.add_argument("--proto", metavar="NAME", default="", help="tcp, udp, icmp, … (tcp with a port, else icmp)")
    parser.add_argument("--source", metavar="IP", default="", help="the sender's address (the port's own)")
    parser.add_argument("--source-port", metavar="PORT", default="", help="the sender's port (40000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, with all that is known")


def run(arguments: argparse.Namespace) -> int:
    """Print a trace: exit status 0 if the packet arrives and is answered, 2 if not."""
    given = {"to": arguments.to, "protocol": arguments.proto}
    given |= {"source": arguments.source, "source_port": arguments.source_port}
    with connected(arguments) as client:
        sender = port_id(client, arguments.sender)
        query = {name: value for name, value in given.items() if value}
        found = client.get(f"{client.url}/kaon/v1/trace", **{"from": sender}, **query)["trace"]
    print(json.dumps(found) if arguments.json else "\n".join(told(found)))
    return 0 if found["outcome"] in ("delivered", "left") else 2


def port_id(client: Client, wanted: str) -> str:
    """The id of a port that is named by id or by name; `external`, in any case of letters, is itself."""
    if wanted.lower() == EXTERNAL:
        return EXTERNAL
    for attribute in ("id", "name"):
        found = client.get(f"{client.url}/v2.0/ports", **{attribute: wanted, "fields": "id"})["ports"]
        if len(found) == 1:
            return str(found[0]["id"])
        if found:
            raise ClientError(f"port {wanted}: there are {len(found)} of that name; give an id")
    raise ClientError(f"port {wanted}: there is none of that id or name")


def told(found: dict[str, Any]) -> Iterator[str]:
    """A trace for people."""
    outcome = found["outcome"].upper() if found["outcome"] == "dropped" else found["outcome"]
    yield f"{found['packet']}: {outcome}" + (f" to {found['reached']}" if found["reached"] else "")
    for title, hops in (("there", found["hops"]), ("back", found["back"])):
        packet = ""
        for number, hop in enumerate(hops):
            because = f"  [{hop['because']}]" if hop["because"] else ""
            changed = f"  ({hop['packet']})" if hop["packet"] != packet else ""
            packet = hop["packet"]
            place = f"{'' if number else title:<6} {hop['stage']:<8} {hop['resource']:<45}"
            yield f"  {place} {hop['what']}{because}{changed}"
    drop = found["drop"]
    if drop is not None:
        way = "the answer is dropped" if drop["way"] == "back" else "dropped"
        yield f"  {way} at {drop['resource']}: {drop['reason']}: {drop['why']}"
        for text in [change["text"] for change in drop["changes"]] or [drop["advice"]]:
            yield f"  to let it through: {text}"
