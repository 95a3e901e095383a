"""The tags of a project, one by one and all at once."""

from __future__ import annotations

from http import HTTPStatus

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import crud, errors, policy
from kaon.identity.call import Call, no_content, parse, read_body, route
from kaon.identity.policy import require
from kaon.identity.projects import PROJECTS, check_tags
from kaon.identity.state import Identity
from kaon.store.transaction import Transaction


async def _tags(call: Call) -> list[str]:
    caller = await call.caller()

    def read(conn: sa.Connection) -> list[str]:
        project = crud.find(conn, PROJECTS, call.param("id"))
        require("list_project_tags", PROJECTS.policy.show, caller, project)
        tags: list[str] = crud.bodies(call, PROJECTS, conn, [project])[0]["tags"]
        return tags

    return await call.identity.store.read(read)


async def _replace(call: Call, add: list[str], drop: list[str] | None) -> None:
    """Add and remove tags in one transaction; with `drop` None all others go."""
    caller = await call.caller()

    def write(tx: Transaction) -> None:
        project = crud.find(tx.conn, PROJECTS, call.param("id"))
        require("update_project_tags", policy.MANAGE_IN_DOMAIN, caller, project)
        old = set(crud.bodies(call, PROJECTS, tx.conn, [project])[0]["tags"])
        if missing := sorted(set(drop or ()) - old):
            raise errors.not_found("project tag", missing[0])
        new = set(add) if drop is None else (old | set(add)) - set(drop)
        check_tags(sorted(new))
        PROJECTS.saved(tx, {"id": project["id"], "tags": sorted(new)})

    await call.write(write)


async def _list(call: Call) -> Response:
    return crud.page(call, "tags", await _tags(call))


async def _check(call: Call) -> Response:
    if call.param("tag") not in await _tags(call):
        raise errors.not_found("project tag", call.param("tag"))
    return no_content()


async def _set(call: Call) -> Response:
    tags = parse(await read_body(call.request)).get("tags")
    if not isinstance(tags, list):
        raise errors.bad_request("Invalid input for field 'tags': it must be an array")
    check_tags(tags)
    await _replace(call, tags, None)
    return crud.page(call, "tags", await _tags(call))


async def _add(call: Call) -> Response:
    await _replace(call, [call.param("tag")], [])
    return Response(status_code=HTTPStatus.CREATED)


async def _remove(call: Call) -> Response:
    await _replace(call, [], [call.param("tag")])
    return no_content()


async def _clear(call: Call) -> Response:
    await _replace(call, [], None)
    return no_content()


def routes(identity: Identity) -> list[Route]:
    """A project's tags."""
    many, one = "/v3/projects/{id}/tags", "/v3/projects/{id}/tags/{tag}"
    return [
        route(identity, "GET", many, _list),
        route(identity, "PUT", many, _set),
        route(identity, "DELETE", many, _clear),
        route(identity, "GET", one, _check),
        route(identity, "PUT", one, _add),
        route(identity, "DELETE", one, _remove),
    ]
