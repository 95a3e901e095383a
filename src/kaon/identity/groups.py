"""Groups of users, which can be given roles like users; and who is in them."""

from __future__ import annotations

import sqlalchemy as sa
from starlette.responses import Response
from starlette.routing import Route

from kaon.identity import crud, errors, policy
from kaon.identity.call import Call, no_content, route
from kaon.identity.ownership import forget_actor, take_domain_of_token
from kaon.identity.policy import Policy, require
from kaon.identity.resource import DESCRIPTION, DOMAIN_ID, NAME, Collection, Values, must_exist
from kaon.identity.state import Identity
from kaon.identity.tables import DOMAIN, GROUP, MEMBERSHIP, USER
from kaon.identity.users import USERS
from kaon.store.transaction import Transaction


def _admit(tx: Transaction, before: Values | None, values: Values) -> None:
    if before is None:
        must_exist(tx, DOMAIN, "domain", values["domain_id"])


def _removed(tx: Transaction, row: Values) -> None:
    forget_actor(tx, "group", row["id"])
    tx.execute(sa.delete(MEMBERSHIP).where(MEMBERSHIP.c.group_id == row["id"]))


GROUPS = Collection(
    name="groups",
    kind="group",
    table=GROUP,
    attributes=(NAME, DESCRIPTION, DOMAIN_ID),
    policy=Policy(
        show=policy.READ_IN_DOMAIN,
        list=policy.READ_IN_DOMAIN,
        create=policy.MANAGE_IN_DOMAIN,
        update=policy.MANAGE_IN_DOMAIN,
        delete=policy.MANAGE_IN_DOMAIN,
    ),
    defaults=take_domain_of_token,
    admit=_admit,
    removed=_removed,
)


async def _change(call: Call, member: bool) -> Response:
    caller = await call.caller()
    group_id, user_id = call.param("id"), call.param("user_id")

    def write(tx: Transaction) -> None:
        group = must_exist(tx, GROUP, "group", group_id)
        user = must_exist(tx, USER, "user", user_id)
        action = "add_user_to_group" if member else "remove_user_from_group"
        require(action, policy.MANAGE_IN_DOMAIN, caller, group)
        require(action, policy.MANAGE_IN_DOMAIN, caller, user)
        row = sa.and_(MEMBERSHIP.c.group_id == group_id, MEMBERSHIP.c.user_id == user_id)
        present = tx.execute(sa.select(MEMBERSHIP).where(row)).first() is not None
        if member and not present:
            tx.execute(sa.insert(MEMBERSHIP).values(group_id=group_id, user_id=user_id))
        elif not member and not present:
            raise errors.not_found("user", user_id)
        elif not member:
            tx.execute(sa.delete(MEMBERSHIP).where(row))

    await call.write(write)
    return no_content()


async def _add(call: Call) -> Response:
    return await _change(call, True)


async def _remove(call: Call) -> Response:
    return await _change(call, False)


async def _check(call: Call) -> Response:
    caller = await call.caller()
    group_id, user_id = call.param("id"), call.param("user_id")

    def read(conn: sa.Connection) -> None:
        group = crud.find(conn, GROUPS, group_id)
        require("check_user_in_group", policy.READ_IN_DOMAIN, caller, group)
        crud.find(conn, USERS, user_id)
        row = sa.and_(MEMBERSHIP.c.group_id == group_id, MEMBERSHIP.c.user_id == user_id)
        if conn.execute(sa.select(MEMBERSHIP).where(row)).first() is None:
            raise errors.not_found("user", user_id)

    await call.identity.store.read(read)
    return no_content()


async def _members(call: Call) -> Response:
    caller = await call.caller()

    def read(conn: sa.Connection) -> list[Values]:
        group = crud.find(conn, GROUPS, call.param("id"))
        require("list_users_in_group", policy.READ_IN_DOMAIN, caller, group)
        statement = crud.filtered(USERS, call.request.query_params.multi_items())
        members = sa.select(MEMBERSHIP.c.user_id).where(MEMBERSHIP.c.group_id == group["id"])
        rows = conn.execute(statement.where(USER.c.id.in_(members)).order_by(USER.c.id)).mappings()
        return crud.bodies(call, USERS, conn, [dict(row) for row in rows])

    return crud.page(call, "users", await call.identity.store.read(read))


async def _groups_of_user(call: Call) -> Response:
    caller = await call.caller()

    def read(conn: sa.Connection) -> list[Values]:
        user_id = call.param("id")
        if user_id != caller.user_id:
            require("list_groups_for_user", policy.READ_IN_DOMAIN, caller, crud.find(conn, USERS, user_id))
        statement = crud.filtered(GROUPS, call.request.query_params.multi_items())
        joined = sa.select(MEMBERSHIP.c.group_id).where(MEMBERSHIP.c.user_id == user_id)
        rows = conn.execute(statement.where(GROUP.c.id.in_(joined)).order_by(GROUP.c.id)).mappings()
        return crud.bodies(call, GROUPS, conn, [dict(row) for row in rows])

    return crud.page(call, "groups", await call.identity.store.read(read))


def routes(identity: Identity) -> list[Route]:
    """Groups, their members, and the groups of a user."""
    member = "/v3/groups/{id}/users/{user_id}"
    return [
        *crud.routes(identity, GROUPS),
        route(identity, "GET", "/v3/groups/{id}/users", _members),
        route(identity, "PUT", member, _add),
        route(identity, "DELETE", member, _remove),
        route(identity, "GET", member, _check),
        route(identity, "GET", "/v3/users/{id}/groups", _groups_of_user),
    ]
