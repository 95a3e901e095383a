"""`kaon up`: start the server and the agent, say where everything is, and keep both running."""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kaon import log as logs
from kaon import privileges
from kaon.cli import datafolder, listening, networklock, rootless
from kaon.cli.options import add_settings, settings_from
from kaon.cli.supervise import Child, Supervisor
from kaon.config import Settings, listen_address, without
from kaon.launch import Launch

log = logging.getLogger("kaon.supervisor")

OPTIONS = (
    "data",
    "listen",
    "agent_listen",
    "engine",
    "host",
    "local_ip",
    "tls_cert",
    "tls_key",
    "public_url",
    "physical_networks",
    "log.format",
    "log.level",
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Run Kaon in the foreground until SIGTERM or Ctrl-C.

    What it built in the kernel stays, but for a rootless Kaon, whose network ends with it.
    """
    settings = settings_from(arguments, OPTIONS)
    logs.setup(settings.log.format, settings.log.level)
    address, port = listen_address(settings.listen)
    if not listening.is_loopback(address) and not settings.tls_cert:
        log.warning(
            "passwords and tokens travel in the clear; serve HTTPS by --tls-cert and --tls-key",
            extra={"listen": settings.listen},
        )
    listeners = listening.inherited()
    if listeners:
        port = listeners[0].getsockname()[1]
    listeners.append(listening.open_api(address, port))
    remote = None
    if settings.agent_listen:
        remote = listening.open_api(*listen_address(settings.agent_listen), flag="--agent-listen")
    if settings.engine == "linux" and os.geteuid() != 0:
        # The socket that is open already belongs to the user's own network; the second one is for the inside.
        rootless.enter()
        listeners.append(listening.open_api(address, listeners[-1].getsockname()[1]))
    return _run_on(settings, listeners, remote)


def _run_on(settings: Settings, listeners: list[socket.socket], remote: socket.socket | None) -> int:
    user = privileges.service_user()
    folder = datafolder.DataFolder(Path(settings.data))
    datafolder.prepare(folder, user)
    lock = datafolder.lock(folder)
    if settings.engine == "linux":
        networklock.lock()
    agents = listening.open_agents(folder.socket)
    url = settings.public_url.rstrip("/") or listening.url(listeners[0], tls=bool(settings.tls_cert))
    settings = msgspec.structs.replace(settings, public_url=url)
    password = datafolder.admin_password(folder, settings.admin_password)
    cacert = _certificate_to_trust(settings.tls_cert, settings.tls_key)
    datafolder.write_clouds(folder, settings, password, cacert)

    common = Launch(settings=settings, agent_socket=str(folder.socket), lock_fd=lock)
    server = Child(
        "server",
        "kaon.server",
        msgspec.structs.replace(
            common,
            folder=str(folder.server),
            api_fds=tuple(listener.fileno() for listener in listeners),
            agent_fd=agents.fileno(),
            remote_fd=-1 if remote is None else remote.fileno(),
            run_as=user,
            bootstrap_password=password,
        ),
    )
    secrets = ("admin_password", "identity.password")
    agent = Child(
        "agent",
        "kaon.agent",
        msgspec.structs.replace(common, folder=str(folder.agent), settings=without(settings, *secrets)),
    )
    awaited = ""
    if remote is not None:
        awaited = f"tls://{settings.agent_listen.rpartition(':')[0]}:{remote.getsockname()[1]}"
    state = datafolder.State(url=url, supervisor=os.getpid())
    watcher = Watcher(folder, state, settings.identity.url, awaited, server, agent)
    # The password is in the pipes from here on, and in nobody's environment.
    os.environ.pop("KAON_ADMIN_PASSWORD", None)
    return Supervisor([server, agent], watcher.changed).run()


@dataclass(slots=True)
class Watcher:
    """Keeps kaon.json true, and greets when the API is ready for the first time."""

    folder: datafolder.DataFolder
    state: datafolder.State
    keystone: str
    agents: str
    server: Child
    agent: Child
    greeted: bool = False

    def changed(self) -> None:
        """A child has started, got ready, or ended."""
        self.state.server, self.state.agent = self.server.pid, self.agent.pid
        datafolder.write_state(self.folder, self.state)
        if self.server.ready and not self.greeted:
            self.greeted = True
            print(greeting(self.folder, self.state.url, self.keystone, self.agents), flush=True)


def greeting(folder: datafolder.DataFolder, url: str, keystone: str = "", agents: str = "") -> str:
    """Where everything is, for the person at the terminal.

    `keystone` is the URL of a real one, where there is one; `agents` that for the agents of other hosts.
    """
    admin = f"user admin, project admin, domain default; password in {folder.password}"
    return "\n".join(
        (
            f"Kaon is ready at {url}",
            f"  Network    {url}/v2.0",
            f"  Identity   {keystone or f'{url}/identity/v3'}",
            f"  Admin      {'as this Keystone says' if keystone else admin}",
            f"  Clouds     {folder.clouds}",
            *([f"  Hosts      {agents} (`kaon host token` lets one join)"] if agents else []),
            f"  Try        OS_CLIENT_CONFIG_FILE={folder.clouds} openstack --os-cloud kaon network list",
        )
    )


def _certificate_to_trust(path: str, key: str) -> str:
    """The certificate itself where it is its own authority; one that a public authority signed needs no mention."""
    if not path:
        return ""
    import ssl

    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path, key)
        certificate = x509.load_pem_x509_certificate(Path(path).read_bytes())
    except ssl.SSLError as error:
        reason = error.reason or "no certificate and key in PEM form"
        sys.exit(f"kaon up: --tls-cert {path} with --tls-key {key}: {reason.lower().replace('_', ' ')}")
    except (OSError, ValueError) as error:
        sys.exit(f"kaon up: --tls-cert {path} with --tls-key {key}: {error}")
    return str(Path(path).absolute()) if certificate.issuer == certificate.subject else ""
