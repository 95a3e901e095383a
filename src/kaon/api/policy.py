"""Who may do what: oslo.policy rules under Neutron's names, from the declarations, overridable by a policy.yaml."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from oslo_config import cfg
from oslo_policy import _checks, _parser, policy

from kaon.api import policy_file
from kaon.api.checks import FieldCheck, Target, Test, compiled
from kaon.api.policy_file import FileRule
from kaon.caller import Caller
from kaon.resources.catalog import calls, resources
from kaon.resources.declare import REQUIRED, UNSET, Resource
from kaon.resources.errors import forbidden
from kaon.resources.roles import BASE_RULES
from kaon.store.journal import Record

log = logging.getLogger("kaon.api.policy")


def credentials(caller: Caller) -> dict[str, Any]:
    """A caller as oslo.policy checks read it."""
    return {
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "tenant_id": caller.project_id,
        "domain_id": caller.domain_id or None,
        "system_scope": "all" if caller.system else None,
        "roles": caller.roles,
        "is_admin": caller.is_admin,
    }


_NOTHING: frozenset[str] = frozenset()
_ABSENT = object()


def _is_of_no_project(creds: Mapping[str, Any]) -> bool:
    """Whether the token is one of the system or of a domain."""
    return bool(creds["system_scope"] or creds["domain_id"])


def _holds(test: Test, target: Target, creds: Mapping[str, Any]) -> bool:
    try:
        return test(target, creds)
    except KeyError:  # the check reads an attribute that the target has not
        return False


def defaults() -> dict[str, str]:
    """Every rule that Kaon asks for, and those that they refer to, with its built-in check."""
    found = dict(BASE_RULES)
    for resource in resources():
        found.update(resource.policies())
    found.update({call.rule: call.check for call in calls() if call.rule})
    return found


def _renamed(given: dict[str, FileRule]) -> dict[str, FileRule]:
    """The rules of a file, those about tags under today's names: create_networks_tags is now create_network:tags."""
    names = {
        f"{verb}_{resource.collection}_tags": f"{resource.rule(verb)}:tags"
        for resource in resources()
        if "tags" in resource.by_name
        for verb in ("create", "get", "update", "delete")
    }
    kept = {name: rule for name, rule in given.items() if name not in names}
    return {**{names[name]: rule for name, rule in given.items() if name in names}, **kept}


class Rules(NamedTuple):
    """The rules in force, as one thing that is exchanged when the file changes: as functions, and as parsed checks."""

    tests: dict[str, Test]
    checks: dict[str, Any]
    given: dict[str, FileRule]
    """Those that come from the file."""
    reads: dict[str, list[tuple[Test, list[str]]]]
    """By resource: each test on which it depends whether attributes are seen, and these attributes."""
    writes: dict[str, dict[str, tuple[Any, bool]]]
    """By rule of a creation or update: attributes with rules of their own, what they hold where nobody sets them, and
    whether there are rules for their parts."""


def _reads(resource: Resource, tests: Mapping[str, Test]) -> list[tuple[Test, list[str]]]:
    found: dict[Test, list[str]] = {}
    for attribute in resource.attributes:
        if attribute.get_rule:
            test = tests.get(f"{resource.rule('get')}:{attribute.name}") or tests["default"]
            found.setdefault(test, []).append(attribute.name)
    return list(found.items())


def _writes(resource: Resource, verb: str, tests: Mapping[str, Test]) -> dict[str, tuple[Any, bool]]:
    rule = resource.rule(verb)
    return {
        attribute.name: (
            _ABSENT if attribute.default in (REQUIRED, UNSET) else attribute.default,
            any(name.startswith(f"{rule}:{attribute.name}:") for name in tests),
        )
        for attribute in resource.attributes
        if (attribute.post_rule if verb == "create" else attribute.put_rule)
    }


class Policy:
    """The rules in force, each compiled to a function once. Asking costs a few microseconds a rule.

    Raises PolicyError when `file` cannot be read or understood. `refresh` takes over a file that has changed.
    """

    def __init__(self, file: Path | None = None) -> None:
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        _checks.registered_checks["field"] = FieldCheck
        # Only a file can name checks that come as plugins, and looking for those of oslo.policy itself imports a whole
        # HTTP client, for a tenth of a second. None makes it look.
        _checks.extension_checks = None if file else {}
        # It looks for no file: it is asked about the kinds of checks only that are no functions here.
        self.enforcer = policy.Enforcer(conf, use_conf=False)
        self.file = file
        self.defaults = defaults()
        self._parsed = {name: _parser.parse_rule(check) for name, check in self.defaults.items()}
        self._stamp = policy_file.stamp(file) if file else None
        self.rules = self._load()

    def _load(self) -> Rules:
        given = _renamed(policy_file.read(self.file)) if self.file else {}
        checks = {**self._parsed}
        if self.file:
            checks.update({name: policy_file.parsed(self.file, name, rule) for name, rule in given.items()})
            policy_file.demand_sound(self.file, given, checks)
        for name in policy_file.unused(given, self.defaults, checks):
            hint = policy_file.nearest(name, self.defaults)
            log.warning("policy rule that Kaon never asks", extra={"file": str(self.file), "rule": name + hint})
        tests = compiled(checks, self.enforcer)
        reads = {resource.name: _reads(resource, tests) for resource in resources()}
        writes = {
            resource.rule(verb): _writes(resource, verb, tests)
            for resource in resources()
            for verb in ("create", "update")
        }
        return Rules(tests, checks, given, reads, writes)

    def refresh(self) -> bool:
        """Take over the file if it has changed; whether it had. Raises PolicyError, and keeps the rules it had then."""
        fresh = policy_file.stamp(self.file) if self.file else None
        if fresh == self._stamp or self.file is None:
            return False
        self._stamp = fresh
        self.rules = self._load()
        return True

    def allows(self, rule: str, target: Target, creds: Mapping[str, Any]) -> bool:
        """Whether the rule holds; a rule that does not exist holds for nobody but falls back to ``default``.

        All rules are about projects: with a token of the system or of a domain none holds, as with Neutron.
        """
        if _is_of_no_project(creds):
            return False
        tests = self.rules.tests
        return _holds(tests.get(rule) or tests["default"], target, creds)

    def demand(self, rule: str, target: Target, creds: Mapping[str, Any]) -> None:
        """Raise 403 PolicyNotAuthorized unless the rule holds."""
        if not self.allows(rule, target, creds):
            raise forbidden(f"{rule} is disallowed by policy")

    def demand_write(
        self, verb: str, resource: Resource, body: Mapping[str, Any], target: Target, creds: Mapping[str, Any]
    ) -> None:
        """Demand the resource's rule for a creation or update, and that of each attribute that the client set."""
        rule = resource.rule(verb)
        self.demand(rule, target, creds)
        tests = self.rules.tests
        # Many attributes have the same check: it is asked once.
        held = {tests.get(rule)}
        for name in self._written(verb, rule, body):
            test = tests.get(name)
            if test is None or test not in held:
                self.demand(name, target, creds)
                held.add(test)

    def _written(self, verb: str, rule: str, body: Mapping[str, Any]) -> Iterator[str]:
        """The rules of what a body sets: of attributes, and of parts of them."""
        for name, (default, has_parts) in self.rules.writes[rule].items():
            value = body.get(name, _ABSENT)
            if value is _ABSENT or (verb == "create" and value == default):
                continue
            yield f"{rule}:{name}"
            if has_parts:
                yield from self._parts(f"{rule}:{name}", value)

    def _parts(self, rule: str, value: Any) -> Iterator[str]:
        """The rules of parts of a structured value, such as ``create_port:fixed_ips:ip_address``, and of theirs."""
        parts = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]
        for name in sorted({key for part in parts for key in part}):
            if f"{rule}:{name}" in self.rules.tests:
                yield f"{rule}:{name}"
                for part in parts:
                    yield from self._parts(f"{rule}:{name}", part.get(name))

    def demand_parts(self, rule: str, value: Any, target: Target, creds: Mapping[str, Any]) -> None:
        """Demand the rules of the parts of what an action is given."""
        for name in self._parts(rule, value):
            self.demand(name, target, creds)

    def hidden(self, resource: Resource, target: Target, creds: Mapping[str, Any]) -> frozenset[str]:
        """Attributes of this target that the caller may not see."""
        reads = self.rules.reads[resource.name]
        if not reads:
            return _NOTHING
        if _is_of_no_project(creds):
            return frozenset(name for _, names in reads for name in names)
        return frozenset(name for test, names in reads if not _holds(test, target, creds) for name in names)


def target_of(resource: Resource, record: Record, caller: Caller, parents: Mapping[str, str]) -> dict[str, Any]:
    """What rules read of a resource: its attributes, and the owners of its parents (``network:project_id``)."""
    target = {**record, **parents}
    for attribute in resource.derived:
        if attribute.name not in target and attribute.derived is not None:
            target[attribute.name] = attribute.derived(record, caller)
    target["tenant_id"] = target.get("project_id")
    return target
