"""Policy check strings that many rules share, under the meanings of Neutron's default roles."""

from __future__ import annotations

ADMIN = "rule:admin_only"
ANY = "rule:regular_user"
SERVICE = "rule:service_api"

MANAGER = "role:manager and project_id:%(project_id)s"
MEMBER = "role:member and project_id:%(project_id)s"
READER = "role:reader and project_id:%(project_id)s"
NETWORK_OWNER_MEMBER = "role:member and rule:network_owner"
NETWORK_OWNER_READER = "role:reader and rule:network_owner"
PARENT_OWNER_MANAGER = "role:manager and rule:ext_parent_owner"
PARENT_OWNER_MEMBER = "role:member and rule:ext_parent_owner"
PARENT_OWNER_READER = "role:reader and rule:ext_parent_owner"
GROUP_OWNER_MEMBER = "role:member and rule:sg_owner"
GROUP_OWNER_READER = "role:reader and rule:sg_owner"


def either(*checks: str) -> str:
    """One check string that holds when any of these does."""
    return " or ".join(f"({check})" for check in checks)


ADMIN_OR_MANAGER = either(ADMIN, MANAGER)
ADMIN_OR_MEMBER = either(ADMIN, MEMBER)
ADMIN_OR_READER = either(ADMIN, READER)
ADMIN_OR_SERVICE = either(ADMIN, SERVICE)
ADMIN_OR_NETWORK_OWNER_MEMBER = either(ADMIN, NETWORK_OWNER_MEMBER)
ADMIN_OR_NETWORK_OWNER_READER = either(ADMIN, NETWORK_OWNER_READER)

BASE_RULES: dict[str, str] = {
    "context_is_admin": "role:admin",
    "service_api": "role:service",
    "owner": "project_id:%(project_id)s",
    "admin_or_owner": "rule:context_is_admin or rule:owner",
    "admin_or_network_owner": "rule:context_is_admin or project_id:%(network:project_id)s",
    "admin_owner_or_network_owner": "rule:owner or rule:admin_or_network_owner",
    "network_owner": "project_id:%(network:project_id)s",
    "admin_or_data_plane_int": "rule:context_is_admin or role:data_plane_integrator",
    "admin_only": "rule:context_is_admin",
    "regular_user": "",
    "shared": "field:networks:shared=True",
    "default": "rule:admin_or_owner",
    "ext_parent_owner": "project_id:%(ext_parent:project_id)s",
    "admin_or_ext_parent_owner": "rule:context_is_admin or rule:ext_parent_owner",
    "sg_owner": "project_id:%(security_group:project_id)s",
}
"""Neutron's own base rules by their names, so that an operator's policy.yaml can go on using and changing them."""
