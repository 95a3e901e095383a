"""Who may do what: oslo.policy rules under Neutron's names, from the declarations, overridable by a policy.yaml."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from oslo_config import cfg
from oslo_policy import _checks, _parser, policy

from kaon.api import policy_file
from kaon.api.checks import Test, compiled
from kaon.api.policy_file import FileRule
from kaon.caller import Caller
from kaon.resources.catalog import calls, resources
from kaon.resources.declare import REQUIRED, UNSET, Resource
from kaon.resources.errors import forbidden
from kaon.resources.roles import BASE_RULES
from kaon.store.journal import Record

Target = Mapping[str, Any]

log = logging.getLogger("kaon.api.policy")


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


def credentials(caller: Caller) -> dict[str, Any]:
    """A caller as oslo.policy checks read it."""
    return {
        "user_id": caller.user_id,
        "project_id": caller.project_id,
        "tenant_id": caller.project_id,
        "domain_id": caller.domain_id or None,
        "system_scope": "all" if caller.system else None,
        "roles": list(caller.roles),
        "is_admin": caller.is_admin,
    }


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
        return Rules(compiled(checks, self.enforcer), checks, given)

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
        if creds["system_scope"] or creds["domain_id"]:
            return False
        tests = self.rules.tests
        test = tests.get(rule) or tests["default"]
        try:
            return test(target, creds)
        except KeyError:  # the check reads an attribute that the target has not
            return False

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
        for name, value in body.items():
            attribute = resource.by_name[name]
            if not (attribute.post_rule if verb == "create" else attribute.put_rule):
                continue
            if verb == "create" and attribute.default not in (REQUIRED, UNSET) and value == attribute.default:
                continue
            self.demand(f"{rule}:{name}", target, creds)
            self.demand_parts(f"{rule}:{name}", value, target, creds)

    def demand_parts(self, rule: str, value: Any, target: Target, creds: Mapping[str, Any]) -> None:
        """Rules for parts of a structured value, such as ``create_port:fixed_ips:ip_address``, and for theirs."""
        parts = [part for part in (value if isinstance(value, list) else [value]) if isinstance(part, dict)]
        for name in sorted({key for part in parts for key in part}):
            if f"{rule}:{name}" in self.rules.tests:
                self.demand(f"{rule}:{name}", target, creds)
                for part in parts:
                    self.demand_parts(f"{rule}:{name}", part.get(name), target, creds)

    def hidden(self, resource: Resource, target: Target, creds: Mapping[str, Any]) -> frozenset[str]:
        """Attributes of this target that the caller may not see."""
        return frozenset(
            attribute.name
            for attribute in resource.attributes
            if attribute.get_rule and not self.allows(f"{resource.rule('get')}:{attribute.name}", target, creds)
        )


def target_of(resource: Resource, record: Record, caller: Caller, parents: Mapping[str, str]) -> dict[str, Any]:
    """What rules read of a resource: its attributes, and the owners of its parents (``network:project_id``)."""
    target = {**record, **parents}
    for attribute in resource.derived:
        if attribute.name not in target and attribute.derived is not None:
            target[attribute.name] = attribute.derived(record, caller)
    target["tenant_id"] = target.get("project_id")
    return target
