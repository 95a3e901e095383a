"""What a project's lists cost among what others have: its own ports among a hundred times as many foreign ones.

The foreign ports are made through the API as everybody makes them, in bulk, and are of the administrator's project; a
tenant lists its own before and after, and both run every common filter on the whole crowd.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from bench.api import Load
from bench.figures import Figure
from bench.server import Kaon

OWN = 1000
"""Ports of the tenant."""
BULK = 500
"""Ports made by one request."""
A_NETWORK = 5000
"""Foreign ports on one network."""
ROUNDS = 25
REACH = 2.0
"""How many times as long a list of own ports may take among foreign ones."""


async def run(kaon: Kaon, foreign: int, show: Callable[[str], None]) -> list[Figure]:
    """All phases on a Kaon that runs and is empty."""
    async with aiohttp.ClientSession(headers={"X-Auth-Token": kaon.token}) as http:
        admin = Load(http, kaon, show)
        async with aiohttp.ClientSession(headers={"X-Auth-Token": kaon.tenant("tenant")}) as https:
            tenant = Load(https, kaon, show)
            own = await _fill(tenant, "own", OWN, show, address=172)
            alone = await _own_lists(tenant, own, f"list {OWN} own ports, alone")
            for number in range(-(-foreign // A_NETWORK)):
                await _fill(admin, f"crowd{number}", min(A_NETWORK, foreign - number * A_NETWORK), show)
            amid = await _own_lists(tenant, own, f"list {OWN} own ports, {foreign} foreign")
            times = round(amid / alone, 2)
            ratio = Figure(f"own ports among {foreign}, times of alone", times, "", reach=REACH)
            for name, query in _filters(own).items():
                await _phase(tenant, f"own by {name}", query)
                await _phase(admin, f"of all by {name}", query)
            return [*tenant.figures, ratio, *admin.figures]


async def _fill(load: Load, name: str, count: int, show: Callable[[str], None], address: int = 10) -> dict[str, Any]:
    """A network of this name with so many ports; the last of them."""
    network = await load.make("networks", name=name)
    await load.make("subnets", network_id=network, ip_version=4, cidr=f"{address}.0.0.0/16", name=name)
    made: list[dict[str, Any]] = []
    for start in range(0, count, BULK):
        show(f"{name}: {start} of {count} ports")
        ports = [
            {"network_id": network, "name": f"{name}-{i}", "device_id": f"{name}-{i // 2}", "device_owner": "compute:a"}
            for i in range(start, min(start + BULK, count))
        ]
        made = (await load.ask("POST", "ports", {"ports": ports}))["ports"]
    return made[-1]


async def _own_lists(load: Load, own: Mapping[str, Any], name: str) -> float:
    """Milliseconds of a list of all that the tenant has."""
    await load.send("GET", "ports")
    await load.phase(name, [load.asking("GET", "ports") for _ in range(ROUNDS)])
    return load.figures[-1].value


def _filters(port: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """The filters that clients use, each with the value that one port has."""
    address = port["fixed_ips"][0]
    plain = ("id", "name", "network_id", "device_id", "mac_address")
    return {
        **{name: {name: port[name]} for name in plain},
        "device_owner": {"device_owner": "network:dhcp"},
        "network_id, device_owner": {"network_id": port["network_id"], "device_owner": "network:dhcp"},
        "address": {"fixed_ips": f"ip_address={address['ip_address']}"},
        "subnet, address": {"fixed_ips": f"subnet_id={address['subnet_id']}"},
        "security group": {"security_groups": port["security_groups"][0]},
        "status ERROR": {"status": "ERROR"},
        "a tag": {"tags": "web"},
        "name, a page": {"name": port["name"], "limit": "10"},
    }


async def _phase(load: Load, name: str, query: Mapping[str, str]) -> None:
    await load.phase(name, [load.asking("GET", "ports", **query) for _ in range(ROUNDS)])
