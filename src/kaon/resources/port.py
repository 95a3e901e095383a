"""Ports: where a device meets a network, with its addresses, its filters and where it is bound."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import dhcp_port, ipam, port_security, records, types
from kaon.resources.declare import REQUIRED, UNSET, Attribute, Extension, Resource, _declared, named, standard
from kaon.resources.errors import bad_request, conflict
from kaon.resources.network import NETWORK
from kaon.resources.port_types import ADDRESS_PAIRS, DHCP_OPTIONS, FIXED_IPS, VNIC_TYPES
from kaon.resources.roles import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_NETWORK_OWNER_MEMBER,
    ADMIN_OR_SERVICE,
    MEMBER,
    NETWORK_OWNER_MEMBER,
    NETWORK_OWNER_READER,
    READER,
    SERVICE,
    either,
)
from kaon.resources.subnet import SUBNET
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

UNBOUND = {"binding:host_id": "", "binding:vif_type": "unbound", "binding:vif_details": {}}


# ---------------------------------------------------------------- creation


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a port: its MAC and IP addresses, its security groups. Also for internal ports of routers and the like."""
    network = records.get(tx.conn, NETWORK, body["network_id"])
    owner, id = body["device_owner"], types.new_id()
    _demand_own_router(tx, owner, body["device_id"], body["project_id"])
    mac = _mac(tx, network, body.get("mac_address"))
    wanted = body.get("fixed_ips")
    values = {
        **body,
        **port_security.for_creation(tx, body, network),
        "id": id,
        "mac_address": mac,
        "fixed_ips": _first_addresses(tx, id, network["id"], owner, mac, wanted),
        "ip_allocation": "none" if wanted == [] else "immediate",
        "status": "DOWN",
        **UNBOUND,
        "binding:host_id": body.get("binding:host_id") or "",
    }
    values["allowed_address_pairs"] = _with_mac(values["allowed_address_pairs"], mac)
    values["extra_dhcp_opts"] = _options([], body["extra_dhcp_opts"])
    port = records.insert(tx, PORT, values)
    port_security.join(tx, id, port["security_groups"])
    if owner in ipam.ROUTER_INTERFACES:
        dhcp_port.ensure(tx, network["id"])
    return port


def _subnets(tx: Transaction, network_id: str) -> list[Record]:
    return records.by(tx.conn, SUBNET, network_id=network_id)


def _first_addresses(
    tx: Transaction, id: str, network_id: str, owner: str, mac: str, wanted: list[ipam.FixedIp] | None
) -> list[ipam.FixedIp]:
    subnets = ipam.eligible(_subnets(tx, network_id), network_id, owner)
    chosen = ipam.by_default(subnets) if wanted is None else ipam.requested(wanted, subnets, network_id, mac, owner)
    held = {(wish.subnets[0]["id"], wish.address) for wish in chosen}
    added = [
        wish
        for wish in ipam.automatic(subnets, mac, owner)
        if wanted != [] and (wish.subnets[0]["id"], wish.address) not in held
    ]
    return ipam.allocate(tx, id, [*chosen, *added])


@cache
def _holder_of_mac() -> sa.Select[tuple[str]]:
    table = PORT.table
    return sa.select(table.c.id).where(
        table.c.network_id == sa.bindparam("_network"), table.c.mac_address == sa.bindparam("_mac")
    )


def _mac_in_use(tx: Transaction, network_id: str, mac: str) -> bool:
    return tx.execute(_holder_of_mac(), {"_network": network_id, "_mac": mac}).first() is not None


def _mac(tx: Transaction, network: Record, wanted: str | None) -> str:
    """The wanted address if it is free in the network, or a random one of Kaon's own."""
    if wanted is not None:
        if _mac_in_use(tx, network["id"], wanted):
            raise conflict(
                "MacAddressInUse",
                f"Unable to complete operation for network {network['id']}. The mac address {wanted} is in use.",
            )
        return wanted
    while True:
        mac = "fa:16:3e:" + secrets.token_bytes(3).hex(":")
        if not _mac_in_use(tx, network["id"], mac):
            return mac


def _demand_own_router(tx: Transaction, owner: str, device_id: str, project_id: str) -> None:
    """A project cannot pass its port off as an interface of somebody else's router."""
    if owner not in ipam.ROUTER_INTERFACES or tx.caller.is_admin or not device_id:
        return
    router = records.find(tx.conn, named("router"), device_id)
    if router is not None and router["project_id"] != project_id:
        raise conflict(
            "DeviceIDNotOwnedByTenant",
            f"The following device_id {device_id} is not owned by your project or matches another project router.",
        )


def _with_mac(pairs: list[dict[str, str]], mac: str) -> list[dict[str, str]]:
    return [{"mac_address": pair.get("mac_address", mac), "ip_address": pair["ip_address"]} for pair in pairs]


def _options(held: list[dict[str, Any]], wanted: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Extra DHCP options after a request: an option is named by its name and IP version, a null value removes it."""
    by_key = {(item["opt_name"], item["ip_version"]): item for item in held}
    for item in wanted or []:
        key = item["opt_name"], item.get("ip_version", 4)
        if item["opt_value"] is None:
            by_key.pop(key, None)
        else:
            by_key[key] = {"opt_name": key[0], "opt_value": item["opt_value"], "ip_version": key[1]}
    return list(by_key.values())


# ---------------------------------------------------------------- update


def update(tx: Transaction, port: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; addresses follow ``fixed_ips`` and, where hosts form them, the MAC address."""
    after = {**port, **body}
    if {"device_owner", "device_id"} & body.keys():
        _demand_own_router(tx, after["device_owner"], after["device_id"], port["project_id"])
    changes = {**body, **port_security.for_update(tx, port, body)}
    mac = after["mac_address"]
    if mac != port["mac_address"]:
        _demand_movable(tx, port, mac)
    if "fixed_ips" in body or mac != port["mac_address"]:
        changes["fixed_ips"] = _changed_addresses(tx, port, body.get("fixed_ips"), mac)
    if "allowed_address_pairs" in body:
        changes["allowed_address_pairs"] = _with_mac(body["allowed_address_pairs"], mac)
    if "extra_dhcp_opts" in body:
        changes["extra_dhcp_opts"] = _options(port["extra_dhcp_opts"], body["extra_dhcp_opts"])
    if "binding:host_id" in body:
        changes["binding:host_id"] = body["binding:host_id"] or ""
    if changes["security_groups"] != port["security_groups"]:
        port_security.leave(tx, port["id"])
        port_security.join(tx, port["id"], changes["security_groups"])
    return records.update(tx, PORT, port, changes)


def _demand_movable(tx: Transaction, port: Record, mac: str) -> None:
    if port["binding:vif_type"] not in ("unbound", "binding_failed"):
        raise conflict(
            "PortBound",
            f"Unable to complete operation on port {port['id']}, port is already bound, port type: "
            f"{port['binding:vif_type']}, old_mac {port['mac_address']}, new_mac {mac}.",
        )
    if port["device_owner"].startswith("network:"):
        raise conflict(
            "UnsupportedPortDeviceOwner",
            f"Operation mac address update is not supported for device_owner {port['device_owner']} on port "
            f"{port['id']}.",
        )
    _mac(tx, {"id": port["network_id"]}, mac)


def _changed_addresses(
    tx: Transaction, port: Record, wanted: list[ipam.FixedIp] | None, mac: str
) -> list[ipam.FixedIp]:
    """Release and allocate what differs; an address that stays is never given up in between."""
    network_id, owner = port["network_id"], port["device_owner"]
    every = _subnets(tx, network_id)
    by_id = {item["id"]: item for item in every}
    subnets = ipam.eligible(every, network_id, owner)
    held = port["fixed_ips"]
    keep, add = ipam.difference(held, held if wanted is None else wanted, by_id, owner, mac != port["mac_address"])
    ipam.release(tx, [item for item in held if item not in keep], by_id)
    wishes = ipam.requested(add, subnets, network_id, mac, owner)
    handled = [item["subnet_id"] for item in keep] + [wish.subnets[0]["id"] for wish in wishes]
    wishes += ipam.automatic(subnets, mac, owner, handled)
    return [*keep, *ipam.allocate(tx, port["id"], wishes)]


# ---------------------------------------------------------------- deletion


def delete(tx: Transaction, port: Record) -> None:
    """A client's DELETE: refused for the ports by which routers and floating IPs reach a network."""
    if port["device_owner"] in ipam.ROUTER_OWNERS and port["fixed_ips"]:
        kind = "floatingip" if port["device_owner"] == "network:floatingip" else "router"
        if records.find(tx.conn, named(kind), port["device_id"]) is not None:
            raise conflict(
                "ServicePortInUse",
                f"Port {port['id']} cannot be deleted directly via the port API: has device owner "
                f"{port['device_owner']}.",
            )
    remove(tx, port)


def remove(tx: Transaction, port: Record) -> None:
    """Remove a port of whatever kind, with its addresses and its place on a host; floating IPs let go of it."""
    attachment = named("attachment")
    if "floatingip" in _declared:
        floatingip = named("floatingip")
        for item in records.select(tx.conn, floatingip, floatingip.table.c.port_id == port["id"]):
            floatingip.update(tx, item, {"port_id": None})
    subnets = {item["id"]: item for item in _subnets(tx, port["network_id"])}
    ipam.release(tx, port["fixed_ips"], subnets)
    port_security.leave(tx, port["id"])
    place = records.find(tx.conn, attachment, port["id"])
    if place is not None:
        records.delete(tx, attachment, place)
    records.delete(tx, PORT, port)
    if place is not None or port["device_owner"] in ipam.ROUTER_INTERFACES:
        dhcp_port.ensure(tx, port["network_id"])


# ---------------------------------------------------------------- status


def set_status(tx: Transaction, states: Mapping[str, tuple[str, str]]) -> None:
    """Write what convergence found: port id -> (status, reason). Derived, so it is shown but not journalled."""
    table = PORT.table
    for id, (status, reason) in states.items():
        tx.execute(
            sa.update(table)
            .where(
                table.c.id == id,
                (table.c.status != status) | (sa.func.coalesce(table.c["kaon:status_reason"], "") != (reason or "")),
            )
            .values(
                {
                    table.c.status: status,
                    table.c["kaon:status_reason"]: reason or None,
                    table.c.updated_at: records.timestamp(tx.now),
                    table.c.revision_number: table.c.revision_number + 1,
                }
            )
        )


# ---------------------------------------------------------------- queries


def _pairs(values: Iterable[str], name: str, keys: tuple[str, ...]) -> dict[str, list[str]]:
    """``fixed_ips=ip_address=10.0.0.5`` and the like: the values by key."""
    found: dict[str, list[str]] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or key not in keys:
            raise bad_request(f"Invalid input for {name}. Reason: '{value}' is not one of {', '.join(keys)} = value.")
        found.setdefault(key, []).append(text)
    return found


def _filter_fixed_ips(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    held = ipam.ALLOCATIONS.c
    wanted = _pairs(values, "fixed_ips", ("ip_address", "subnet_id", "ip_address_substr", "subnet"))
    conditions = []
    for key, texts in wanted.items():
        matched: sa.ColumnElement[bool]
        if key == "ip_address":
            matched = held.ip.in_([_canonical_ip(text) for text in texts])
        elif key == "ip_address_substr":
            matched = sa.or_(*(held.ip.contains(text, autoescape=True) for text in texts))
        else:
            matched = held.subnet_id.in_(texts)
        conditions.append(PORT.table.c.id.in_(sa.select(held.port_id).where(matched)))
    return sa.and_(*conditions)


def _canonical_ip(text: str) -> str:
    try:
        return str(types.IP_ADDRESS.parse(text))
    except ValueError:
        return text


def _holds_text(column: sa.ColumnElement[Any], texts: Iterable[str]) -> sa.ColumnElement[bool]:
    stored = sa.cast(column, sa.Text)
    return sa.or_(*(stored.contains(f'"{text}"', autoescape=True) for text in texts))


def _filter_groups(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    joined = port_security.PORT_GROUPS.c
    return PORT.table.c.id.in_(sa.select(joined.port_id).where(joined.security_group_id.in_(values)))


def _filter_pairs(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    wanted = _pairs(values, "allowed_address_pairs", ("ip_address", "mac_address"))
    column = PORT.table.c.allowed_address_pairs
    return sa.and_(*(_holds_text(column, texts) for texts in wanted.values()))


def _filter_mac(values: list[str], _caller: Caller) -> sa.ColumnElement[bool]:
    return PORT.table.c.mac_address.in_([value.lower().replace("-", ":") for value in values])


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    own = sa.select(NETWORK.table.c.id).where(NETWORK.table.c.project_id == caller.project_id)
    return PORT.table.c.network_id.in_(own)


_NETWORK_OWNER = either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER)
_ON_SHARED = either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER, "rule:shared")
_PAIRS_RULE = either(ADMIN_OR_NETWORK_OWNER_MEMBER, SERVICE)
_OWNER = either(ADMIN_OR_MEMBER, SERVICE)
_DEVICE_OWNER = either("not rule:network_device", ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER)

PORT = Resource(
    name="port",
    collection="ports",
    attributes=standard(
        Attribute("network_id", types.UUID, default=REQUIRED, post=True, index=True),
        Attribute("admin_state_up", types.BOOLEAN, default=True, post=True, put=True),
        Attribute(
            "mac_address",
            types.MAC,
            default=UNSET,
            post=True,
            put=True,
            post_rule=_NETWORK_OWNER,
            put_rule=either(ADMIN_OR_SERVICE, "role:manager and rule:network_owner"),
        ),
        Attribute(
            "fixed_ips",
            FIXED_IPS,
            default=UNSET,
            post=True,
            put=True,
            post_rule=_ON_SHARED,
            put_rule=_NETWORK_OWNER,
            sort=False,
        ),
        Attribute(
            "device_id", types.text(255), default="", post=True, put=True, post_rule=_OWNER, put_rule=_OWNER, index=True
        ),
        Attribute(
            "device_owner",
            types.text(255),
            default="",
            post=True,
            put=True,
            post_rule=_DEVICE_OWNER,
            put_rule=_DEVICE_OWNER,
        ),
        Attribute("status", types.text(16)),
        Attribute(
            "security_groups",
            types.list_of(types.UUID, null_is_empty=True),
            default=UNSET,
            post=True,
            put=True,
            sort=False,
            alias="security-group",
        ),
        Attribute(
            "port_security_enabled",
            types.BOOLEAN,
            default=UNSET,
            post=True,
            put=True,
            post_rule=_NETWORK_OWNER,
            put_rule=_NETWORK_OWNER,
            alias="port-security",
        ),
        Attribute(
            "allowed_address_pairs",
            ADDRESS_PAIRS,
            default=[],
            post=True,
            put=True,
            post_rule=_PAIRS_RULE,
            put_rule=_PAIRS_RULE,
            sort=False,
            alias="allowed-address-pairs",
        ),
        Attribute(
            "extra_dhcp_opts",
            DHCP_OPTIONS,
            default=None,
            post=True,
            put=True,
            filter=False,
            sort=False,
            alias="extra_dhcp_opt",
        ),
        Attribute(
            "binding:host_id",
            types.nullable(types.text(255)),
            default=UNSET,
            post=True,
            put=True,
            post_rule=ADMIN_OR_SERVICE,
            put_rule=ADMIN_OR_SERVICE,
            get_rule=ADMIN_OR_SERVICE,
            index=True,
            alias="binding",
        ),
        Attribute(
            "binding:vnic_type",
            types.one_of(*VNIC_TYPES),
            default="normal",
            post=True,
            put=True,
            post_rule=_OWNER,
            put_rule=_OWNER,
            alias="binding",
        ),
        Attribute(
            "binding:profile",
            types.MAPPING,
            default={},
            post=True,
            put=True,
            post_rule=either(ADMIN, SERVICE),
            put_rule=either(ADMIN, SERVICE),
            get_rule=ADMIN_OR_SERVICE,
            filter=False,
            sort=False,
            alias="binding",
        ),
        Attribute("binding:vif_type", types.text(64), get_rule=ADMIN_OR_SERVICE, alias="binding"),
        Attribute(
            "binding:vif_details",
            types.MAPPING,
            get_rule=ADMIN_OR_SERVICE,
            filter=False,
            sort=False,
            alias="binding",
        ),
        Attribute("ip_allocation", types.text(16), alias="ip_allocation"),
        Attribute("kaon:status_reason", types.nullable(types.text(1024)), get_rule=ADMIN, filter=False, sparse=True),
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER, "rule:shared"),
    get_rule=either(ADMIN_OR_SERVICE, NETWORK_OWNER_READER, READER),
    update_rule=either(ADMIN_OR_SERVICE, MEMBER),
    delete_rule=either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER, MEMBER),
    extra_rules={
        "network_device": "field:port:device_owner=~^network:",
        "create_port:fixed_ips:ip_address": _NETWORK_OWNER,
        "create_port:fixed_ips:subnet_id": _ON_SHARED,
        "update_port:fixed_ips:ip_address": _NETWORK_OWNER,
        "update_port:fixed_ips:subnet_id": _ON_SHARED,
        "create_port:allowed_address_pairs:mac_address": _PAIRS_RULE,
        "create_port:allowed_address_pairs:ip_address": _PAIRS_RULE,
        "update_port:allowed_address_pairs:mac_address": _PAIRS_RULE,
        "update_port:allowed_address_pairs:ip_address": _PAIRS_RULE,
    },
    parents={"network": ("network_id", "network")},
    head=("network_id",),
    visible=_visible,
    filters={
        "fixed_ips": _filter_fixed_ips,
        "security_groups": _filter_groups,
        "allowed_address_pairs": _filter_pairs,
        "mac_address": _filter_mac,
    },
    quota=500,
    constraints=(sa.UniqueConstraint("network_id", "mac_address", name="uq_ports_mac"),),
)

RESOURCES = (PORT,)

EXTENSIONS = (
    Extension("allowed-address-pairs", "Allowed Address Pairs", "Provides allowed address pairs"),
    Extension("extra_dhcp_opt", "Neutron Extra DHCP options", "Extra options configuration for DHCP."),
    Extension("port-security", "Port Security", "Provides port security"),
    Extension("port-security-groups-filtering", "Port filtering on security groups", "Filters ports by their groups"),
    Extension("binding", "Port Binding", "Expose port bindings of a virtual port to external application"),
    Extension("ip_allocation", "IP Allocation", "IP allocation extension."),
    Extension("ip-substring-filtering", "IP address substring filtering", "Filters ports by a part of an address"),
    Extension("filter-validation", "Filter parameters validation", "Refuses unknown filters"),
    Extension("empty-string-filtering", "Empty String Filtering Extension", "Filters by empty strings"),
)
