"""Create, list, show, update and delete of any declared collection, as Keystone speaks them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import errors
from kaon.identity.call import Call, no_content, reply, route
from kaon.identity.policy import require
from kaon.identity.resource import Attribute, Collection, Values, accept
from kaon.identity.state import Identity
from kaon.store.transaction import Transaction

FALSE_WORDS = ("false", "0", "no", "off")
"""What a boolean in a query may say to mean false; anything else, even nothing, means true (as in Keystone)."""


def routes(identity: Identity, collection: Collection) -> list[Route]:
    """The five calls of a collection."""
    many, one = f"/v3/{collection.name}", f"/v3/{collection.name}/{{id}}"

    async def create_(call: Call) -> Response:
        return await create(call, collection)

    async def list_(call: Call) -> Response:
        return await list_all(call, collection)

    async def show_(call: Call) -> Response:
        return await show(call, collection)

    async def update_(call: Call) -> Response:
        return await update(call, collection)

    async def delete_(call: Call) -> Response:
        return await delete(call, collection)

    return [
        route(identity, "POST", many, create_),
        route(identity, "GET", many, list_),
        route(identity, "GET", one, show_),
        route(identity, "PATCH", one, update_),
        route(identity, "DELETE", one, delete_),
    ]


# ---------------------------------------------------------------- bodies


def bodies(call: Call, collection: Collection, conn: sa.Connection, rows: Sequence[Values]) -> list[Values]:
    """Rows as clients see them."""
    shown = []
    for row in rows:
        known = {a.name: row[a.name] for a in collection.attributes if a.stored and not a.hidden}
        shown.append({**row["extra"], **known, "id": row["id"]})
    collection.decorate(conn, shown)
    for body in shown:
        body["links"] = {"self": f"{call.base}/{collection.name}/{body['id']}"}
    return shown


def page(call: Call, name: str, items: list[Any], next_url: str | None = None) -> Response:
    """The answer of a listing."""
    links = {"self": f"{call.base}{call.request.url.path.split('/v3', 1)[-1]}", "next": next_url, "previous": None}
    if call.request.url.query:
        links["self"] = f"{links['self']}?{call.request.url.query}"
    return reply({name: items, "links": links})


def find(conn: sa.Connection, collection: Collection, id: str) -> Values:
    """A row by id; 404 if there is none."""
    row = conn.execute(sa.select(collection.table).where(collection.table.c.id == id)).mappings().first()
    if row is None:
        raise errors.not_found(collection.kind, id)
    return dict(row)


# ---------------------------------------------------------------- reading


async def show(call: Call, collection: Collection) -> Response:
    """GET one."""
    caller = await call.caller()

    def read(conn: sa.Connection) -> Values:
        try:
            row = find(conn, collection, call.param("id"))
        except errors.IdentityError:
            # Who may not see them all shall not learn which exist.
            require(f"get_{collection.kind}", collection.policy.list, caller, {"domain_id": caller.domain_id})
            raise
        require(f"get_{collection.kind}", collection.policy.show, caller, row)
        return bodies(call, collection, conn, [row])[0]

    return reply({collection.kind: await call.identity.store.read(read)})


def _condition(attribute: Attribute, column: sa.ColumnElement[Any], operator: str, value: str) -> Any:
    if attribute.kind is bool:
        return column.is_(sa.false() if value.lower() in FALSE_WORDS else sa.true())
    text, given = (sa.func.lower(column), value.lower()) if operator.startswith("i") else (column, value)
    match operator.removeprefix("i"):
        case "":
            return column == value if value or not attribute.nullable else sa.or_(column.is_(None), column == "")
        case "contains":
            return text.contains(given, autoescape=True)
        case "startswith":
            return text.startswith(given, autoescape=True)
        case "endswith":
            return text.endswith(given, autoescape=True)
    raise errors.bad_request(f"Unknown comparison '{operator}' in the filter on '{attribute.name}'")


def filtered(collection: Collection, query: Sequence[tuple[str, str]]) -> sa.Select[Any]:
    """The rows that a query asks for; what is no filter is passed over, as in Keystone."""
    filters = {attribute.name: attribute for attribute in collection.attributes if attribute.filter}
    filters["id"] = Attribute("id")
    statement = sa.select(collection.table)
    for key, value in query:
        name, _, operator = key.partition("__")
        if name in filters:
            statement = statement.where(_condition(filters[name], collection.table.c[name], operator, value))
    return collection.narrow(statement, query)


async def list_all(call: Call, collection: Collection) -> Response:
    """GET all that match and that the caller may see, by pages when a limit is given."""
    caller = await call.caller()
    query = call.request.query_params.multi_items()
    statement = filtered(collection, query)
    if not collection.policy.list(caller, {}):
        require(f"list_{collection.name}", collection.policy.list, caller, {"domain_id": caller.domain_id})
        statement = statement.where(collection.table.c.domain_id == caller.domain_id)
    limit, marker = page_of(call)
    statement = statement.order_by(collection.table.c.id)
    if marker is not None:
        statement = statement.where(collection.table.c.id > marker)
    if limit is not None:
        statement = statement.limit(limit + 1)

    def read(conn: sa.Connection) -> list[Values]:
        return bodies(call, collection, conn, [dict(row) for row in conn.execute(statement).mappings()])

    items = await call.identity.store.read(read)
    next_url = None
    if limit is not None and len(items) > limit:
        items = items[:limit]
        rest = [(key, value) for key, value in query if key != "marker"] + [("marker", items[-1]["id"])]
        next_url = f"{call.base}/{collection.name}?{urlencode(rest)}"
    return page(call, collection.name, items, next_url)


def page_of(call: Call) -> tuple[int | None, str | None]:
    """`limit` and `marker` of the query."""
    given = call.request.query_params.get("limit")
    if given is not None and (not given.isascii() or not given.isdecimal() or not 0 < int(given[:9]) < 10**6):
        raise errors.bad_request(f"Invalid input for field 'limit': {given!r:.50} is not a number from 1 to 999999")
    return (int(given) if given else None), call.request.query_params.get("marker")


# ---------------------------------------------------------------- writing


def _store(tx: Transaction, collection: Collection, statement: sa.Executable, values: Values) -> None:
    """Run an insert or update; a broken unique constraint is a 409 in Keystone's words."""
    try:
        tx.execute(statement)
    except sa.exc.IntegrityError:
        raise errors.conflict(collection.kind, collection.duplicate.format_map(values)) from None


def _columns(collection: Collection, values: Values) -> Values:
    return {name: value for name, value in values.items() if name in collection.table.c}


async def create(call: Call, collection: Collection, given: Values | None = None) -> Response:
    """POST: 201 with the new resource. `given` are values that the path says."""
    caller = await call.caller()
    body = await call.body(collection.kind)
    values = {**accept(collection, body, None), **(given or {})}
    collection.defaults(caller, values)
    require(f"create_{collection.kind}", collection.policy.create, caller, values)
    values["id"] = values.get("id") or uuid.uuid4().hex
    await collection.prepare(call.identity, values)

    def write(tx: Transaction) -> Values:
        collection.admit(tx, None, values)
        _store(tx, collection, sa.insert(collection.table).values(_columns(collection, values)), values)
        collection.saved(tx, values)
        return bodies(call, collection, tx.conn, [find(tx.conn, collection, values["id"])])[0]

    # Nothing that a remembered token says can be made wrong by what did not exist before.
    made = await call.identity.store.write(write, caller)
    return reply({collection.kind: made}, HTTPStatus.CREATED)


async def update(call: Call, collection: Collection) -> Response:
    """PATCH: 200 with the whole resource."""
    caller = await call.caller()
    body = await call.body(collection.kind)
    id = call.param("id")
    before = await call.identity.store.read(lambda conn: _visible(conn, call, collection, caller, id))
    require(f"update_{collection.kind}", collection.policy.update, caller, before)
    prepared = accept(collection, body, before)
    await collection.prepare(call.identity, prepared)

    def write(tx: Transaction) -> Values:
        current = find(tx.conn, collection, id)
        values = dict(prepared)
        collection.admit(tx, current, values)
        columns = _columns(collection, values)
        if columns:
            statement = sa.update(collection.table).where(collection.table.c.id == id).values(columns)
            _store(tx, collection, statement, {**current, **values})
        collection.saved(tx, {**values, "id": id})
        return bodies(call, collection, tx.conn, [find(tx.conn, collection, id)])[0]

    return reply({collection.kind: await call.write(write)})


def _visible(conn: sa.Connection, call: Call, collection: Collection, caller: Any, id: str) -> Values:
    """The row to change, or 403 rather than 404 for who may not see them all."""
    try:
        return find(conn, collection, id)
    except errors.IdentityError:
        require(f"update_{collection.kind}", collection.policy.list, caller, {"domain_id": caller.domain_id})
        raise


async def delete(call: Call, collection: Collection) -> Response:
    """DELETE: 204."""
    caller = await call.caller()
    id = call.param("id")

    def write(tx: Transaction) -> None:
        row = _visible(tx.conn, call, collection, caller, id)
        require(f"delete_{collection.kind}", collection.policy.delete, caller, row)
        remove(tx, collection, row)

    await call.write(write)
    return no_content()


def remove(tx: Transaction, collection: Collection, row: Values) -> None:
    """Delete a row and what hangs on it."""
    collection.removed(tx, row)
    tx.execute(sa.delete(collection.table).where(collection.table.c.id == row["id"]))
