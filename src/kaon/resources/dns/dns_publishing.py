"""Which ports have a name in a domain that is more than their network's own: the port's, or that of its network.

A name is published where its address can be reached from elsewhere: on provider networks, whose segment is none of
those that projects get by themselves, and where a subnet says so.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, named
from kaon.resources.dns import dns, dns_keywords
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

PORT_ATTRIBUTES = (
    Attribute(
        "dns_domain", dns.DOMAIN, default="", post=True, put=True, filter=False, sort=False, alias="dns-domain-ports"
    ),
    Attribute("published_domain", types.text(255), default="", internal=True),
)

SUBNET_ATTRIBUTES = (
    Attribute(
        "dns_publish_fixed_ip",
        types.BOOLEAN,
        default=False,
        post=True,
        put=True,
        filter=False,
        sort=False,
        alias="subnet-dns-publish-fixed-ip",
    ),
)

_DECIDING = frozenset({"dns_name", "dns_domain", "fixed_ips"})


def for_creation(tx: Transaction, port: Record, network: Record) -> str:
    """The domain in which a new port has its name beyond its network; nothing for none."""
    domain = port["dns_domain"] or network["dns_domain"]
    if not port["dns_name"] or not domain or not _is_published(tx, network):
        return ""
    return dns_keywords.filled(domain, tx.caller)


def for_update(tx: Transaction, port: Record, body: dict[str, Any]) -> str:
    """The same after an update, decided anew when it is about names or addresses."""
    if not _DECIDING & body.keys():
        return str(port["published_domain"])
    return for_creation(tx, {**port, **body}, records.get(tx.conn, named("network"), port["network_id"]))


def _is_published(tx: Transaction, network: Record) -> bool:
    subnet = named("subnet")
    if records.by(tx.conn, subnet, network_id=network["id"], dns_publish_fixed_ip=True):
        return True
    if network["external_to"]:
        return False  # Floating IPs have names of their own.
    if network["segments"]:
        return True
    kind = network["provider:network_type"]
    if kind in ("flat", "local"):
        return bool(kind == "flat")
    return not _is_for_projects(tx, kind, network["provider:physical_network"], network["provider:segmentation_id"])


def _is_for_projects(tx: Transaction, kind: str, physical: str | None, number: int) -> bool:
    """Whether a segment is one of those that projects get by themselves."""
    column = named("network_segment_range").table.c
    held = sa.select(column.id).where(
        column.network_type == kind,
        sa.func.coalesce(column.physical_network, "") == (physical or ""),
        column.minimum <= number,
        column.maximum >= number,
    )
    return tx.execute(held.limit(1)).first() is not None


EXTENSIONS = (
    Extension(
        "dns-domain-ports",
        "dns_domain for ports",
        "Allows the DNS domain to be specified for a network port.",
        "2017-04-24T10:00:00-00:00",
    ),
    Extension(
        "subnet-dns-publish-fixed-ip",
        "Subnet DNS publish fixed IP",
        "Support choosing to publish DNS records for IPs from a subnet",
        "2019-05-24T10:00:00-00:00",
    ),
)
