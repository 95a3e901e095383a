"""What /metrics counts and /healthz answers, on an application in process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from kaon.caller import Caller
from kaon.server import metrics
from kaon.store.journal import Record
from kaon.store.migrate import open_store
from kaon.store.transaction import Transaction


async def _port(request: Request) -> Response:
    return Response(status_code=404 if request.path_params["id"] == "none" else 200)


class Running:
    """A counted application with one agent that lags by two changes."""

    def __init__(self) -> None:
        self.ready = False
        self.http = httpx.AsyncClient()

    async def page(self) -> str:
        return (await self.http.get("/metrics")).text


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Running]:
    store = await open_store(tmp_path / "kaon.db")

    def change(tx: Transaction) -> None:
        record: Record = {"id": "n"}
        tx.changed("network", "n", None, record)

    for _ in range(3):
        await store.write(change, Caller())
    agent = SimpleNamespace(alive=True, failed=("row",), acked=1)
    host = SimpleNamespace(backlog=SimpleNamespace(snapshot=lambda: (3, ["a", "b"])))
    channel = cast(Any, SimpleNamespace(agents={"here": agent}))
    made, requests = Running(), metrics.Requests()
    hosts = cast(Any, SimpleNamespace(hosts={"here": host}))
    routes = [
        *metrics.metrics_routes(requests, store, channel, hosts, lambda: made.ready),
        Route("/v2.0/ports/{id}", _port, methods=["GET"]),
        Mount("/identity", Starlette(routes=[Route("/v3/users/{id}", _port)])),
    ]
    app = requests.wrap(Starlette(routes=routes))
    made.http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://kaon")
    yield made
    await made.http.aclose()
    store.close()


async def test_requests_are_counted_by_route_and_not_by_what_clients_make_up(running: Running) -> None:
    for path in ("/v2.0/ports/a", "/v2.0/ports/b", "/v2.0/ports/none", "/identity/v3/users/a", "/made/up", "/other"):
        await running.http.get(path)
    await running.http.request("BREW", "/v2.0/ports/a")
    page = await running.page()
    for line in (
        'kaon_http_requests_total{method="GET",route="/v2.0/ports/{id}",status="200"} 2.0',
        'kaon_http_requests_total{method="GET",route="/v2.0/ports/{id}",status="404"} 1.0',
        'kaon_http_requests_total{method="GET",route="/identity/v3/users/{id}",status="200"} 1.0',
        'kaon_http_requests_total{method="GET",route="",status="404"} 2.0',
        'kaon_http_requests_total{method="other",route="/v2.0/ports/{id}",status="405"} 1.0',
        'kaon_http_request_seconds_count{method="GET",route="/v2.0/ports/{id}"} 3.0',
    ):
        assert line in page.splitlines()
    assert "made" not in page and "BREW" not in page


async def test_the_state_of_store_and_agents_is_shown(running: Running) -> None:
    lines = (await running.page()).splitlines()
    for line in (
        "kaon_journal_sequence 3.0",
        "kaon_store_commits_total 4.0",  # the first start's is one
        'kaon_agent_alive{host="here"} 1.0',
        'kaon_agent_lag{host="here"} 2.0',
        'kaon_agent_rows{host="here"} 2.0',
        'kaon_agent_rows_failed{host="here"} 1.0',
    ):
        assert line in lines
    memory = next(line for line in lines if line.startswith("process_resident_memory_bytes "))
    assert float(memory.split()[1]) > 2**20


async def test_health_waits_for_readiness(running: Running) -> None:
    assert (await running.http.get("/healthz")).status_code == 503
    running.ready = True
    reply = await running.http.get("/healthz")
    assert (reply.status_code, reply.text) == (200, "ready\n")
