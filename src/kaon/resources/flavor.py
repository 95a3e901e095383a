"""Flavors of services and the service profiles behind them: what an operator offers, under a name that users know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import REQUIRED, Ask, Attribute, Call, Extension, Resource, standard
from kaon.resources.errors import InvalidValue, bad_request, conflict, not_found
from kaon.resources.roles import ADMIN, ADMIN_OR_READER
from kaon.resources.routers import router_flavor
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

SERVICE_TYPES = ("FLAVORS", "L3_ROUTER_NAT")
PROVIDER = "kaon"
"""The one provider of services, as the service providers API names it; a profile may name it as its driver."""


def _create_flavor(tx: Transaction, body: dict[str, Any]) -> Record:
    for id in body["service_profiles"]:
        records.get(tx.conn, SERVICE_PROFILE, id)
    return records.insert(tx, FLAVOR, {**body, "id": types.new_id()})


def _update_flavor(tx: Transaction, flavor: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, FLAVOR, flavor, body)


def _delete_flavor(tx: Transaction, flavor: Record) -> None:
    if router_flavor.is_used(tx, flavor["id"]):
        raise conflict("FlavorInUse", f"Flavor {flavor['id']} is used by some service instance.")
    records.delete(tx, FLAVOR, flavor)


def _demand_useful(profile: Record) -> None:
    if profile["driver"] not in ("", PROVIDER, *router_flavor.PROVIDERS):
        raise not_found(
            "ServiceProfileDriverNotFound", f"Service Profile driver {profile['driver']} could not be found."
        )
    if not profile["driver"] and not profile["metainfo"]:
        raise bad_request("Service Profile needs either a driver or metainfo.", "ServiceProfileEmpty")


def _create_profile(tx: Transaction, body: dict[str, Any]) -> Record:
    _demand_useful(body)
    return records.insert(tx, SERVICE_PROFILE, {**body, "id": types.new_id()})


def _update_profile(tx: Transaction, profile: Record, body: dict[str, Any]) -> Record:
    _demand_unbound(tx, profile)
    _demand_useful({**profile, **body})
    return records.update(tx, SERVICE_PROFILE, profile, body)


def _delete_profile(tx: Transaction, profile: Record) -> None:
    _demand_unbound(tx, profile)
    records.delete(tx, SERVICE_PROFILE, profile)


def _demand_unbound(tx: Transaction, profile: Record) -> None:
    if any(profile["id"] in flavor["service_profiles"] for flavor in records.select(tx.conn, FLAVOR)):
        raise conflict("ServiceProfileInUse", f"Service Profile {profile['id']} is used by some service instance.")


# ---------------------------------------------------------------- which profiles are behind a flavor


def _bind(tx: Transaction, ask: Ask) -> dict[str, Any]:
    """POST …/service_profiles: put a profile behind a flavor."""
    flavor = records.get(tx.conn, FLAVOR, ask.params["flavor_id"])
    body = ask.body.get("service_profile")
    if not isinstance(body, dict) or not isinstance(body.get("id"), str):
        raise bad_request("Unable to find 'service_profile' with an id in request body")
    profile = records.get(tx.conn, SERVICE_PROFILE, body["id"])
    held = flavor["service_profiles"]
    if profile["id"] in held:
        raise conflict(
            "FlavorServiceProfileBindingExists",
            f"Service Profile {profile['id']} is already associated with flavor {flavor['id']}.",
        )
    after = records.update(tx, FLAVOR, flavor, {"service_profiles": [*held, profile["id"]]})
    return {"service_profile": {attribute.name: after[attribute.name] for attribute in _SHOWN}}


def _bound(tx: Transaction, ask: Ask) -> Record:
    flavor, id = records.get(tx.conn, FLAVOR, ask.params["flavor_id"]), ask.params["profile_id"]
    if id not in flavor["service_profiles"]:
        raise not_found(
            "FlavorServiceProfileBindingNotFound",
            f"Service Profile {id} is not associated with flavor {flavor['id']}.",
        )
    return flavor


def _show_binding(tx: Transaction, ask: Ask) -> dict[str, Any]:
    flavor = _bound(tx, ask)
    return {"service_profile": {"flavor_id": flavor["id"], "service_profile_id": ask.params["profile_id"]}}


def _unbind(tx: Transaction, ask: Ask) -> None:
    flavor = _bound(tx, ask)
    kept = [id for id in flavor["service_profiles"] if id != ask.params["profile_id"]]
    records.update(tx, FLAVOR, flavor, {"service_profiles": kept})


_METAINFO = types.text(4096)


def _service_type(value: Any) -> str:
    if isinstance(value, str) and value not in SERVICE_TYPES:
        raise InvalidValue("InvalidServiceType", f"Invalid service type: {value}.")
    return str(types.one_of(*SERVICE_TYPES).parse(value))


_SERVICE_TYPE = replace(types.one_of(*SERVICE_TYPES), parse=_service_type)

FLAVOR = Resource(
    name="flavor",
    collection="flavors",
    attributes=standard(
        Attribute("service_type", _SERVICE_TYPE, default=REQUIRED, post=True),
        Attribute("enabled", types.BOOLEAN, default=True, post=True, put=True),
        Attribute("service_profiles", types.list_of(types.UUID), default=[], post=True, filter=False, sort=False),
        owned=False,
        tags=False,
        stamped=False,
    ),
    create=_create_flavor,
    update=_update_flavor,
    delete=_delete_flavor,
    create_rule=ADMIN,
    get_rule="role:reader",
    update_rule=ADMIN,
    delete_rule=ADMIN,
    bulk=False,
)

SERVICE_PROFILE = Resource(
    name="service_profile",
    collection="service_profiles",
    attributes=standard(
        Attribute("driver", types.text(1024), default="", post=True, put=True),
        Attribute("metainfo", _METAINFO, default="", post=True, put=True, filter=False),
        Attribute("enabled", types.BOOLEAN, default=True, post=True, put=True),
        named=False,
        owned=False,
        tags=False,
        stamped=False,
    ),
    create=_create_profile,
    update=_update_profile,
    delete=_delete_profile,
    create_rule=ADMIN,
    get_rule=ADMIN,
    update_rule=ADMIN,
    delete_rule=ADMIN,
    path="service_profiles",
    bulk=False,
)

_SHOWN = tuple(attribute for attribute in FLAVOR.attributes if not attribute.internal)

RESOURCES = (FLAVOR, SERVICE_PROFILE)

_BINDING: types.Schema = {
    "type": "object",
    "properties": {"service_profile": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}},
    "required": ["service_profile"],
}
_BINDINGS = "flavors/{flavor_id}/service_profiles"

CALLS = (
    Call("POST", _BINDINGS, _bind, "create_flavor_service_profile", ADMIN, status=201, body=_BINDING),
    Call("GET", f"{_BINDINGS}/{{profile_id}}", _show_binding, "get_flavor_service_profile", ADMIN_OR_READER),
    Call("DELETE", f"{_BINDINGS}/{{profile_id}}", _unbind, "delete_flavor_service_profile", ADMIN, status=204),
)

EXTENSIONS = (
    Extension(
        "flavors",
        "Neutron Service Flavors",
        "Flavor specification for Neutron advanced services.",
        "2015-09-17T10:00:00-00:00",
    ),
)
