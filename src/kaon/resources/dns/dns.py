"""Names in DNS: those that a network's own server answers for ports, and those noted with floating IPs."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from kaon.resources import defaults, types
from kaon.resources.declare import Extension
from kaon.resources.dns import dns_keywords
from kaon.resources.errors import bad_request
from kaon.resources.types import Type
from kaon.store.journal import Record

MAX_NAME = 255
_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)")


def _labels(value: str, most: int, keywords: bool = False) -> str:
    """A name of RFC 1123 in lower case, its last label no number; ValueError with the reason."""
    name = value.lower()
    labels = name.split(".")
    if len(name) > most:
        raise ValueError(f"'{value}' exceeds the {most} character FQDN limit")
    if not all(_LABEL.fullmatch(label) or (keywords and dns_keywords.is_keyword(label)) for label in labels):
        raise ValueError(
            f"'{value}' not a valid PQDN or FQDN. Reason: each part must be 1-63 characters long, alphanumeric or "
            "hyphens, and neither start nor end with a hyphen"
        )
    if len(labels) > 1 and labels[-1].isdecimal():
        raise ValueError(f"'{value}' not a valid PQDN or FQDN. Reason: TLD '{labels[-1]}' must not be all numeric")
    return name


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise types.unconverted(f"'{value}' cannot be converted to lowercase string")
    if value.endswith("."):
        raise ValueError(f"'{value}' is a FQDN. It should be a relative domain name")
    return _labels(value, MAX_NAME - 3) if value else ""


def _port_name(value: Any) -> str:
    """Relative to the cloud's domain, which makes the whole of it no longer than a name may be, or within it."""
    if not isinstance(value, str):
        raise types.unconverted(f"'{value}' cannot be converted to lowercase string")
    domain = f".{defaults.domain().rstrip('.')}."
    if not value.endswith("."):
        return _labels(value, MAX_NAME - len(domain)) if value else ""
    if not value.lower().endswith(domain.lower()):
        raise ValueError(
            f"The dns_name passed is a FQDN. Its higher level labels must be equal to the cloud's domain '{domain[1:]}'"
        )
    return f"{_labels(value[:-1], MAX_NAME)}."


def _domain(value: Any) -> str:
    if not isinstance(value, str):
        raise types.unconverted(f"'{value}' cannot be converted to lowercase string")
    if not value:
        return ""
    if not value.endswith("."):
        raise ValueError(f"'{value}' is not a FQDN")
    return f"{_labels(value[:-1], MAX_NAME - 3, keywords=True)}."


_SCHEMA: types.Schema = {"type": "string", "maxLength": MAX_NAME}
NAME = Type(_name, sa.String(MAX_NAME), _SCHEMA)
"""A name relative to a domain, or nothing."""
PORT_NAME = Type(_port_name, sa.String(MAX_NAME), _SCHEMA)
"""The same, or a whole name in the cloud's domain."""
DOMAIN = Type(_domain, sa.String(MAX_NAME), _SCHEMA)
"""A domain with its final dot, or nothing; labels may be keywords."""


def assignment(port: Record) -> list[dict[str, str]]:
    """A port's names as its network's DNS server knows them, by address."""
    domain = (port["published_domain"] or defaults.domain()).rstrip(".")
    found = []
    for item in port["fixed_ips"]:
        address = item["ip_address"]
        hostname = port["dns_name"] or "host-" + address.replace(".", "-").replace(":", "-")
        fqdn = hostname if hostname.endswith(".") else f"{hostname}.{domain}."
        found.append({"ip_address": address, "hostname": hostname, "fqdn": fqdn})
    return found


def demand_both(floatingip: Record) -> None:
    """Raise 400 for a floating IP's name without a domain, or a domain without a name."""
    for one, other in (("dns_domain", "dns_name"), ("dns_name", "dns_domain")):
        if floatingip[one] and not floatingip[other]:
            raise bad_request(f"Bad floatingip request: {one} cannot be specified without a {other}.", "BadRequest")


EXTENSIONS = (
    Extension(
        "dns-integration",
        "DNS Integration",
        "Provides integration with DNS.",
        "2015-08-15T18:00:00-00:00",
    ),
)
