"""Get me a network: a project's network with subnets, routed to the outside, made when it is first asked for."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.access import quota
from kaon.resources.declare import Ask, Attribute, Call, Extension, Resource, standard
from kaon.resources.errors import ApiError, bad_request, conflict, forbidden
from kaon.resources.networks.network import NETWORK
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER
from kaon.resources.routers.router import ROUTER, add_interface, remove_interface
from kaon.resources.routers.router_interface import of as interfaces_of
from kaon.resources.subnets import subnetpool
from kaon.resources.subnets.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def _project(tx: Transaction, ask: Ask) -> str:
    """Whose topology it is; clients that name nobody write ``None`` or ``null`` and mean their own."""
    named, own = ask.params["project"], tx.caller.project_id
    if named in ("None", "null", own):
        return own
    if not tx.caller.is_admin:
        raise forbidden("Not authorized.", "NotAuthorized")
    return named


def _failure(reason: str) -> ApiError:
    return conflict("AutoAllocationFailure", f"Deployment error: {reason}.")


def _external(tx: Transaction) -> Record:
    for network in records.select(tx.conn, NETWORK, NETWORK.table.c.is_default):
        if network["external_to"]:
            return network
    raise _failure("No default router:external network")


def _pools(tx: Transaction) -> list[Record]:
    pools = [pool for pool in (subnetpool.default(tx, version) for version in (4, 6)) if pool is not None]
    if not pools:
        raise _failure("No default subnetpools defined")
    return pools


def _answer(project: str, id: str) -> dict[str, Any]:
    return {"auto_allocated_topology": {"id": id, "project_id": project, "tenant_id": project}}


def _show(tx: Transaction, ask: Ask) -> dict[str, Any]:
    """GET: the project's topology, made now when it has none; with ``fields=dry-run``, whether it could be."""
    project = _project(tx, ask)
    fields = [value for name, value in ask.pairs if name == "fields"]
    if "dry-run" in fields:
        _external(tx)
        _pools(tx)
        return _answer(project, "dry-run=pass")
    if fields:
        raise bad_request("Bad auto_allocate request: Unrecognized field.", "BadRequest")
    held = records.by(tx.conn, TOPOLOGY, project_id=project)
    return _answer(project, (held[0] if held else _make(tx, project))["network_id"])


def _make(tx: Transaction, project: str) -> Record:
    external, pools = _external(tx), _pools(tx)
    for resource, count in ((NETWORK, 1), (SUBNET, len(pools)), (ROUTER, 1)):
        quota.demand(tx, resource, project, count)
    network = NETWORK.create(tx, NETWORK.with_defaults({"name": "auto_allocated_network", "project_id": project}))
    router = ROUTER.create(
        tx,
        ROUTER.with_defaults(
            {
                "name": "auto_allocated_router",
                "project_id": project,
                "external_gateway_info": {"network_id": external["id"]},
            }
        ),
    )
    for pool in pools:
        subnet = SUBNET.create(
            tx,
            SUBNET.with_defaults(
                {
                    "name": f"auto_allocated_subnet_v{pool['ip_version']}",
                    "network_id": network["id"],
                    "project_id": project,
                    "ip_version": pool["ip_version"],
                    "subnetpool_id": pool["id"],
                }
            ),
        )
        add_interface(tx, router, {"subnet_id": subnet["id"]})
    return records.insert(
        tx,
        TOPOLOGY,
        {"id": types.new_id(), "project_id": project, "network_id": network["id"], "router_id": router["id"]},
    )


def _remove(tx: Transaction, ask: Ask) -> None:
    """DELETE: take the topology apart; refused while something of the project's own is on it."""
    project = _project(tx, ask)
    for topology in records.by(tx.conn, TOPOLOGY, project_id=project):
        TOPOLOGY.delete(tx, topology)


def _delete(tx: Transaction, topology: Record) -> None:
    router = records.find(tx.conn, ROUTER, topology["router_id"])
    if router is not None:
        for port in interfaces_of(tx, router["id"]):
            remove_interface(tx, router, {"port_id": port["id"]})
        ROUTER.delete(tx, records.get(tx.conn, ROUTER, router["id"]))
    network = records.find(tx.conn, NETWORK, topology["network_id"])
    if network is not None:
        NETWORK.delete(tx, network)
    records.delete(tx, TOPOLOGY, topology)


def _create(tx: Transaction, body: dict[str, Any]) -> Record:
    return records.insert(tx, TOPOLOGY, body)


def _update(tx: Transaction, topology: Record, body: dict[str, Any]) -> Record:
    return records.update(tx, TOPOLOGY, topology, body)


TOPOLOGY = Resource(
    name="auto_allocated_topology",
    collection="auto_allocated_topologies",
    attributes=standard(
        Attribute("network_id", types.UUID),
        Attribute("router_id", types.UUID),
        named=False,
        tags=False,
        description=False,
    ),
    create=_create,
    update=_update,
    delete=_delete,
    create_rule=ADMIN,
    get_rule=ADMIN_OR_READER,
    update_rule=ADMIN,
    delete_rule=ADMIN_OR_MEMBER,
    methods=frozenset(),
)

RESOURCES = (TOPOLOGY,)

_PATH = "auto-allocated-topology/{project}"

CALLS = (
    Call("GET", _PATH, _show, "get_auto_allocated_topology", ADMIN_OR_READER, writes=True),
    Call("DELETE", _PATH, _remove, "delete_auto_allocated_topology", ADMIN_OR_MEMBER, status=204),
)

EXTENSIONS = (
    Extension(
        "auto-allocated-topology",
        "Auto Allocated Topology Services",
        "Auto Allocated Topology Services.",
        "2016-01-01T00:00:00-00:00",
    ),
)
