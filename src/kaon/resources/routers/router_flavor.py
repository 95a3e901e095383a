"""Flavors of routers: what an operator offers under a name, and what the providers behind it make of a router."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import UNSET, Attribute, Extension, named
from kaon.resources.errors import ApiError, invalid, not_found
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

SERVICE = "L3_ROUTER_NAT"


class Provider(NamedTuple):
    """A way to make routers: its name, and what such routers are."""

    name: str
    distributed: bool
    ha: bool


_FOLDER = "neutron.services.l3_router.service_providers"

PROVIDERS = {
    f"{_FOLDER}.single_node.SingleNodeDriver": Provider("single_node", distributed=False, ha=False),
    f"{_FOLDER}.dvr.DvrDriver": Provider("dvr", distributed=True, ha=False),
    f"{_FOLDER}.ha.HaDriver": Provider("ha", distributed=False, ha=True),
    f"{_FOLDER}.dvrha.DvrHaDriver": Provider("dvrha", distributed=True, ha=True),
}
"""Driver, as service profiles name it -> provider. The names are those that operators know from Neutron."""


def kind(tx: Transaction, body: dict[str, Any]) -> dict[str, bool]:
    """What a new router is, ``distributed`` and ``ha``: by its flavor, else by what the request says, else neither."""
    flags = {name: body.get(name) for name in ("distributed", "ha")}
    provider = _provider(tx, body["flavor_id"]) if body.get("flavor_id") else None
    if provider is None:
        return {name: bool(flag) for name, flag in flags.items()}
    offered = {"distributed": provider.distributed, "ha": provider.ha}
    for name, flag in flags.items():
        if flag not in (None, offered[name]):
            raise invalid(f"Provider {provider.name} does not support {name}={flag}")
    return offered


def _provider(tx: Transaction, flavor_id: str) -> Provider | None:
    """Who makes routers of a flavor; None where its profile names no driver, which leaves the choice to the request."""
    flavor = records.get(tx.conn, named("flavor"), flavor_id)
    if flavor["service_type"] != SERVICE:
        raise invalid(f"Flavor {flavor_id} is of {flavor['service_type']}, not of {SERVICE}")
    if not flavor["enabled"]:
        raise ApiError(503, "FlavorDisabled", "Flavor is not enabled.")
    if not flavor["service_profiles"]:
        raise not_found(
            "FlavorServiceProfileBindingNotFound", f"No service profile is associated with flavor {flavor_id}."
        )
    profile = records.get(tx.conn, named("service_profile"), flavor["service_profiles"][0])
    if not profile["enabled"]:
        raise ApiError(503, "ServiceProfileDisabled", "Service Profile is not enabled.")
    return PROVIDERS.get(profile["driver"])


def demand_kept(router: Record, changes: dict[str, Any]) -> None:
    """Raise 400 when a router of a flavor would become something else than the flavor says."""
    if router["flavor_id"] and any(changes.get(name, router[name]) != router[name] for name in ("distributed", "ha")):
        raise invalid(
            "Changing the 'ha' and 'distributed' attributes on a router associated with a flavor is not supported"
        )


def is_used(tx: Transaction, flavor_id: str) -> bool:
    """Whether there is a router of a flavor."""
    router = named("router").table.c
    return tx.execute(sa.select(router.id).where(router.flavor_id == flavor_id).limit(1)).first() is not None


ATTRIBUTE = Attribute(
    "flavor_id", types.nullable(types.ANY_ID), default=UNSET, post=True, index=True, alias="l3-flavors"
)

EXTENSIONS = (
    Extension("l3-flavors", "Router Flavor Extension", "Flavor support for routers.", "2016-05-17T00:00:00-00:00"),
)
