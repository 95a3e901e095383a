"""What operators measure: requests, the journal, agents and memory as Prometheus text, and whether Kaon is ready.

Names follow https://prometheus.io/docs/practices/naming/. Labels come from fixed sets only (routes as they are
declared, known methods, hosts), so the number of series does not grow with what clients send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kaon.server.channel import Channel
from kaon.server.hosts import Hosts
from kaon.store import journal
from kaon.store.engine import Store

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
BUCKETS = (0.001, 0.002, 0.003, 0.005, 0.008, 0.015, 0.03, 0.06, 0.125, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Seconds; the fine ones are where the API is meant to answer."""


class Requests:
    """Counts the requests of an application: `wrap` it, and show `registry`."""

    def __init__(self) -> None:
        # They double the page for times that nobody asks for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._count = Counter(
            "kaon_http_requests_total",
            "Requests by method, route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "kaon_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        # Looking a label set up in prometheus_client costs more than counting does.
        self._known: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def wrap(self, app: ASGIApp) -> ASGIApp:
        """The application, counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            status = 500
            begun = perf_counter()

            async def noting(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                await send(message)

            try:
                await app(scope, receive, noting)
            finally:
                self._done(scope, status, perf_counter() - begun)

        return counted

    def _done(self, scope: Scope, status: int, seconds: float) -> None:
        # Starlette leaves the route that matched in the scope, and what a mount took off the path in root_path.
        route = scope.get("route")
        template = "" if route is None else f"{scope.get('root_path', '')}{getattr(route, 'path', '')}"
        method = scope["method"] if scope["method"] in METHODS else "other"
        key = (method, template, status)
        known = self._known.get(key)
        if known is None:
            known = (self._count.labels(method, template, str(status)), self._seconds.labels(method, template))
            self._known[key] = known
        known[0].inc()
        known[1].observe(seconds)


class State(Collector):
    """Figures that are read when somebody asks: the store, the hosts and their agents."""

    def __init__(self, store: Store, channel: Channel, hosts: Hosts) -> None:
        self._store, self._channel, self._hosts = store, channel, hosts

    def collect(self) -> Iterable[Metric]:
        """Called by the registry for each page."""
        yield CounterMetricFamily("kaon_store_commits", "Durable commits by this process.", self._store.commits)
        newest = self._store.read_now(journal.last)
        yield GaugeMetricFamily("kaon_journal_sequence", "Number of the newest change to intent.", newest)
        yield from self._agents()

    def _agents(self) -> Iterator[Metric]:
        def gauge(name: str, text: str) -> GaugeMetricFamily:
            return GaugeMetricFamily(name, text, labels=("host",))

        alive = gauge("kaon_agent_alive", "Whether the host's agent has said something lately.")
        lag = gauge("kaon_agent_lag", "Changes to intent that the agent has not acknowledged.")
        failed = gauge("kaon_agent_rows_failed", "Rows that the agent could not make real.")
        rows = gauge("kaon_agent_rows", "Rows that must exist on the host.")
        for name, agent in self._channel.agents.items():
            alive.add_metric((name,), float(agent.alive))
            failed.add_metric((name,), len(agent.failed))
            host = self._hosts.hosts.get(name)
            if host is not None:
                sequence, desired = host.backlog.snapshot()
                lag.add_metric((name,), max(0, sequence - agent.acked))
                rows.add_metric((name,), sum(1 for _ in desired))
        return iter((alive, lag, failed, rows))


def metrics_routes(
    requests: Requests, store: Store, channel: Channel, hosts: Hosts, ready: Callable[[], bool]
) -> list[BaseRoute]:
    """The routes of /metrics and /healthz; neither asks for a token."""
    ProcessCollector(registry=requests.registry)
    requests.registry.register(State(store, channel, hosts))

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(requests.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def health(_request: Request) -> Response:
        if ready():
            return Response("ready\n", media_type="text/plain")
        return Response("starting\n", 503, {"Retry-After": "1"}, media_type="text/plain")

    return [Route("/metrics", metrics, methods=["GET"]), Route("/healthz", health, methods=["GET"])]
