"""Networks, subnets and routers in few words, for tests of what routes between them."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud

Body = dict[str, Any]


async def network(cloud: Cloud, token: str, *cidrs: str, **values: Any) -> tuple[Body, list[Body]]:
    """A network with a subnet for each prefix."""
    made = await cloud.made(token, "/networks", **values)
    subnets = []
    for cidr in cidrs:
        version = 6 if ":" in cidr else 4
        modes = {"ipv6_ra_mode": "slaac", "ipv6_address_mode": "slaac"} if version == 6 else {}
        subnets.append(
            await cloud.made(token, "/subnets", network_id=made["id"], cidr=cidr, ip_version=version, **modes)
        )
    return made, subnets


async def external(cloud: Cloud, cidr: str = "203.0.113.0/24") -> Body:
    """An external network that every project may use."""
    made, _ = await network(cloud, "admin:ops", cidr, **{"router:external": True})
    return made


async def join(cloud: Cloud, token: str, router: Body, **what: str) -> tuple[int, Any]:
    """Add an interface."""
    return await cloud(token, "PUT", f"/routers/{router['id']}/add_router_interface", what)


async def leave(cloud: Cloud, token: str, router: Body, **what: str) -> tuple[int, Any]:
    """Remove an interface."""
    return await cloud(token, "PUT", f"/routers/{router['id']}/remove_router_interface", what)


async def shown(cloud: Cloud, token: str, path: str) -> Body:
    """One resource as it is now."""
    status, body = await cloud(token, "GET", path)
    assert status == 200, body
    return dict(next(iter(body.values())))


def kind(reply: tuple[int, Any]) -> tuple[int, str]:
    """Status and error type of an answer."""
    status, body = reply
    return status, body["NeutronError"]["type"] if status >= 400 else ""
