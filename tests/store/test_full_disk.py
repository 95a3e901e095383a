"""A full disk: writes fail clearly, reads go on, and writing goes on when there is room again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.root
def test_a_full_disk_refuses_writes_and_nothing_else(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "--propagation", "private"]
    story = [sys.executable, "-m", "tests.store.full_disk_process", str(tmp_path)]
    done = subprocess.run([*command, *story], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    # One line for each refused request, and none of them a traceback.
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [], "the disk was mounted in the namespace of the test itself"
