"""Topologies drawn at random: networks that may collide, groups, instances, a router and floating IPs."""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import strategies as st

PORT = 80
"""The TCP port that rules are about, and that packets go to."""
PREFIXES = (("10.0.0.0/24", "fd00:1::/64"), ("10.0.1.0/24", "fd00:2::/64"))


class Rule(NamedTuple):
    """A rule of a group; `remote` is a prefix, the number of a group, or None."""

    direction: str
    ethertype: str
    protocol: str | None
    port: int | None
    remote: str | int | None


class Group(NamedTuple):
    """A security group."""

    stateful: bool
    everything_out: bool
    rules: tuple[Rule, ...]


class Vm(NamedTuple):
    """An instance: the number of its network and of its group (None: no group, -1: no port security)."""

    network: int
    group: int | None
    up: bool
    floating: bool


class Topology(NamedTuple):
    """`networks` holds the number of each one's prefixes, so that two may collide; `joined` those on the router."""

    networks: tuple[int, ...]
    groups: tuple[Group, ...]
    vms: tuple[Vm, ...]
    joined: frozenset[int]
    outside: bool


RULES = st.builds(
    lambda direction, version, kind, remote: Rule(
        direction,
        f"IPv{version}",
        ("ipv6-icmp" if version == 6 else "icmp") if kind == "icmp" else kind and "tcp",
        PORT if kind == "tcp80" else None,
        {"near": PREFIXES[0][version == 6], "far": PREFIXES[1][version == 6]}.get(remote, remote),
    ),
    st.sampled_from(("ingress", "ingress", "egress")),
    st.sampled_from((4, 4, 6)),
    st.sampled_from((None, None, "icmp", "tcp", "tcp80")),
    st.sampled_from((None, None, None, "near", "far", 0, 1)),
)
UP = st.sampled_from((True,) * 9 + (False,))
GROUPS = st.builds(
    Group,
    st.sampled_from((True, True, True, False)),
    st.sampled_from((True, True, True, False)),
    st.lists(RULES, min_size=1, max_size=6).map(lambda rules: tuple(rules)),
)


@st.composite
def topologies(draw: Any) -> Topology:
    """One to three networks, two groups, three or four instances, and what a router joins."""
    networks = tuple(draw(st.lists(st.integers(0, 1), min_size=1, max_size=3)))
    numbers = st.integers(0, len(networks) - 1)
    vms = st.builds(Vm, numbers, st.sampled_from((0, 0, 0, 1, 1, 1, -1, None)), UP, st.booleans())
    joined: dict[int, int] = {}
    for number in draw(st.lists(numbers, min_size=1, max_size=4)):
        joined.setdefault(networks[number], number)  # a router takes no prefix twice
    return Topology(
        networks,
        tuple(draw(st.tuples(GROUPS, GROUPS))),
        tuple(draw(st.lists(vms, min_size=3, max_size=4))),
        frozenset(joined.values()),
        draw(st.sampled_from((True, True, False))),
    )
