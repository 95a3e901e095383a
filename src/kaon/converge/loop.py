"""The converger: makes what exists equal to what is desired, and says what it could not.

One call of `converge` is a pass: take in outside changes, apply what differs, report. Nothing here waits; whoever
drives it (kaon.converge.worker, or a test) calls again when there is news or when `wake_at` says so.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from kaon.converge.delta import Delta
from kaon.engines.base import Engine, Failed, Operation, Scope
from kaon.rows import Row, RowId

log = logging.getLogger("kaon.converge")

FIRST_RETRY = 0.1
"""Seconds until a failed row is tried again; doubles with each failure up to LAST_RETRY."""
LAST_RETRY = 5.0
ROUNDS = 4
"""Passes of read and apply within one call, when applying one thing disturbs another; more wait for the next call."""


@dataclass(slots=True, frozen=True)
class Report:
    """After a pass: everything up to `seq` has converged, but for `failed`. Counts are rows of this pass.

    `writes` counts what the engine has ever sent to change the kernel.
    """

    seq: int
    failed: tuple[Failed, ...]
    applied: int
    repaired: int
    writes: int = 0


@dataclass(slots=True)
class _Retry:
    failure: Failed
    delay: float
    due: float


class Converger:
    """Drives one engine. Not thread-safe: belongs to the engine's thread.

    `audit_seconds` is the time between full reads that look for damage nobody gave notice of.
    """

    def __init__(
        self, engine: Engine, *, audit_seconds: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._audit_seconds = audit_seconds
        self._audit_at = 0.0
        self._read = False
        self._intended: set[RowId] = set()
        self._retries: dict[RowId, _Retry] = {}
        self.delta = Delta(engine.canonical, engine.canonical_id)
        self.seq = -1
        """The last sequence number taken in; -1 before the first snapshot, when nothing may be touched."""

    def take_snapshot(self, seq: int, rows: Iterable[Row]) -> None:
        """Desire exactly these rows, as of sequence number `seq`."""
        self._intend(self.delta.replace_desired(rows))
        self.seq = seq

    def take_delta(self, seq: int, put: Iterable[Row] = (), delete: Iterable[RowId] = ()) -> None:
        """Change what is desired, up to sequence number `seq`."""
        self._intend([self.delta.delete(row_id) for row_id in delete])
        self._intend([self.delta.put(row) for row in put])
        self.seq = seq

    def converge(self, *, audit: bool = False) -> Report:
        """One pass. `audit` reads everything again first. Raises OSError when the engine cannot be read at all."""
        starting = not self._read
        self._observe(audit or starting)
        applied = repaired = 0
        for _ in range(ROUNDS):
            operations = self._due()
            if not operations:
                break
            failures = {failure.id: failure for failure in self._engine.apply(operations)}
            for operation in operations:
                failure = failures.get(operation.id)
                if failure is not None:
                    self._failed(failure)
                    continue
                repair = not starting and operation.id not in self._intended
                known = operation.new or operation.old
                extra = {"row": _words(operation.id), "origin": "" if known is None else known.origin}
                log.log(logging.INFO if repair else logging.DEBUG, "repaired" if repair else "applied", extra=extra)
                repaired += repair
                applied += not repair
                self._succeeded(operation)
            self._observe(False)
        self._intended.intersection_update(self.delta.pending)
        for row_id in [row_id for row_id in self._retries if row_id not in self.delta.pending]:
            del self._retries[row_id]
        failed = tuple(retry.failure for retry in self._retries.values())
        return Report(self.seq, failed, applied, repaired, self._engine.writes)

    def wake_at(self) -> float:
        """When, on the clock, the next pass is due even if nothing happens: a retry or an audit."""
        return min((retry.due for retry in self._retries.values()), default=self._audit_at)

    def _intend(self, row_ids: Sequence[RowId]) -> None:
        self._intended.update(row_ids)
        for row_id in row_ids:
            self._retries.pop(row_id, None)

    def _observe(self, everything: bool) -> None:
        facts, scopes = self._engine.changes()
        now = self._clock()
        if everything or now >= self._audit_at:
            self.delta.replace_actual(self._engine.read())
            self._read = True
            self._audit_at = now + self._audit_seconds
            return
        for fact in facts:
            self.delta.set_actual(fact.id, fact.row)
        # What a failed operation left behind is known only by looking.
        scopes |= {
            Scope(row_id.table, row_id.key[0])
            for row_id, retry in self._retries.items()
            if retry.due <= now and row_id.key and row_id.table in self._engine.tables
        }
        if scopes:
            self.delta.replace_actual(self._engine.read(sorted(scopes)), scopes)

    def _due(self) -> list[Operation]:
        now = self._clock()
        operations = []
        for row_id in list(self.delta.pending):
            retry = self._retries.get(row_id)
            if retry is not None and retry.due > now:
                continue
            if row_id.table not in self._engine.tables:
                origin = self.delta.desired[row_id].origin
                reason = f"this host's engine has no manager for {row_id.table} rows: use an engine that has one"
                self._failed(Failed(row_id, origin, reason))
                continue
            operations.append(self.delta.operation(row_id))
        return operations

    def _succeeded(self, operation: Operation) -> None:
        self.delta.applied(operation)
        self._intended.discard(operation.id)
        self._retries.pop(operation.id, None)

    def _failed(self, failure: Failed) -> None:
        before = self._retries.get(failure.id)
        delay = FIRST_RETRY if before is None else min(before.delay * 2, LAST_RETRY)
        self._retries[failure.id] = _Retry(failure, delay, self._clock() + delay)
        if before is None or before.failure.reason != failure.reason:
            extra = {"row": _words(failure.id), "origin": failure.origin, "reason": failure.reason}
            log.warning("row failed", extra=extra)


def _words(row_id: RowId) -> str:
    return " ".join((row_id.table, *row_id.key))
