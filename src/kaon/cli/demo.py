"""`kaon demo`: the main job on this machine, in a network of its own, with the evidence."""

from __future__ import annotations

import argparse
import json
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console

from kaon.cli import listening, rootless
from kaon.cli.datafolder import DataFolder
from kaon.config import listen_address
from kaon.demo.narrate import Narrator
from kaon.demo.stage import Stage, set_outside
from kaon.demo.steps import Show, play


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--exit", action="store_true", help="stop at the end, and remove everything that was made")
    parser.add_argument("--json", action="store_true", help="print one JSON object with a boolean and a time a step")
    parser.add_argument("--data", default="", help="data folder, which must be empty or absent (a new temporary one)")
    parser.add_argument("--listen", default="127.0.0.1:9696", help="ADDRESS:PORT of the API; port 0: any free one")


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; exit status 0 only if every step held."""
    # The socket is opened before the move, so that the API is reached from the network that the user works in.
    listener = listening.open_api(*listen_address(arguments.listen))
    os.set_inheritable(listener.fileno(), True)
    temporary = "" if arguments.data else tempfile.mkdtemp(prefix="kaon-demo-")
    try:
        rootless.enter(temporary)
    except rootless.RootlessError:
        if temporary:
            Path(temporary).rmdir()
        raise
    began = time.monotonic()
    folder = Path(arguments.data or temporary).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    console = Console(stderr=arguments.json)
    narrator = Narrator(console)
    stage = Stage(DataFolder(folder), arguments.listen, folder / "kaon.log")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with narrator.step("start", "Kaon starts on an empty data folder") as step:
            set_outside()
            seconds = stage.start([listener.fileno()])
            narrator.timed(step, "kaon up to ready", seconds)
            narrator.see(step, f"GET {str(stage.http.base_url).rstrip('/')}/healthz: 200 after {seconds:.2f} s", True)
        if narrator.ok:
            play(Show(stage, narrator, stage.admin()))
        if arguments.json:
            print(json.dumps({**narrator.as_json(), "seconds": round(time.monotonic() - began, 2)}), flush=True)
        else:
            console.print(narrator.table())
        if not arguments.exit:
            _linger(console, stage)
    except KeyboardInterrupt:
        console.print("interrupted")
    finally:
        stage.stop()
    return 0 if narrator.ok and narrator.steps else 1


def _linger(console: Console, stage: Stage) -> None:
    """Say where everything is, and keep it running until Ctrl-C."""
    for line in (
        "",
        f"It runs on in a network of its own: API {stage.http.base_url}, data {stage.folder.root}, log {stage.log}",
        f"Try in another terminal: OS_CLIENT_CONFIG_FILE={stage.folder.clouds} openstack --os-cloud kaon network list",
        "Ctrl-C stops it and removes everything that it made.",
    ):
        console.print(line, highlight=False, soft_wrap=True)
    threading.Event().wait()
