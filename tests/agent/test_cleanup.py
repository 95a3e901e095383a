"""Removing all that Kaon made, and only that; and the command line of attach and detach."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon.agent import answer
from kaon.agent.main import ROWS, remove_all
from kaon.agent.saved import SavedRows
from kaon.channel import Snapshot, to_wire
from kaon.cli import main as cli
from tests.agent.cloud import Host, Kernel, Server, bridge, cloud, until


def test_everything_is_removed_and_nothing_is_remembered(tmp_path: Path) -> None:
    saved = SavedRows(tmp_path / ROWS)
    saved.snapshot(Snapshot(5, "e", (to_wire(bridge("a")),)))
    saved.close()
    kernel = Kernel([bridge("a"), bridge("left over from long ago")])
    assert remove_all(kernel, tmp_path) == []
    assert kernel.rows == {}
    assert SavedRows(tmp_path / ROWS).load().rows == {}


def test_what_cannot_be_removed_is_named_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kaon.agent.main.CLEANUP_PATIENCE", 0.0)
    kernel = Kernel([bridge("a"), bridge("b")])
    kernel.reasons[bridge("a").id] = "it is busy"
    assert remove_all(kernel, tmp_path) == ["bridge  a: it is busy"]
    assert list(kernel.rows) == [bridge("a").id]


@pytest.fixture
async def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, Host]]:
    monkeypatch.setattr(answer, "NETNS", tmp_path)
    (tmp_path / "vm1").touch()
    async with cloud(tmp_path) as (server, host):
        await server.start()
        await host.start()
        await until(lambda: server.reports)
        yield server, host


async def test_attach_and_detach_from_the_command_line(
    parts: tuple[Server, Host], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, host = parts

    async def kaon(*words: str) -> tuple[int, str, str]:
        status = await asyncio.to_thread(cli.main, [words[0], "--data", str(tmp_path), *words[1:]])
        told = capsys.readouterr()
        return status, told.out, told.err

    status, out, _ = await kaon("attach", "p1", "--netns", "vm1", "--ifname", "ens3")
    assert status == 0
    assert out.startswith("p1 is vm1:ens3")
    assert "p1" in host.bridges

    status, _, err = await kaon("attach", "p2", "--netns", "vm2")
    assert (status, err) == (
        1,
        "kaon attach: there is no network namespace vm2: make it by `ip netns add vm2`\n",
    )
    status, _, err = await kaon("attach", "p2", "--tap", "t", "--user-data", str(tmp_path / "absent"))
    assert status == 1
    assert "absent: No such file" in err

    status, out, _ = await kaon("detach", "p1")
    assert (status, out) == (0, "p1 is detached\n")
    assert "p1" not in host.bridges
