"""The OpenAPI 3.1 document of the Network API, made from the declarations: what is declared is described.

https://spec.openapis.org/oas/v3.1.0. The error documents are Neutron's; that of a 401 is keystonemiddleware's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any

import msgspec

import kaon
from kaon.api import query as queries
from kaon.resources.catalog import calls, resources
from kaon.resources.declare import REQUIRED, Action, Attribute, Resource
from kaon.resources.types import Schema

TOKEN = "X-Auth-Token"
ROOT = "/v2.0"

_READING = (401, 503)
_FINDING = (404, *_READING)
_CREATING = (400, 403, 404, 409, 413, *_READING)
_ACTING = _CREATING
_UPDATING = (412, *_CREATING)
_DELETING = (400, 403, 404, 409, 412, *_READING)
"""Statuses of answers that are no success, by what a request does. A 404 of a creation is about what it refers to."""

_FIELDS: Schema = {
    "name": "fields",
    "in": "query",
    "description": "Attributes to show; all when there is none.",
    "schema": {"type": "array", "items": {"type": "string"}},
}


def _path_parameter(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


_ID = _path_parameter("id")
_PARENT_ID = _path_parameter("parent_id")
_CASCADE: Schema = {
    "name": "cascade",
    "in": "query",
    "description": "Whether what is on it goes with it",
    "schema": {"type": "boolean"},
}
_IF_MATCH: Schema = {
    "name": "If-Match",
    "in": "header",
    "description": "Do it only to this revision.",
    "schema": {"type": "string", "pattern": "^revision_number=[0-9]{1,9}$"},
}


def _ref(kind: str, name: str | int) -> Schema:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(properties: Mapping[str, Schema], required: Iterable[str] = ()) -> Schema:
    """An object with these members and no others."""
    found: Schema = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    names = list(required)
    return {**found, "required": names} if names else found


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _text(*names: str) -> Schema:
    return _object({name: {"type": "string"} for name in names}, names)


def _content(schema: Schema) -> Schema:
    return {"application/json": {"schema": schema}}


def _answers(status: int, schema: Schema | None, others: Iterable[int]) -> Schema:
    """The responses of an operation: the success, and by reference what else may come."""
    success: Schema = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        success["content"] = _content(schema)
    return {str(status): success, **{str(other): _ref("responses", other) for other in sorted(set(others))}}


# ---------------------------------------------------------------- what a resource looks like


def _visible(resource: Resource) -> list[Attribute]:
    return [attribute for attribute in resource.attributes if attribute.shown and not attribute.internal]


def _shown(resource: Resource) -> Schema:
    """A resource in an answer. No attribute is certain: `fields` and policy leave some out."""
    return _object({item.name: _nullable(item) for item in _visible(resource)})


def _nullable(attribute: Attribute) -> Schema:
    """What an attribute shows: of its type; null where nobody set what has no value of its own."""
    schema = attribute.type.shown[1] if attribute.type.shown is not None else attribute.type.schema
    settled = not attribute.stored or attribute.name in ("id", "revision_number", "created_at", "updated_at")
    return schema if settled or {"type": "null"} in schema.get("anyOf", ()) else {"anyOf": [schema, {"type": "null"}]}


def _created(resource: Resource) -> Schema:
    """A resource in a creation."""
    settable = [item for item in resource.attributes if item.post]
    properties = {item.name: item.type.schema for item in settable}
    if "project_id" in properties:
        properties["tenant_id"] = properties["project_id"]
    return _object(properties, (item.name for item in settable if item.default is REQUIRED))


def _updated(resource: Resource) -> Schema:
    """A resource in an update."""
    return _object({item.name: item.type.schema for item in resource.attributes if item.put})


def _schemas(resource: Resource) -> dict[str, Schema]:
    name, one, many = resource.name, resource.one, resource.many
    links, single, several = f"{many}_links", {one: _ref("schemas", name)}, {many: _list(_ref("schemas", name))}
    found = {
        name: _shown(resource),
        f"{name}_answer": _object(single, single),
        f"{name}_list": _object({**several, links: _list(_text("rel", "href"))}, several),
    }
    if "create" in resource.methods:
        new = _ref("schemas", f"{name}_new")
        several_new = {many: {**_list(new), "minItems": 1}}
        found[f"{name}_new"] = _created(resource)
        found[f"{name}_create"] = {"anyOf": [_object({one: new}, [one]), _object(several_new, several_new)]}
        found[f"{name}_created"] = {"anyOf": [_object(single, single), _object(several, several)]}
    if "update" in resource.methods:
        found[f"{name}_update"] = _object({one: _updated(resource)}, [one])
    return found


# ---------------------------------------------------------------- what can be asked


def _query(resource: Resource) -> list[Schema]:
    """Parameters of a list: filters, which attributes, in which order, which page."""
    names = {*resource.by_name, *resource.filters, *queries.EXTRA_FILTERS}
    sort_keys = [name for name in resource.by_name if queries.sortable(resource, name)]
    strings = _list({"type": "string"})
    single: dict[str, Schema] = {
        "limit": {"type": "integer", "minimum": 0},
        "marker": {"type": "string"},
        "page_reverse": {"type": "boolean"},
    }
    several: dict[str, Schema] = {
        "sort_key": _list({"enum": sort_keys}),
        "sort_dir": _list({"enum": ["asc", "desc"]}),
        **{name: strings for name in sorted(names) if queries.filterable(resource, name)},
    }
    found = [{"name": name, "in": "query", "schema": schema} for name, schema in (several | single).items()]
    return [_FIELDS, *found]


# ---------------------------------------------------------------- what can be done


def _operation(
    name: str,
    collection: str,
    responses: Schema,
    body: Schema | None = None,
    parameters: Iterable[Schema] = (),
) -> Schema:
    found: Schema = {"operationId": name, "tags": [collection], "parameters": list(parameters), "responses": responses}
    return found if body is None else {**found, "requestBody": {"required": True, "content": _content(body)}}


def _act(resource: Resource, action: Action) -> Schema:
    answer = _ref("schemas", f"{resource.name}_answer") if action.shows else action.answer
    if action.method == "GET":
        return _operation(action.name, resource.collection, _answers(action.status, answer, (403, *_FINDING)))
    done = _answers(action.status, answer, _ACTING)
    return _operation(action.name, resource.collection, done, action.parse.schema)


def _above(resource: Resource) -> list[Schema]:
    """The path parameter of what is served below a parent."""
    return [_PARENT_ID] if resource.within else []


def _paths(resource: Resource) -> dict[str, Schema]:
    """Paths of a resource, each with its operations by method."""
    name, collection = resource.name, resource.collection
    answer = _ref("schemas", f"{name}_answer")
    many: dict[str, tuple[str, Schema]] = {
        "list": (
            "get",
            _operation(
                f"list_{collection}",
                collection,
                _answers(200, _ref("schemas", f"{name}_list"), (400, *_FINDING)),
                parameters=_query(resource),
            ),
        ),
        "create": (
            "post",
            _operation(
                f"create_{name}",
                collection,
                _answers(201, _ref("schemas", f"{name}_created"), _CREATING),
                _ref("schemas", f"{name}_create"),
            ),
        ),
    }
    cascade = [_CASCADE] if resource.cascade else []
    one: dict[str, tuple[str, Schema]] = {
        "show": (
            "get",
            _operation(f"show_{name}", collection, _answers(200, answer, _FINDING), parameters=[_FIELDS]),
        ),
        "update": (
            "put",
            _operation(
                f"update_{name}",
                collection,
                _answers(200, answer, _UPDATING),
                _ref("schemas", f"{name}_update"),
                [_IF_MATCH],
            ),
        ),
        "delete": (
            "delete",
            _operation(
                f"delete_{name}",
                collection,
                _answers(204, None, (400, *_DELETING) if resource.cascade else _DELETING),
                parameters=[_IF_MATCH, *cascade],
            ),
        ),
    }

    def served(operations: dict[str, tuple[str, Schema]]) -> Schema:
        return dict(operation for kind, operation in operations.items() if kind in resource.methods)

    base = f"{ROOT}/{resource.url}"
    above = _above(resource)
    below = {"parameters": [*above, _ID]}
    found = {base: {"parameters": above, **served(many)}, f"{base}/{{id}}": {**below, **served(one)}}
    for action in resource.actions:
        path = found.setdefault(f"{base}/{{id}}/{action.name}", dict(below))
        path[action.method.lower()] = _act(resource, action)
    return {path: item for path, item in found.items() if item.keys() - {"parameters"}}


def _tags(resource: Resource) -> dict[str, Schema]:
    """Paths of a resource's tags."""
    if "tags" not in resource.by_name or not resource.methods:
        return {}
    found: dict[str, Schema] = {}
    for url, name in zip(resource.tagged_at, (resource.name, resource.many), strict=False):
        found |= _tags_below(resource, f"{ROOT}/{url}/{{id}}/tags", name)
    return found


def _tags_below(resource: Resource, base: str, name: str) -> dict[str, Schema]:
    """Paths of a resource's tags below one path; `name` makes the operations' names unique."""
    collection = resource.collection
    every = {"tags": resource.by_name["tags"].type.schema}
    shown = _object(every, every)

    def operation(verb: str, responses: Schema, body: Schema | None = None) -> Schema:
        return _operation(f"{verb}_{name}", collection, responses, body)

    return {
        base: {
            "parameters": [*_above(resource), _ID],
            "get": operation("list_tags_of", _answers(200, shown, _FINDING)),
            "put": operation("replace_tags_of", _answers(200, shown, _ACTING), shown),
            "post": operation("add_tags_to", _answers(200, shown, _ACTING), shown),
            "delete": operation("remove_tags_of", _answers(204, None, _ACTING)),
        },
        f"{base}/{{tag}}": {
            "parameters": [*_above(resource), _ID, _path_parameter("tag")],
            "get": operation("find_tag_of", _answers(204, None, (400, *_FINDING))),
            "put": operation("add_tag_to", _answers(201, None, _ACTING)),
            "delete": operation("remove_tag_of", _answers(204, None, _ACTING)),
        },
    }


# ---------------------------------------------------------------- the rest of the API, and the whole


def _calls() -> dict[str, Schema]:
    """What is no collection of records. Its members are not declared, so any object will do here."""
    found: dict[str, Schema] = {}
    for call in calls():
        path = found.setdefault(f"{ROOT}/{call.path}", {})
        names = re.findall(r"\{(\w+)\}", call.path)
        if names:
            path["parameters"] = [_path_parameter(name) for name in names]
        writes = call.method in ("POST", "PUT")
        answer: Schema | None = None if call.status == 204 else {"type": "object"}
        others = (403, *_FINDING) if call.method == "GET" and not call.writes else _ACTING
        # The name of an operation is its path in words: quotas/{project_id}/default.
        name = f"{call.method.lower()}_{re.sub(r'[^a-z]+', '_', call.path).strip('_')}"
        path[call.method.lower()] = _operation(
            name,
            call.path.partition("/")[0],
            _answers(call.status, answer, others),
            {"type": "object"} if writes else None,
        )
    return found


def _discovery() -> dict[str, Schema]:
    """Versions and extensions."""
    link = _list(_text("rel", "href"))
    version = _object({"id": {"type": "string"}, "status": {"type": "string"}, "links": link})
    listed = _object({"name": {"type": "string"}, "collection": {"type": "string"}, "links": link})
    text: Schema = {"type": "string"}
    extension = _object({"alias": text, "name": text, "description": text, "updated": text, "links": {"type": "array"}})

    def reading(name: str, key: str, schema: Schema, others: Iterable[int] = _READING) -> Schema:
        return {"get": _operation(name, "discovery", _answers(200, _object({key: schema}, [key]), others))}

    versions = reading("list_versions", "versions", _list(version), ())
    versions["get"]["security"] = []
    return {
        "/": versions,
        ROOT: reading("list_resources", "resources", _list(listed)),
        f"{ROOT}/extensions": reading("list_extensions", "extensions", _list(extension)),
        f"{ROOT}/extensions/{{alias}}": {
            "parameters": [_path_parameter("alias")],
            **reading("show_extension", "extension", extension, _FINDING),
        },
    }


_MEANINGS = {
    400: "The request is wrong: its form, an attribute, or how they fit together.",
    401: "No token, or one that is not valid.",
    403: "Policy does not let the caller do this.",
    404: "No such resource, or none that the caller may know of.",
    409: "The state of this or another resource, or a quota, forbids it.",
    412: "The resource has another revision than If-Match demands.",
    413: "The body is too large.",
    503: "The store cannot take it now; nothing was changed.",
}


def _responses() -> dict[str, Schema]:
    found: dict[str, Schema] = {}
    for status, meaning in _MEANINGS.items():
        schema = _ref("schemas", "Unauthorized" if status == 401 else "NeutronError")
        found[str(status)] = {"description": meaning, "content": _content(schema)}
    return found


_ERRORS: dict[str, Schema] = {
    "NeutronError": _object({"NeutronError": _text("type", "message", "detail")}, ["NeutronError"]),
    "Unauthorized": _object(
        {
            "error": _object(
                {"code": {"const": 401}, "title": {"type": "string"}, "message": {"type": "string"}},
                ["code", "title", "message"],
            )
        },
        ["error"],
    ),
}


def document() -> dict[str, Any]:
    """The document, as JSON-able values."""
    paths, schemas = _discovery() | _calls(), dict(_ERRORS)
    for resource in resources():
        paths |= _paths(resource) | _tags(resource)
        schemas |= _schemas(resource)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Kaon Network API",
            "version": kaon.__version__,
            "description": "OpenStack Networking v2.0. Values are also taken in the other forms that Neutron takes.",
        },
        "security": [{TOKEN: []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": _responses(),
            "securitySchemes": {TOKEN: {"type": "apiKey", "in": "header", "name": TOKEN}},
        },
    }


@cache
def encoded() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document())
