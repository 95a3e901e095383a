"""A TCP stream that runs while something happens, and tells whether anything was lost or held up."""

from __future__ import annotations

import socket
import struct
import threading
import time
from types import TracebackType

from kaon.demo import instance

INTERVAL = 0.005
"""Seconds between two numbers."""


class Stream:
    """Numbers sent one by one from one namespace to another; use it in a `with` block and read the figures after."""

    def __init__(self, source: str, target: str, address: str, port: int) -> None:
        listener = instance.within(
            target, lambda: socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        )
        self._out = instance.connect(source, address, port)
        self._in, _ = listener.accept()
        listener.close()
        self._in.settimeout(5)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._send), threading.Thread(target=self._receive)]
        self.sent = 0
        self.received = 0
        self.in_order = True
        self.longest_gap = 0.0

    def _send(self) -> None:
        while not self._stop.wait(INTERVAL):
            self._out.sendall(struct.pack("!Q", self.sent))
            self.sent += 1
        self._out.shutdown(socket.SHUT_WR)

    def _receive(self) -> None:
        last = time.monotonic()
        held = b""
        while piece := self._in.recv(4096):
            now = time.monotonic()
            self.longest_gap, last = max(self.longest_gap, now - last), now
            held += piece
            while len(held) >= 8:
                self.in_order = self.in_order and struct.unpack("!Q", held[:8])[0] == self.received
                self.received += 1
                held = held[8:]

    def __enter__(self) -> Stream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._out.close()
        self._in.close()
