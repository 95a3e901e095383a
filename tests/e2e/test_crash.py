"""The server is killed again and again while clients write: what it acknowledged is there, and nothing is half."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import recount
from tests.e2e.conftest import connect, server_pid
from tests.e2e.load import Worker
from tests.running import running
from tests.wait import until

pytestmark = pytest.mark.slow

ROUNDS = 10
WORKERS = 4


def shown(http: httpx.Client, path: str) -> dict[str, Any] | None:
    answer = http.get(path)
    if answer.status_code == 404:
        return None
    (record,) = answer.raise_for_status().json().values()
    return dict(record)


def same(told: dict[str, Any] | None, found: dict[str, Any] | None) -> bool:
    """Whether what a client was told is what is there."""
    names = ("id", "name", "fixed_ips", "mac_address", "created_at", "project_id", "provider:segmentation_id")
    if told is None or found is None:
        return told is found
    return all(told.get(name) == found.get(name) for name in names)


@pytest.mark.timeout(240)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_written(folder: Path) -> None:
    with running(folder / "killed", "--engine", "fake") as kaon:
        with connect(kaon) as cloud:
            token = cloud.auth_token
            for name in ("network", "port", "security_group", "security_group_rule"):
                cloud.network.update_quota(cloud.current_project_id, **{f"{name}s": -1})
            network = cloud.network.create_network(name="shared")
            cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.0.0.0/16")
            cloud.network.create_subnet(network_id=network.id, ip_version=6, cidr="2001:db8::/64")
        answers = threading.Semaphore(0)
        workers = [
            Worker(kaon.url, token, f"w{index}", {"id": network.id}, answers.release) for index in range(WORKERS)
        ]
        for worker in workers:
            worker.start()
        try:
            for number in range(ROUNDS):
                # Another instant each time: after so many answers, whatever else is under way then.
                for _ in range(20 + 7 * number):
                    assert answers.acquire(timeout=30), "the server does not answer"
                os.kill(server_pid(kaon), signal.SIGKILL)
        finally:
            for worker in workers:
                worker.stop()
        assert [error for worker in workers for error in worker.unexpected] == []
        told = {path: record for worker in workers for path, record in worker.acknowledged.items()}
        unsure = {path: states for worker in workers for path, states in worker.unsure.items()}
        assert len(told) > 20 * ROUNDS / 2
        with httpx.Client(base_url=f"{kaon.url}/v2.0", headers={"X-Auth-Token": token}, timeout=30) as http:
            lost = [path for path, record in told.items() if not same(record, shown(http, path))]
            assert lost == []
            assert [path for path in unsure if not any(same(state, shown(http, path)) for state in unsure[path])] == []
            ports = http.get("/ports").raise_for_status().json()["ports"]
        held = Counter(entry["ip_address"] for port in ports for entry in port["fixed_ips"])
        assert [address for address, count in held.items() if count > 1] == []
        text = kaon.output.read_text()
        assert text.count("ended, is restarted") == ROUNDS
        until(lambda: text.count("ready child=server") == ROUNDS + 1)
    assert recount.faults(folder / "killed" / "server" / "kaon.db") == []
