"""Tests marked `root` run in a sandbox of the process's own; see tests/sandbox.py."""

from __future__ import annotations

import pytest

from kaon.cli import rootless
from tests import sandbox


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Enter the sandbox before the first test when any test needs it."""
    if config.getoption("collectonly") or not any(item.get_closest_marker("root") for item in items):
        return
    try:
        sandbox.enter()
    except rootless.RootlessError as error:
        config.stash[_reason] = str(error)


_reason = pytest.StashKey[str]()


@pytest.fixture(autouse=True)
def _privileges(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root") and not sandbox.entered():
        reason = request.config.stash.get(_reason, "the sandbox was not entered")
        pytest.fail(
            f"this test needs network privileges: {reason}. Run as root, or allow user namespaces, or -m 'not root'"
        )
