"""`kaon agent`: the agent of a host that follows a server on another one."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kaon import log as logs
from kaon.agent import enrol
from kaon.cli import datafolder, networklock
from kaon.cli.options import add_settings, settings_from
from kaon.cli.supervise import Child, Supervisor
from kaon.config import SECRETS, Settings, without
from kaon.joining import JoinError, parse_token, server_address
from kaon.launch import Launch

OPTIONS = ("data", "engine", "host", "local_ip", "physical_networks", "log.format", "log.level")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, OPTIONS)
    parser.add_argument(
        "--server", metavar="URL", help="the server's agent_listen, as tls://ADDRESS:PORT; remembered once joined"
    )
    parser.add_argument(
        "--join",
        metavar="TOKEN",
        help="what `kaon host token` printed on the server, or - to read it from standard input; needed once",
    )


def run(arguments: argparse.Namespace) -> int:
    """Join the server if this host has not, then be its agent until SIGTERM or Ctrl-C.

    What it built in the kernel stays.
    """
    settings = settings_from(arguments, OPTIONS)
    if settings.engine == "linux" and os.geteuid() != 0:
        raise JoinError("the networks of this host are root's: run `sudo kaon agent`")
    logs.setup(settings.log.format, settings.log.level)
    folder = datafolder.DataFolder(Path(settings.data))
    datafolder.prepare_agent(folder)
    lock = datafolder.lock(folder)
    if settings.engine == "linux":
        networklock.lock()
    held = joined(arguments, settings, enrol.enrolment_folder(folder.agent))
    settings = msgspec.structs.replace(settings, host=held.host, agent_listen="")
    secrets = SECRETS - {"nova.metadata_secret"}
    launch = Launch(settings=without(settings, *secrets), folder=str(folder.agent), lock_fd=lock)
    agent = Child("agent", "kaon.agent", launch)
    watcher = Watcher(folder, held, agent)
    return Supervisor([agent], watcher.changed).run()


def joined(arguments: argparse.Namespace, settings: Settings, folder: Path) -> enrol.Joined:
    """What this host is to its server, after joining where that is asked for; raises JoinError."""
    held = enrol.joined(folder)
    url = arguments.server or (held.url if held is not None else "")
    if not url or (held is None and not arguments.join):
        raise JoinError(
            "this host has not joined a server: make a token there by `kaon host token NAME`, then run "
            "`kaon agent --server tls://ADDRESS:PORT --host NAME --join TOKEN`"
        )
    url = url if "://" in url else f"tls://{url}"
    server_address(url)
    # The host's own name is a mere default; one that joined under another name keeps it.
    host = settings.host if held is None or arguments.host or arguments.join else held.host
    if arguments.join:
        text = sys.stdin.readline() if arguments.join == "-" else arguments.join
        asyncio.run(enrol.join(folder, url, host, parse_token(text)))
    elif held is not None and held.host != host:
        raise JoinError(
            f"this host has joined as {held.host}: leave --host out, or join as {host} by a token that "
            f"`kaon host token {host}` prints on the server"
        )
    enrol.follow(folder, url)
    found = enrol.joined(folder)
    assert found is not None
    return found


@dataclass(slots=True)
class Watcher:
    """Keeps kaon.json true, and says when the agent is at work for the first time."""

    folder: datafolder.DataFolder
    held: enrol.Joined
    agent: Child
    greeted: bool = False

    def changed(self) -> None:
        """The agent has started, got ready, or ended."""
        state = datafolder.State(follows=self.held.url, supervisor=os.getpid(), agent=self.agent.pid)
        datafolder.write_state(self.folder, state)
        if self.agent.ready and not self.greeted:
            self.greeted = True
            print(f"Kaon's agent of host {self.held.host} follows {self.held.url}", flush=True)
