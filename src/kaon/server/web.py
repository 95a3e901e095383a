"""The web server's protocol: uvicorn's, with a bound on what may come before a request is one."""

from __future__ import annotations

import logging

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

log = logging.getLogger("kaon.server")

MAX_HEAD = 256 * 1024
"""Bytes of a request line with its header fields: far above the longest query of any client, which names ids."""

_TEXT = f"The request line and header fields may have {MAX_HEAD} bytes at most.".encode()
_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%s" % (len(_TEXT), _TEXT)
)
"""RFC 6585 section 5."""


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 whose heads and trailers are bounded: httptools itself gathers them for as long as they come."""

    _gathered = 0
    _advanced = False

    def data_received(self, data: bytes) -> None:
        """Parse; close the connection when too much has come that neither ended a head nor belonged to a body."""
        self._advanced = False
        super().data_received(data)
        self._gathered = 0 if self._advanced else self._gathered + len(data)
        if self._gathered > MAX_HEAD and not self.transport.is_closing():
            log.warning("request_head_too_large", extra={"client": self.client and self.client[0]})
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is whole."""
        self._advanced = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body, which has its own bound."""
        self._advanced = True
        super().on_body(body)
