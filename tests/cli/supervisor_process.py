"""A supervisor of busy processes, for tests: `supervisor_process.py FOLDER HOST...` prints a line at each change."""

from __future__ import annotations

import json
import sys

from kaon import log
from kaon.cli import supervise
from kaon.config import Settings
from kaon.launch import Launch

folder, *hosts = sys.argv[1:]
supervise.STOP_PATIENCE = 0.3
log.setup()
children = [
    supervise.Child(
        host,
        "tests.cli.busy_process",
        Launch(settings=Settings(host=host), folder=folder, bootstrap_password="geheim"),
    )
    for host in hosts
]


def changed() -> None:
    print(json.dumps({child.name: [child.pid, child.ready] for child in children}), flush=True)


sys.exit(supervise.Supervisor(children, changed).run())
