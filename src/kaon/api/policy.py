"""Who may do what: oslo.policy rules under Neutron's names, from the declarations, overridable by a policy.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import _checks, policy

from kaon.api.checks import compiled
from kaon.caller import Caller
from kaon.resources.catalog import calls, resources
from kaon.resources.declare import REQUIRED, UNSET, Resource
from kaon.resources.errors import forbidden
from kaon.resources.roles import BASE_RULES
from kaon.store.journal import Record

Target = Mapping[str, Any]

_NO_FILE = "no-policy.yaml"
"""oslo.policy looks for a file in any case; this one is nowhere, and a missing file means the defaults."""


class PolicyError(Exception):
    """An operator's policy file that cannot be used: which, why, and the way out."""


class FieldCheck(_checks.Check):
    """``field:networks:shared=True``: an attribute of the target has a value, as in Neutron's policy language.

    On a target of another kind it is the attribute of the target's parent: a port's network.
    """

    def __init__(self, kind: str, match: str) -> None:
        super().__init__(kind, match)
        collection, _, condition = match.partition(":")
        self._name, _, value = condition.rpartition("=")
        self._of_parent = f"{collection.removesuffix('s')}:{self._name}"
        self._value = {"True": True, "False": False}.get(value, value)
        self._regex = value[1:] if value.startswith("~") else ""

    def __call__(self, target: Target, creds: Any, enforcer: Any, current_rule: Any = None) -> bool:
        value = target.get(self._of_parent, target.get(self._name))
        if self._regex:
            return isinstance(value, str) and value.startswith(self._regex.lstrip("^"))
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


class Policy:
    """The rules in force, each compiled to a function once. Asking costs a few microseconds a rule.

    Raises PolicyError when `file` cannot be read or understood.
    """

    def __init__(self, file: Path | None = None) -> None:
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[], default_config_dirs=[])
        _checks.registered_checks["field"] = FieldCheck
        # Only a file can name checks that come as plugins, and looking for those of oslo.policy itself imports a whole
        # HTTP client, for a tenth of a second. None makes it look.
        _checks.extension_checks = None if file else {}
        self._enforcer = policy.Enforcer(conf, policy_file=str(file) if file else _NO_FILE)
        conf.set_override("policy_dirs", [], "oslo_policy")
        self._enforcer.suppress_default_change_warnings = True
        names = dict(BASE_RULES)
        for resource in resources():
            names.update(resource.policies())
        names.update({call.rule: call.check for call in calls() if call.rule})
        for name, check in names.items():
            self._enforcer.register_default(policy.RuleDefault(name, check))
        try:
            if file is not None:
                file.read_text()  # oslo.policy takes a file that it cannot read for none
            self._enforcer.load_rules()
        except (OSError, ValueError) as error:
            raise PolicyError(f"policy_file {file}: {error}; mend it, or name none") from error
        self._rules = compiled(self._enforcer.rules, self._enforcer)

    def allows(self, rule: str, target: Target, creds: Mapping[str, Any]) -> bool:
        """Whether the rule holds; a rule that does not exist holds for nobody but falls back to ``default``."""
        test = self._rules.get(rule) or self._rules["default"]
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
            if f"{rule}:{name}" in self._rules:
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
