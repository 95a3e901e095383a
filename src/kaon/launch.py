"""What `kaon up` hands to each process that it starts: settings, open sockets, and a pipe to say "ready" on.

All of it travels through an inherited file descriptor, so no secret appears in an argument list or in the environment.
"""

from __future__ import annotations

import ctypes
import os

import msgspec

from kaon.config import ConfigError, Settings, load

VARIABLE = "KAON_LAUNCH_FD"


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """The order to a server or an agent; -1 and "" mean that there is none.

    `folder` is where this process keeps its files: it exists, and belongs to the user that the process runs as.
    `api_fds` are listening TCP sockets for the API; they belong to the supervisor, so clients wait while it
    restarts. `agent_fd` is the listening unix socket on which the server awaits agents, `agent_socket` its path, to
    which the local agent connects; an agent without one follows the server that it has joined. `remote_fd` is the
    listening TCP socket for agents on other hosts. `run_as` is the user that the server becomes once it has started;
    "": stay as one is. `bootstrap_password` is what the user admin gets when it is first made;
    `settings.admin_password`, where set, replaces the password at every start. `parent` is the process id of the
    supervisor. `lock_fd` keeps the data folder locked for as long as this process lives.
    """

    settings: Settings
    folder: str = ""
    api_fds: tuple[int, ...] = ()
    agent_fd: int = -1
    remote_fd: int = -1
    agent_socket: str = ""
    ready_fd: int = -1
    run_as: str = ""
    bootstrap_password: str = ""
    parent: int = 0
    lock_fd: int = -1


def receive() -> Launch:
    """The order that this process was started with; one that nobody ordered reads its settings by itself.

    Raises ConfigError.
    """
    text = os.environ.pop(VARIABLE, "")
    if not text:
        return Launch(settings=load())
    try:
        with open(int(text), "rb") as pipe:  # noqa: PTH123 (a descriptor, not a path)
            launch = msgspec.json.decode(pipe.read(), type=Launch)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{VARIABLE}={text} is no launch order ({error}); start Kaon by `kaon up`") from error
    # What this process starts in turn must not keep the sockets or the lock after it.
    for descriptor in (*launch.api_fds, launch.agent_fd, launch.remote_fd, launch.ready_fd, launch.lock_fd):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    return launch


def announce_ready(launch: Launch) -> None:
    """Tell the supervisor that this process does its work now. Call it once."""
    if launch.ready_fd >= 0:
        os.write(launch.ready_fd, b"ready\n")
        os.close(launch.ready_fd)


def return_large_blocks() -> None:
    """Have the C library give blocks of a megabyte and more back to the kernel as soon as they are free.

    Left to itself, glibc keeps room for the next block as large as the largest so far, such as the 19 MiB of a password
    hash or the text of all that is in the kernel: mallopt(3), M_MMAP_THRESHOLD.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(-3, 1 << 20)
