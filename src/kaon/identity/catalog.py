"""Regions, services and endpoints, and the catalog that a token shows of them.

An endpoint's URL may hold `$(public_url)s`, which becomes the server's own URL, and `$(project_id)s` (or `%(...)s`, or
`tenant_id`), as in Keystone. Kaon's own endpoints use the first, so that they follow the listening address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import crud, errors
from kaon.identity.call import Call, reply, route
from kaon.identity.policy import Policy, require
from kaon.identity.resource import (
    DESCRIPTION,
    ENABLED,
    REQUIRED,
    Attribute,
    Collection,
    Values,
    must_exist,
    named_must_exist,
)
from kaon.identity.state import Identity
from kaon.identity.tables import ENDPOINT, REGION, SERVICE
from kaon.store.transaction import Transaction

PUBLIC_URL = "$(public_url)s"
INTERFACES = ("public", "internal", "admin")
_SUBSTITUTION = re.compile(r"[$%]\((\w+)\)s")
_SUBSTITUTES = frozenset({"public_url", "project_id", "tenant_id"})


def substitute(url: str, server_url: str, project_id: str = "") -> str | None:
    """An endpoint's URL for a client; None when it needs a project and there is none, as Keystone leaves it out."""
    known = {"public_url": server_url, "project_id": project_id, "tenant_id": project_id}
    if not all(known.get(name) for name in _SUBSTITUTION.findall(url)):
        return None
    return _SUBSTITUTION.sub(lambda match: known[match[1]], url)


def catalog(conn: sa.Connection, server_url: str, project_id: str = "") -> list[Values]:
    """The enabled services with their enabled endpoints, as token bodies show them."""
    services: dict[str, Values] = {
        id: {"id": id, "type": type_, "name": name, "endpoints": []}
        for id, type_, name in conn.execute(
            sa.select(SERVICE.c.id, SERVICE.c.type, SERVICE.c.name)
            .where(SERVICE.c.enabled)
            .order_by(SERVICE.c.type, SERVICE.c.id)
        )
    }
    columns = (ENDPOINT.c.id, ENDPOINT.c.service_id, ENDPOINT.c.interface, ENDPOINT.c.region_id, ENDPOINT.c.url)
    for id, service_id, interface, region, template in conn.execute(
        sa.select(*columns).where(ENDPOINT.c.enabled).order_by(ENDPOINT.c.id)
    ):
        url = substitute(template, server_url, project_id)
        if url is not None and service_id in services:
            services[service_id]["endpoints"].append(
                {"id": id, "interface": interface, "region": region, "region_id": region, "url": url}
            )
    return list(services.values())


# ---------------------------------------------------------------- regions


def _admit_region(tx: Transaction, before: Values | None, values: Values) -> None:
    parent = values.get("parent_region_id")
    own = values["id"] if before is None else before["id"]
    while parent:
        if parent == own:
            raise errors.bad_request(f"The parent of region {own} would make the hierarchy of regions circular.")
        parent = must_exist(tx, REGION, "region", parent)["parent_region_id"]


def _removed_region(tx: Transaction, row: Values) -> None:
    used = tx.execute(sa.select(ENDPOINT.c.id).where(ENDPOINT.c.region_id == row["id"])).first()
    if used or tx.execute(sa.select(REGION.c.id).where(REGION.c.parent_region_id == row["id"])).first():
        raise errors.refused(f"Unable to delete region {row['id']}: it has endpoints or regions below it.")


REGIONS = Collection(
    name="regions",
    kind="region",
    table=REGION,
    attributes=(
        DESCRIPTION,
        Attribute("parent_region_id", nullable=True, filter=True),
        Attribute("id", default="", nullable=True, stored=False),
    ),
    policy=Policy(show=lambda caller, target: True, list=lambda caller, target: True),
    duplicate="Duplicate ID, {id}.",
    admit=_admit_region,
    removed=_removed_region,
)


async def _put_region(call: Call) -> Response:
    """PUT /v3/regions/{id}: create under a chosen id."""
    return await crud.create(call, REGIONS, {"id": call.param("id")})


# ---------------------------------------------------------------- services


def _removed_service(tx: Transaction, row: Values) -> None:
    tx.execute(sa.delete(ENDPOINT).where(ENDPOINT.c.service_id == row["id"]))


SERVICES = Collection(
    name="services",
    kind="service",
    table=SERVICE,
    attributes=(
        Attribute("type", default=REQUIRED, shortest=1, filter=True),
        Attribute("name", default="", filter=True),
        DESCRIPTION,
        ENABLED,
    ),
    policy=Policy(),
    removed=_removed_service,
)


# ---------------------------------------------------------------- endpoints


def _admit_endpoint(tx: Transaction, before: Values | None, values: Values) -> None:
    # The v2 name of the attribute, which clients still send.
    region = values.get("extra", {}).pop("region", None)
    if region and not values.get("region_id"):
        values["region_id"] = region
        if not tx.execute(sa.select(REGION.c.id).where(REGION.c.id == region)).first():
            tx.execute(sa.insert(REGION).values(id=region))
    if values.get("service_id"):
        named_must_exist(tx, SERVICE, "service", values["service_id"])
    if values.get("region_id"):
        named_must_exist(tx, REGION, "region", values["region_id"])
    url = values.get("url", "")
    unknown = sorted(set(_SUBSTITUTION.findall(url)) - _SUBSTITUTES)
    if unknown or ("url" in values and "://" not in url and not url.startswith(PUBLIC_URL)):
        raise errors.bad_request(f"Cannot create an endpoint with an invalid URL: {url:.200}.")


def _decorate_endpoints(conn: sa.Connection, bodies: Sequence[Values]) -> None:
    for body in bodies:
        body["region"] = body["region_id"]


ENDPOINTS = Collection(
    name="endpoints",
    kind="endpoint",
    table=ENDPOINT,
    attributes=(
        Attribute("interface", default=REQUIRED, choices=INTERFACES, filter=True),
        Attribute("url", default=REQUIRED, shortest=1, longest=4096),
        Attribute("service_id", default=REQUIRED, longest=64, filter=True),
        Attribute("region_id", nullable=True, filter=True),
        ENABLED,
        DESCRIPTION,
        Attribute("name", default="", nullable=True, stored=False),
    ),
    policy=Policy(),
    admit=_admit_endpoint,
    decorate=_decorate_endpoints,
)


async def _show_catalog(call: Call) -> Response:
    """GET /v3/auth/catalog."""
    facts = await call.facts()
    if not facts.roles:
        require("get_auth_catalog", lambda caller, target: False, facts.caller, {})
    project = facts.caller.project_id
    services: list[Any] = await call.identity.store.read(lambda conn: catalog(conn, call.server_url, project))
    return reply({"catalog": services, "links": {"self": f"{call.base}/auth/catalog"}}, HTTPStatus.OK)


def routes(identity: Identity) -> list[Route]:
    """The catalog, and what it is made of."""
    return [
        route(identity, "PUT", "/v3/regions/{id}", _put_region),
        *crud.routes(identity, REGIONS),
        *crud.routes(identity, SERVICES),
        *crud.routes(identity, ENDPOINTS),
        route(identity, "GET", "/v3/auth/catalog", _show_catalog),
    ]
