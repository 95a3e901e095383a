"""A process for the supervisor's tests: says what it was told and then does what its host name asks."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

from kaon import launch, privileges

order = launch.receive()
privileges.die_with_parent(order.parent)
report = Path(order.folder) / f"{order.settings.host}.{os.getpid()}"
told = {"arguments": sys.argv, "environment": sorted(os.environ.values()), "password": order.bootstrap_password}
report.with_suffix(".new").write_text(json.dumps(told))
report.with_suffix(".new").rename(report.with_suffix(".json"))
if order.settings.host == "failing":
    sys.exit(3)
if order.settings.host == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
launch.announce_ready(order)
while True:
    time.sleep(3600)
