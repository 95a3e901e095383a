"""GET /kaon/v1/trace predicts what happens to a packet, GET /kaon/v1/reach who can talk to whom.

A project asks about its own ports, and sees what is its own; administrators ask about all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from kaon.api.http import Answer, Authenticate, endpoint
from kaon.caller import Caller
from kaon.insight import reach
from kaon.insight.packet import CLIENT_PORT, EXTERNAL, asked
from kaon.insight.trace import NoAnswer, trace
from kaon.insight.visible import is_visible, of_project
from kaon.resources import types
from kaon.resources.errors import bad_request, forbidden, not_found
from kaon.server.intent import Intent
from kaon.world.world import World

TRACE = "/kaon/v1/trace"
REACH = "/kaon/v1/reach"
MOST = 100
"""Ports of a matrix; it takes the square of their number of traces."""

_encode = msgspec.json.Encoder().encode


def insight_routes(intent: Intent, authenticate: Authenticate, identity_url: str = "/identity") -> list[BaseRoute]:
    """The routes of the predictions."""

    async def tracing(request: Request, caller: Caller) -> Answer:
        given = _given(request, "from", "to", "protocol", "source", "source_port")
        return Answer(200, _encode({"trace": _traced(intent.world(), given, caller)}))

    async def reaching(request: Request, caller: Caller) -> Answer:
        given = _given(request, "project", "protocol", "port", "ip_version", "network")
        return Answer(200, await _reached(intent.world, given, caller))

    return [
        Route(TRACE, endpoint(tracing, authenticate, identity_url), methods=["GET"]),
        Route(REACH, endpoint(reaching, authenticate, identity_url), methods=["GET"]),
    ]


def _given(request: Request, *names: str) -> Mapping[str, str]:
    """The query, which may hold these names. Raises 400 for others."""
    given = dict(request.query_params.multi_items())
    unknown = sorted(given.keys() - set(names))
    if unknown:
        raise bad_request(f"{unknown} is nothing to ask here: {', '.join(names)} are")
    return given


def _project(caller: Caller, wanted: str) -> str:
    """The project whose network is asked about; "" for an administrator who names none."""
    if caller.is_admin:
        return wanted
    if not caller.project_id:
        raise forbidden("What a project's packets do is for tokens of that project, and for administrators.")
    if wanted not in ("", caller.project_id):
        raise forbidden(f"What the packets of project {wanted} do is for itself and for administrators.")
    return caller.project_id


def _traced(world: World, given: Mapping[str, str], caller: Caller) -> object:
    project = _project(caller, "")
    for name in ("from", "to"):
        if not given.get(name):
            raise bad_request(f"Say {name}: from=PORT (an id, or {EXTERNAL}), to=IP or IP:PORT")
    sender = given["from"]
    if sender != EXTERNAL and (world.get("port", sender) is None or not _sees(world, sender, project)):
        raise not_found("PortNotFound", f"Port {sender} could not be found.")
    source_port = types.natural(given.get("source_port", str(CLIENT_PORT)))
    try:
        question = asked(sender, given["to"], given.get("protocol", ""), given.get("source", ""), source_port or 0)
        found = trace(world, question._replace(project=project))
    except (ValueError, NoAnswer) as error:
        raise bad_request(f"{error}.") from None
    return of_project(world, found, project) if project else found


def _sees(world: World, port_id: str, project: str) -> bool:
    return not project or is_visible(world, f"port/{port_id}", project)


async def _reached(world: Callable[[], World], given: Mapping[str, str], caller: Caller) -> bytes:
    """The matrix; others have the event loop between its rows."""
    project = _project(caller, given.get("project", "")) or caller.project_id
    port = types.natural(given["port"]) if "port" in given else -1
    version, protocol = given.get("ip_version", "4"), given.get("protocol", "tcp" if "port" in given else "icmp")
    if port is None or version not in ("4", "6"):
        raise bad_request("port is a number from 1 to 65535, ip_version 4 or 6")
    ends = reach.ends(world(), project, int(version), given.get("network", ""))
    if len(ends) > MOST + 1:
        raise bad_request(f"Project {project} has {len(ends)} ports there, and a matrix {MOST} at most: name a network")
    viewer = "" if caller.is_admin else project
    found = []
    try:
        for row in reach.rows(world(), ends, protocol, port, viewer):
            found.append(row)
            await asyncio.sleep(0)
    except (ValueError, NoAnswer) as error:
        raise bad_request(f"{error}.") from None
    return _encode({"reach": {"protocol": protocol, "port": port if port >= 0 else None, "ends": ends, "rows": found}})
