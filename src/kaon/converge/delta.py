"""Desired rows, actual rows and their difference, kept up to date one change at a time.

The idea is Calico Felix's delta tracker: a change costs a comparison of one row, never a walk over all of them, so
that a pass over a host with ten thousand rows and one change does the work of one row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kaon.engines.base import Operation, Scope
from kaon.rows import Row, RowId


def _same_row(row: Row) -> Row:
    return row


def _same_id(row_id: RowId) -> RowId:
    return row_id


class Delta:
    """Desired and actual rows by canonical id; `pending` holds the ids that differ, in the order of becoming so.

    `canonical` brings a desired row to the form in which actual rows are read (see kaon.engines.base.Engine).
    """

    __slots__ = ("_canonical", "_canonical_id", "_form", "actual", "desired", "pending")

    def __init__(
        self, canonical: Callable[[Row], Row] = _same_row, canonical_id: Callable[[RowId], RowId] = _same_id
    ) -> None:
        self._canonical = canonical
        self._canonical_id = canonical_id
        self._form: dict[RowId, Row] = {}
        self.desired: dict[RowId, Row] = {}
        self.actual: dict[RowId, Row] = {}
        self.pending: dict[RowId, None] = {}

    def put(self, row: Row) -> RowId:
        """Desire a row, in place of what was desired for its id; returns the canonical id."""
        form = self._canonical(row)
        self.desired[form.id] = row
        self._form[form.id] = form
        self._compare(form.id)
        return form.id

    def delete(self, row_id: RowId) -> RowId:
        """Desire that there be no such row; returns the canonical id."""
        row_id = self._canonical_id(row_id)
        self.desired.pop(row_id, None)
        self._form.pop(row_id, None)
        self._compare(row_id)
        return row_id

    def replace_desired(self, rows: Iterable[Row]) -> list[RowId]:
        """Desire exactly these rows; returns the ids whose desired value changed, went or came."""
        before = dict(self._form)
        changed = [row_id for row in rows if _differ(before.pop(row_id := self.put(row), None), self._form[row_id])]
        return changed + [self.delete(row_id) for row_id in before]

    def set_actual(self, row_id: RowId, row: Row | None) -> None:
        """Learn that a row exists, or (None) that it does not."""
        if row is None:
            self.actual.pop(row_id, None)
        else:
            self.actual[row_id] = row
        self._compare(row_id)

    def applied(self, operation: Operation) -> None:
        """Learn that an operation of `operation()` succeeded."""
        self.set_actual(operation.id, None if operation.new is None else self._canonical(operation.new))

    def replace_actual(self, rows: Iterable[Row], scopes: Iterable[Scope] | None = None) -> None:
        """Learn that exactly these rows exist, in the given scopes or at all."""
        parts = None if scopes is None else set(scopes)
        tables = frozenset() if parts is None else frozenset(scope.table for scope in parts)
        gone = {
            row_id
            for row_id in self.actual
            if parts is None or (row_id.table in tables and Scope(row_id.table, row_id.key[0]) in parts)
        }
        for row in rows:
            self.set_actual(row.id, row)
            gone.discard(row.id)
        for row_id in gone:
            self.set_actual(row_id, None)

    def operation(self, row_id: RowId) -> Operation:
        """The step that brings the row of a pending id from what exists to what is desired."""
        return Operation(row_id, self.actual.get(row_id), self.desired.get(row_id))

    def _compare(self, row_id: RowId) -> None:
        if _differ(self._form.get(row_id), self.actual.get(row_id)):
            self.pending[row_id] = None
        else:
            self.pending.pop(row_id, None)


def _differ(one: Row | None, other: Row | None) -> bool:
    if one is None or other is None:
        return one is not other
    return one.value != other.value
