"""Who is reached: servers that tell every caller their own name and the caller's address, over TCP and UDP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

from tests import sandbox
from tests.packets.lab import Machine


@contextmanager
def greeter(machine: Machine, port: int = 8080, address: str = "") -> Iterator[None]:
    """A server that tells every caller its own name and the caller's address, and hangs up."""
    with closing(sandbox.listen(machine.netns, address or machine.ipv4, port)) as listener:
        listener.settimeout(None)

        def serve() -> None:
            while True:
                try:
                    caller, peer = listener.accept()
                except OSError:
                    return
                with closing(caller):
                    caller.sendall(f"{machine.id} {peer[0]}".encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def greeting(netns: str, address: str, port: int = 8080, seconds: float = 0.3) -> tuple[str, ...]:
    """Which port answered at an address, and whom it saw calling; nothing when nobody did."""
    try:
        with closing(sandbox.connect(netns, address, port, seconds)) as client:
            name, peer = client.recv(200).decode().split()
            return name, peer
    except OSError:
        return ()


@contextmanager
def udp_greeter(machine: Machine, port: int) -> Iterator[None]:
    """The same over UDP: it answers every datagram."""
    with sandbox.inside(machine.netns):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((machine.ipv4, port))
    server.settimeout(0.1)
    ending = threading.Event()

    def serve() -> None:
        while not ending.is_set():
            try:
                _, peer = server.recvfrom(200)
            except TimeoutError:
                continue
            server.sendto(f"{machine.id} {peer[0]}".encode(), peer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        with closing(server):
            yield
            ending.set()
            thread.join()
    finally:
        ending.set()


def udp_greeting(netns: str, address: str, port: int, source_port: int = 0, seconds: float = 0.3) -> tuple[str, ...]:
    """Which port answered a datagram, and whom it saw sending; nothing when nobody did."""
    with sandbox.inside(netns):
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with closing(client):
        client.settimeout(seconds)
        try:
            client.bind(("", source_port))
            client.connect((address, port))
            client.send(b"?")
            name, peer = client.recv(200).decode().split()
        except OSError:
            return ()
        return name, peer
