"""The document that the API serves about itself, and whether the API keeps to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from kaon.api import openapi
from kaon.resources.catalog import resources
from tests.api.cloud import Cloud

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
TOKENS = (*("admin:ops", "member:red", "reader:red") * 3, "nobody")
EXAMPLES = 7
"""Generated requests for each operation, of those that keep to the document and as many that do not."""


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


async def test_the_document_is_served_to_everybody_and_whole(cloud: Cloud) -> None:
    reply = await cloud.http.get("/v2.0/openapi.json")
    assert reply.status_code == 200
    document = reply.json()
    assert document["openapi"] == "3.1.0"
    for reference in set(_references(document)):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for name, schema in document["components"]["schemas"].items():
        assert jsonschema_rs.meta.is_valid({**schema, "$schema": "https://json-schema.org/draft/2020-12/schema"}), name


async def test_every_route_is_described_and_nothing_else_is(cloud: Cloud) -> None:
    routes = {
        (route.path.replace(":path}", "}"), method.lower())
        for route in cloud.app.routes
        if (isinstance(route, Route) and route.path.rstrip("/") == route.path) or route.path == "/"
        for method in route.methods - {"HEAD"}
    }
    routes.remove(("/v2.0/openapi.json", "get"))
    described = {
        (path, method) for path, item in openapi.document()["paths"].items() for method in item.keys() - {"parameters"}
    }
    assert described == routes


async def test_internal_attributes_are_described_nowhere(cloud: Cloud) -> None:
    schemas = openapi.document()["components"]["schemas"]
    for resource in resources():
        internal = {attribute.name for attribute in resource.attributes if attribute.internal}
        assert not internal & schemas[resource.name]["properties"].keys()
        assert not internal & schemas.get(f"{resource.name}_new", {"properties": {}})["properties"].keys()


class World:
    """A cloud in which one of what can be made simply is there, so that generated requests find something."""

    def __init__(self, folder: Path) -> None:
        self.cloud = Cloud(folder)
        self.ids: dict[str, str] = {}

    async def fill(self) -> None:
        await self.cloud.start()
        for token, path, values in (
            ("admin:ops", "networks", {"network": {"name": "public", "router:external": True, "shared": True}}),
            ("member:red", "networks", {"network": {"name": "private"}}),
            ("member:red", "routers", {"router": {}}),
            ("member:red", "security-groups", {"security_group": {"name": "web"}}),
        ):
            status, body = await self.cloud(token, "POST", f"/{path}", values)
            if status == 201:
                self.ids[path] = body[next(iter(values))]["id"]
        network = self.ids["networks"]
        subnet = {"subnet": {"network_id": network, "ip_version": 4, "cidr": "10.0.0.0/24"}}
        for path, values in (("subnets", subnet), ("ports", {"port": {"network_id": network}})):
            status, body = await self.cloud("member:red", "POST", f"/{path}", values)
            if status == 201:
                self.ids[path] = body[next(iter(values))]["id"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("openapi"))
    asyncio.run(made.fill())
    yield made
    asyncio.run(made.cloud.stop())


def _operations() -> list[tuple[str, str, GenerationMode]]:
    """Every operation with each way to ask it; one that takes nothing cannot be asked badly.

    Tags are the same code for all resources; those of networks stand for all.
    """
    found: list[tuple[str, str, GenerationMode]] = []
    for path, item in openapi.document()["paths"].items():
        if "/{id}/tags" in path and not path.startswith("/v2.0/networks/"):
            continue
        for method in sorted(item.keys() - {"parameters"}):
            found.append((method.upper(), path, GenerationMode.POSITIVE))
            if item.get("parameters") or item[method]["parameters"] or "requestBody" in item[method]:
                found.append((method.upper(), path, GenerationMode.NEGATIVE))
    return sorted(found, key=lambda operation: operation[0] == "DELETE")


def _make_real(case: Any, path: str, ids: Mapping[str, str]) -> None:
    """Let a request be about what is there: its own id, and the ids in its body."""
    collection = path.split("/")[2] if path.startswith("/v2.0/") else ""
    if "id" in case.path_parameters and collection in ids:
        case.path_parameters["id"] = ids[collection]
    for item in case.body.values() if isinstance(case.body, dict) else ():
        for name in item if isinstance(item, dict) else ():
            plural = name.removesuffix("_id").replace("_", "-") + "s"
            if name.endswith("_id") and plural in ids:
                item[name] = ids[plural]


@pytest.fixture(scope="module")
def schema() -> Any:
    return schemathesis.openapi.from_dict(json.loads(openapi.encoded()))


@pytest.mark.parametrize(("method", "path", "mode"), _operations(), ids=str)
def test_generated_requests_get_documented_answers(
    world: World, schema: Any, method: str, path: str, mode: GenerationMode
) -> None:
    schema.app = world.cloud.app
    operation = schema[path][method]

    @seed(2026)
    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode), token=st.sampled_from(TOKENS), real=st.booleans())
    def run(case: Any, token: str, real: bool) -> None:
        if real:
            _make_real(case, path, world.ids)
        response = case.call(headers={"X-Auth-Token": token})
        case.validate_response(response, checks=CHECKS)

    run()
