"""Why policy allows or denies: the rule followed through its references to the checks that decided, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from oslo_policy import _checks

from kaon.api.checks import ATTRIBUTE, FieldCheck, Target, compiled
from kaon.api.policy import Policy


class Reason(msgspec.Struct, frozen=True):
    """A check that decided: the rules by which it was reached, itself, where the last of these comes from, and why."""

    through: tuple[str, ...]
    check: str
    origin: str
    why: str


class Explanation(msgspec.Struct, frozen=True):
    """What a rule says of somebody who wants something: `reasons` holds the check that allowed, or all that did not."""

    rule: str
    allowed: bool
    check: str
    origin: str
    reasons: tuple[Reason, ...]


def origin(policy: Policy, name: str) -> str:
    """Where a rule comes from: the file with its line, or what is built in."""
    given = policy.rules.given.get(name)
    return f"{policy.file}, line {given.line}" if given else "built in"


def explain(policy: Policy, rule: str, target: Target, creds: Mapping[str, Any]) -> Explanation:
    """Judge one rule, and say why it is so. The rule must exist."""
    check = policy.rules.checks[rule]
    allowed, reasons = _follow(policy, check, (rule,), target, creds)
    scope = "the system" if creds["system_scope"] else "a domain" if creds["domain_id"] else ""
    if scope:
        why = f"the token is one of {scope}, and all rules are about projects: a token of a project is needed"
        allowed, reasons = False, [Reason((rule,), str(check), origin(policy, rule), why)]
    assert allowed == policy.allows(rule, target, creds)
    return Explanation(rule, allowed, str(check), origin(policy, rule), tuple(reasons))


def _follow(
    policy: Policy, check: Any, through: tuple[str, ...], target: Target, creds: Mapping[str, Any]
) -> tuple[bool, list[Reason]]:
    """Whether a check holds, and the checks that made it so."""
    if isinstance(check, _checks.RuleCheck):
        other = policy.rules.checks.get(check.match)
        if other is None:
            return False, [_reason(policy, check, through, f"there is no rule {check.match}")]
        return _follow(policy, other, (*through, check.match), target, creds)
    if isinstance(check, _checks.NotCheck):
        holds, reasons = _follow(policy, check.rule, through, target, creds)
        return not holds, reasons
    if isinstance(check, _checks.AndCheck | _checks.OrCheck):
        # One part decides where it is false of several that must hold, or true of several of which one must.
        decides = isinstance(check, _checks.OrCheck)
        gathered: list[Reason] = []
        for part in check.rules:
            holds, reasons = _follow(policy, part, through, target, creds)
            if holds == decides:
                return holds, reasons
            gathered += reasons
        return not decides, gathered
    holds = _holds(policy, check, target, creds)
    return holds, [_reason(policy, check, through, _why(check, holds, target, creds))]


def _holds(policy: Policy, check: Any, target: Target, creds: Mapping[str, Any]) -> bool:
    try:
        return compiled({"": check}, policy.enforcer)[""](target, creds)
    except KeyError:  # as `Policy.allows` has it
        return False


def _reason(policy: Policy, check: Any, through: tuple[str, ...], why: str) -> Reason:
    return Reason(through, str(check), origin(policy, through[-1]), why)


def _why(check: Any, holds: bool, target: Target, creds: Mapping[str, Any]) -> str:
    if isinstance(check, _checks.TrueCheck):
        return "it holds for everybody"
    if isinstance(check, _checks.FalseCheck):
        return "it holds for nobody"
    if isinstance(check, _checks.RoleCheck):
        held = ", ".join(sorted(creds["roles"])) or "none"
        return f"the caller has the role {check.match}" if holds else f"the caller has not this role, but: {held}"
    if isinstance(check, FieldCheck):
        return f"the target's {check.name} is {check.value_in(target)!r}"
    if isinstance(check, _checks.GenericCheck) and (found := ATTRIBUTE.fullmatch(check.match)):
        own = creds.get(check.kind)
        if found[1] not in target:
            return f"the target has no {found[1]}"
        of_caller = "and so is" if holds else f"not {own or 'none'}, which is"
        return f"the target's {found[1]} is {target[found[1]]}, {of_caller} the caller's {check.kind}"
    return "so says oslo.policy"
