"""`kaon status`: what runs on a data folder, whether its API answers, and how its agent is."""

from __future__ import annotations

import argparse
import asyncio
import ssl
import urllib.error
import urllib.request
from pathlib import Path

import msgspec

from kaon.agent import control
from kaon.cli.datafolder import DataFolder, holder, read_state
from kaon.cli.options import add_settings, settings_from

AGENT_PATIENCE = 3.0
"""Seconds that the agent may take to say how it is."""


class Status(msgspec.Struct, kw_only=True):
    """What `kaon status --json` prints. A process id is 0 while the process does not run.

    `agent_says` is how the agent is in words, `failed` what it cannot make real, with the API id and the reason. Where
    an agent runs alone, `follows` is the URL of its server, and `ready` says whether it hears from it.
    """

    data: str
    running: bool
    ready: bool = False
    url: str = ""
    follows: str = ""
    clouds: str = ""
    supervisor: int = 0
    server: int = 0
    agent: int = 0
    agent_says: str = ""
    failed: list[str] = []


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ("data",))
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print the status; exit status 0 if the API (or an agent alone) is ready, 1 if not, 3 if Kaon does not run."""
    status = of(DataFolder(Path(settings_from(arguments, ("data",)).data)))
    if arguments.json:
        print(msgspec.json.encode(status).decode())
    elif not status.running:
        print(f"Kaon does not run on {status.data}")
    else:
        processes = [("Supervisor", status.supervisor), ("Server", status.server), ("Agent", status.agent)]
        if status.follows:
            print(f"Server      {status.follows} ({'connected' if status.ready else 'away'})")
            del processes[1]
        else:
            print(f"API         {status.url} ({'ready' if status.ready else 'not ready'})")
            print(f"Clouds      {status.clouds}")
        for name, process in processes:
            print(f"{name:<11} {f'process {process}' if process else 'does not run'}")
        print(f"{'Networks':<11} {status.agent_says}")
        for line in status.failed:
            print(f"{'Failed':<11} {line}")
    return 0 if status.ready else 1 if status.running else 3


def of(folder: DataFolder) -> Status:
    """Look at a data folder and ask the API that runs on it."""
    state = read_state(folder)
    process = holder(folder)
    if state is None or not process:
        return Status(data=str(folder.root), running=False)
    connected, says, failed = asyncio.run(_agent(folder.agent / control.SOCKET))
    return Status(
        data=str(folder.root),
        running=True,
        ready=connected if state.follows else healthy(state.url),
        url=state.url,
        follows=state.follows,
        clouds="" if state.follows else str(folder.clouds),
        supervisor=process,
        server=state.server,
        agent=state.agent,
        agent_says=says,
        failed=failed,
    )


async def _agent(socket: Path) -> tuple[bool, str, list[str]]:
    """Whether the agent hears from its server, how it is, and what it cannot make real."""
    try:
        async with asyncio.timeout(AGENT_PATIENCE):
            told = await control.status(socket)
    except TimeoutError:
        says = f"the agent does not answer within {AGENT_PATIENCE:g} seconds; traffic goes on, changes wait"
        return False, says, []
    except control.AgentError as error:
        return False, str(error), []
    failed = [f"{failure.origin or failure.table}: {failure.reason}" for failure in told.failed]
    if not told.connected:
        reason = f" ({told.away})" if told.away else ""
        return False, f"the agent does not hear from the server{reason}; traffic goes on, changes wait", failed
    if told.converged < told.seq:
        return True, "changes are being made", failed
    return True, "some of what is asked for cannot be made" if failed else "everything is as it should be", failed


def healthy(url: str, timeout: float = 5.0) -> bool:
    """Whether the API at this URL says that it is ready."""
    # This asks for no secret and sends none: whose certificate it is does not matter here.
    context = ssl._create_unverified_context() if url.startswith("https:") else None
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=timeout, context=context) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
