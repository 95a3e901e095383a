"""What a project may see of a trace: its own resources, and networks that are opened to it. The rest is cut off.

A packet may go on into what belongs to somebody else; what is decided there is not for the sender to know, so the
trace ends at the border, whatever it would have said behind it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from kaon.insight.answer import Drop, Hop, Outcome, Stage, Trace
from kaon.world.world import Record, World

_OPENED = ("shared_with", "external_to")


def of_project(world: World, trace: Trace, project: str) -> Trace:
    """The trace as far as a project may see it."""
    hops = _own(world, trace.hops, project)
    back = _own(world, trace.back, project) if len(hops) == len(trace.hops) else ()
    whole = len(hops) == len(trace.hops) and len(back) == len(trace.back)
    if whole and (trace.drop is None or is_visible(world, trace.drop.resource, project)):
        return trace if _is_own(world, trace.drop, project) else _without_changes(trace)
    packet = (hops or trace.hops)[-1].packet if hops else trace.packet
    border = Hop(Stage.HIDDEN, "", "what follows belongs to another project", packet)
    if len(hops) < len(trace.hops) or not back:
        return msgspec.structs.replace(
            trace, outcome=Outcome.HIDDEN, reached="", hops=(*hops, border), back=(), drop=None
        )
    return msgspec.structs.replace(
        trace, outcome=Outcome.HIDDEN, reached="", hops=hops, back=(*back, border), drop=None
    )


def _is_own(world: World, drop: Drop | None, project: str) -> bool:
    """Whether what dropped the packet is the project's to change, if anything did."""
    kind, _, id = drop.resource.partition("/") if drop is not None else ("", "", "")
    return ((world.get(kind, id) or {}).get("project_id") or project) == project


def _without_changes(trace: Trace) -> Trace:
    """The trace without the change that would help: it would name what only its owner may see."""
    if trace.drop is None:
        return trace
    drop = msgspec.structs.replace(trace.drop, changes=(), advice=f"ask whoever owns {trace.drop.resource}")
    return msgspec.structs.replace(trace, drop=drop)


def _own(world: World, hops: Iterable[Hop], project: str) -> tuple[Hop, ...]:
    """The hops before the first one that is not for the project to see."""
    found = []
    for hop in hops:
        named = (hop.resource, hop.because) if hop.because else (hop.resource,)
        if not all(is_visible(world, each, project) for each in named):
            break
        found.append(hop)
    return tuple(found)


def is_visible(world: World, resource: str, project: str) -> bool:
    """Whether a project may see ``kind/id``."""
    kind, _, id = resource.partition("/")
    record = world.get(kind, id)
    if record is None:
        return not id
    if record.get("project_id"):
        return record["project_id"] == project or _is_opened(world, kind, record, project)
    return _parents_visible(world, kind, record, project)


def _is_opened(world: World, kind: str, record: Record, project: str) -> bool:
    """Whether a network, or the network of a subnet or port, is the project's or is opened to it."""
    if kind == "network":
        return any({"*", project} & set(record.get(way) or ()) for way in _OPENED)
    network = world.get("network", record.get("network_id") or "")
    if network is None:
        return False
    return network.get("project_id") == project or (kind == "subnet" and _is_opened(world, "network", network, project))


def _parents_visible(world: World, kind: str, record: Record, project: str) -> bool:
    """Whether what has no project of its own is part of something that the project may see."""
    if kind == "security_group_rule":
        return is_visible(world, f"security_group/{record['security_group_id']}", project)
    if kind == "port" and (record.get("device_owner") or "").startswith("network:router_"):
        return is_visible(world, f"router/{record['device_id']}", project)
    return is_visible(world, f"network/{record['network_id']}", project) if record.get("network_id") else False
