"""What `make contract` makes of the outcomes of the tests that it runs."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_spec = importlib.util.spec_from_file_location("contract", ROOT / "scripts" / "contract.py")
assert _spec is not None and _spec.loader is not None
contract = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(contract)
Outcome = contract.Outcome


def test_a_test_fails_with_its_class_and_one_that_never_ran_is_no_success(capsys: pytest.CaptureFixture[str]) -> None:
    found = {
        "t.Good.test_a": Outcome("success", ""),
        "t.Bad": Outcome("error", "Traceback\nNoRoute: the set-up failed\n"),
        "t.Later": Outcome("skip", "qos is not enabled"),
        "t.More.test_x": Outcome("success", ""),
    }
    wanted = ["t.Good.test_a", "t.Bad.test_b", "t.Later.test_c", "t.Gone.test_d"]
    assert not contract.report(contract.judged(wanted, found), found, 1.0)
    shown = capsys.readouterr().out
    assert "error: t.Bad.test_b\n    NoRoute: the set-up failed" in shown
    assert "missing: t.Gone.test_d" in shown and "skip: t.Later.test_c\n    qos is not enabled" in shown
    assert "passed beyond the yardstick: t.More.test_x" in shown
    assert "4 tests, 1 passed, 2 failed, 1 skipped; beyond it 1 of 1 passed" in shown
    assert contract.report(contract.judged(["t.Good.test_a"], found), found, 1.0)
    assert not contract.report(contract.judged(["t.Good.test_a", "t.Later.test_c"], found), found, 1.0)


def test_the_yardstick_names_tests_once_and_the_constraints_pin_every_package_and_no_place() -> None:
    names = (contract.FILES / "yardstick.txt").read_text().split()
    assert len(names) == len(set(names)) > 900
    assert all(re.match(contract.SUITES.format(wanted=""), name) for name in names)
    pins = [line for line in (contract.FILES / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins)
    assert {"tempest==47.0.0", "neutron-tempest-plugin==3.3.0"} <= set(pins)
