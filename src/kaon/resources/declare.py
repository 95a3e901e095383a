"""How a resource is declared: its attributes, who may set and see them, and its rules. Everything else follows.

Validation, the table, filters, sort keys, policy rules, the OpenAPI document and the extension list are all derived
from these declarations; a new resource is one module in this package that holds `RESOURCES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import types
from kaon.resources.live import Live
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER
from kaon.resources.types import Type
from kaon.store.journal import Record
from kaon.store.schema import metadata
from kaon.store.transaction import Transaction


class _Marker:
    """A default that is not a value."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


REQUIRED: Final = _Marker("REQUIRED")
"""Default of an attribute that a creation must name."""
UNSET: Final = _Marker("UNSET")
"""Default of an attribute that is absent from the body when the client did not name it; the create rule decides."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a resource.

    `post`, `put`: a client may set it on creation, on update. `post_rule`, `put_rule`, `get_rule`: policy checks of its
    own (``create_network:shared`` and so on) beyond the resource's. `default`: a value, REQUIRED or UNSET. `derived`
    computes what is shown from the record and the caller, and nothing is stored; `computed` does from the record alone,
    whoever asks, and policy does not read it; `live` does from the record and what only this process knows. `children`
    shows the records of another resource that name this one: (resource, its attribute that holds this id), of each only
    `child_names` where there are any. `details` shows a part of a record that this one names: (resource, own attribute
    that holds its id, names of the part, or one name for that value alone). `gathered` computes it for several records
    at once from what other tables hold, and nothing of it is kept. `internal` attributes are stored and journalled but
    no client ever sees them; `sparse` ones are left out where they are null. `alias` is the extension that brings it.
    """

    name: str
    type: Type
    default: Any = UNSET
    post: bool = False
    put: bool = False
    post_rule: str = ""
    put_rule: str = ""
    get_rule: str = ""
    shown: bool = True
    filter: bool = True
    sort: bool = True
    internal: bool = False
    sparse: bool = False
    index: bool = False
    derived: Callable[[Record, Caller], Any] | None = None
    computed: Callable[[Record], Any] | None = None
    live: Callable[[Record, Live], Any] | None = None
    children: tuple[str, str] | None = None
    child_names: tuple[str, ...] = ()
    details: tuple[str, str, tuple[str, ...] | str] | None = None
    gathered: Callable[[sa.Connection, Sequence[Record]], Sequence[Any]] | None = None
    alias: str = ""

    @property
    def stored(self) -> bool:
        """Whether a column holds it."""
        elsewhere = (self.derived, self.computed, self.live, self.children, self.details, self.gathered)
        return all(source is None for source in elsewhere)


Rule = Callable[[Transaction, Record], Record]
"""A creation: takes the parsed body, stores what it makes, returns the record."""

Filter = Callable[[list[str], Caller], sa.ColumnElement[bool]]
"""A filter that is no plain column: from the query's values to a condition."""

LiveFilter = Callable[[list[str], Live], sa.ColumnElement[bool]]
"""The same of what only this process knows."""


@dataclass(frozen=True, slots=True)
class Action:
    """A member action: PUT /v2.0/routers/{id}/add_router_interface and the like.

    `run(tx, record, body)` returns what is answered, or the changed record when `shows` is set. Its policy rule is the
    action's name followed by nothing else (``add_router_interface``), with check `rule`; `parse` checks the body, and
    `answer` describes what is answered.
    """

    name: str
    run: Callable[[Transaction, Record, dict[str, Any]], Any]
    rule: str
    parse: Type = types.MAPPING
    method: str = "PUT"
    status: int = 200
    shows: bool = False
    answer: types.Schema = field(default_factory=lambda: {"type": "object"})


class Ask(NamedTuple):
    """What a request on a Call says: values in its path, its query string, and its body."""

    params: Mapping[str, str]
    pairs: Sequence[tuple[str, str]]
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Call:
    """A request below /v2.0 on something that is no collection of records: quotas, availability zones.

    `path` may hold ``{parameters}``; `run(tx, ask)` returns what is answered, and writes unless the method is GET. The
    policy rule `rule`, with default `check`, is judged on the project that the path names, else on the caller's own;
    with `own_free` a project's questions about itself need no rule. Modules list theirs as `CALLS`.
    """

    method: str
    path: str
    run: Callable[[Transaction, Ask], Any]
    rule: str = ""
    check: str = ""
    own_free: bool = False
    status: int = 200
    writes: bool = False
    """A GET that makes what it shows when it is not there yet; other methods write anyhow."""
    lists: str = ""
    """Resource of which `run` returns records; they are answered as a list of this resource shows them."""
    body: types.Schema | None = None
    """JSON schema of the body, for the OpenAPI document; None for a call without one."""


@dataclass(frozen=True, slots=True)
class FirstNeed:
    """What a project gets when it first looks, such as its default security group.

    `lacks(conn, project_id)` tells cheaply whether it is still to be made, `make(tx, project_id)` makes it.
    """

    lacks: Callable[[sa.Connection, str], bool]
    make: Callable[[Transaction, str], object]


@dataclass(frozen=True)
class Extension:
    """An API extension as GET /v2.0/extensions shows it.

    `awaits` says in words what no engine does yet of what is asked for through it; the API keeps and tells it all the
    same. It is empty where nothing is missing.
    """

    alias: str
    name: str
    description: str
    updated: str = "2026-01-01T00:00:00-00:00"
    awaits: str = ""


_declared: dict[str, Resource] = {}


def named(name: str) -> Resource:
    """The resource declared under this singular name; rules of families that know each other both ways use it."""
    return _declared[name]


def counted() -> tuple[Resource, ...]:
    """The resources that quotas limit, by name."""
    return tuple(sorted((item for item in _declared.values() if item.quota is not None), key=lambda item: item.name))


@dataclass(frozen=True)
class Resource:
    """A resource of the API: what it holds, its policy, and its rules as plain functions on a transaction."""

    name: str
    """Unique; the kind of its records in the journal."""
    collection: str
    """Plural, unique; the table."""
    attributes: tuple[Attribute, ...]
    create: Rule
    update: Callable[[Transaction, Record, dict[str, Any]], Record]
    delete: Callable[[Transaction, Record], None]
    cascade: Callable[[Transaction, Record], None] | None = None
    """What a deletion with ``?cascade=true`` does: it takes along what would refuse the other."""
    create_rule: str = ADMIN_OR_MEMBER
    get_rule: str = ADMIN_OR_READER
    update_rule: str = ADMIN_OR_MEMBER
    delete_rule: str = ADMIN_OR_MEMBER
    extra_rules: Mapping[str, str] = field(default_factory=dict)
    parents: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Policy target prefix -> (attribute that holds the parent's id, the parent's collection): ``network`` …"""
    head: tuple[str, ...] = ()
    """Stored attributes that derived ones and policy read, so that a list need not load whole rows to judge them."""
    visible: Callable[[Caller], sa.ColumnElement[bool]] | None = None
    """Beyond the caller's own: which rows a caller without admin rights may list (shared ones …)."""
    filters: Mapping[str, Filter] = field(default_factory=dict)
    live_filters: Mapping[str, LiveFilter] = field(default_factory=dict)
    actions: tuple[Action, ...] = ()
    first_need: FirstNeed | None = None
    """Made for a project before its first list is answered."""
    quota: int | None = None
    """Default limit per project; None for what has no quota, -1 for no limit."""
    not_found: str = ""
    """Name of the 404 error; NetworkNotFound and so on by default."""
    path: str = ""
    """Path below /v2.0 or below its parent; the collection with hyphens by default."""
    document: str = ""
    """Name of one in bodies and policy rules, where the API's word for it is not unique; `name` by default."""
    documents: str = ""
    """Name of several in bodies; `collection` by default."""
    within: tuple[str, str] | None = None
    """(parent, attribute that holds its id) of what is served below its parent: /floatingips/{id}/port_forwardings."""
    serves: Resource | None = None
    """The resource whose records it serves by another path and under other words; it has no table of its own."""
    fits: Callable[[Record], None] | None = None
    """Raises for a parent that can have none of these."""
    member: str = "id"
    """Attribute by which a path below the parent names one, where that is not its id."""
    methods: frozenset[str] = frozenset({"list", "show", "create", "update", "delete"})
    constraints: tuple[sa.UniqueConstraint | sa.Index, ...] = ()
    bulk: bool = True
    """Whether one request may create several."""

    def __post_init__(self) -> None:
        _declared[self.name] = self

    @cached_property
    def one(self) -> str:
        """The word for one of them in bodies and policy rules."""
        return self.document or self.name

    @cached_property
    def many(self) -> str:
        """The word for several of them in bodies."""
        return self.documents or self.collection

    @cached_property
    def parent(self) -> Resource | None:
        """The resource below whose path this one is served."""
        return named(self.within[0]) if self.within else None

    @cached_property
    def judged_with(self) -> Mapping[str, tuple[str, str]]:
        """`parents`, and under ``ext_parent`` the one below whose path it is served."""
        return {**self.parents, "ext_parent": (self.within[1], self.within[0])} if self.within else self.parents

    def action(self, name: str) -> Action:
        """The member action with this name."""
        return next(item for item in self.actions if item.name == name)

    def rule(self, verb: str) -> str:
        """Name of the policy rule for a verb: ``create_port``, ``create_floatingip_port_forwarding``."""
        return f"{verb}_{self.parent.one}_{self.one}" if self.parent else f"{verb}_{self.one}"

    @cached_property
    def by_name(self) -> dict[str, Attribute]:
        """Attributes by name."""
        return {attribute.name: attribute for attribute in self.attributes}

    @cached_property
    def stored(self) -> tuple[Attribute, ...]:
        """Attributes with a column, in the columns' order."""
        return tuple(attribute for attribute in self.attributes if attribute.stored)

    @cached_property
    def derived(self) -> tuple[Attribute, ...]:
        """Attributes computed when shown."""
        return tuple(attribute for attribute in self.attributes if attribute.derived is not None)

    @cached_property
    def children(self) -> tuple[tuple[Attribute, str, str], ...]:
        """Attributes that show other records: (attribute, the other resource, its attribute that names this one)."""
        return tuple((item, *item.children) for item in self.attributes if item.children is not None)

    @cached_property
    def details(self) -> tuple[tuple[str, str, str, tuple[str, ...] | str], ...]:
        """Attributes that show a part of another record: (attribute, resource, own attribute with its id, names)."""
        return tuple((item.name, *item.details) for item in self.attributes if item.details is not None)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the stored attributes, in the columns' order."""
        return tuple(attribute.name for attribute in self.stored)

    @cached_property
    def initial(self) -> Record:
        """What a new record holds where nobody says otherwise."""
        return {
            attribute.name: None if isinstance(attribute.default, _Marker) else attribute.default
            for attribute in self.stored
        }

    @cached_property
    def table(self) -> sa.Table:
        """The table; columns are keyed by attribute name (``binding:host_id`` is column binding_host_id)."""
        if self.serves is not None:
            return self.serves.table
        columns = [
            sa.Column(
                attribute.name.replace(":", "_"),
                attribute.type.column,
                key=attribute.name,
                primary_key=attribute.name == "id",
                index=attribute.index or None,
            )
            for attribute in self.stored
        ]
        return sa.Table(self.collection, metadata, *columns, *self.constraints)

    def with_defaults(self, values: Mapping[str, Any]) -> Record:
        """A creation body as a client's would be parsed: defaults filled in for what `values` does not name."""
        return {
            **{
                attribute.name: attribute.default
                for attribute in self.attributes
                if attribute.post and not isinstance(attribute.default, _Marker)
            },
            **values,
        }

    @cached_property
    def url(self) -> str:
        """Path of the collection below /v2.0; ``{parent_id}`` stands for the parent that it is below."""
        own = self.path or self.collection.replace("_", "-")
        return f"{self.parent.url}/{{parent_id}}/{own}" if self.parent else own

    @cached_property
    def tagged_at(self) -> tuple[str, ...]:
        """Paths of the collection below which tags are: its own, and as Neutron has it that without any prefix."""
        bare = self.url.rpartition("/")[2]
        return (self.url,) if self.parent or bare == self.url else (self.url, bare)

    @cached_property
    def missing(self) -> str:
        """Name of the error for an unknown id."""
        return self.not_found or "".join(part.capitalize() for part in self.name.split("_")) + "NotFound"

    def policies(self) -> dict[str, str]:
        """Every policy rule of this resource under Neutron's name, with its default check."""
        served = {"get" if method in ("list", "show") else method for method in self.methods}
        rules = {
            self.rule(verb): check
            for verb, check in (
                ("create", self.create_rule),
                ("get", self.get_rule),
                ("update", self.update_rule),
                ("delete", self.delete_rule),
            )
            if verb in served
        }
        for attribute in self.attributes:
            for verb, check in (
                ("create", attribute.post_rule),
                ("update", attribute.put_rule),
                ("get", attribute.get_rule),
            ):
                if check and verb in served:
                    rules[f"{self.rule(verb)}:{attribute.name}"] = check
        if "tags" in self.by_name:
            rules[f"{self.rule('get')}:tags"] = self.get_rule
            rules.update({f"{self.rule(verb)}:tags": self.update_rule for verb in ("create", "update", "delete")})
        rules.update({action.name: action.rule for action in self.actions})
        rules.update(self.extra_rules)
        return rules


def _tenant(record: Record, _caller: Caller) -> Any:
    return record["project_id"]


MAX_TAGS = 50
"""Tags of one record."""


def standard(
    *attributes: Attribute,
    named: bool = True,
    tags: bool = True,
    description: bool = True,
    owned: bool = True,
    stamped: bool = True,
    tagged_at_creation: bool = False,
    identified: bool = True,
    owner_shown: bool = True,
) -> tuple[Attribute, ...]:
    """Wrap a resource's own attributes in those that nearly all share: id, name, project, description, times, tags.

    One that is not `stamped` keeps its times and its revision to itself; one that is not `identified` its id;
    where the owner is not shown, it is that of the parent below whose path it is served.
    """
    head = [Attribute("id", types.UUID, internal=not identified)]
    if named:
        head.append(Attribute("name", types.name(), default="", post=True, put=True, index=True))
    if owned:
        head += [
            Attribute(
                "project_id",
                types.text(255),
                post=True,
                shown=owner_shown,
                filter=owner_shown,
                sort=owner_shown,
                index=True,
                alias="project-id",
            ),
            Attribute("tenant_id", types.text(255), shown=owner_shown, derived=_tenant),
        ]
    tail = [
        Attribute(
            "created_at",
            types.text(32),
            filter=False,
            sort=False,
            internal=not stamped,
            alias="standard-attr-timestamp",
        ),
        Attribute(
            "updated_at",
            types.text(32),
            filter=False,
            sort=False,
            internal=not stamped,
            alias="standard-attr-timestamp",
        ),
        Attribute(
            "revision_number", types.integer(0), sort=False, internal=not stamped, alias="standard-attr-revisions"
        ),
    ]
    if description:
        tail.insert(
            0,
            Attribute(
                "description",
                types.text(255),
                default="",
                post=True,
                put=True,
                sort=False,
                alias="standard-attr-description",
            ),
        )
    if tags:
        tail.append(
            Attribute(
                "tags",
                types.list_of(types.text(255), most=MAX_TAGS),
                default=[],
                post=tagged_at_creation,
                filter=False,
                sort=False,
                alias="standard-attr-tag",
            )
        )
    return (*head, *attributes, *tail)


__all__ = [
    "ADMIN",
    "REQUIRED",
    "UNSET",
    "Action",
    "Ask",
    "Attribute",
    "Call",
    "Extension",
    "Filter",
    "FirstNeed",
    "Resource",
    "Rule",
    "counted",
    "named",
    "standard",
]
