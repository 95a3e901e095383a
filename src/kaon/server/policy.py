"""The rules in force, for administrators: GET /kaon/v1/policy lists them, POST /kaon/v1/policy/explain says why."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import sqlalchemy as sa
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from kaon.api.explain import Explanation, explain, origin
from kaon.api.http import Answer, Authenticate, endpoint, read_body
from kaon.api.policy import Policy, credentials, target_of
from kaon.api.policy_file import PolicyError, nearest
from kaon.api.present import Presenter
from kaon.caller import Caller
from kaon.resources import records
from kaon.resources.catalog import resources
from kaon.resources.declare import Resource
from kaon.resources.errors import bad_request, forbidden, invalid_input
from kaon.store.engine import Store

log = logging.getLogger("kaon.server.policy")

PATH = "/kaon/v1/policy"
LOOKS = 2.0
"""Seconds from one look at the policy file to the next."""

_encode = msgspec.json.Encoder().encode


class Who(msgspec.Struct, forbid_unknown_fields=True):
    """For whom rules are explained."""

    user_id: str = ""
    project_id: str = ""
    domain_id: str = ""
    system: bool = False
    roles: list[str] = []


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """Which rules, for whom, and on what: a stored resource by its id, attributes, or both."""

    caller: Who
    rules: list[str]
    resource: str = ""
    target: dict[str, Any] = {}


class Answered(msgspec.Struct):
    """The explanations, and on what each rule was judged."""

    explanations: list[Explanation]
    targets: list[dict[str, Any]]


def policy_routes(
    store: Store, policy: Policy, authenticate: Authenticate, identity_url: str = "/identity"
) -> list[BaseRoute]:
    """The routes of the policy."""

    async def listing(_request: Request, caller: Caller) -> Answer:
        _demand_admin(caller)
        rules = [
            {
                "name": name,
                "check": str(check),
                "default": policy.defaults.get(name),
                "origin": origin(policy, name),
            }
            for name, check in sorted(policy.rules.checks.items())
        ]
        return Answer(200, _encode({"rules": rules}))

    async def explaining(request: Request, caller: Caller) -> Answer:
        _demand_admin(caller)
        try:
            ask = msgspec.json.decode(await read_body(request), type=Ask)
        except msgspec.DecodeError as error:
            raise bad_request(f"Malformed request body: {error}.") from None
        return Answer(200, _encode(await store.read(lambda conn: _explained(conn, policy, ask))))

    return [
        Route(PATH, endpoint(listing, authenticate, identity_url), methods=["GET"]),
        Route(f"{PATH}/explain", endpoint(explaining, authenticate, identity_url), methods=["POST"]),
    ]


def _demand_admin(caller: Caller) -> None:
    if not caller.is_admin:
        raise forbidden("The rules of the policy are for administrators to see.")


def _explained(conn: sa.Connection, policy: Policy, ask: Ask) -> Answered:
    who = ask.caller
    caller = Caller(
        user_id=who.user_id,
        project_id=who.project_id,
        domain_id=who.domain_id,
        system=who.system,
        roles=frozenset(role.lower() for role in who.roles),
    )
    answered = Answered([], [])
    for rule in ask.rules:
        if rule not in policy.rules.checks:
            raise bad_request(f"There is no policy rule {rule}{nearest(rule, policy.rules.checks)}")
        target = _target(conn, policy, rule, ask, caller)
        answered.explanations.append(explain(policy, rule, target, credentials(caller)))
        answered.targets.append({name: value for name, value in target.items() if _told(name, ask)})
    return answered


def _told(name: str, ask: Ask) -> bool:
    return name in ask.target or name == "project_id" or ":project_id" in name


def _target(conn: sa.Connection, policy: Policy, rule: str, ask: Ask, caller: Caller) -> dict[str, Any]:
    """What a request would be judged on: the stored resource, what is named, else something of the caller's own."""
    resource = resource_of(rule)
    given = _parsed(resource, ask.target)
    if resource is None:
        return {"project_id": caller.project_id, "tenant_id": caller.project_id, **given}
    record: dict[str, Any] = {"project_id": caller.project_id} if "project_id" in resource.by_name else {}
    if ask.resource:
        record = records.get(conn, resource, ask.resource)
    record |= {name: value for name, value in given.items() if name in resource.names}
    parents = Presenter(resource, policy).parents(conn, record, caller)
    if ask.resource:
        return {**target_of(resource, record, caller, parents), **given}
    # Whatever is not named is the caller's own: the network of a port, for example.
    own = {
        f"{prefix}:project_id": caller.project_id
        for prefix, (attribute, _) in resource.judged_with.items()
        if not record.get(attribute)
    }
    return {**record, "tenant_id": record.get("project_id"), **own, **parents, **given}


def resource_of(rule: str) -> Resource | None:
    """The resource that a rule is about."""
    main = rule.partition(":")[0]
    for resource in resources():
        if main in {resource.rule(verb) for verb in ("create", "get", "update", "delete")}:
            return resource
        if any(action.name == main for action in resource.actions):
            return resource
    return None


def _parsed(resource: Resource | None, target: dict[str, Any]) -> dict[str, Any]:
    """Attributes as requests give them, in the types that rules read; those of parents are taken as they are."""
    found: dict[str, Any] = {}
    for name, value in target.items():
        attribute = resource.by_name.get(name) if resource else None
        try:
            found[name] = attribute.type.parse(value) if attribute else {"True": True, "False": False}.get(value, value)
        except ValueError as error:
            raise invalid_input(name, str(error)) from None
    return found


async def follow(policy: Policy) -> None:
    """Take over the policy file whenever it has changed, as long as the server runs; a bad one changes nothing."""
    while policy.file is not None:
        await asyncio.sleep(LOOKS)
        try:
            if policy.refresh():
                log.info("policy file taken over", extra={"file": str(policy.file), "rules": len(policy.rules.given)})
        except PolicyError as error:
            log.error("policy file not taken over, the rules stay as they were", extra={"reason": str(error)})
