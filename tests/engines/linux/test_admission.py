"""Judging established connections again: which policy admits which connection."""

from __future__ import annotations

import ipaddress

import pytest

from kaon.engines.linux.admission import Policy
from kaon.engines.linux.conntrack import Connection
from kaon.rows import AclGroup, AclPort, AclRule

WEB = AclRule("r1", "ingress", 4, 6, 80, 80)
FROM_FRIENDS = AclRule("r2", "ingress", 4, 6, 22, 22, remote_group="friends")
FROM_PREFIX = AclRule("r3", "ingress", 4, 17, remote_cidr="192.0.2.0/24")
PING6 = AclRule("r4", "ingress", 6, 58, 128, -1)
ANY_OUT = AclRule("r5", "egress", 4)
SERVER = AclPort(7, ("10.0.0.5/32", "fd00::5/128"), ("servers",))
FRIEND = AclPort(7, ("10.0.0.9/32",), ("friends",), local=False)
RULES = (WEB, FROM_FRIENDS, FROM_PREFIX, PING6, ANY_OUT)


def policy(*rules: AclRule, **ports: AclPort) -> Policy:
    return Policy.of({"servers": AclGroup(rules)}, {"server": SERVER, "friend": FRIEND, **ports})


def flow(
    source: str, destination: str, protocol: int = 6, port: int = 80, zone: int = 7, first: int = 40000
) -> Connection:
    one, other = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    family = 2 if one.version == 4 else 10
    return Connection(family, zone, protocol, one.packed, other.packed, first, port, other.packed, one.packed, b"")


@pytest.mark.parametrize(
    ("what", "connection", "admitted"),
    [
        ("port in a rule", flow("10.0.0.8", "10.0.0.5"), True),
        ("port in no rule", flow("10.0.0.8", "10.0.0.5", port=81), False),
        ("protocol in no rule", flow("10.0.0.8", "10.0.0.5", 132), False),
        ("member of the remote group", flow("10.0.0.9", "10.0.0.5", port=22), True),
        ("not a member of the remote group", flow("10.0.0.8", "10.0.0.5", port=22), False),
        ("inside the remote prefix, any port", flow("192.0.2.77", "10.0.0.5", 17, 5353), True),
        ("outside the remote prefix", flow("192.0.3.77", "10.0.0.5", 17, 5353), False),
        ("started by the port itself", flow("10.0.0.5", "203.0.113.1", port=443), True),
        ("ICMPv6 of the rule's type", flow("fd00::8", "fd00::5", 58, 0, first=128), True),
        ("ICMPv6 of another type", flow("fd00::8", "fd00::5", 58, 0, first=135), False),
        ("IPv6 where only IPv4 is ruled", flow("fd00::8", "fd00::5"), False),
        ("same addresses in another zone", flow("10.0.0.8", "10.0.0.5", port=81, zone=8), True),
        ("no local port involved", flow("10.0.0.8", "10.0.0.9", port=81), True),
    ],
)
def test_a_connection_is_admitted_by_the_rules_of_the_local_ports_it_touches(
    what: str, connection: Connection, admitted: bool
) -> None:
    assert policy(*RULES).admits(connection) is admitted, what


def test_both_ends_must_admit_when_both_are_local() -> None:
    client = AclPort(7, ("10.0.0.6/32",), ("clients",))
    assert not policy(WEB, client=client).admits(flow("10.0.0.6", "10.0.0.5")), "the client may send nothing"
    both = Policy.of(
        {"servers": AclGroup((WEB,)), "clients": AclGroup((ANY_OUT,))}, {"server": SERVER, "client": client}
    )
    assert both.admits(flow("10.0.0.6", "10.0.0.5"))


def test_a_prefix_that_a_port_may_use_counts_as_its_address() -> None:
    router = AclPort(7, ("10.8.0.0/16",), ("servers",))
    assert not policy(WEB, router=router).admits(flow("192.0.2.1", "10.8.1.1", port=81))


def test_losing_a_group_concerns_the_ports_whose_rules_name_it() -> None:
    assert policy(FROM_FRIENDS).affected(["friend"], [], ["friends"]) == {"server"}
    assert policy(WEB).affected(["friend"], [], ["friends"]) == set()
    assert policy(WEB).affected([], ["servers"], []) == {"server"}


def test_a_member_that_leaves_is_no_member_and_one_that_stays_is() -> None:
    twin = AclPort(7, ("10.0.0.9/32",), ("friends",), local=False)
    changing = policy(*RULES, twin=twin)
    ssh = flow("10.0.0.9", "10.0.0.5", port=22)
    changing.put_port("twin", None)
    assert changing.admits(ssh), "another port with that address is still in the group"
    changing.put_port("friend", AclPort(7, ("10.0.0.9/32",), (), local=False))
    assert not changing.admits(ssh)
    changing.put_port("friend", FRIEND)
    assert changing.admits(ssh)


def test_a_port_that_is_filtered_no_more_is_not_judged() -> None:
    changing = policy(WEB)
    assert not changing.admits(flow("10.0.0.8", "10.0.0.5", port=81))
    changing.put_port("server", None)
    assert changing.admits(flow("10.0.0.8", "10.0.0.5", port=81))
