"""Who can talk to whom: a trace for every pair of ports of a project, and for each port and the outside."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from kaon.insight import graph
from kaon.insight.answer import Outcome, Trace
from kaon.insight.packet import EXTERNAL, Question, asked
from kaon.insight.trace import trace
from kaon.insight.visible import of_project
from kaon.world.world import Record, World


class End(msgspec.Struct, frozen=True):
    """One side of the matrix: a port with the address that is asked about, or the outside.

    `from_outside` is where the outside sends to: the port's floating IP where it has one.
    """

    id: str
    name: str
    address: str
    from_outside: str = ""


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """What becomes of packets from one end to another; `reason` and `why` where they are dropped."""

    outcome: Outcome
    reason: str = ""
    why: str = ""


class Row(msgspec.Struct, frozen=True):
    """What an end reaches: a cell for each end, in the order of the ends; None for itself."""

    sender: str
    cells: list[Cell | None]


def ends(world: World, project: str, version: int, network: str = "") -> list[End]:
    """The ports of a project that have an address of an IP version, by name; then the outside, if there is any."""
    ports = world.by("port", "network_id", network) if network else world.all("port")
    own = [port for port in ports if port.get("project_id") == project and not graph.is_service(port)]
    own.sort(key=lambda port: (port.get("name") or "", str(port["id"])))
    found = [_end(world, port, address) for port in own if (address := _address(port, version))]
    outside = _outside(world, version)
    return [*found, End(EXTERNAL, EXTERNAL, outside)] if outside else found


def rows(world: World, ends: Sequence[End], protocol: str, port: int, viewer: str = "") -> Iterator[Row]:
    """The matrix, a row at a time. `viewer` is the project that is shown it; empty for administrators."""
    for sender in ends:
        cells = [None if end is sender else _cell(world, sender, end, protocol, port, viewer) for end in ends]
        yield Row(sender.id, cells)


def _cell(world: World, sender: End, end: End, protocol: str, port: int, viewer: str) -> Cell:
    address = end.from_outside or end.address if sender.id == EXTERNAL else end.address
    found = trace(world, _question(sender.id, address, protocol, port)._replace(project=viewer))
    return _told(of_project(world, found, viewer) if viewer else found)


def _question(sender: str, address: str, protocol: str, port: int) -> Question:
    to = (f"[{address}]" if ":" in address else address) + f":{port}" if port >= 0 else address
    return asked(sender, to, protocol)


def _told(found: Trace) -> Cell:
    drop = found.drop
    return Cell(found.outcome) if drop is None else Cell(found.outcome, drop.reason, drop.why)


def _address(port: Record, version: int) -> str:
    return next((each for each in graph.addresses(port) if (":" in each) == (version == 6)), "")


def _end(world: World, port: Record, address: str) -> End:
    floating: list[Any] = [
        item["floating_ip_address"]
        for item in world.by("floatingip", "port_id", port["id"])
        if item.get("fixed_ip_address") == address
    ]
    return End(port["id"], port.get("name") or "", address, next(iter(floating), ""))


def _outside(world: World, version: int) -> str:
    """An address of a host outside: the gateway of a network that is external, and that a physical one leads to."""
    networks = [each for each in world.all("network") if each.get("external_to") and graph.physical_network(each)]
    for network in sorted(networks, key=lambda each: str(each["id"])):
        for subnet in world.by("subnet", "network_id", network["id"]):
            if subnet.get("gateway_ip") and (":" in subnet["cidr"]) == (version == 6):
                return str(subnet["gateway_ip"])
    return ""
