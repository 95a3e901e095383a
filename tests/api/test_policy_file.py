"""An operator's policy.yaml: what it changes, how it is refused, and when a change of it takes effect."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kaon.api.policy import Policy, credentials
from kaon.api.policy_file import PolicyError
from tests.api.cloud import Cloud, caller


def allowed(policy: Policy, rule: str, token: str) -> bool:
    return policy.allows(rule, {"project_id": "red"}, credentials(caller(token)))


async def test_a_rule_of_the_file_replaces_the_built_in_one_for_requests(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"create_network": "role:manager"\n"get_port:binding:host_id": "role:reader"\n')
    cloud = await Cloud(tmp_path, file).start()
    assert (await cloud("member:red", "POST", "/networks", {"network": {}}))[0] == 403
    assert (await cloud("manager:red", "POST", "/networks", {"network": {}}))[0] == 201
    network = await cloud.made("admin:ops", "/networks", project_id="red")
    port = await cloud.made("member:red", "/ports", network_id=network["id"])
    assert "binding:host_id" in port and "binding:vif_type" not in port
    await cloud.stop()


def test_rules_of_the_operators_own_can_be_referred_to(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("# ours\n'netops': 'role:reader and project_id:%(project_id)s'\n'delete_network': 'rule:netops'\n")
    policy = Policy(file)
    assert allowed(policy, "delete_network", "reader:red") and not allowed(policy, "delete_network", "reader:blue")
    assert not allowed(policy, "update_network", "reader:red")


def test_json_is_yaml_too_and_so_is_an_empty_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text('{"create_network": [["role:reader"], ["role:service"]]}')
    assert allowed(Policy(file), "create_network", "reader:red")
    file.write_text("# nothing\n")
    assert not allowed(Policy(file), "create_network", "reader:red")


def test_rules_about_tags_may_have_their_older_names(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"update_networks_tags": "role:reader"\n')
    assert allowed(Policy(file), "update_network:tags", "reader:blue")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('"a": "role:x"\n"create_port": [', 2, "expected the node content"),
        ('"a": "role:x"\n"create_port": "role:admin orr role:x"', 2, '"role:admin orr role:x" cannot be understood'),
        ('"create_port": "role:admin or admin"', 1, "cannot be understood"),
        ('"create_port": "(role:admin"', 1, "cannot be understood"),
        ('\n\n"create_port": "rule:admin_onyl"', 3, "there is no rule admin_onyl; did you mean admin_only?"),
        ('"a": "rule:b"\n"b": "not rule:a"', 1, "a refers to itself"),
        ('"create_port": true', 1, "a check is text in quotation marks"),
        ('"create_port": "!"\n"create_port": "@"', 2, "create_port is in line 1 already"),
        ("- create_port", 1, 'lines like "create_network": "role:member" are needed'),
    ],
)
def test_a_file_that_means_less_than_it_seems_to_say_is_refused(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(PolicyError) as refused:
        Policy(file)
    assert str(refused.value).startswith(f"policy_file {file}, line {line}: ") and reason in str(refused.value)


def test_denying_everybody_on_purpose_is_understood(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"create_port": "!"\n"update_port": "not (role:x and !)"\n')
    policy = Policy(file)
    assert not allowed(policy, "create_port", "admin:red") and allowed(policy, "update_port", "reader:blue")


def test_a_rule_that_nobody_asks_is_logged_with_what_was_meant(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"create_netwrok": "role:x"\n')
    with caplog.at_level(logging.WARNING):
        Policy(file)
    (record,) = [record for record in caplog.records if record.name == "kaon.api.policy"]
    assert record.__dict__["rule"] == "create_netwrok; did you mean create_network?"


def test_a_change_of_the_file_is_taken_over_and_a_bad_one_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text('"create_network": "!"\n')
    policy = Policy(file)
    assert not policy.refresh() and not allowed(policy, "create_network", "member:red")
    file.write_text('"create_network": "role:reader"\n')
    assert policy.refresh() and allowed(policy, "create_network", "reader:red")
    file.write_text('"create_network": "role:nobody or"\n')
    with pytest.raises(PolicyError, match="line 1"):
        policy.refresh()
    assert allowed(policy, "create_network", "reader:red")
    assert not policy.refresh()  # it is said once
    file.write_text("")
    assert policy.refresh() and not allowed(policy, "create_network", "reader:red")
