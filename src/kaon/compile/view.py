"""The world as a compiler sees it: every question is remembered, so that a change finds who asked about it.

A node is whatever is computed from the world: a scope (its rows) or a fact (a value that other nodes use). A fact is
computed again when what it read has changed, but only a changed value goes on to those who used it: whether a group
is used on this host is asked by ten thousand ports and answered anew only when the first user comes or the last goes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Any, NamedTuple, TypeVar

from kaon.compile.config import HostConfig
from kaon.world.world import Change, Record, World

T = TypeVar("T")

UNREADABLE = (AttributeError, LookupError, TypeError, ValueError)
"""What compiling raises on a record that says what nobody can mean, or that is not as this version writes it."""


class Scope(NamedTuple):
    """The unit of compilation: what a set of rows is about. Every row belongs to exactly one scope."""

    kind: str
    id: str


class Fact(NamedTuple):
    """A value computed from the world by a function of (view, argument)."""

    function: Callable[[View, str], Any]
    argument: str


Node = Scope | Fact
Read = tuple[Hashable, ...]


class View:
    """Answers questions about a world and remembers who asked. Not for use by several threads."""

    def __init__(self, world: World, config: HostConfig) -> None:
        self.world = world
        self.config = config
        self.computed: Counter[str] = Counter()
        """How often nodes were computed, by kind of scope or name of fact."""
        self._asking: list[set[Read]] = []
        self._reads: dict[Node, set[Read]] = {}
        self._readers: dict[Read, set[Node]] = {}
        self._facts: dict[Fact, Any] = {}

    def get(self, kind: str, id: str) -> Record | None:
        """Find a record; None when there is none."""
        self._remember(("record", kind, id))
        return self.world.get(kind, id)

    def by(self, kind: str, attribute: str, value: str) -> list[Record]:
        """The records that an index holds under a value, ordered by id. Costs what it returns."""
        records = self.world.by(kind, attribute, value)
        self._remember(("entry", kind, attribute, value))
        for record in records:
            self._remember(("record", kind, record["id"]))
        return records

    def ids(self, kind: str, attribute: str, value: str) -> list[str]:
        """The ids that an index holds under a value, in order; what the records say does not matter to the asker."""
        self._remember(("entry", kind, attribute, value))
        return sorted(self.world.ids_by(kind, attribute, value))

    def any(self, kind: str, attribute: str, value: str) -> bool:
        """Whether an index holds anything under a value."""
        self._remember(("any", kind, attribute, value))
        return bool(self.world.ids_by(kind, attribute, value))

    def fact(self, function: Callable[[View, str], T], argument: str) -> T:
        """A value that is computed once and shared until what it was computed from has changed."""
        fact = Fact(function, argument)
        self._remember(("fact", fact))
        if fact not in self._facts:
            self._facts[fact] = self._evaluate(fact)
        value: T = self._facts[fact]
        return value

    def compute(self, node: Node, function: Callable[[], T]) -> T:
        """Run a function and remember that `node` depends on everything that it asks of this view.

        Where it raises, too: a node that cannot be computed is tried again when what it asked has changed.
        """
        self.computed[node.kind if isinstance(node, Scope) else node.function.__name__] += 1
        self._asking.append(set())
        try:
            return function()
        finally:
            self._replace_reads(node, self._asking.pop())

    def __contains__(self, node: Node) -> bool:
        """Whether a node has been computed and not forgotten."""
        return node in self._reads

    def forget(self, node: Node) -> None:
        """Drop what is remembered of a node that is no longer of interest."""
        self._replace_reads(node, set())

    def apply(self, changes: Iterable[Change]) -> set[Scope]:
        """Change the world; returns the scopes whose rows may differ now because they had asked about the change."""
        reads: list[Read] = []
        for change in changes:
            reads.append(("record", change.kind, change.id))
            for entry, flipped in self.world.apply(change).items():
                reads.append(("entry", *entry))
                if flipped:
                    reads.append(("any", *entry))
        return self._dirty(reads)

    def _dirty(self, reads: list[Read]) -> set[Scope]:
        scopes: set[Scope] = set()
        while reads:
            # A set has no order that two runs share, but the outcome is the same in every order: a fact that was
            # computed from an outdated one is computed again when that one changes.
            for node in list(self._readers.get(reads.pop(), ())):
                if isinstance(node, Scope):
                    scopes.add(node)
                    continue
                known = node in self._facts
                old = self._facts.pop(node, None)
                if not self._readers.get(("fact", node)):
                    self.forget(node)
                    continue
                try:
                    self._facts[node] = self._evaluate(node)
                except UNREADABLE:
                    # Whoever uses it asks again, and is told then.
                    reads.append(("fact", node))
                else:
                    if not known or self._facts[node] != old:
                        reads.append(("fact", node))
        return scopes

    def _evaluate(self, fact: Fact) -> Any:
        return self.compute(fact, lambda: fact.function(self, fact.argument))

    def _remember(self, read: Read) -> None:
        if self._asking:
            self._asking[-1].add(read)

    def _replace_reads(self, node: Node, reads: set[Read]) -> None:
        old = self._reads.pop(node, set())
        for read in old - reads:
            readers = self._readers[read]
            readers.discard(node)
            if not readers:
                del self._readers[read]
        for read in reads - old:
            self._readers.setdefault(read, set()).add(node)
        if reads:
            self._reads[node] = reads
