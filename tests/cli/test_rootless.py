"""Namespaces without root: what they contain, and that the network outside is neither seen nor changed."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import kaon
from kaon.cli import rootless
from tests.wait import until

BECOME_ORDINARY = """
import os, sys
from pathlib import Path
from kaon import privileges
from kaon.cli import rootless
if {cover_run}:
    assert rootless._libc.unshare(0x00020000) == 0
    rootless._mount("none", "/", "", 0x44000)
    rootless._mount("tmpfs", "/run", "tmpfs")
    (Path("/run") / "kept").write_text("kept")
    (Path("/run") / "folder").mkdir()
    (Path("/run") / "folder" / "file").write_text("deep")
    (Path("/run") / "link").symlink_to("/dev/shm")
if privileges.can_change_user():
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
os.execv(sys.executable, [sys.executable, "-c", sys.argv[1]])
"""

INSIDE = """
import json, os, subprocess
from kaon.cli import listening, rootless
outside = listening.open_api("127.0.0.1", 0)
rootless.enter()
inside = listening.open_api("127.0.0.1", outside.getsockname()[1])
ip = lambda *words: subprocess.run(["ip", *words], capture_output=True, text=True, check=True).stdout
ip("link", "add", "br-test", "type", "bridge")
ip("netns", "add", "instance")
print(json.dumps({
    "user": os.geteuid(),
    "links": [link["ifname"] for link in json.loads(ip("-j", "link"))],
    "up": "UP" in json.loads(ip("-j", "link", "show", "lo"))[0]["flags"],
    "namespaces": ip("netns").split(),
    "port": outside.getsockname()[1],
    "owner": os.stat("/proc/self/net/dev").st_uid,
    "kept": [path for path in ("/run/kept", "/run/folder/file", "/run/link") if os.path.lexists(path)],
}), flush=True)
outside.setblocking(True)
peer, _ = outside.accept()
peer.sendall(b"from outside")
"""


@pytest.fixture
def readable() -> Iterator[Path]:
    """A copy of what runs, where an ordinary user can read it: the repository may lie in root's home folder."""
    source = Path(kaon.__file__).parent
    with tempfile.TemporaryDirectory(prefix="kaon-test-") as folder:
        for name in ("__init__.py", "privileges.py", "cli/__init__.py", "cli/listening.py", "cli/rootless.py"):
            copy = Path(folder) / "kaon" / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes((source / name).read_bytes())
        Path(folder).chmod(0o755)
        yield Path(folder)


def start(readable: Path, text: str, *, cover_run: bool = False) -> subprocess.Popen[str]:
    # The same holds for the interpreter; Debian's own is readable to all.
    return subprocess.Popen(
        ["/usr/bin/python3", "-c", BECOME_ORDINARY.format(cover_run=cover_run), text],
        env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "PYTHONPATH": str(readable)},
        cwd="/",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def refused() -> str:
    """Why this machine has no user namespaces for ordinary users, if it has none."""
    done = subprocess.run(
        [sys.executable, "-c", "from kaon.cli import rootless; rootless.enter()"], capture_output=True, text=True
    )
    return done.stderr.splitlines()[-1] if done.returncode else ""


@pytest.mark.root
@pytest.mark.parametrize("cover_run", [False, True], ids=["run-netns-exists", "run-netns-must-be-made"])
def test_an_ordinary_user_has_a_network_of_its_own_and_is_reached_from_outside(readable: Path, cover_run: bool) -> None:
    if reason := refused():
        pytest.skip(reason)
    if cover_run and os.geteuid() != 0:
        pytest.skip("only root covers /run")
    process = start(readable, INSIDE, cover_run=cover_run)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        seen = json.loads(line)
        assert (seen["user"], seen["up"], seen["namespaces"]) == (0, True, ["instance"])
        # Such as the table of connections, which is for the network's root only.
        assert seen["owner"] == 0, "what the kernel tells of the network is told to its root"
        assert {"lo", "br-test"} <= set(seen["links"])
        assert not (Path("/sys/class/net") / "br-test").exists()
        assert len(seen["kept"]) == (3 if cover_run else 0)
        with socket.create_connection(("127.0.0.1", seen["port"]), timeout=5) as connection:
            assert connection.recv(100) == b"from outside"
    finally:
        process.kill()
        process.communicate()


def test_a_refusal_says_who_can_allow_it_and_how(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {"/proc/sys/kernel/unprivileged_userns_clone": "0\n"}
    monkeypatch.setattr(Path, "exists", lambda path: str(path) in texts)
    monkeypatch.setattr(Path, "read_text", lambda path: texts[str(path)])
    message = rootless._refusal(1)
    assert "Operation not permitted" in message
    assert "sudo sysctl kernel.unprivileged_userns_clone=1, or run the command as root" in message.replace("`", "")


LEAVES_SERVICES = """
import json, os, signal, subprocess, tempfile
from kaon.cli import rootless
folder = tempfile.mkdtemp(prefix="kaon-test-")
rootless.enter(folder)
subprocess.run(["ip", "netns", "add", "instance"], check=True)
wait = ["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"]
left = [
    subprocess.Popen(["sleep", "1000"], start_new_session=True),
    subprocess.Popen(["ip", "netns", "exec", "instance", "sleep", "1000"], start_new_session=True),
    subprocess.Popen(wait, start_new_session=True),
]
print(json.dumps([os.readlink("/proc/self/ns/net"), folder, *(service.pid for service in left)]), flush=True)
signal.pause()
"""


@pytest.mark.root
def test_what_is_left_running_inside_ends_with_the_process_even_if_that_is_killed(readable: Path) -> None:
    if reason := refused():
        pytest.skip(reason)
    process = start(readable, LEAVES_SERVICES)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        network, folder, *services = json.loads(line)
        assert Path(folder).is_dir()
        assert all(Path(f"/proc/{service}").exists() for service in services)
    finally:
        process.kill()
        process.wait()
    until(lambda: network not in networks(), 10, "the network is nobody's any more")
    until(lambda: not any(Path(f"/proc/{service}").exists() for service in services), what="the services have ended")
    until(lambda: not Path(folder).exists(), what="the temporary folder is gone")


def networks() -> set[str]:
    """The network namespaces that processes of this machine are in."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            # It may end meanwhile.
            with contextlib.suppress(OSError):
                found.add(rootless.namespace(int(entry.name), "net"))
    return found
