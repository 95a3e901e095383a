"""The life of a request on a resource: parse, judge by policy, run the rule in a transaction, present."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from kaon.api import body as bodies
from kaon.api import query as queries
from kaon.api import revisions
from kaon.api.http import Place
from kaon.api.policy import Policy, credentials
from kaon.api.present import Presenter, Written
from kaon.caller import Caller
from kaon.resources import records
from kaon.resources.access import quota
from kaon.resources.declare import Action, Resource, named
from kaon.resources.errors import ApiError, bad_request, not_found
from kaon.resources.live import Live
from kaon.store.engine import Store
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

_encode = msgspec.json.Encoder().encode
_attributes = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
"""The attributes of an encoded row, each still encoded."""


class Service(NamedTuple):
    """One resource as it is served: its declaration and what all its requests share."""

    resource: Resource
    store: Store
    policy: Policy
    presenter: Presenter
    live: Live


def serve(resource: Resource, store: Store, policy: Policy, live: Live) -> Service:
    """Set up a resource for serving."""
    return Service(resource, store, policy, Presenter(resource, policy, live), live)


async def _write(service: Service, run: Callable[[Transaction], list[Written]], caller: Caller) -> list[bytes]:
    """Commit what `run` writes; the encoded rows, which the lists that follow need not encode again."""
    done = await service.store.write(run, caller)
    for item in done:
        service.presenter.remember(item)
    return [item.row for item in done]


def _below(service: Service, conn: sa.Connection, parent_id: str, caller: Caller) -> dict[str, str]:
    """The attribute that holds the parent's id, for what is served below one; 404 unless the caller may know of it."""
    if service.resource.within is None:
        return {}
    parent, attribute = service.resource.within
    service.presenter.demand_parents(conn, {attribute: parent_id}, caller)
    if service.resource.fits is not None:
        service.resource.fits(records.get(conn, named(parent), parent_id))
    return {attribute: parent_id}


def _found(service: Service, conn: sa.Connection, place: Place, caller: Caller) -> Record:
    """The record at a place; raises its 404, or its parent's."""
    resource = service.resource
    if resource.within is None:
        return records.get(conn, resource, place.id)
    held = records.by(conn, resource, **_below(service, conn, place.parent_id, caller), **{resource.member: place.id})
    if not held:
        raise records.missing(resource, place.id)
    return held[0]


async def create(service: Service, raw: bytes, caller: Caller, parent_id: str = "") -> bytes:
    """POST of one resource or of several: all are made, or none."""
    resource = service.resource
    found, bulk = bodies.items(resource, bodies.decode(raw))
    values = [bodies.for_creation(resource, item, caller) for item in found]
    if resource.within is not None:
        values = [{**item, resource.within[1]: parent_id} for item in values]

    rows = await _write(service, lambda tx: _create_all(service, tx, values), caller)
    if bulk:
        return b'{"%s":[%s]}' % (resource.many.encode(), b",".join(rows))
    return _named(resource, rows[0])


def _create_all(service: Service, tx: Transaction, every: Sequence[dict[str, Any]]) -> list[Written]:
    """Judge all of a request, then count it, then make it: what many have in common is asked for once."""
    resource, caller = service.resource, tx.caller
    holders = [attribute for attribute, _ in resource.judged_with.values()]
    known: dict[tuple[Any, ...], dict[str, Any]] = {}
    judged = []
    for values in every:
        ids = tuple(values.get(attribute) for attribute in holders)
        if ids not in known:
            known[ids] = service.presenter.demand_parents(tx.conn, values, caller, creating=True)
        judged.append((_allowed(service, values, known[ids], caller), known[ids]))
    if resource.quota is not None:
        for project, count in Counter(values["project_id"] for values, _ in judged).items():
            quota.demand(tx, resource, project, count)
    return [
        service.presenter.written(tx.conn, resource.create(tx, values), caller, parents) for values, parents in judged
    ]


def _allowed(service: Service, values: dict[str, Any], parents: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """What a creation may store; 403 when policy forbids it."""
    resource = service.resource
    target = {**values, **parents}
    target["tenant_id"] = values.get("project_id")
    service.policy.demand_write("create", resource, values, target, credentials(caller))
    if resource.within is not None and "project_id" in values:
        # Whoever makes it, it belongs with its parent.
        return {**values, "project_id": parents["ext_parent:project_id"]}
    return values


def readable(service: Service, conn: sa.Connection, place: Place, caller: Caller) -> tuple[Record, dict[str, Any]]:
    """The record and its policy target; 404 when the caller may not know of it."""
    record = _found(service, conn, place, caller)
    target = service.presenter.target(conn, record, caller)
    if not service.policy.allows(service.resource.rule("get"), target, credentials(caller)):
        raise hidden(service.resource, record, caller)
    return record, target


def hidden(resource: Resource, record: Record, caller: Caller) -> ApiError:
    """The 404 for what policy does not show: another project's is as unknown as what is not there."""
    if caller.is_service or record.get("project_id") == caller.project_id:
        return not_found("HTTPNotFound", "The resource could not be found.")
    return records.missing(resource, record["id"])


async def show(service: Service, place: Place, pairs: Sequence[tuple[str, str]], caller: Caller) -> bytes:
    """GET of one resource."""
    fields = frozenset(name for key, value in pairs if key == "fields" for name in value.split(",") if name)

    def run(conn: sa.Connection) -> bytes:
        record = _found(service, conn, place, caller)
        if fields:
            shown = service.presenter.one(conn, record, caller)
            if shown is None:
                raise hidden(service.resource, record, caller)
            return _encode({service.resource.one: _chosen(shown, fields)})
        rows = service.presenter.many(conn, [service.presenter.head_of(record)], caller)
        if not rows:
            raise hidden(service.resource, record, caller)
        return _named(service.resource, rows[0])

    return await service.store.read(run)


def _chosen(shown: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name in fields}


async def index(
    service: Service, url: str, pairs: Sequence[tuple[str, str]], caller: Caller, parent_id: str = ""
) -> bytes:
    """GET of a list: filtered, sorted, paged."""
    resource, presenter = service.resource, service.presenter
    query = queries.parse(resource, pairs)
    await _meet_first_need(service, query.filters.get("project_id", [caller.project_id])[0], caller)

    def run(conn: sa.Connection) -> bytes:
        marker = queries.find_marker(conn, resource, query)
        chosen = queries.statement(resource, presenter.columns, query, caller, service.live, marker)
        for attribute, id in _below(service, conn, parent_id, caller).items():
            chosen = chosen.where(resource.table.c[attribute] == id)
        heads = conn.execute(chosen).all()
        if query.reverse:
            heads = heads[::-1]
        rows = presenter.many(conn, heads, caller)
        if query.fields:
            rows = [_encode(_chosen(_attributes(row), query.fields)) for row in rows]
        name = resource.many.encode()
        links = queries.links(url, pairs, query, [head[0] for head in heads])
        tail = b',"%s_links":%s' % (name, _encode(links)) if links else b""
        return b'{"%s":[%s]%s}' % (name, b",".join(rows), tail)

    return await service.store.read(run)


async def _meet_first_need(service: Service, project_id: str, caller: Caller) -> None:
    """Make what a project lacks when it first lists this resource; nobody makes it for another's project but admins."""
    need = service.resource.first_need
    if need is None or (project_id != caller.project_id and not caller.is_admin):
        return
    if not 0 < len(project_id) <= 255 or not project_id.isprintable():
        return
    if await service.store.read(lambda conn: need.lacks(conn, project_id)):
        await service.store.write(lambda tx: need.make(tx, project_id), caller)


def writable(
    service: Service, tx: Transaction, place: Place, rule: str, if_match: str
) -> tuple[Record, dict[str, Any]]:
    """The record and its target, when the caller may know of it and the precondition holds."""
    record, target = readable(service, tx.conn, place, tx.caller)
    creds = credentials(tx.caller)
    if not service.policy.allows(rule, target, creds):
        # What is open to the caller's project alone is, for whoever wants to change it, not there.
        stranger = msgspec.structs.replace(tx.caller, project_id="")
        if not service.policy.allows(
            service.resource.rule("get"), service.presenter.target(tx.conn, record, stranger), creds
        ):
            raise records.missing(service.resource, place.id)
        service.policy.demand(rule, target, creds)
    revisions.demand(record, if_match)
    return record, target


async def update(service: Service, place: Place, raw: bytes, caller: Caller, if_match: str = "") -> bytes:
    """PUT of one resource."""
    resource = service.resource
    values = bodies.for_update(resource, bodies.item(resource, bodies.decode(raw)))

    def run(tx: Transaction) -> list[Written]:
        record, target = writable(service, tx, place, resource.rule("update"), if_match)
        service.policy.demand_write("update", resource, values, {**target, **values}, credentials(caller))
        return [service.presenter.written(tx.conn, resource.update(tx, record, values), caller)]

    (row,) = await _write(service, run, caller)
    return _named(resource, row)


async def delete(service: Service, place: Place, caller: Caller, if_match: str = "", cascade: bool = False) -> None:
    """DELETE of one resource; `cascade`: with all that is on it, where there is such a deletion."""
    resource = service.resource
    remove = resource.cascade if cascade and resource.cascade is not None else resource.delete

    def run(tx: Transaction) -> None:
        record, _ = writable(service, tx, place, service.resource.rule("delete"), if_match)
        remove(tx, record)

    await service.store.write(run, caller)


async def act(service: Service, action: Action, place: Place, raw: bytes, caller: Caller) -> bytes:
    """A member action such as add_router_interface."""
    try:
        body = action.parse.parse(bodies.decode(raw) if raw else {})
    except ValueError as error:
        raise bad_request(f"Invalid body of {action.name}: {error}.") from None

    def run(tx: Transaction) -> bytes:
        record, target = writable(service, tx, place, action.name, "")
        service.policy.demand_parts(action.name, body.get(service.resource.one), target, credentials(caller))
        answer = action.run(tx, record, body)
        if not action.shows:
            return _encode(answer)
        return _named(service.resource, service.presenter.written(tx.conn, answer, caller).row)

    if action.method == "GET":
        return await service.store.read(lambda conn: run(Transaction(conn, caller)))
    return await service.store.write(run, caller)


def _named(resource: Resource, row: bytes) -> bytes:
    """The document that holds one encoded row."""
    return b'{"%s":%s}' % (resource.one.encode(), row)
