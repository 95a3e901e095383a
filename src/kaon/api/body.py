"""Request bodies: from bytes to checked values, by a resource's declaration alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from kaon.caller import Caller
from kaon.resources.declare import REQUIRED, UNSET, Attribute, Resource
from kaon.resources.errors import ApiError, InvalidValue, bad_request, invalid_input

MAX_BODY = 2 * 2**20
"""Bytes; larger bodies are refused before they are read to the end."""

_decoder = msgspec.json.Decoder()


def decode(raw: bytes) -> dict[str, Any]:
    """A JSON object from a request's body; raises the 400 that Neutron answers for anything else."""
    try:
        body = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise bad_request(f"Malformed request body: {error}.") from None
    except RecursionError:
        raise bad_request("Malformed request body: nested too deeply.") from None
    if not isinstance(body, dict):
        raise bad_request("Resource body required")
    return body


def items(resource: Resource, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool]:
    """The raw resources in a creation body, and whether it was a bulk one."""
    bulk = resource.many in body and (resource.many != resource.one or isinstance(body[resource.many], list))
    if bulk and not resource.bulk:
        raise bad_request("Bulk operation not supported")
    found = body[resource.many] if bulk else [body.get(resource.one)]
    if not isinstance(found, list) or not found or not all(isinstance(item, dict) for item in found):
        raise bad_request(
            f"Unable to find '{resource.many if bulk else resource.one}' in request body"
            if not bulk or not found
            else f"Invalid '{resource.many}': a list of objects is needed"
        )
    # A client may wrap each item of a bulk in its resource's name.
    return [item[resource.one] if _is_wrapped(resource, item) else item for item in found], bulk


def _is_wrapped(resource: Resource, item: Mapping[str, Any]) -> bool:
    return isinstance(item.get(resource.one), dict) and resource.one not in resource.by_name


def item(resource: Resource, body: Mapping[str, Any]) -> dict[str, Any]:
    """The raw resource in an update body."""
    if resource.many != resource.one and resource.many in body:
        raise bad_request("Bulk operation not supported")
    found = body.get(resource.one)
    if not isinstance(found, dict):
        raise bad_request(f"Unable to find '{resource.one}' in request body")
    return found


def _parsed(attribute: Attribute, value: Any) -> Any:
    try:
        return attribute.type.parse(value)
    except InvalidValue:
        raise
    except ValueError as error:
        raise invalid_input(attribute.name, str(error)) from None


def _unknown(resource: Resource, raw: Mapping[str, Any]) -> ApiError | None:
    names = [name for name in raw if (known := resource.by_name.get(name)) is None or known.internal]
    if names:
        return bad_request("Unrecognized attribute(s) '" + ", ".join(sorted(names)) + "'")
    return None


def _with_project(resource: Resource, raw: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the old name tenant_id translated; both names must agree."""
    values = dict(raw)
    if "tenant_id" in values and "tenant_id" in resource.by_name:
        tenant = values.pop("tenant_id")
        if values.setdefault("project_id", tenant) != tenant:
            raise bad_request("'project_id' and 'tenant_id' do not match")
    return values


def for_creation(resource: Resource, raw: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    """Checked values of a creation: everything settable is there, but for what is UNSET."""
    values = _with_project(resource, raw)
    if (error := _unknown(resource, values)) is not None:
        raise error
    parsed: dict[str, Any] = {}
    for attribute in resource.attributes:
        if attribute.name in values:
            if not attribute.post:
                raise bad_request(f"Attribute '{attribute.name}' not allowed in POST")
            parsed[attribute.name] = _parsed(attribute, values[attribute.name])
        elif attribute.default is REQUIRED:
            raise bad_request(f"Failed to parse request. Required attribute '{attribute.name}' not specified")
        elif attribute.post and attribute.default is not UNSET:
            parsed[attribute.name] = attribute.default
    if "project_id" in resource.by_name:
        parsed["project_id"] = _project(parsed.get("project_id", caller.project_id), caller)
    return parsed


def _project(wanted: str | None, caller: Caller) -> str | None:
    """The project of a new resource; None, where its type admits that, is nobody's: what holds for all projects."""
    if wanted != caller.project_id and not (caller.is_admin or caller.is_service):
        raise bad_request(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request is not allowed for "
            "current user."
        )
    return wanted


def for_update(resource: Resource, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Checked values of an update: only what the client named."""
    values = _with_project(resource, raw)
    if (error := _unknown(resource, values)) is not None:
        raise error
    parsed: dict[str, Any] = {}
    for name, value in values.items():
        attribute = resource.by_name[name]
        if not attribute.put:
            raise bad_request(f"Cannot update read-only attribute {name}")
        parsed[name] = _parsed(attribute, value)
    return parsed
