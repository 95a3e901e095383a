"""oslo.policy's parsed checks as plain functions: the same answers at a fraction of the time.

oslo.policy inspects the signature of every check whenever it asks one, which costs more than the rest of a request.
The checks that Neutron's policy language is made of are turned into functions once; any other kind (``http:`` …) is
still asked through oslo.policy.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from oslo_policy import _checks

Target = Mapping[str, Any]
Credentials = Mapping[str, Any]
Test = Callable[[Target, Credentials], bool]

ATTRIBUTE = re.compile(r"%\(([^)]+)\)s")


class FieldCheck(_checks.Check):
    """``field:networks:shared=True``: an attribute of the target has a value, as in Neutron's policy language.

    On a target of another kind it is the attribute of the target's parent: a port's network.
    """

    def __init__(self, kind: str, match: str) -> None:
        super().__init__(kind, match)
        collection, _, condition = match.partition(":")
        self.name, _, value = condition.rpartition("=")
        self._of_parent = f"{collection.removesuffix('s')}:{self.name}"
        self._value = {"True": True, "False": False}.get(value, value)
        self._regex = re.compile(value[1:]) if value.startswith("~") else None

    def value_in(self, target: Target) -> Any:
        """What the target has there; None for nothing."""
        return target.get(self._of_parent, target.get(self.name))

    def __call__(self, target: Target, creds: Any, enforcer: Any, current_rule: Any = None) -> bool:
        value = self.value_in(target)
        if self._regex:
            return isinstance(value, str) and self._regex.match(value) is not None
        return bool(value == self._value)


def compiled(rules: Mapping[str, Any], enforcer: Any) -> dict[str, Test]:
    """Every rule as a function of target and credentials; rules that say the same are the same function.

    References are followed here and not when asked, so no rule may lead back to itself. One to a rule that does not
    exist holds for nobody.
    """
    made: dict[str, Test] = {}

    def test_of(check: Any, rule: str) -> Test:
        text = str(check)
        if text not in made:
            made[text] = _compile(check, lambda part: test_of(part, rule), rules, enforcer, rule)
        return made[text]

    return {name: test_of(check, name) for name, check in rules.items()}


def _compile(check: Any, test_of: Callable[[Any], Test], rules: Mapping[str, Any], enforcer: Any, rule: str) -> Test:
    kind = type(check)
    if kind is _checks.TrueCheck:
        return lambda target, creds: True
    if kind is _checks.FalseCheck or (kind is _checks.RuleCheck and check.match not in rules):
        return lambda target, creds: False
    if kind is _checks.RuleCheck:
        return test_of(rules[check.match])
    if kind is _checks.NotCheck:
        inner = test_of(check.rule)
        return lambda target, creds: not inner(target, creds)
    if kind in (_checks.AndCheck, _checks.OrCheck):
        # (a or b) or c is a or b or c, at one call less.
        parts = [test_of(part) for part in _flat(check, kind, rules)]
        return _all(parts) if kind is _checks.AndCheck else _any(parts)
    if kind is _checks.RoleCheck and "%" not in check.match:
        role = check.match.lower()
        return lambda target, creds: role in creds["roles"]
    if isinstance(check, FieldCheck):
        return lambda target, creds: check(target, creds, enforcer)
    if kind is _checks.GenericCheck and (found := ATTRIBUTE.fullmatch(check.match)) and check.kind.isidentifier():
        return _same(check.kind, found[1], check, enforcer, rule)
    return lambda target, creds: bool(_checks._check(check, target, dict(creds), enforcer, rule))


def _flat(check: Any, kind: type, rules: Mapping[str, Any]) -> Iterator[Any]:
    """The parts of a check, those of parts of its own kind among them, in their order."""
    for part in check.rules:
        while type(part) is _checks.RuleCheck and part.match in rules:
            part = rules[part.match]
        if type(part) is kind:
            yield from _flat(part, kind, rules)
        else:
            yield part


def _all(parts: list[Test]) -> Test:
    def test(target: Target, creds: Credentials) -> bool:
        for part in parts:  # noqa: SIM110 (half the price of all() with a generator)
            if not part(target, creds):
                return False
        return True

    return test


def _any(parts: list[Test]) -> Test:
    def test(target: Target, creds: Credentials) -> bool:
        for part in parts:  # noqa: SIM110 (as above)
            if part(target, creds):
                return True
        return False

    return test


def _same(credential: str, attribute: str, check: Any, enforcer: Any, rule: str) -> Test:
    """``project_id:%(network:project_id)s``: a credential equals an attribute of the target."""

    def test(target: Target, creds: Credentials) -> bool:
        if attribute not in target:
            return False
        value = creds.get(credential)
        if isinstance(value, str):
            wanted = target[attribute]
            return value == wanted or (not isinstance(wanted, str) and value == str(wanted))
        return bool(_checks._check(check, target, dict(creds), enforcer, rule))

    return test
