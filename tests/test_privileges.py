"""Dropping privileges: what is left afterwards, seen by the kernel, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from kaon import privileges

needs_users = pytest.mark.skipif(not privileges.can_change_user(), reason="only root of many users becomes another")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)


def test_after_a_drop_no_capability_is_left_and_none_can_be_gained() -> None:
    done = run(
        "import os, sys\n"
        "from kaon import privileges\n"
        "privileges.drop(privileges.service_user())\n"
        "status = dict(l.split(':\\t', 1) for l in open('/proc/self/status').read().splitlines() if ':\\t' in l)\n"
        "print(status['CapEff'], status['CapPrm'], status['CapAmb'], status['NoNewPrivs'], os.umask(0))\n"
    )
    assert done.stdout.split() == ["0" * 16, "0" * 16, "0" * 16, "1", str(0o077)], done.stderr


@needs_users
def test_root_becomes_the_service_user_for_good() -> None:
    done = run(
        "import os\n"
        "from kaon import privileges\n"
        "privileges.drop(privileges.service_user())\n"
        "print(*os.getresuid(), *os.getresgid(), len(os.getgroups()))\n"
        "try:\n    os.setuid(0)\nexcept PermissionError:\n    print('refused')\n"
        "try:\n    open('/etc/shadow')\nexcept PermissionError:\n    print('refused')\n"
    )
    numbers = [int(word) for word in done.stdout.split()[:7]]
    assert 0 not in numbers[:6]
    assert numbers[6] == 0
    assert done.stdout.split()[7:] == ["refused", "refused"], done.stderr


def test_a_drop_with_threads_running_is_refused() -> None:
    done = run(
        "import threading\n"
        "from kaon import privileges\n"
        "threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "try:\n    privileges.drop()\nexcept privileges.PrivilegeError as error:\n    print(error)\n"
    )
    assert "2 threads run already" in done.stdout


def test_what_is_imported_after_the_drop_is_told() -> None:
    done = run(
        "from kaon import privileges\n"
        "privileges.preload(['json'])\n"
        "watch = privileges.watch_imports()\n"
        "import json.tool, json.scanner\n"
        "print(watch.names)\n"
        "import colorsys\n"
        "print(watch.names)\n"
    )
    assert done.stdout.splitlines() == ["[]", "['colorsys']"], done.stderr


def test_a_process_without_its_parent_does_not_start() -> None:
    done = run(f"from kaon import privileges\nprivileges.die_with_parent({os.getpid()})\nprint('lives')")
    assert done.stdout == "lives\n", done.stderr
    done = run("from kaon import privileges\nprivileges.die_with_parent(1 << 22)\nprint('lives')")
    assert done.stdout == ""
    assert "is gone" in done.stderr
