"""OpenStack's own Keystone, as a process for tests.

`KEYSTONE_PYTHON` names the Python of an environment that has it: `make test` lets `scripts/test-keystone.sh` make one.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.wait import until

PYTHON = os.environ.get("KEYSTONE_PYTHON", "")
PASSWORD = "pw"
"""Of the administrator `admin`, in the project `admin`, both of the domain `default`."""

needs_keystone = pytest.mark.skipif(not PYTHON, reason="KEYSTONE_PYTHON names no Python that has Keystone")

CONFIGURATION = """
[DEFAULT]
log_file = {folder}/keystone.log
[database]
connection = sqlite:///{folder}/keystone.db
[fernet_tokens]
key_repository = {folder}/fernet
[fernet_receipts]
key_repository = {folder}/fernet
[credential]
key_repository = {folder}/credential
"""

SERVE = """
import os
from wsgiref.simple_server import make_server
from keystone.wsgi.api import application
make_server("127.0.0.1", int(os.environ["PORT"]), application).serve_forever()
"""


@contextmanager
def keystone_in(folder: Path) -> Iterator[str]:
    """Run a Keystone that keeps everything in `folder`; its URL."""
    configuration = folder / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    owner = ("--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid()))
    manage = [str(Path(PYTHON).parent / "keystone-manage"), "--config-file", str(configuration)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}/v3"
    bootstrap = ("bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-public-url", url,
                 "--bootstrap-region-id", "RegionOne")  # fmt: skip
    for command in (("db_sync",), ("fernet_setup", *owner), ("credential_setup", *owner), bootstrap):
        subprocess.run([*manage, *command], check=True, capture_output=True, timeout=100)
    environment = {**os.environ, "OS_KEYSTONE_CONFIG_FILES": str(configuration), "PORT": str(port)}
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen([PYTHON, "-c", SERVE], env=environment, stdout=out, stderr=out)
    try:
        until(lambda: _answers(port), 30, (folder / "out").read_text())
        yield url
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
