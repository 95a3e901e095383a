"""Which roles hold where: a token's roles must be what the effective assignments say, however they were given."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kaon.identity.assignments import _expanded, _stored
from kaon.identity.effective import roles_on, targets_of
from kaon.identity.tables import ASSIGNMENT, DOMAIN, GROUP, IMPLIED_ROLE, MEMBERSHIP, PROJECT, ROLE, USER
from kaon.identity.tokens import Scope
from kaon.store.schema import metadata

USERS, GROUPS, ROLES, DOMAINS = ("u0", "u1"), ("g0", "g1"), ("r0", "r1", "r2", "r3"), ("d0", "d1")
PROJECTS = ("p0", "p1", "p2", "p3")


class State(NamedTuple):
    """Two users and groups, four roles, two domains, and four projects, each below a domain or an earlier project."""

    parents: list[int]
    members: set[tuple[str, str]]
    implied: set[tuple[str, str]]
    given: set[tuple[str, str, bool, str]]


STATES = st.builds(
    State,
    parents=st.tuples(*(st.integers(0, 1 + number) for number in range(len(PROJECTS)))).map(list),
    members=st.sets(st.tuples(st.sampled_from(GROUPS), st.sampled_from(USERS))),
    implied=st.sets(st.tuples(st.sampled_from(ROLES), st.sampled_from(ROLES)), max_size=4),
    given=st.sets(
        st.tuples(
            st.sampled_from(USERS + GROUPS),
            st.sampled_from((*PROJECTS, *DOMAINS, "all")),
            st.booleans(),
            st.sampled_from(ROLES),
        ),
        max_size=6,
    ),
)


def _target_kind(target: str) -> str:
    return {"p": "project", "d": "domain"}.get(target[0], "system")


def _load(conn: sa.Connection, state: State) -> None:
    for id in DOMAINS:
        conn.execute(sa.insert(DOMAIN).values(id=id, name=id))
    places = list(DOMAINS)
    owner = dict(zip(DOMAINS, DOMAINS, strict=True))
    for id, parent in zip(PROJECTS, state.parents, strict=True):
        owner[id] = owner[places[parent]]
        conn.execute(sa.insert(PROJECT).values(id=id, name=id, domain_id=owner[id], parent_id=places[parent]))
        places.append(id)
    for table, ids in ((USER, USERS), (GROUP, GROUPS)):
        for id in ids:
            conn.execute(sa.insert(table).values(id=id, name=id, domain_id="d0"))
    for id in ROLES:
        conn.execute(sa.insert(ROLE).values(id=id, name=id))
    for group_id, user_id in state.members:
        conn.execute(sa.insert(MEMBERSHIP).values(group_id=group_id, user_id=user_id))
    for prior, implied in state.implied:
        conn.execute(sa.insert(IMPLIED_ROLE).values(prior_id=prior, implied_id=implied))
    # Nothing is below the system that could inherit from it.
    for actor, target, inherited, role in {(a, t, i and t != "all", r) for a, t, i, r in state.given}:
        conn.execute(
            sa.insert(ASSIGNMENT).values(
                actor_kind="user" if actor in USERS else "group",
                actor_id=actor,
                target_kind=_target_kind(target),
                target_id=target,
                role_id=role,
                inherited=inherited,
            )
        )


ENGINE = sa.create_engine("sqlite://")
"""Empty between examples: each of them is rolled back."""
metadata.create_all(ENGINE)

SCOPES = [(Scope.PROJECT, id) for id in PROJECTS] + [(Scope.DOMAIN, id) for id in DOMAINS] + [(Scope.SYSTEM, "")]


@given(STATES)
def test_a_tokens_roles_are_the_effective_assignments(state: State) -> None:
    with ENGINE.connect() as conn, conn.begin() as transaction:
        _load(conn, state)
        held = {(row.actor_id, row.target_id, row.role_id) for row in _expanded(conn, _stored(conn))}
        for user in USERS:
            for scope, id in SCOPES:
                roles = {role.id for role in roles_on(conn, user, scope, id)}
                assert roles == {role for actor, target, role in held if (actor, target) == (user, id or "all")}
            projects, domains, system = targets_of(conn, user)
            reached = {target for actor, target, _ in held if actor == user}
            assert projects == reached & set(PROJECTS)
            assert domains == reached & set(DOMAINS)
            assert system == ("all" in reached)
        transaction.rollback()
