"""Rows of the nft tables: all that changes in a namespace in one pass is one nft transaction.

Tables whose names begin with ``kaon`` are ours wholly. When a transaction fails it is taken apart until the rows at
fault stand alone, so that one bad row holds up no other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kaon.engines.base import Failed, Operation, Scope
from kaon.engines.linux import nft_text
from kaon.engines.linux.libnftables import Nft, NftError
from kaon.engines.linux.namespaces import MissingNamespaceError, Namespace, Namespaces
from kaon.rows import Chain, ConntrackHelper, Element, Row, RowId, Rule, Set, row

OURS = "kaon"
_GONE = "No such file or directory"


class NftablesManager:
    """Rows of the nft tables. `cut` deletes a namespace's connections to what elements led elsewhere."""

    tables = frozenset({Chain.table, Set.table, Element.table, ConntrackHelper.table})

    def __init__(self, namespaces: Namespaces, cut: Callable[[Namespace, Mapping[str, str]], int]) -> None:
        self._namespaces = namespaces
        self._cut = cut
        self._used: dict[tuple[str, str, str], set[RowId]] = defaultdict(set)
        self.writes = 0
        self.stale: set[Scope] = set()
        """Scopes in which a transaction changed more than its rows said."""

    def canonical(self, item: Row) -> Row:
        """A row as it is compared; see kaon.engines.linux.nft_text."""
        value = item.value
        if isinstance(value, Chain):
            return Row(item.id, nft_text.chain_form(item.id.key[1], value), item.origin)
        if isinstance(value, Set):
            return Row(item.id, nft_text.set_form(value), item.origin)
        if isinstance(value, ConntrackHelper):
            return item
        assert isinstance(value, Element)
        row_id, form = self.canonical_id(item.id), nft_text.data(value.data)
        if row_id is item.id and form == value.data:
            return item
        return Row(row_id, Element(form, value.exclusive), item.origin)

    def canonical_id(self, row_id: RowId) -> RowId:
        """An id with its element in canonical text."""
        if row_id.table != Element.table:
            return row_id
        form = nft_text.element(row_id.key[4])
        return row_id if form == row_id.key[4] else RowId(row_id.table, (*row_id.key[:4], form))

    # ------------------------------------------------------------ reading

    def read(self) -> list[Row]:
        """Our nft tables in every namespace of ours."""
        return [found for name in self._namespaces.names() for found in self.read_in(name)]

    def read_in(self, netns: str) -> Iterable[Row]:
        """Our nft tables in one namespace; none when it does not exist."""
        for used in [used for used in self._used if used[0] == netns]:
            del self._used[used]
        try:
            nft = self.context(self._namespaces.get(netns))
        except MissingNamespaceError:
            return []
        tables = [
            (table["family"], table["name"])
            for answer in nft.ask("list tables")
            if (table := answer.get("table")) is not None and table["name"].startswith(OURS)
        ]
        rows: list[Row] = []
        for family, name in tables:
            found = list(_rows(netns, nft.ask(f"list table {family} {name}")))
            self._used[netns, family, name] = {item.id for item in found}
            rows += found
        return rows

    def context(self, namespace: Namespace) -> Nft:
        """The nft context that is kept open in a namespace."""
        kept = namespace.kept.get("nft")
        if not isinstance(kept, Nft):
            kept = namespace.kept["nft"] = Nft(namespace)
        return kept

    # ------------------------------------------------------------ applying

    def apply(self, operations: Sequence[Operation]) -> list[Failed]:
        """One transaction a namespace, or as many as it takes to find the rows at fault."""
        by_netns: dict[str, list[Operation]] = defaultdict(list)
        for operation in operations:
            by_netns[operation.id.key[0]].append(operation)
        failed: list[Failed] = []
        for netns, mine in by_netns.items():
            try:
                namespace = self._namespaces.get(netns)
                nft = self.context(namespace)
            except OSError as error:
                if not isinstance(error, MissingNamespaceError):
                    failed += [_failure(operation, error) for operation in mine]
                failed += [_failure(operation, error) for operation in mine if operation.new is not None]
                continue
            refused = self._settle(nft, netns, sorted(mine, key=_order))
            failed += refused
            failed += self._cut_off(namespace, mine, {failure.id for failure in refused})
        return failed

    def _cut_off(self, namespace: Namespace, operations: Iterable[Operation], refused: set[RowId]) -> list[Failed]:
        """End the connections that exclusive elements led, or should have led, elsewhere."""
        moved = [operation for operation in operations if operation.id not in refused and _is_exclusive(operation)]
        if not moved:
            return []
        try:
            self._cut(namespace, {nft_text.element(operation.id.key[4]): _kept(operation) for operation in moved})
        except OSError as error:
            return [_failure(operation, error) for operation in moved]
        return []

    def _settle(self, nft: Nft, netns: str, operations: list[Operation]) -> list[Failed]:
        failures: dict[RowId, Failed] = {}

        def attempt(part: list[Operation]) -> None:
            try:
                self._transact(nft, netns, part)
            except NftError as error:
                if len(part) > 1:
                    middle = len(part) // 2
                    attempt(part[:middle])
                    attempt(part[middle:])
                elif part[0].new is not None or _GONE not in str(error):
                    failures[part[0].id] = _failure(part[0], error)
                return
            for operation in part:
                failures.pop(operation.id, None)

        attempt(operations)
        # Rows may have failed only because what they need came after them: again, while that helps.
        left = len(operations) + 1
        while 0 < len(failures) < left:
            left = len(failures)
            for operation in [operation for operation in operations if operation.id in failures]:
                attempt([operation])
        return list(failures.values())

    def _transact(self, nft: Nft, netns: str, operations: Sequence[Operation]) -> None:
        self.writes += 1
        nft.run("\n".join(_commands(operations, {used[1:] for used in self._used if used[0] == netns})))
        for operation in operations:
            used = self._used[netns, operation.id.key[1], operation.id.key[2]]
            if operation.new is not None:
                used.add(operation.id)
            else:
                used.discard(operation.id)
            if operation.id.table == Set.table and operation.old is not None:
                # Its elements went with the set.
                self.stale.add(Scope(Element.table, netns))
        for family, name in {operation.id.key[1:3] for operation in operations}:
            if not self._used[netns, family, name]:
                del self._used[netns, family, name]
                nft.run(f"delete table {family} {name}")


def _commands(operations: Sequence[Operation], tables: set[tuple[str, ...]]) -> Iterable[str]:
    """The text of a transaction in which every name exists when it is used and is unused when it goes."""
    rows = {operation.id: operation.new for operation in operations if operation.new is not None}
    new = {row_id: item.value for row_id, item in rows.items()}
    old = {operation.id: operation.old.value for operation in operations if operation.old is not None}
    for table in {row_id.key[1:3] for row_id in new} - tables:
        yield f"add table {' '.join(table)}"
    rehooked = {
        row_id
        for row_id, value in new.items()
        if isinstance(value, Chain) and isinstance(was := old.get(row_id), Chain)
        if nft_text.hook(row_id.key[1], value.hook) != was.hook
    }
    chains = [row_id for row_id in old if row_id.table == Chain.table]
    sets = [row_id for row_id in old if row_id.table == Set.table]
    dying = {row_id.key for row_id in sets}
    yield from (f"flush chain {_name(row_id)}" for row_id in chains)
    gone = [row_id for row_id in old if row_id.table == Element.table and row_id.key[:4] not in dying]
    yield from _elements("delete", gone, lambda row_id: row_id.key[4])
    yield from (f"delete set {_name(row_id)}" for row_id in sets)
    yield from (f"delete chain {_name(row_id)}" for row_id in chains if row_id not in new or row_id in rehooked)
    yield from (f"delete ct helper {_name(row_id)}" for row_id in old if row_id.table == ConntrackHelper.table)
    for row_id, value in new.items():
        if isinstance(value, ConntrackHelper):
            yield f'add ct helper {_name(row_id)} {{ type "{value.helper}" protocol {value.protocol}; }}'
    for operation in operations:
        if operation.new is not None and isinstance(operation.new.value, Set):
            yield _declaration(operation.new)
    for row_id, value in new.items():
        if isinstance(value, Chain) and (row_id not in old or row_id in rehooked):
            yield f"add chain {_name(row_id)}" + (f" {{ {value.hook} }}" if value.hook else "")
    yield from _elements("add", [row_id for row_id in new if row_id.table == Element.table], _entry(rows))
    for row_id, value in new.items():
        if isinstance(value, Chain):
            for rule in value.rules:
                yield f'add rule {_name(row_id)} {rule.text} comment "{nft_text.rule_comment(rule)}"'


def _declaration(item: Row) -> str:
    value = item.value
    assert isinstance(value, Set)
    kind = "" if value.key_type.startswith("typeof ") else "type "
    to = f" : {value.data_type}" if value.data_type else ""
    flags = f"flags {', '.join(value.flags)}; " if value.flags else ""
    what = "map" if value.data_type else "set"
    comment = nft_text.set_comment(value, item.origin)
    return f'add {what} {_name(item.id)} {{ {kind}{value.key_type}{to}; {flags}comment "{comment}"; }}'


def _elements(verb: str, row_ids: Iterable[RowId], text: Callable[[RowId], str]) -> Iterable[str]:
    by_set: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row_id in row_ids:
        by_set[row_id.key[1:4]].append(text(row_id))
    for name, texts in by_set.items():
        yield f"{verb} element {' '.join(name)} {{ {', '.join(texts)} }}"


def _entry(rows: Mapping[RowId, Row]) -> Callable[[RowId], str]:
    def entry(row_id: RowId) -> str:
        value = rows[row_id].value
        assert isinstance(value, Element)
        # A comment on each element would cost more than all the rest, so that only the few that need one have it.
        comment = f' comment "{nft_text.element_comment(rows[row_id].origin)}"' if value.exclusive else ""
        return row_id.key[4] + comment + (f" : {value.data}" if value.data else "")

    return entry


def _rows(netns: str, answers: Iterable[dict[str, Any]]) -> Iterable[Row]:
    chains: dict[tuple[str, str, str], tuple[str, list[Rule], list[str]]] = {}
    for answer in answers:
        ((kind, found),) = answer.items()
        if kind == "chain":
            hook = ""
            if "hook" in found:
                policy = found.get("policy", "accept")
                hook = nft_text.hook_words(found["type"], found["hook"], found["prio"], policy)
            chains[found["family"], found["table"], found["name"]] = hook, [], []
        elif kind == "rule":
            origin, of_text = nft_text.parse_comment(found.get("comment", ""))
            _, rules, origins = chains[found["family"], found["table"], found["chain"]]
            rules.append(Rule(of_text))
            origins.append(origin)
        elif kind == "ct helper":
            helper = ConntrackHelper(found["type"], found["protocol"])
            yield row(helper, netns, found["family"], found["table"], found["name"])
        elif kind in ("set", "map"):
            key = (netns, found["family"], found["table"], found["name"])
            origin, of_text = nft_text.parse_comment(found.get("comment", ""))
            yield row(Set(key_type=of_text), *key, origin=origin)
            if "dynamic" in found.get("flags", ()):
                continue
            for item in found.get("elem", ()):
                if kind == "map":
                    data, comment = nft_text.data_from_json(item[1]), nft_text.comment_from_json(item[0])
                    name = nft_text.element_from_json(item[0])
                    yield row(Element(data, bool(comment)), *key, name, origin=comment)
                else:
                    yield row(_MEMBER, *key, nft_text.element_from_json(item))
    for (family, table, name), (hook, rules, origins) in chains.items():
        origin = next(iter(origins), "")
        yield row(Chain(hook=hook, rules=tuple(rules)), netns, family, table, name, origin=origin)


_MEMBER = Element()


def _name(row_id: RowId) -> str:
    return " ".join(row_id.key[1:4])


def _order(operation: Operation) -> tuple[bool, int]:
    """So that taking a transaction apart in halves keeps what is needed before what needs it."""
    value = operation.new.value if operation.new is not None else None
    if value is None:
        return False, {Chain.table: 0, Element.table: 1, Set.table: 2, ConntrackHelper.table: 2}[operation.id.table]
    if isinstance(value, Chain):
        return True, 3 if value.hook else 1
    return True, 0 if isinstance(value, Set | ConntrackHelper) else 2


def _is_exclusive(operation: Operation) -> bool:
    known = operation.new or operation.old
    return known is not None and isinstance(known.value, Element) and known.value.exclusive


def _kept(operation: Operation) -> str:
    """The address whose connections may stay: that of an element which is new; none of one that changes or goes."""
    if operation.old is not None or operation.new is None:
        return ""
    value = operation.new.value
    return value.data.partition(" ")[0] if isinstance(value, Element) else ""


def _failure(operation: Operation, error: OSError) -> Failed:
    known = operation.new or operation.old
    what = f"nft {operation.id.table} {_name(operation.id)}"
    if operation.id.table == Element.table:
        what += f" {operation.id.key[4]}"
    reason = error.strerror or str(error)
    if known is not None and isinstance(known.value, ConntrackHelper) and _GONE in reason:
        helper = known.value.helper
        reason = f"this kernel has no conntrack helper {helper}: load its module, nf_conntrack_{helper} or the like"
    return Failed(operation.id, known.origin if known else "", f"{what}: {reason}")
