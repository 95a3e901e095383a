"""Who asks: what identity knows of a request, and all that the API, policy and the journal need of it."""

from __future__ import annotations

import msgspec


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller in one scope. `roles` has implied roles expanded; `system` is true for system scope."""

    user_id: str = ""
    user_name: str = ""
    user_domain_id: str = ""
    project_id: str = ""
    project_name: str = ""
    project_domain_id: str = ""
    domain_id: str = ""
    system: bool = False
    roles: frozenset[str] = frozenset()
    request_id: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether policy's `context_is_admin` holds by default: the admin role, in whatever scope."""
        return "admin" in self.roles

    @property
    def is_service(self) -> bool:
        """Whether policy's `service_api` holds by default: another service of the cloud, such as Nova."""
        return "service" in self.roles


INTERNAL = Caller(user_name="kaon", roles=frozenset({"admin"}))
"""Kaon itself, for what no client asked: bootstrap, binding, derived ports."""
