"""Run a command with network privileges: as it is for root, else in namespaces of its own, as root there."""

from __future__ import annotations

import os
import sys

from kaon.cli import rootless
from kaon.cli.main import with_system_programs

os.environ["PATH"] = with_system_programs(os.environ.get("PATH", ""))
if os.geteuid() != 0:
    try:
        rootless.enter()
    except rootless.RootlessError as error:
        sys.exit(f"{sys.argv[1]}: {error}")
os.execvp(sys.argv[1], sys.argv[1:])
