"""The agent's side of its control socket: check what is asked, pass it to the server, wait until it is real."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import socket
from pathlib import Path

import msgspec

from kaon.agent.control import (
    LIMIT,
    Answer,
    AttachRequest,
    DetachRequest,
    Request,
    ResyncRequest,
    Status,
    StatusRequest,
)
from kaon.agent.link import Link, NoServer
from kaon.channel import Attachment, Failure, Reply
from kaon.converge.loop import Report

log = logging.getLogger("kaon.agent.control")

NETNS = Path("/run/netns")
USER_DATA_LIMIT = 65535
"""Bytes, as Nova allows it."""

_INTERFACE = re.compile(r"[A-Za-z0-9_.+@-]{1,15}")
_encoder = msgspec.json.Encoder()
_requests: msgspec.json.Decoder[Request] = msgspec.json.Decoder(Request)


async def listen(path: Path, link: Link) -> asyncio.Server:
    """Answer requests on a unix socket that only the agent's own user can open."""
    path.unlink(missing_ok=True)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(_encoder.encode(await _answer(line, link)) + b"\n")
                await writer.drain()
        except (OSError, ValueError) as error:
            log.warning("control connection dropped", extra={"reason": str(error)})
        finally:
            writer.close()

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    # Nobody comes in between: a socket that does not listen yet refuses connections.
    path.chmod(0o600)
    return await asyncio.start_unix_server(serve, sock=listener, limit=LIMIT)


async def _answer(line: bytes, link: Link) -> Answer:
    try:
        request = _requests.decode(line)
    except msgspec.MsgspecError as error:
        return Answer(error=f"not a request: {error}")
    try:
        match request:
            case AttachRequest(attachment, wait):
                return await _attach(link, attachment, wait)
            case DetachRequest(port_id, wait):
                return await _detach(link, port_id, wait)
            case StatusRequest():
                return Answer(status=status(link))
            case ResyncRequest():
                return await _resync(link)
    except NoServer as error:
        return Answer(error=str(error))


def refusal(attachment: Attachment) -> str:
    """Why this attachment cannot be, in words with the way out; "" when nothing speaks against it."""
    if bool(attachment.netns) == bool(attachment.tap):
        return "a port appears either in a namespace or as a tap device: give one of --netns and --tap"
    if attachment.netns:
        if "/" in attachment.netns or not (NETNS / attachment.netns).is_file():
            return f"there is no network namespace {attachment.netns}: make it by `ip netns add {attachment.netns}`"
        name, what = attachment.ifname, "interface"
    else:
        name, what = attachment.tap, "tap device"
    if not _INTERFACE.fullmatch(name) or name in (".", ".."):
        return f"{name!r} cannot be the name of a {what}: use at most 15 letters, digits, or any of _ . + @ -"
    try:
        size = len(base64.b64decode(attachment.user_data, validate=True))
    except binascii.Error:
        return "user data is not base64"
    if size > USER_DATA_LIMIT:
        return f"user data of {size} bytes is over the limit of {USER_DATA_LIMIT}"
    return ""


def status(link: Link) -> Status:
    """How the agent is."""
    report = link.report
    return Status(
        host=link.host,
        engine=link.engine,
        connected=link.connected,
        seq=link.seq,
        converged=-1 if report is None else report.seq,
        failed=()
        if report is None
        else tuple(Failure(f.id.table, f.id.key, f.origin, f.reason) for f in report.failed),
        figures=link.figures(),
        away=link.away,
    )


async def _attach(link: Link, attachment: Attachment, wait: float) -> Answer:
    error = refusal(attachment)
    if error:
        return Answer(error=error)
    reply = await link.attach(attachment)
    if reply.error:
        return Answer(error=reply.error)
    if wait > 0:
        error = await _wait(link, reply, origins_of(attachment.port_id, reply.port), wait)
        if error:
            return Answer(error=f"port {attachment.port_id} is bound to this host, but does not work: {error}")
    return Answer(port=reply.port)


def origins_of(port_id: str, port: dict[str, object]) -> frozenset[str]:
    """The origins of the rows without which a port does not work: its own, its network's and its subnets'."""
    origins = {f"port/{port_id}", f"network/{port.get('network_id')}"}
    fixed_ips = port.get("fixed_ips")
    if isinstance(fixed_ips, list):
        origins |= {f"subnet/{ip['subnet_id']}" for ip in fixed_ips if isinstance(ip, dict) and "subnet_id" in ip}
    return frozenset(origins)


async def _detach(link: Link, port_id: str, wait: float) -> Answer:
    reply = await link.detach(port_id)
    if reply.error:
        return Answer(error=reply.error)
    if wait > 0:
        error = await _wait(link, reply, frozenset({f"port/{port_id}"}), wait)
        if error:
            return Answer(error=f"port {port_id} is released from this host, but not yet gone: {error}")
    return Answer()


async def _wait(link: Link, reply: Reply, origins: frozenset[str], seconds: float) -> str:
    """Wait until no row of these origins fails as of the reply's sequence number; why not, when time is over."""

    def failures(report: Report) -> list[str]:
        return [failure.reason for failure in report.failed if failure.origin in origins]

    try:
        async with asyncio.timeout(seconds):
            await link.converged(reply.seq, lambda report: not failures(report))
    except TimeoutError:
        report = link.report
        if report is not None and report.seq >= reply.seq and (reasons := failures(report)):
            return "; ".join(dict.fromkeys(reasons))
        return f"it has not converged after {seconds:g} seconds (see `kaon status` and the agent's log)"
    return ""


async def _resync(link: Link) -> Answer:
    if link.report is None:
        return Answer(error="nothing is known yet of what must exist: the agent awaits its first word from the server")
    report = await link.worker.call(lambda converger, _: converger.converge(audit=True))
    link.reported(report)
    return Answer(repaired=report.repaired)
