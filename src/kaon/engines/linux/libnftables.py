"""libnftables through ctypes (libnftables(3)): one context a namespace, text in, text or JSON out."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import socket
from pathlib import Path
from typing import Any

import msgspec

from kaon.engines.linux.namespaces import Namespace
from kaon.engines.linux.netlink import NETLINK_NETFILTER

_JSON = 1 << 4
_NUMERIC_ALL = (1 << 7) | (1 << 8) | (1 << 9) | (1 << 10)


class NftError(OSError):
    """nft refused a transaction; nothing of it has happened."""


def _load() -> ctypes.CDLL:
    name = ctypes.util.find_library("nftables") or "libnftables.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise OSError(2, f"libnftables cannot be loaded ({error}): install the package libnftables1") from None
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    for function, result, arguments in (
        ("nft_ctx_new", pointer, (ctypes.c_uint32,)),
        ("nft_ctx_free", None, (pointer,)),
        ("nft_ctx_output_set_flags", None, (pointer, ctypes.c_uint)),
        ("nft_ctx_buffer_output", ctypes.c_int, (pointer,)),
        ("nft_ctx_buffer_error", ctypes.c_int, (pointer,)),
        ("nft_ctx_get_output_buffer", text, (pointer,)),
        ("nft_ctx_get_error_buffer", text, (pointer,)),
        ("nft_run_cmd_from_buffer", ctypes.c_int, (pointer, text)),
    ):
        entry = getattr(library, function)
        entry.restype, entry.argtypes = result, arguments
    return library


class Nft:
    """A context of libnftables in one namespace. `port` is its netlink port id, None when it cannot be told."""

    def __init__(self, namespace: Namespace) -> None:
        self._library = _load()
        with namespace.entered():
            before = _sockets()
            self._context = self._library.nft_ctx_new(0)
            if not self._context:
                raise OSError(12, "libnftables gives no context: are nf_tables in the kernel?")
            opened = [number for inode, number in _sockets().items() if inode not in before]
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)
        self._library.nft_ctx_output_set_flags(self._context, _NUMERIC_ALL)
        # Asking for anything makes the kernel give the socket its port id.
        self.run("list tables")
        self.port = next((port for port in map(_port, opened) if port is not None), None)

    def run(self, commands: str) -> bytes:
        """Run commands as one transaction and return what nft says; raises NftError with nft's words."""
        status = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        # Both buffers grow until they are read.
        answer: bytes = self._library.nft_ctx_get_output_buffer(self._context)
        words = self._library.nft_ctx_get_error_buffer(self._context).decode(errors="replace").strip()
        if status != 0:
            raise NftError(22, words.splitlines()[0] if words else "nft gives no reason")
        return answer

    def ask(self, command: str) -> list[dict[str, Any]]:
        """Run a list command and return the objects that it answers with; raises NftError."""
        self._library.nft_ctx_output_set_flags(self._context, _NUMERIC_ALL | _JSON)
        try:
            answer = self.run(command)
        finally:
            self._library.nft_ctx_output_set_flags(self._context, _NUMERIC_ALL)
        objects: list[dict[str, Any]] = msgspec.json.decode(answer)["nftables"] if answer.strip() else []
        return objects

    def close(self) -> None:
        """Free the context and its socket."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None


def _sockets() -> dict[str, int]:
    """This process's sockets by inode, since a descriptor's number may be taken again at once."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        try:
            found[os.readlink(path)] = int(path.name)  # noqa: PTH115 (its target is no path)
        except FileNotFoundError:
            continue
    return {inode: number for inode, number in found.items() if inode.startswith("socket:")}


def _port(descriptor: int) -> int | None:
    try:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            if copy.family == socket.AF_NETLINK and copy.proto == NETLINK_NETFILTER:
                port: int = copy.getsockname()[0]
                return port or None
    except OSError:
        return None
    return None
