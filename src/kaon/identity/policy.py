"""Who may do what in Keystone: small predicates of the caller and the target, after Keystone's default policies.

https://docs.openstack.org/keystone/latest/configuration/policy.html. A target is the resource's row; an empty one asks
whether the caller may see all of a collection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kaon.caller import Caller
from kaon.identity import errors

Target = Mapping[str, Any]
Rule = Callable[[Caller, Target], bool]


def admin(caller: Caller, target: Target) -> bool:
    """The admin role, in whatever scope."""
    return "admin" in caller.roles


def system_reader(caller: Caller, target: Target) -> bool:
    """Reads everything: the reader role on the system."""
    return caller.system and "reader" in caller.roles


def domain_reader(caller: Caller, target: Target) -> bool:
    """Reads what belongs to a domain: the reader role on it."""
    return bool(caller.domain_id) and "reader" in caller.roles and target.get("domain_id") == caller.domain_id


def domain_manager(caller: Caller, target: Target) -> bool:
    """Runs a domain's users, groups and projects: the manager role on it."""
    return bool(caller.domain_id) and "manager" in caller.roles and target.get("domain_id") == caller.domain_id


def any_domain_manager(caller: Caller, target: Target) -> bool:
    """The manager role on some domain: may see the roles that it can give."""
    return bool(caller.domain_id) and "manager" in caller.roles


def own_user(caller: Caller, target: Target) -> bool:
    """The caller's own user."""
    return bool(caller.user_id) and target.get("id") == caller.user_id


def owner(caller: Caller, target: Target) -> bool:
    """The user to whom the target belongs."""
    return bool(caller.user_id) and target.get("user_id") == caller.user_id


def own_project(caller: Caller, target: Target) -> bool:
    """The project of the caller's token."""
    return bool(caller.project_id) and target.get("id") == caller.project_id


def own_domain(caller: Caller, target: Target) -> bool:
    """The domain of the caller's token, or of its project."""
    return bool(target) and target["id"] in (caller.domain_id, caller.project_domain_id)


def anyone(caller: Caller, target: Target) -> bool:
    """Whoever has a valid token."""
    return True


def any_of(*rules: Rule) -> Rule:
    """Holds where one of `rules` does."""

    def holds(caller: Caller, target: Target) -> bool:
        return any(rule(caller, target) for rule in rules)

    return holds


READ_ALL = any_of(admin, system_reader)
READ_IN_DOMAIN = any_of(admin, system_reader, domain_reader)
MANAGE_IN_DOMAIN = any_of(admin, domain_manager)

MANAGER_MAY_GIVE = frozenset({"manager", "member", "reader"})
"""Names of the roles that a domain's manager may grant and revoke."""


class Policy(NamedTuple):
    """The rules of one collection."""

    show: Rule = READ_ALL
    list: Rule = READ_ALL
    create: Rule = admin
    update: Rule = admin
    delete: Rule = admin


def require(action: str, rule: Rule, caller: Caller, target: Target) -> None:
    """Raise 403 naming `identity:<action>` unless the rule holds."""
    if not rule(caller, target):
        raise errors.forbidden(f"identity:{action}")
