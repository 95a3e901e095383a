"""What a caller sees of records: visibility by policy, then JSON from a cache of encoded rows.

An encoded row is valid as long as its revision is, so a list costs one narrow SELECT and a join of bytes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from kaon.api.encoded import EncodedRows, View
from kaon.api.policy import Policy, credentials, target_of
from kaon.caller import Caller
from kaon.resources import records
from kaon.resources.declare import Resource, named
from kaon.resources.live import Live
from kaon.store.journal import Record

_encode = msgspec.json.Encoder().encode

Head = Sequence[Any]
"""What judging and finding a row needs of it: its id, its revision, and what views read, in the order of `columns`."""


class Written(NamedTuple):
    """A record that a request wrote: its id and revision, and its encoded row in the writer's view."""

    id: str
    revision: int
    view: View | None
    row: bytes


class Presenter:
    """Turns records into what a caller may see, for one resource, over all requests.

    Without `live`, what only this process knows is not shown: records of the past have no such thing.
    """

    def __init__(self, resource: Resource, policy: Policy, live: Live | None = None) -> None:
        self._resource = resource
        self._policy = policy
        self._live = live
        self._encoded = EncodedRows()
        self._shown = [attribute for attribute in resource.attributes if attribute.shown and not attribute.internal]
        self._gathered = [attribute for attribute in self._shown if attribute.gathered is not None]
        judged = {*resource.head, *(attribute for attribute, _collection in resource.judged_with.values())}
        judged.update(name for name in ("project_id",) if name in resource.by_name)
        self._judged = tuple(name for name in resource.names if name in judged - {"id", "revision_number"})
        self.head = ("id", "revision_number", *self._judged)
        self._before_it_was = {
            item.name: [] if value is None and isinstance(item.type.column, sa.JSON) else value
            for item, value in ((item, resource.initial[item.name]) for item in resource.stored)
        }

    @property
    def columns(self) -> list[sa.ColumnElement[Any]]:
        """The columns of a head."""
        return [self._resource.table.c[name] for name in self.head]

    def head_of(self, record: Record) -> Head:
        """The head of a record that has been read already."""
        return [record[name] for name in self.head]

    def parents(self, conn: sa.Connection, record: Record, caller: Caller) -> dict[str, Any]:
        """What policy reads of the record's parents: their owner and their derived attributes (``network:shared``)."""
        found: dict[str, Any] = {}
        for prefix, (attribute, kind) in self._resource.judged_with.items():
            id = record.get(attribute)
            parent = named(kind)
            held = records.find(conn, parent, id) if id else None
            if held is None:
                continue
            found[f"{prefix}:project_id"] = found[f"{prefix}:tenant_id"] = held["project_id"]
            for derived in parent.derived:
                if derived.derived is not None:
                    found[f"{prefix}:{derived.name}"] = derived.derived(held, caller)
        return found

    def demand_parents(
        self, conn: sa.Connection, values: Record, caller: Caller, creating: bool = False
    ) -> dict[str, Any]:
        """`parents`, when all are there: raises a parent's 404 when there is no such thing that the caller may know of.

        The parent below whose path something is created need only exist: the creation's own rule then refuses it to
        strangers by a 403, as Neutron does.
        """
        found = self.parents(conn, values, caller)
        for prefix, (attribute, kind) in self._resource.judged_with.items():
            id, parent = values.get(attribute), named(kind)
            target = {name.partition(":")[2]: value for name, value in found.items() if name.startswith(f"{prefix}:")}
            known = creating and prefix == "ext_parent"
            if id and not (target and (known or self._policy.allows(parent.rule("get"), target, credentials(caller)))):
                raise records.missing(parent, id)
        return found

    def target(self, conn: sa.Connection, record: Record, caller: Caller) -> dict[str, Any]:
        """The policy target of a record."""
        return target_of(self._resource, record, caller, self.parents(conn, record, caller))

    def view(
        self,
        conn: sa.Connection,
        head: Record,
        caller: Caller,
        creds: Mapping[str, Any],
        parents: Mapping[str, Any] | None = None,
    ) -> View | None:
        """How the caller sees a row with this head; None when not at all. `parents` when they are known already."""
        known = self.parents(conn, head, caller) if parents is None else parents
        target = target_of(self._resource, head, caller, known)
        if not self._policy.allows(self._resource.rule("get"), target, creds):
            return None
        derived = tuple(
            attribute.derived(head, caller) for attribute in self._resource.derived if attribute.derived is not None
        )
        return self._policy.hidden(self._resource, target, creds), (*derived, *self._live_values(head))

    def _live_values(self, head: Record) -> tuple[Any, ...]:
        if self._live is None:
            return ()
        return tuple(item.live(head, self._live) for item in self._shown if item.live is not None)

    def dress(self, record: Record, caller: Caller, view: View) -> dict[str, Any]:
        """A record as the API shows it; what `_with_others` added is there already."""
        hidden, _ = view
        shown = {}
        for attribute in self._shown:
            if attribute.name not in hidden:
                if attribute.computed is not None:
                    value = attribute.computed(record)
                elif attribute.live is not None and self._live is not None:
                    value = attribute.live(record, self._live)
                elif attribute.derived is not None:
                    value = attribute.derived(record, caller)
                elif attribute.name in record:
                    value = record[attribute.name]
                else:
                    continue
                if attribute.type.shown is not None:
                    value = attribute.type.shown[0](value)
                if value is not None or not attribute.sparse:
                    shown[attribute.name] = value
        return shown

    def past(
        self, conn: sa.Connection, record: Record, caller: Caller, creds: Mapping[str, Any], owner: str
    ) -> dict[str, Any] | None:
        """A record of the journal as the API would show it; None when the caller may not see it.

        What it showed of other records is not told. What it is a part of may be gone: that was `owner`'s then.
        """
        # What an attribute held before there was such an attribute.
        record = {**self._before_it_was, **record}
        parents = self.parents(conn, record, caller)
        if "project_id" not in record:
            parents = {**{f"{prefix}:project_id": owner for prefix in self._resource.judged_with}, **parents}
        view = self.view(conn, record, caller, creds, parents)
        return None if view is None else self.dress(record, caller, view)

    def _with_others(self, conn: sa.Connection, found: list[Record], caller: Caller) -> list[Record]:
        """Records with the other records that they show. Whoever changes one of those counts a revision of its parent,
        so that an encoded row stays right."""
        for attribute, kind, key in self._resource.children:
            other, name = named(kind), attribute.name
            shown = [item for item in other.attributes if item.shown and not item.internal]
            if attribute.child_names:
                shown = [item for item in shown if item.name in attribute.child_names]
            held: dict[str, list[dict[str, Any]]] = {record["id"]: [] for record in found}
            for child in records.select(conn, other, other.table.c[key].in_(list(held))):
                held[child[key]].append(
                    {item.name: item.derived(child, caller) if item.derived else child[item.name] for item in shown}
                )
            found = [{**record, name: held[record["id"]]} for record in found]
        for name, kind, key, names in self._resource.details:
            other = named(kind)
            ids = {record[key] for record in found if record[key]}
            parts = {
                item["id"]: item[names] if isinstance(names, str) else {part: item[part] for part in names}
                for item in (records.select(conn, other, other.table.c.id.in_(ids)) if ids else ())
            }
            found = [{**record, name: parts.get(record[key])} for record in found]
        for attribute in self._gathered:
            if attribute.gathered is not None:
                values = attribute.gathered(conn, found)
                found = [{**record, attribute.name: value} for record, value in zip(found, values, strict=True)]
        return found

    def one(self, conn: sa.Connection, record: Record, caller: Caller) -> dict[str, Any] | None:
        """One record as the caller sees it; None when the caller may not."""
        view = self.view(conn, record, caller, credentials(caller))
        return None if view is None else self._dressed(conn, record, caller, view)

    def _dressed(self, conn: sa.Connection, record: Record, caller: Caller, view: View) -> dict[str, Any]:
        return self.dress(self._with_others(conn, [record], caller)[0], caller, view)

    def written(
        self, conn: sa.Connection, record: Record, caller: Caller, parents: Mapping[str, Any] | None = None
    ) -> Written:
        """What is answered to the writer of a record, who may be allowed to write what he may not read."""
        view = self.view(conn, record, caller, credentials(caller), parents)
        shown = {"id": record["id"]} if view is None else self._dressed(conn, record, caller, view)
        return Written(record["id"], record.get("revision_number", 0), view, _encode(shown))

    def remember(self, written: Written) -> None:
        """Keep the encoded row of a committed write for the lists that follow."""
        if written.view is not None:
            self._encoded.keep(written.id, written.revision, written.view, written.row)

    def many(self, conn: sa.Connection, heads: Iterable[Head], caller: Caller) -> list[bytes]:
        """Encoded rows for these heads, in order, without those that policy hides altogether."""
        creds = credentials(caller)
        views: dict[Hashable, View | None] = {}
        found: dict[str, bytes] = {}
        absent: dict[str, View] = {}
        # A change to the other records that these show counts no revision of these, so nothing kept is sure.
        get = (lambda *_: None) if self._resource.details or self._gathered else self._encoded.get
        for head in heads:
            id, revision, *judged = head
            shape = tuple(map(_hashable, judged))
            if shape not in views:
                views[shape] = self.view(
                    conn, {"id": id, **dict(zip(self._judged, judged, strict=True))}, caller, creds
                )
            view = views[shape]
            if view is not None:
                row = get(id, revision, view)
                found[id] = b"" if row is None else row
                if row is None:
                    absent[id] = view
        self._load(conn, absent, caller, found)
        return list(found.values())

    def _load(self, conn: sa.Connection, absent: Mapping[str, View], caller: Caller, found: dict[str, bytes]) -> None:
        """Encode what is not kept at its revision, into `found`."""
        ids = list(absent)
        for start in range(0, len(ids), 500):
            chunk = ids[start : start + 500]
            loaded = records.select(conn, self._resource, self._resource.table.c.id.in_(chunk))
            for record in self._with_others(conn, loaded, caller):
                id, view = record["id"], absent[record["id"]]
                found[id] = _encode(self.dress(record, caller, view))
                self._encoded.keep(id, record["revision_number"], view, found[id])


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
