"""Kaon's default rules against Neutron's: the same answer to every caller, on every kind of target."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from oslo_config import cfg
from oslo_policy import _checks, _parser, policy

from kaon.api.policy import Policy, credentials
from kaon.caller import Caller
from tests.api import cloud

NEUTRON: dict[str, str] = yaml.safe_load((Path(__file__).parent / "neutron_policies.yaml").read_text())

OWN = {
    "get_port:kaon:status_reason": "why a port is down is Kaon's own attribute",
    "get_quotas": "the quotas of all projects in one list; Neutron asks for an administrator without a rule",
    "create_floatingip:router_id": "Neutron judges it by `default`",
    "update_floatingip:router_id": "Neutron judges it by `default`",
    "update_port_binding": "Neutron judges it by `default`",
    "get_segment:tags": "get_segments_tags in Neutron, the last one of the old form; either name is taken in a file",
    "create_segment:tags": "as above",
    "update_segment:tags": "as above",
    "delete_segment:tags": "as above",
}
"""Rules of Kaon's that Neutron has not, and why."""

ROLES = {
    "admin": ("admin", "manager", "member", "reader"),
    "manager": ("manager", "member", "reader"),
    "member": ("member", "reader"),
    "reader": ("reader",),
    "service": ("service",),
    "none": (),
}
CALLERS = {name: Caller(user_id="u", project_id="own", roles=frozenset(roles)) for name, roles in ROLES.items()}
SYSTEM = Caller(user_id="u", system=True, roles=frozenset(ROLES["admin"]))
DOMAIN = Caller(user_id="u", domain_id="d", roles=frozenset(ROLES["admin"]))

PROJECTS = ("project_id", "network:project_id", "ext_parent:project_id", "security_group:project_id")
FLAGS: dict[str, tuple[Any, ...]] = {
    "shared": (False, True),
    "router:external": (False, True),
    "device_owner": ("", "network:dhcp", "compute:nova"),
    "target_tenant": ("somebody", "*"),
    "belongs_to_default_sg": (False, True),
}
"""What else rules look at."""


def spelt(checks: Mapping[str, str], rule: str) -> str:
    """A check with the checks that it refers to."""
    text = checks[rule]
    return " ".join([text, *(spelt(checks, name) for name in re.findall(r"rule:(\w+)", text) if name in checks)])


def targets(text: str) -> Iterator[dict[str, Any]]:
    """Own and foreign things, in own and foreign networks, shared or not: all that makes a difference to a check."""
    owners = {name: ("own", "foreign") for name in PROJECTS if f"%({name})s" in text}
    values = {**owners, **{name: values for name, values in FLAGS.items() if f":{name}=" in text}}
    for chosen in itertools.product(*values.values()):
        target = dict(zip(values, chosen, strict=True))
        yield {"project_id": "own", **target, "network:shared": target.get("shared")}


@pytest.fixture(scope="module")
def kaon() -> Policy:
    return cloud._policy(None)


@pytest.fixture(scope="module")
def neutron(kaon: Policy) -> policy.Enforcer:
    """Neutron's rules, asked through oslo.policy itself; `kaon` has registered the check ``field``."""
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[], default_config_dirs=[])
    rules = {name: _parser.parse_rule(check) for name, check in NEUTRON.items()}
    return policy.Enforcer(conf, rules=policy.Rules(rules, "default"), use_conf=False)


RULES = sorted(set(cloud._policy(None).defaults) & set(NEUTRON))


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_decides_as_neutrons_does(rule: str, kaon: Policy, neutron: policy.Enforcer) -> None:
    different = []
    check = neutron.rules[rule]
    found = list(targets(spelt(kaon.defaults, rule) + spelt(NEUTRON, rule)))
    for name, caller in CALLERS.items():
        creds = credentials(caller)
        for target in found:
            theirs = bool(_checks._check(check, target, creds, neutron, rule))
            if kaon.allows(rule, target, creds) != theirs:
                different.append((name, target, "Neutron allows" if theirs else "Neutron denies"))
    assert different == [], f"{kaon.defaults[rule]} here, {NEUTRON[rule]} there; {len(different)} answers differ"


def test_kaon_has_no_rule_that_neutron_has_not_but_for_a_named_few(kaon: Policy) -> None:
    assert set(kaon.defaults) - set(NEUTRON) == set(OWN)


@pytest.mark.parametrize("caller", [SYSTEM, DOMAIN], ids=["system", "domain"])
def test_all_rules_are_about_projects(caller: Caller, kaon: Policy) -> None:
    """Every API rule of Neutron's has the scope ``project``, which it enforces: a token of another scope is refused."""
    creds = credentials(caller)
    target = {"project_id": "own", "shared": True, "network:shared": True, "router:external": True}
    assert [rule for rule in RULES if kaon.allows(rule, target, creds)] == []
