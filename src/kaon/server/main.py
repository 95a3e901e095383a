"""The server process: API, identity, world and compiler, without privileges.

Everything that is imported is imported before privileges go, since Python's own files may be out of reach afterwards.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import ssl
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
import sqlalchemy as sa
import uvicorn
import uvloop
from starlette.routing import BaseRoute

from kaon import config, privileges
from kaon import launch as orders
from kaon import log as logs
from kaon.api.app import create_app
from kaon.api.policy import Policy
from kaon.api.policy_file import PolicyError
from kaon.channel import Attachment, Hello
from kaon.compile.config import HostConfig
from kaon.config import ConfigError, Settings
from kaon.identity.app import routes as identity_routes
from kaon.identity.bootstrap import bootstrap
from kaon.identity.context import Validator, authenticator
from kaon.identity.keys import keys_folder
from kaon.identity.state import open_identity
from kaon.joining import JoinError
from kaon.launch import Launch
from kaon.resources import catalog, defaults
from kaon.resources.defaults import Defaults, SegmentRange
from kaon.resources.errors import ApiError
from kaon.resources.hosts import attachment
from kaon.resources.live import Live
from kaon.server.agents import Agents
from kaon.server.backlog import Backlog
from kaon.server.channel import Channel, Handlers, Refused
from kaon.server.history import Feed, forget, history_routes
from kaon.server.hosts import Hosts
from kaon.server.insight import insight_routes
from kaon.server.intent import Intent
from kaon.server.metrics import Requests, metrics_routes
from kaon.server.policy import follow as follow_policy
from kaon.server.policy import policy_routes
from kaon.server.web import BoundedHttp
from kaon.store import journal, migrate
from kaon.store.engine import Store
from kaon.store.migrate import epoch, open_store
from kaon.store.transaction import Transaction

if TYPE_CHECKING:
    from kaon.identity.remote import RemoteValidator
    from kaon.server.remote import RemoteAgents

log = logging.getLogger("kaon.server")

T = TypeVar("T")


def host_config(settings: Settings) -> HostConfig:
    """What the compiler must know of this host, from the settings."""
    return HostConfig(
        host=settings.host,
        physical_networks=settings.physical_networks,
        dns_servers=settings.dns.upstreams,
        dns_domain=settings.dns.domain,
    )


async def _bind(store: Store, run: Callable[[Transaction], T]) -> tuple[int, T]:
    """Store an attach or detach; the sequence number whose convergence completes it, and what `run` returned."""

    def numbered(tx: Transaction) -> tuple[int, T]:
        result = run(tx)
        return tx.journal() or journal.last(tx.conn), result

    try:
        return await store.write(numbered)
    except ApiError as error:
        raise Refused(error.message) from None
    except sa.exc.OperationalError as error:
        raise Refused(f"the store cannot take it now: {error.orig}; try again") from None


def _handlers(store: Store, hosts: Hosts, agents: Agents) -> Handlers:
    """What the channel asks of the rest of the server."""

    async def attach(host: str, wanted: Attachment) -> tuple[int, dict[str, object]]:
        return await _bind(store, lambda tx: attachment.attach(tx, host, wanted))

    async def detach(host: str, port_id: str) -> int:
        seq, _ = await _bind(store, lambda tx: attachment.detach(tx, host, port_id))
        return seq

    async def source(hello: Hello) -> Backlog:
        try:
            return await hosts.source(hello.host, hello.physical_networks)
        except ValueError as error:
            raise Refused(str(error)) from None

    return Handlers(source, attach, detach, hosts.acknowledged, agents.heard)


class _Web(uvicorn.Server):
    """A web server that says when it accepts requests, and when it is about to wait for the last ones to end."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None], stopping: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start, self._on_stop = started, stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)


def _keystone(settings: Settings) -> RemoteValidator | None:
    """What asks a real Keystone, where one is configured. It reads certificates, so call it before privileges go."""
    if not settings.identity.url:
        return None
    from kaon.identity.remote import RemoteValidator, ServiceCredentials

    credentials = ServiceCredentials(
        settings.identity.username,
        settings.identity.password,
        settings.identity.project_name,
        settings.identity.user_domain_name,
        settings.identity.project_domain_name,
    )
    try:
        verify = ssl.create_default_context(cafile=settings.identity.cacert or None)
    except OSError as error:
        reason = f"identity.cacert {settings.identity.cacert}: {error}; name a PEM file of certificates, or none"
        raise ConfigError(reason) from error
    return RemoteValidator(settings.identity.url, credentials, settings.identity.cache_time, verify=verify)


async def _identity(launch: Launch, store: Store) -> tuple[Validator, list[BaseRoute]]:
    """The embedded Keystone with its routes."""
    settings = launch.settings
    keys = keys_folder(Path(launch.folder))
    identity = open_identity(store, keys, settings.public_url, settings.identity.token_expiry)
    await bootstrap(identity, launch.bootstrap_password, settings.admin_password, settings.identity.region)
    return identity.validator, identity_routes(identity)


async def _remote(launch: Launch, channel: Channel) -> RemoteAgents | None:
    """What hears the agents of other hosts, where a socket is given for it."""
    if launch.remote_fd < 0:
        return None
    from kaon.server.membership import members_folder
    from kaon.server.remote import RemoteAgents

    remote = RemoteAgents(channel, members_folder(Path(launch.folder)), launch.settings.host)
    await remote.listen(socket.socket(fileno=launch.remote_fd))
    return remote


async def serve(launch: Launch, web: uvicorn.Config, policy: Policy, keystone: RemoteValidator | None) -> None:
    """Serve until SIGTERM or SIGINT; everything that runs in this process, in the order of start and stop."""
    settings, folder = launch.settings, Path(launch.folder)
    store = await open_store(folder / "kaon.db", catalog.first_starts())
    for start in catalog.starts():
        await store.write(start)
    validator, own_routes = (keystone, []) if keystone is not None else await _identity(launch, store)
    live = Live()
    hosts, agents = Hosts(store, host_config(settings)), Agents(store, live)
    # Rows are what this run compiles from the journal: after an upgrade or another configuration the same journal
    # means other rows, so an agent resumes within one run only.
    run = f"{epoch(store)}-{uuid.uuid4().hex}"
    channel = Channel(run, _handlers(store, hosts, agents))
    await channel.listen(socket.socket(fileno=launch.agent_fd))
    remote = await _remote(launch, channel)
    ready = asyncio.Event()
    requests = Requests()
    authenticate = authenticator(validator)
    identity_url = settings.identity.url or f"{settings.public_url}/identity"
    feed = Feed(store)
    extra = [
        *own_routes,
        *metrics_routes(requests, store, channel, hosts, ready.is_set),
        *history_routes(feed, policy, authenticate, identity_url),
        *policy_routes(store, policy, authenticate, identity_url),
        *insight_routes(Intent(store), authenticate, identity_url),
    ]
    app = create_app(store, authenticate, policy, identity_url, extra, live)
    # The configuration was loaded before privileges went, with a name in the place of the application.
    web.loaded_app = requests.wrap(app)

    def started() -> None:
        # What is there now stays: no need to look through it again for garbage (see kaon.server.__main__).
        gc.freeze()
        gc.enable()
        ready.set()
        orders.announce_ready(launch)

    async with asyncio.TaskGroup() as tasks:
        work = (
            hosts.follow(channel.changed),
            hosts.store_states(),
            agents.store_reports(),
            forget(store, settings.journal.keep_days),
            follow_policy(policy),
            *((remote.watch(),) if remote is not None else ()),
        )
        background = [tasks.create_task(item) for item in work]
        # uvicorn raises the signal that ended it once more when it is done; there is nothing left to end then.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        await _Web(web, started, feed.end).serve([socket.socket(fileno=descriptor) for descriptor in launch.api_fds])
        for task in background:
            task.cancel()
    if remote is not None:
        remote.close()
    await channel.close()
    if keystone is not None:
        await keystone.close()
    store.close()


def main() -> None:
    """Be the server, as `kaon up` orders it, until SIGTERM or the end of the supervisor."""
    launch = orders.receive()
    settings = launch.settings
    logs.setup(settings.log.format, settings.log.level)
    catalog.resources()
    orders.return_large_blocks()
    spans = tuple(SegmentRange(*config.segment_range(text)) for text in settings.network.segment_ranges)
    quotas = msgspec.structs.asdict(settings.quota)
    defaults.use(Defaults(settings.network.mtu, settings.dns.domain, quotas, settings.physical_networks, spans))
    web = uvicorn.Config(
        "kaon.api.app:create_app",
        interface="asgi3",
        proxy_headers=False,
        loop="none",
        http=BoundedHttp,
        lifespan="off",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        timeout_graceful_shutdown=5,
    )
    web.load()
    database = Path(launch.folder) / "kaon.db"
    try:
        migrate.prepare(database)
        policy = Policy(Path(settings.policy_file) if settings.policy_file else None)
        keystone = _keystone(settings)
        if launch.remote_fd >= 0:
            # What signs certificates comes in when it is first used, unless it is told to come now.
            privileges.preload(("kaon.server.remote", "cryptography.hazmat.backends"))
        privileges.drop(launch.run_as)
        privileges.watch_imports()
        privileges.die_with_parent(launch.parent)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(launch, web, policy, keystone))
    except ConfigError as error:
        what, reason = "settings cannot be used", str(error)
    except JoinError as error:
        what, reason = "agents of other hosts cannot be heard", str(error)
    except PolicyError as error:
        what, reason = "policy cannot be used", str(error)
    except migrate.SchemaError as error:
        what, reason = "database cannot be used", str(error)
    except sa.exc.DatabaseError as error:
        what = "database cannot be used"
        reason = f"{database}: {error.orig}; restore a backup if the file is damaged, make room if the disk is full"
    else:
        return
    log.error(what, extra={"reason": reason})
    sys.exit(1)
