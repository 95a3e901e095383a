"""What a network shows and takes: its attributes, each with its type and who may set and see it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaon.resources import types
from kaon.resources.access import sharing
from kaon.resources.declare import UNSET, Attribute, standard
from kaon.resources.dns import dns
from kaon.resources.hosts import availability_zone
from kaon.resources.networks import ha_network, pvlan
from kaon.resources.qos import networks as qos_networks
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER
from kaon.resources.segments.allocation import TYPES


def _network_type(value: Any) -> str:
    kind = str(types.text(32).parse(value))
    if kind not in TYPES:
        raise types.unconverted(f"network_type value '{kind}' not supported")
    return kind


_TYPE = replace(types.one_of(*TYPES), parse=_network_type)

_PROVIDER = {
    f"provider:{name}": types.or_null(kind)
    for name, kind in (
        ("network_type", _TYPE),
        ("physical_network", types.text(64)),
        ("segmentation_id", types.integer(0, 2**32 - 1)),
    )
}
_SEGMENT = {name: types.nullable(kind) for name, kind in _PROVIDER.items()}

ATTRIBUTES = standard(
    Attribute("admin_state_up", types.BOOLEAN, default=True, post=True, put=True),
    Attribute("status", types.text(16)),
    Attribute("subnets", types.list_of(types.UUID), default=[], filter=False, sort=False),
    sharing.ATTRIBUTE,
    Attribute(
        "router:external",
        types.BOOLEAN,
        default=False,
        post=True,
        put=True,
        post_rule=ADMIN,
        put_rule=ADMIN,
        derived=lambda record, _caller: bool(record["external_to"]),
        filter=False,
        alias="external-net",
    ),
    *(
        Attribute(
            name,
            kind,
            default=None,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
            get_rule=ADMIN,
            alias="provider",
        )
        for name, kind in _PROVIDER.items()
    ),
    Attribute(
        "segments",
        types.nullable(types.list_of(types.object_of(_SEGMENT), unique=False, most=100)),
        default=None,
        post=True,
        put=True,
        post_rule=ADMIN,
        put_rule=ADMIN,
        get_rule=ADMIN,
        filter=False,
        sort=False,
        sparse=True,
        alias="multi-provider",
    ),
    Attribute("mtu", types.integer(0, 65535), default=UNSET, post=True, put=True, alias="net-mtu"),
    Attribute(
        "port_security_enabled",
        types.BOOLEAN,
        default=True,
        post=True,
        put=True,
        post_rule=ADMIN_OR_MEMBER,
        put_rule=ADMIN_OR_MEMBER,
        filter=False,
        sort=False,
        alias="port-security",
    ),
    Attribute(
        "is_default",
        types.BOOLEAN,
        default=False,
        post=True,
        put=True,
        post_rule=ADMIN,
        put_rule=ADMIN,
        alias="external-net",
    ),
    *availability_zone.attributes("network"),
    Attribute(
        "dns_domain", dns.DOMAIN, default="", post=True, put=True, filter=False, sort=False, alias="dns-integration"
    ),
    Attribute(
        "ipv4_address_scope",
        types.nullable(types.UUID),
        default=None,
        filter=False,
        sort=False,
        index=True,
        alias="address-scope",
    ),
    Attribute(
        "ipv6_address_scope",
        types.nullable(types.UUID),
        default=None,
        filter=False,
        sort=False,
        index=True,
        alias="address-scope",
    ),
    Attribute(
        "l2_adjacency",
        types.BOOLEAN,
        computed=lambda record: not record["routed"],
        filter=False,
        sort=False,
        alias="l2_adjacency",
    ),
    # 802.1ad, and a network that a project takes by default: told as they were asked for.
    Attribute("qinq", types.nullable(types.BOOLEAN), default=False, post=True, alias="qinq"),
    Attribute("project_default", types.BOOLEAN, default=False, post=True, put=True, alias="project-default-networks"),
    pvlan.NETWORK_ATTRIBUTE,
    Attribute("routed", types.BOOLEAN, default=False, internal=True),
    qos_networks.ATTRIBUTE,
    *ha_network.ATTRIBUTES,
    Attribute("zone", types.integer(1, 2**16 - 1), internal=True),
    Attribute("shared_with", types.list_of(types.text(255)), internal=True),
    Attribute("external_to", types.list_of(types.text(255)), internal=True),
)
