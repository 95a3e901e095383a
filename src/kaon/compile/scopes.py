"""Which scopes there are, what compiles each, and which of them a record gives rise to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from kaon.compile import (
    antispoof,
    conntrack_helper,
    dhcp,
    facts,
    l2,
    l3,
    metadata,
    names,
    nat,
    ndp_proxy,
    port_forwarding,
    qos,
    security,
    tunnels,
)
from kaon.compile.view import Scope, View
from kaon.rows import Row
from kaon.world.addresses import port_addresses
from kaon.world.world import Record, World, policy_key

HOST = Scope("host", "")
"""What every host has, whatever the tenants ask for."""


def _host(view: View, _: str) -> Iterator[Row]:
    yield from antispoof.host_rows()
    yield from tunnels.host_rows(view)
    yield from security.host_rows()
    yield from qos.host_rows(view)


def _network(view: View, network_id: str) -> Iterator[Row]:
    yield from l2.network_rows(view, network_id)
    yield from tunnels.network_rows(view, network_id)


def _services(view: View, network_id: str) -> Iterator[Row]:
    yield from dhcp.network_rows(view, network_id)
    yield from metadata.network_rows(view, network_id)


def _port(view: View, port_id: str) -> Iterator[Row]:
    port = view.get("port", port_id)
    if port is None:
        return
    yield from l2.port_rows(view, port)
    if qos.port_policy(port) and (device := l2.bridge_port(view, port)):
        yield from qos.port_rows(view, port, device)
    if (port.get("device_owner") or "").startswith("network:router_"):
        yield from l3.port_rows(view, port)
    if facts.is_service(port):
        yield from tunnels.service_rows(view, port)
        return
    yield from tunnels.port_rows(view, port)
    attachment = facts.attachment_here(view, port_id)
    yield from dhcp.port_rows(view, port)
    if attachment is not None:
        yield from metadata.port_rows(view, port, attachment)
    if facts.is_filtered(port):
        yield from security.port_rows(view, port, attachment is not None)
        if attachment is not None:
            yield from antispoof.port_rows(port, names.host_device(port, attachment))


def _router(view: View, router_id: str) -> Iterator[Row]:
    yield from l3.router_rows(view, router_id)
    yield from nat.router_rows(view, router_id)
    yield from ndp_proxy.router_rows(view, router_id)
    yield from conntrack_helper.router_rows(view, router_id)
    yield from qos.router_rows(view, router_id)


def _floatingip(view: View, floatingip_id: str) -> Iterator[Row]:
    yield from nat.floatingip_rows(view, floatingip_id)
    yield from qos.floatingip_rows(view, floatingip_id)


def _group(view: View, group_id: str) -> Iterator[Row]:
    yield from security.group_rows(view, group_id)
    yield from security.prefix_rows(view, group_id)


COMPILERS: dict[str, Callable[[View, str], Iterable[Row]]] = {
    "host": _host,
    "network": _network,
    "services": _services,
    "port": _port,
    "router": _router,
    "floatingip": _floatingip,
    "port_forwarding": port_forwarding.forwarding_rows,
    "ndp_proxy": ndp_proxy.proxy_rows,
    "security_group": _group,
    "policy": security.policy_rows,
    "member": security.member_rows,
    "endpoint": tunnels.endpoint_rows,
}
"""Kind of scope -> what compiles it."""


def scopes_of(kind: str, record: Record) -> Iterator[Scope]:
    """The scopes that a record gives rise to by existing; what else depends on it, the view knows."""
    match kind:
        case "network":
            yield Scope("network", record["id"])
            yield Scope("services", record["id"])
        case "port":
            yield Scope("port", record["id"])
            groups = record.get("security_groups") or ()
            if groups:
                yield Scope("policy", policy_key(record))
                for address in port_addresses(record):
                    for group in groups:
                        yield Scope("member", f"{group} {address}")
        case "agent":
            yield Scope("endpoint", record["host"])
        case "router" | "floatingip" | "port_forwarding" | "ndp_proxy" | "security_group":
            yield Scope(kind, record["id"])


def exists(world: World, scope: Scope) -> bool:
    """Whether some record still gives rise to a scope."""
    match scope.kind:
        case "host":
            return True
        case "policy":
            return bool(world.ids_by("port", "policy", scope.id))
        case "member":
            return bool(world.ids_by("port", "group_address", scope.id))
        case "endpoint":
            return bool(world.ids_by("agent", "host", scope.id))
        case "services":
            return world.get("network", scope.id) is not None
    return world.get(scope.kind, scope.id) is not None


def compile_scope(view: View, scope: Scope) -> list[Row]:
    """The rows of a scope; the view remembers what they depend on."""
    return view.compute(scope, lambda: list(COMPILERS[scope.kind](view, scope.id)))
