"""Conntrack helpers: a router reads the conversation of a protocol, and admits and translates what it announces."""

from __future__ import annotations

from collections.abc import Iterator

from kaon.compile import facts, names
from kaon.compile.names import TABLE
from kaon.compile.nft import base, chain
from kaon.compile.view import View
from kaon.rows import ConntrackHelper, Row, row

KERNEL_NAMES = {("h323", "tcp"): "Q.931", ("h323", "udp"): "RAS"}
"""Helpers that the kernel knows by another name than the API, by name and protocol."""


def router_rows(view: View, router_id: str) -> Iterator[Row]:
    """A router's helpers: an object each, and a chain of its own each, so that one that fails holds up no other."""
    if facts.router_here(view, router_id) is None:
        return
    netns = names.router_netns(router_id)
    for helper in view.by("conntrack_helper", "router_id", router_id):
        origin = f"conntrack_helper/{helper['id']}"
        protocol, name = helper["protocol"], f"helper-{helper['id']}"
        known = str(KERNEL_NAMES.get((helper["helper"], protocol), helper["helper"]))
        yield row(ConntrackHelper(known, protocol), netns, "inet", TABLE, name, origin=origin)
        # After conntrack has seen the packet (-200), before NAT changes its port (-100).
        yield chain(
            "inet",
            name,
            f'{protocol} dport {helper["port"]} ct helper set "{name}"',
            hook=base("prerouting", -150),
            netns=netns,
            origin=origin,
        )
