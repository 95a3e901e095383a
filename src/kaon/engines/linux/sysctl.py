"""Rows of table sysctl: settings below /proc/sys as a namespace's own thread sees them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from kaon.engines.base import Failed, Operation
from kaon.engines.linux.namespaces import Namespaces
from kaon.rows import Row, RowId, Sysctl, row

_ROOT = Path("/proc/sys")


class SysctlManager:
    """Rows of table sysctl. Nothing in the kernel tells which settings are ours, so it knows those it was given."""

    tables = frozenset({Sysctl.table})

    def __init__(self, namespaces: Namespaces) -> None:
        self._namespaces = namespaces
        self._ours: dict[RowId, str] = {}
        self.writes = 0

    def canonical(self, item: Row) -> Row:
        """The row with one space between the words of its value, and remembered as ours."""
        value = item.value
        assert isinstance(value, Sysctl)
        self._ours[item.id] = item.origin
        form = " ".join(value.value.split())
        return item if form == value.value else Row(item.id, Sysctl(value=form), item.origin)

    def concerns(self, netns: str, link: str) -> bool:
        """Whether one of our settings is a link's own."""
        return any(row_id.key[0] == netns and f"/{link}/" in row_id.key[1] for row_id in self._ours)

    def read(self) -> list[Row]:
        """The settings that we were ever asked for, as they are now."""
        return [found for netns in {row_id.key[0] for row_id in self._ours} for found in self.read_in(netns)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """Those of one namespace; a setting that does not exist (its interface is gone) is left out."""
        rows: list[Row] = []
        ours = [(row_id, origin) for row_id, origin in self._ours.items() if row_id.key[0] == netns]
        try:
            with self._namespaces.get(netns).entered():
                for row_id, origin in ours:
                    try:
                        value = " ".join((_ROOT / row_id.key[1]).read_text().split())
                    except OSError:
                        continue
                    rows.append(row(Sysctl(value=value), *row_id.key, origin=origin))
        except OSError:
            return []
        return rows

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """Write what is not so yet. Removing a row restores nothing."""
        failed = []
        for operation in operations:
            if operation.new is None:
                self._ours.pop(operation.id, None)
                continue
            netns, name = operation.id.key
            value = operation.new.value
            assert isinstance(value, Sysctl)
            path = _ROOT / name
            if not name.startswith("net/") or ".." in path.parts:
                # The agent is root, the server is not: what belongs to no network is not the server's to set.
                failed.append(Failed(operation.id, operation.new.origin, f"setting {name} is none of a network's"))
                continue
            try:
                with self._namespaces.get(netns).entered():
                    if path.read_text().split() != value.value.split():
                        self.writes += 1
                        path.write_text(value.value)
            except OSError as error:
                where = f"namespace {netns}" if netns else "the agent's namespace"
                reason = f"setting {name} in {where}: {error.strerror or error}"
                failed.append(Failed(operation.id, operation.new.origin, reason))
        return failed
