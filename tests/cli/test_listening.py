"""The supervisor's sockets: addresses, URLs, and errors that say what to do."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from kaon.cli import listening


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0", "::"])
def test_the_url_is_one_that_a_client_on_this_machine_can_use(address: str) -> None:
    with listening.open_api(address, 0) as listener:
        url = listening.url(listener, tls=False)
        host, _, port = url.removeprefix("http://").rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def test_a_port_in_use_is_said_with_the_way_out() -> None:
    with listening.open_api("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(
            listening.ListenError, match=f"port {port}: Address already in use; name another by --listen"
        ):
            listening.open_api("127.0.0.1", port)


def test_only_the_owner_reaches_the_agents_socket_and_a_stale_one_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "agent.sock"
    listening.open_agents(path).close()
    with listening.open_agents(path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_path_too_long_for_a_socket_is_said(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    with pytest.raises(listening.ListenError, match="shorter path"):
        listening.open_agents(folder / "agent.sock")


def test_sockets_opened_elsewhere_are_taken_over_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening.open_api("127.0.0.1", 0) as outside:
        monkeypatch.setenv(listening.INHERITED, str(os.dup(outside.fileno())))
        (taken,) = listening.inherited()
        with taken:
            assert taken.getsockname() == outside.getsockname()
    assert listening.inherited() == []


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("0.0.0.0", False), ("::", False)]
)
def test_what_only_this_machine_reaches(address: str, local: bool) -> None:
    assert listening.is_loopback(address) is local
