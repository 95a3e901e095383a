"""The demo as a client of the API: plain HTTP, as any OpenStack tool speaks it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx


class DemoError(Exception):
    """The cloud answered what the demo cannot go on with; the message holds the request and the answer."""


@dataclass(slots=True)
class Cloud:
    """One project's view of a cloud: calls carry its token."""

    http: httpx.Client
    token: str
    project_id: str

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """One request; returns the decoded answer, raises DemoError for any other status than success."""
        reply = self.http.request(method, path, json=body, headers={"X-Auth-Token": self.token})
        if reply.status_code >= 300:
            raise DemoError(f"{method} {path} -> {reply.status_code} {reply.text[:300]}")
        return reply.json() if reply.content else None

    def create(self, collection: str, **values: Any) -> dict[str, Any]:
        """POST one resource of the Network API (``security_groups`` …) and return it."""
        single = collection[:-1]
        reply: dict[str, dict[str, Any]] = self.call("POST", f"/v2.0/{collection.replace('_', '-')}", {single: values})
        return reply[single]

    def update(self, collection: str, id: str, **values: Any) -> dict[str, Any]:
        """PUT changed attributes of one resource and return it."""
        single = collection[:-1]
        reply: dict[str, dict[str, Any]] = self.call(
            "PUT", f"/v2.0/{collection.replace('_', '-')}/{id}", {single: values}
        )
        return reply[single]

    def delete(self, collection: str, id: str) -> None:
        """DELETE one resource."""
        self.call("DELETE", f"/v2.0/{collection.replace('_', '-')}/{id}")

    def show(self, collection: str, id: str) -> dict[str, Any]:
        """GET one resource."""
        reply: dict[str, dict[str, Any]] = self.call("GET", f"/v2.0/{collection.replace('_', '-')}/{id}")
        return reply[collection[:-1]]


def log_in(http: httpx.Client, user: str, password: str, project: str) -> Cloud:
    """A token of a user of the default domain for a project of it."""
    identity = {
        "methods": ["password"],
        "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password}},
    }
    scope = {"project": {"name": project, "domain": {"id": "default"}}}
    reply = http.post("/identity/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}})
    if reply.status_code != 201:
        raise DemoError(f"user {user} cannot log in to project {project}: {reply.status_code} {reply.text[:300]}")
    return Cloud(http, reply.headers["X-Subject-Token"], reply.json()["token"]["project"]["id"])


def tenant(http: httpx.Client, admin: Cloud, name: str, password: str) -> Cloud:
    """Make a project with a user of the same name, who is a member of it, and log that user in."""
    project = admin.call("POST", "/identity/v3/projects", {"project": {"name": name}})["project"]["id"]
    user = admin.call("POST", "/identity/v3/users", {"user": {"name": name, "password": password}})["user"]["id"]
    roles = {role["name"]: role["id"] for role in admin.call("GET", "/identity/v3/roles")["roles"]}
    admin.call("PUT", f"/identity/v3/projects/{project}/users/{user}/roles/{roles['member']}")
    return log_in(http, name, password, name)
