"""Two hundred resources of all kinds come and go as Heat's engines do it: eight at once, by what needs what.

Heat takes a 404 of a deletion for done and tries nothing again, so a conflict or a fault that an order of requests can
bring about is a bug of the server; here every answer that is no success is one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import openstack
import pytest
from openstack.connection import Connection

from tests.e2e import recount
from tests.e2e.conftest import connect
from tests.e2e.graph import Graph
from tests.running import Running, running
from tests.wait import until

pytestmark = pytest.mark.slow

STACKS = 5
PARALLEL = 8
AT_LEAST = 200
"""Resources of all stacks."""
NOT_INTENT = ("journal", "sqlite_sequence")
"""Tables that only grow."""


def stack(graph: Graph, cloud: Connection, number: int) -> None:
    """A tenant's application: tiers of networks behind a router, filtered, shaped, reachable from outside."""
    net, made = cloud.network, graph.made

    def at(name: str) -> str:
        return name if name.startswith("outer") else f"{name}-{number}"

    def id(name: str) -> str:
        return str(made[at(name)].id)

    def step(name: str, needs: str, make: Callable[[], Any], remove: Callable[[], Any]) -> None:
        graph.add(at(name), tuple(at(need) for need in needs.split()), make, remove)

    def resource(kind: str, label: str, needs: str = "", /, **values: Any) -> None:
        """A resource whose attributes may be functions of what has been made by then."""

        def make() -> Any:
            given = {key: value() if callable(value) else value for key, value in values.items()}
            return getattr(net, f"create_{kind}")(**given)

        step(label, needs, make, lambda: getattr(net, f"delete_{kind}")(id(label)))

    def rule(name: str, needs: str, **values: Any) -> None:
        resource("security_group_rule", name, needs, direction="ingress", **values)

    resource("address_group", "offices", name=at("offices"), addresses=["198.51.100.0/24"])
    for tier in ("web", "app", "db"):
        resource("security_group", f"{tier}-group", name=at(tier))
    rule("https", "web-group", security_group_id=lambda: id("web-group"), protocol="tcp", port_range_min=443,
         port_range_max=443)  # fmt: skip
    rule("ssh", "web-group offices", security_group_id=lambda: id("web-group"), protocol="tcp", port_range_min=22,
         port_range_max=22, remote_address_group_id=lambda: id("offices"))  # fmt: skip
    rule("from-web", "app-group web-group", security_group_id=lambda: id("app-group"), protocol="tcp",
         remote_group_id=lambda: id("web-group"))  # fmt: skip
    rule("from-app", "db-group app-group", security_group_id=lambda: id("db-group"), protocol="tcp",
         remote_group_id=lambda: id("app-group"))  # fmt: skip

    resource("address_scope", "scope", name=at("scope"), ip_version=6)
    resource("subnet_pool", "pool", "scope", name=at("pool"), prefixes=[f"2001:db8:{number}::/48"],
             default_prefix_length=64, address_scope_id=lambda: id("scope"))  # fmt: skip
    resource("qos_policy", "policy", name=at("policy"))
    step(
        "limit",
        "policy",
        lambda: net.create_qos_bandwidth_limit_rule(id("policy"), max_kbps=10_000, direction="egress"),
        lambda: net.delete_qos_bandwidth_limit_rule(id("limit"), id("policy")),
    )
    resource("router", "router", "outer-subnet", name=at("router"),
             external_gateway_info=lambda: {"network_id": made["outer"].id})  # fmt: skip
    for place, tier in enumerate(("web", "app", "db")):
        resource("network", f"{tier}-net", "policy", name=at(tier), qos_policy_id=lambda: id("policy"))
        resource("subnet", f"{tier}-4", f"{tier}-net", network_id=lambda tier=tier: id(f"{tier}-net"), ip_version=4,
                 cidr=f"10.{number}.{place}.0/24")  # fmt: skip
        resource("subnet", f"{tier}-6", f"{tier}-net pool", network_id=lambda tier=tier: id(f"{tier}-net"),
                 ip_version=6, subnetpool_id=lambda: id("pool"))  # fmt: skip
        for version in (4, 6):
            subnet = f"{tier}-{version}"
            step(
                f"{subnet}-leg",
                f"router {subnet}",
                lambda subnet=subnet: net.add_interface_to_router(id("router"), subnet=id(subnet)),
                lambda subnet=subnet: net.remove_interface_from_router(id("router"), subnet=id(subnet)),
            )
        for index in range(2):
            resource("port", f"{tier}-{index}-port", f"{tier}-4 {tier}-6 {tier}-group", name=at(f"{tier}-{index}"),
                     network_id=lambda tier=tier: id(f"{tier}-net"),
                     security_groups=lambda tier=tier: [id(f"{tier}-group")])  # fmt: skip
    resource("ip", "float", "web-0-port web-4-leg router", floating_network_id=lambda: made["outer"].id,
             port_id=lambda: id("web-0-port"))  # fmt: skip
    resource("ip", "shared-float", "router outer-subnet", floating_network_id=lambda: made["outer"].id)
    step(
        "forwarding",
        "shared-float web-1-port web-4-leg",
        lambda: net.create_floating_ip_port_forwarding(
            id("shared-float"),
            internal_port_id=id("web-1-port"),
            internal_port=22,
            external_port=2222,
            protocol="tcp",
            internal_ip_address=next(
                item["ip_address"] for item in made[at("web-1-port")].fixed_ips if "." in item["ip_address"]
            ),
        ),
        lambda: net.delete_floating_ip_port_forwarding(id("shared-float"), id("forwarding")),
    )
    resource("trunk", "trunk", "app-0-port db-1-port", name=at("trunk"), port_id=lambda: id("app-0-port"),
             sub_ports=lambda: [{"port_id": id("db-1-port"), "segmentation_type": "vlan",
                                 "segmentation_id": 7}])  # fmt: skip
    step(
        "helper",
        "router",
        lambda: net.create_conntrack_helper(id("router"), protocol="udp", helper="tftp", port=69),
        lambda: net.delete_conntrack_helper(id("helper"), id("router")),
    )
    resource("rbac_policy", "opened", "web-net", object_type="network", object_id=lambda: id("web-net"),
             action="access_as_shared", target_project_id="another")  # fmt: skip
    step(
        "routes",
        "router web-4-leg web-4",
        lambda: net.add_extra_routes_to_router(id("router"), body=_routes(number)),
        lambda: net.remove_extra_routes_from_router(id("router"), body=_routes(number)),
    )


def _routes(number: int) -> dict[str, Any]:
    return {"router": {"routes": [{"destination": "192.0.2.0/24", "nexthop": f"10.{number}.0.250"}]}}


@pytest.fixture
def fresh(folder: Path) -> Iterator[Running]:
    with running(folder / "stacks", "--engine", "fake") as kaon:
        yield kaon


def everything(http: httpx.Client) -> dict[str, list[str]]:
    """Every collection that the API serves, and what is in it."""
    served = http.get("/v2.0/").raise_for_status().json()["resources"]
    found = {}
    for item in served:
        answer = http.get(item["links"][0]["href"]).raise_for_status().json()
        (records,) = (value for name, value in answer.items() if not name.endswith("_links"))
        found[item["name"]] = sorted(record.get("id", str(record)) for record in records)
    return found


def rows(database: Path) -> dict[str, int]:
    """How many rows each table has."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as conn:
        tables = [name for (name,) in conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        counted = {name: conn.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in tables}
        counted["used"] = conn.execute("SELECT sum(used) FROM quota_usages").fetchone()[0]
    return {name: count for name, count in counted.items() if name not in (*NOT_INTENT, "quota_usages")}


def on_the_host(http: httpx.Client) -> float:
    """Rows that must exist on the host, namespaces among them, once its agent has acknowledged every change."""

    def settled() -> float:
        lines = http.get("/metrics").raise_for_status().text.splitlines()
        found = {line.split("{")[0]: float(line.split()[-1]) for line in lines if line.startswith("kaon_agent_")}
        return found["kaon_agent_rows"] + 1 if found["kaon_agent_lag"] == 0 else 0

    return until(settled, 30, "the agent has acknowledged every change") - 1


def answers(cloud: Connection) -> list[tuple[int, str]]:
    """A list that gets the status of every answer from now on, and what was asked and said."""
    found: list[tuple[int, str]] = []

    def note(answer: Any, *_: Any, **__: Any) -> None:
        said = answer.text if answer.status_code >= 400 else ""
        found.append((answer.status_code, f"{answer.request.method} {answer.url} {said}"))

    cloud.session.session.hooks["response"].append(note)
    return found


@pytest.mark.timeout(240)
def test_stacks_come_and_go_eight_at_once_and_nothing_stays(fresh: Running) -> None:
    database = fresh.data / "server" / "kaon.db"
    with connect(fresh) as cloud:
        unlimited(cloud)
        headers = {"X-Auth-Token": cloud.auth_token}
        with httpx.Client(base_url=fresh.url, headers=headers, timeout=30) as http:
            graph = Graph(PARALLEL)
            outer = cloud.network.create_network(name="outer", is_router_external=True)
            subnet = cloud.network.create_subnet(
                network_id=outer.id, ip_version=4, cidr="203.0.113.0/24", enable_dhcp=False
            )
            # What a project has for as long as it exists is there before.
            everything(http)
            before, kept, wired = everything(http), rows(database), on_the_host(http)
            graph.made.update({"outer": outer, "outer-subnet": subnet})
            for name in ("outer", "outer-subnet"):
                graph.add(name, (), lambda name=name: graph.made[name], lambda: None)
            for number in range(STACKS):
                stack(graph, cloud, number)
            assert len(graph.steps) >= AT_LEAST
            told = answers(cloud)
            graph.build()
            assert on_the_host(http) > wired
            graph.destroy()
            assert [answer for answer in told if answer[0] >= 400] == []
            assert len(told) >= 2 * AT_LEAST
            assert everything(http) == before
            assert rows(database) == kept
            assert on_the_host(http) == wired
    fresh.process.terminate()
    fresh.process.wait(15)
    assert recount.faults(database) == []


def unlimited(cloud: Connection) -> None:
    """Let the administrator's project have as much as it wants."""
    project = cloud.current_project_id
    names = cloud.network.get(f"/quotas/{project}").json()["quota"]
    answer = cloud.network.put(f"/quotas/{project}", json={"quota": dict.fromkeys(names, -1)})
    openstack.exceptions.raise_from_response(answer)
