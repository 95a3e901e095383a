"""Subnet pools: prefixes from which projects take subnets of the size that they need, without overlap."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.access import sharing
from kaon.resources.declare import REQUIRED, UNSET, Action, Attribute, Extension, Resource, named, standard
from kaon.resources.errors import ApiError, bad_request, conflict, invalid
from kaon.resources.networks.network import NETWORK
from kaon.resources.roles import ADMIN, ADMIN_OR_MEMBER, ADMIN_OR_READER, either
from kaon.resources.subnets import prefixes, subnet_onboard
from kaon.resources.subnets.address_scope import ADDRESS_SCOPE
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

# ---------------------------------------------------------------- the resource's own life


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a pool: its prefixes joined where they touch, its bounds filled in."""
    shared = body.pop("shared")
    values = prefixes.completed({"default_quota": None, **body})
    if values["is_default"]:
        _demand_no_default(tx, values["ip_version"])
    id = types.new_id()
    _demand_scope(tx, {**values, "id": id})
    pool = records.insert(tx, SUBNETPOOL, {**values, "id": id, "shared_with": []})
    if shared:
        sharing.share_with_all(tx, SUBNETPOOL, pool)
    return records.get(tx.conn, SUBNETPOOL, id)


def update(tx: Transaction, pool: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; prefixes are only ever added here, and networks follow a changed address scope."""
    after = prefixes.completed({**pool, **body})
    if after["ip_version"] != pool["ip_version"]:
        raise bad_request("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", "PrefixVersionMismatch")
    if not prefixes.contains_all(after["prefixes"], pool["prefixes"]):
        raise bad_request(
            "Illegal update to prefixes: existing prefixes must be a subset of the new prefixes.",
            "IllegalSubnetPoolPrefixUpdate",
        )
    if after["is_default"] and not pool["is_default"]:
        _demand_no_default(tx, pool["ip_version"])
    if pool["address_scope_id"]:
        scope = records.get(tx.conn, ADDRESS_SCOPE, pool["address_scope_id"])
        if not tx.caller.is_admin and scope["project_id"] != tx.caller.project_id:
            raise bad_request(
                f"Illegal subnetpool update : subnetpool {pool['id']} cannot be updated when associated with shared "
                f"address scope {scope['id']}.",
                "IllegalSubnetPoolUpdate",
            )
    _demand_scope(tx, after)
    stored = records.update(tx, SUBNETPOOL, pool, after)
    if stored["address_scope_id"] != pool["address_scope_id"]:
        _rescope_networks(tx, stored)
    return stored


def delete(tx: Transaction, pool: Record) -> None:
    """Remove a pool from which nothing is taken."""
    if _subnets(tx, pool["id"]):
        raise bad_request(
            "Unable to delete subnet pool: Subnet pool has existing allocations.", "SubnetPoolDeleteError"
        )
    sharing.forget_policies(tx, pool)
    records.delete(tx, SUBNETPOOL, pool)


def _subnets(tx: Transaction, pool_id: str) -> list[Record]:
    subnet = named("subnet")
    return records.by(tx.conn, subnet, subnetpool_id=pool_id)


def default(tx: Transaction, version: int) -> Record | None:
    """The default pool of an IP version, None where there is none."""
    column = SUBNETPOOL.table.c
    found = records.select(tx.conn, SUBNETPOOL, column.is_default, column.ip_version == version)
    return found[0] if found else None


def _demand_no_default(tx: Transaction, version: int) -> None:
    if default(tx, version) is not None:
        raise invalid(
            "A default subnetpool for this IP family has already been set. Only one default may exist per IP family"
        )


# ---------------------------------------------------------------- address scopes


def _demand_scope(tx: Transaction, pool: Record) -> None:
    """Raise unless the pool may belong to its address scope: accessible, of its IP version, without overlap."""
    id = pool["address_scope_id"]
    if id is None:
        return
    scope = records.get(tx.conn, ADDRESS_SCOPE, id)
    if not _accessible(tx.caller, scope):
        raise records.missing(ADDRESS_SCOPE, id)
    if scope["ip_version"] != pool["ip_version"]:
        raise bad_request(
            f"Illegal subnetpool association: subnetpool {pool['id']} cannot associate with address scope {id} because "
            f"subnetpool ip_version is not {scope['ip_version']}.",
            "IllegalSubnetPoolIpVersionAssociationToAddressScope",
        )
    subnet = named("subnet").table
    on_its_networks = sa.select(subnet.c.network_id).where(subnet.c.subnetpool_id == pool["id"])
    foreign = tx.execute(
        sa.select(subnet.c.id).where(
            subnet.c.network_id.in_(on_its_networks),
            subnet.c.ip_version == pool["ip_version"],
            sa.func.coalesce(subnet.c.subnetpool_id, "") != pool["id"],
        )
    ).first()
    if foreign is not None:
        raise _affinity_of_scope()
    for other in records.select(tx.conn, SUBNETPOOL, SUBNETPOOL.table.c.address_scope_id == id):
        if other["id"] != pool["id"] and prefixes.share_any(other["prefixes"], pool["prefixes"]):
            raise conflict(
                "AddressScopePrefixConflict",
                "Failed to associate address scope: subnetpools within an address scope must have unique prefixes.",
            )


def _accessible(caller: Caller, record: Record) -> bool:
    return caller.is_admin or record["project_id"] == caller.project_id or sharing.is_shared(record, caller)


def _affinity_of_scope() -> ApiError:
    return bad_request(
        "Subnets of the same address family hosted on the same network must all participate in the same address scope.",
        "NetworkAddressScopeAffinityError",
    )


def _rescope_networks(tx: Transaction, pool: Record) -> None:
    key = f"ipv{pool['ip_version']}_address_scope"
    for id in sorted({item["network_id"] for item in _subnets(tx, pool["id"])}):
        network = records.get(tx.conn, NETWORK, id)
        records.update(tx, NETWORK, network, {key: pool["address_scope_id"]})


# ---------------------------------------------------------------- prefixes for subnets


def prefix_for(tx: Transaction, body: dict[str, Any]) -> dict[str, Any]:
    """What a pool decides of a new subnet: its pool and prefix. Without a pool the client must name the prefix."""
    cidr, length = body.get("cidr"), body.get("prefixlen")
    if cidr is not None and length is not None:
        raise _bad_subnet("cidr and prefixlen must not be supplied together")
    pool = _wanted_pool(tx, body)
    if pool is None:
        if cidr is None:
            raise _bad_subnet("a subnetpool must be specified in the absence of a cidr")
        return {}
    if cidr is None and "allocation_pools" in body:
        raise _bad_subnet("allocation_pools allowed only for specific subnet requests.")
    if body["ip_version"] != pool["ip_version"]:
        raise _bad_subnet(f"Cannot allocate IPv{body['ip_version']} subnet from IPv{pool['ip_version']} subnet pool")
    taken = [ipaddress.ip_network(item["cidr"]) for item in _subnets(tx, pool["id"])]
    found = prefixes.allocate(pool, taken, cidr, length)
    _demand_quota(tx, pool, body["project_id"], found.prefixlen)
    return {"cidr": str(found), "subnetpool_id": pool["id"]}


def _bad_subnet(reason: str) -> ApiError:
    return bad_request(f"Bad subnets request: {reason}.", "BadRequest")


def _wanted_pool(tx: Transaction, body: dict[str, Any]) -> Record | None:
    id = body["subnetpool_id"]
    if body["use_default_subnetpool"]:
        if id is not None:
            raise _bad_subnet("subnetpool_id and use_default_subnetpool cannot both be specified")
        pool = default(tx, body["ip_version"])
        if pool is None:
            raise _bad_subnet(f"No default subnetpool found for IPv{body['ip_version']}")
        return pool
    if id is None:
        return None
    pool = records.find(tx.conn, SUBNETPOOL, id)
    if pool is None or not _accessible(tx.caller, pool):
        raise records.missing(SUBNETPOOL, id)
    return pool


def _demand_quota(tx: Transaction, pool: Record, project_id: str, length: int) -> None:
    """The pool's own quota a project: IPv4 counts addresses, IPv6 counts /64 prefixes."""
    if not pool["default_quota"]:
        return
    unit = 32 if pool["ip_version"] == 4 else 64
    lengths = [
        ipaddress.ip_network(item["cidr"]).prefixlen
        for item in _subnets(tx, pool["id"])
        if item["project_id"] == project_id
    ]
    if sum(2.0 ** (unit - each) for each in [*lengths, length]) > pool["default_quota"]:
        raise conflict("SubnetPoolQuotaExceeded", "Per-project subnet pool prefix quota exceeded.")


def demand_affinity(tx: Transaction, values: Record, network: Record, siblings: Sequence[Record]) -> str | None:
    """Raise unless a subnet may join the network's others of its IP version; the address scope that it brings."""
    version, id = values["ip_version"], values["subnetpool_id"]
    pool = None if id is None else records.get(tx.conn, SUBNETPOOL, id)
    scope: str | None = None if pool is None else pool["address_scope_id"]
    of_network = network[f"ipv{version}_address_scope"]
    if of_network is not None and pool is not None and scope != of_network:
        raise _affinity_of_scope()
    for other in siblings:
        if other["ip_version"] == version and other["subnetpool_id"] != id and not (of_network and pool):
            raise bad_request(
                "Subnets hosted on the same network must be allocated from the same subnet pool.",
                "NetworkSubnetPoolAffinityError",
            )
    return scope


# ---------------------------------------------------------------- actions


def add_prefixes(tx: Transaction, pool: Record, body: dict[str, Any]) -> dict[str, Any]:
    """PUT …/add_prefixes."""
    after = update(tx, pool, {"prefixes": [*pool["prefixes"], *body["prefixes"]]})
    return {"prefixes": after["prefixes"]}


def remove_prefixes(tx: Transaction, pool: Record, body: dict[str, Any]) -> dict[str, Any]:
    """PUT …/remove_prefixes: refused for what subnets use; what is not in the pool is ignored."""
    removed = [ipaddress.ip_network(item) for item in body["prefixes"]]
    if any(prefixes.share_any([item["cidr"]], body["prefixes"]) for item in _subnets(tx, pool["id"])):
        raise bad_request(
            "Illegal update to prefixes: One or more the prefixes to be removed is in use by a subnet.",
            "IllegalSubnetPoolPrefixUpdate",
        )
    left = prefixes.less([ipaddress.ip_network(item) for item in pool["prefixes"]], removed)
    after = records.update(tx, SUBNETPOOL, pool, {"prefixes": [str(item) for item in left]})
    return {"prefixes": after["prefixes"]}


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    return SUBNETPOOL.table.c.id.in_(sharing.opened("subnetpool", caller))


_PREFIXES = types.list_of(types.CIDR)
_COUNT = types.integer(0)
_LENGTH = replace(_COUNT, shown=(str, {"type": "string"}))
"""A prefix length: Neutron takes numbers and shows text."""

SUBNETPOOL = Resource(
    name="subnetpool",
    collection="subnetpools",
    attributes=standard(
        Attribute("name", types.name(least=1), default=REQUIRED, post=True, put=True, index=True),
        Attribute("prefixes", _PREFIXES, default=REQUIRED, post=True, put=True, filter=False, sort=False),
        Attribute("ip_version", types.one_of(4, 6)),
        *(
            Attribute(name, _LENGTH, default=UNSET, post=True, put=True)
            for name in ("default_prefixlen", "min_prefixlen", "max_prefixlen")
        ),
        Attribute("default_quota", types.or_null(_COUNT), default=UNSET, post=True, put=True),
        Attribute(
            "is_default",
            types.BOOLEAN,
            default=False,
            post=True,
            put=True,
            post_rule=ADMIN,
            put_rule=ADMIN,
        ),
        Attribute(
            "shared",
            types.BOOLEAN,
            default=False,
            post=True,
            post_rule=ADMIN,
            derived=sharing.is_shared,
            filter=False,
        ),
        Attribute(
            "address_scope_id",
            types.nullable(types.UUID),
            default=None,
            post=True,
            put=True,
            index=True,
            alias="address-scope",
        ),
        Attribute("shared_with", types.list_of(types.text(255)), internal=True),
        named=False,
    ),
    create=create,
    update=update,
    delete=delete,
    get_rule=either(ADMIN_OR_READER, "rule:shared_subnetpools"),
    extra_rules={"shared_subnetpools": "field:subnetpools:shared=True"},
    head=("shared_with",),
    visible=_visible,
    filters={"shared": sharing.shared_filter("subnetpool")},
    actions=(
        *(
            Action(name, run, ADMIN_OR_MEMBER, types.object_of({"prefixes": _PREFIXES}, required=("prefixes",)))
            for name, run in (("add_prefixes", add_prefixes), ("remove_prefixes", remove_prefixes))
        ),
        Action(
            "onboard_network_subnets",
            subnet_onboard.onboard,
            ADMIN_OR_MEMBER,
            types.object_of({"network_id": types.UUID}, required=("network_id",)),
            answer=types.list_of(types.MAPPING).schema,
        ),
    ),
    not_found="SubnetPoolNotFound",
    quota=-1,
    bulk=False,
)

RESOURCES = (SUBNETPOOL,)

EXTENSIONS = (
    Extension("subnet_allocation", "Subnet Allocation", "Enables allocation of subnets from a subnet pool"),
    Extension("default-subnetpools", "Default Subnetpools", "Marks and uses a subnet pool as the default"),
    Extension("subnetpool-prefix-ops", "Subnet Pool Prefix Operations", "Adds and removes prefixes of a subnet pool"),
)
