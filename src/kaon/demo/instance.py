"""Stand-ins for virtual machines: network namespaces that get their addresses as machines do, by DHCP and SLAAC."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

T = TypeVar("T")

NETNS = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_DHCP_SCRIPT = Path(__file__).with_name("dhcp.sh")


def within(netns: str, work: Callable[[], T]) -> T:
    """Run `work` on a thread of its own inside a network namespace; what it raises is raised here."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            descriptor = os.open(NETNS / netns, os.O_RDONLY | os.O_CLOEXEC)
            try:
                if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), f"cannot enter namespace {netns}")
            finally:
                os.close(descriptor)
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=f"in-{netns}")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]


def command(netns: str, *words: str, timeout: float = 30) -> subprocess.CompletedProcess[str]:
    """Run a command inside a network namespace and return what it printed."""
    return subprocess.run(
        ["nsenter", f"--net={NETNS / netns}", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def make(netns: str) -> None:
    """An empty namespace with loopback up, which takes router advertisements as any host does."""
    subprocess.run(["ip", "netns", "add", netns], check=True)
    command(netns, "ip", "link", "set", "lo", "up")


def remove(netns: str) -> None:
    """Remove a namespace and what is in it."""
    subprocess.run(["ip", "netns", "del", netns], check=False, capture_output=True)


def get_addresses(netns: str, timeout: float = 15) -> str:
    """Ask for an IPv4 address by DHCP and await one by SLAAC; returns what `ip` then shows of eth0.

    An address counts once duplicate address detection is through with it: before, it is not assigned yet and answers
    nobody (RFC 4862, 5.4).
    """
    client = command(
        netns,
        *("udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "10", "-T", "1", "-s", str(_DHCP_SCRIPT)),
        *("-O", "staticroutes", "-O", "mtu"),
    )
    if client.returncode != 0:
        raise TimeoutError(f"no DHCP answer in {netns}: {client.stdout}{client.stderr}")
    deadline = time.monotonic() + timeout
    while True:
        if command(netns, "ip", "-6", "addr", "show", "dev", "eth0", "scope", "global", "-tentative").stdout:
            return command(netns, "ip", "-br", "addr", "show", "dev", "eth0").stdout.strip()
        if time.monotonic() > deadline:
            shown = command(netns, "ip", "addr", "show", "dev", "eth0").stdout
            raise TimeoutError(f"no SLAAC address in {netns} within {timeout:.0f} s: {shown}")
        threading.Event().wait(0.05)


class Ping(NamedTuple):
    """What ping saw."""

    sent: int
    received: int
    output: str


def ping(netns: str, address: str, count: int = 3, interval: float = 0.1, wait: float = 1.0) -> Ping:
    """Send echo requests; the numbers are taken from ping's own summary."""
    done = command(
        netns, "ping", "-n", "-c", str(count), "-i", str(interval), "-W", str(wait), address, timeout=count + 30
    )
    summary = next((line for line in done.stdout.splitlines() if "packets transmitted" in line), "")
    numbers = [int(word) for word in summary.replace(",", " ").split() if word.isdecimal()]
    sent, received = (numbers[0], numbers[1]) if len(numbers) >= 2 else (count, 0)
    return Ping(sent, received, summary.partition(", time")[0] or (done.stderr or done.stdout).strip())


@contextmanager
def web_server(netns: str, port: int, name: str) -> Iterator[None]:
    """A web server on all addresses of a namespace that answers with its name and the client's address."""

    def listen() -> socket.socket:
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        listener.settimeout(0.1)
        return listener

    listener = within(netns, listen)
    stop = threading.Event()

    def answer(conn: socket.socket, peer: str) -> None:
        with closing(conn):
            conn.settimeout(10)
            held = b""
            # One connection serves any number of requests, so that a held-open one can be tried again later.
            while not stop.is_set():
                try:
                    piece = conn.recv(4096)
                except OSError:
                    return
                if not piece:
                    return
                held += piece
                while b"\r\n\r\n" in held:
                    held = held.split(b"\r\n\r\n", 1)[1]
                    body = f"{name} greets {peer.removeprefix('::ffff:')}\n".encode()
                    conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def serve() -> None:
        while not stop.is_set():
            try:
                conn, peer = listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=answer, args=(conn, peer[0]), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        listener.close()


def connect(netns: str, address: str, port: int, timeout: float = 1.0) -> socket.socket:
    """A TCP connection from inside a namespace; raises OSError when it is refused or times out."""
    return within(netns, lambda: socket.create_connection((address, port), timeout))


def request(conn: socket.socket, path: str = "/", host: str = "kaon") -> tuple[int, str]:
    """One HTTP request on an open connection: status and body; raises OSError when nothing comes back."""
    conn.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    held = b""
    while b"\r\n\r\n" not in held:
        held += _more(conn)
    head, body = held.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(fields.get("content-length", "0")):
        body += _more(conn)
    return int(lines[0].split()[1]), body.decode()


def _more(conn: socket.socket) -> bytes:
    piece = conn.recv(65536)
    if not piece:
        raise ConnectionError("the server closed the connection")
    return piece


def fetch(netns: str, address: str, port: int = 80, path: str = "/", timeout: float = 1.0) -> tuple[int, str]:
    """GET from inside a namespace: status and body; raises OSError when there is no answer."""
    with closing(connect(netns, address, port, timeout)) as conn:
        return request(conn, path, f"[{address}]" if ":" in address else address)


def reaches(netns: str, address: str, port: int = 80, timeout: float = 0.5) -> bool:
    """Whether a web server answers."""
    try:
        return fetch(netns, address, port, timeout=timeout)[0] == 200
    except OSError:
        return False


_ETH_P_ALL = 0x0003


@contextmanager
def captured(netns: str, device: str, source_mac: str) -> Iterator[list[bytes]]:
    """Frames from one MAC address that an interface inside a namespace receives during the block."""

    def listen() -> socket.socket:
        sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        sniffer.bind((device, 0))
        sniffer.settimeout(0.05)
        return sniffer

    sniffer = within(netns, listen)
    source = bytes.fromhex(source_mac.replace(":", ""))
    frames: list[bytes] = []
    stop = threading.Event()

    def sniff() -> None:
        while not stop.is_set():
            try:
                frame = sniffer.recv(65536)
            except TimeoutError:
                continue
            if frame[6:12] == source:
                frames.append(frame)

    thread = threading.Thread(target=sniff, daemon=True)
    thread.start()
    try:
        yield frames
    finally:
        stop.set()
        thread.join()
        sniffer.close()


def until(true: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait for a condition; returns how long it took, raises TimeoutError."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > seconds:
            raise TimeoutError(f"not so within {seconds} s")
        threading.Event().wait(0.005)
    return time.monotonic() - started
