"""Ports: where a device meets a network, with its addresses, its filters and where it is bound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from kaon.caller import Caller
from kaon.resources import records, types
from kaon.resources.declare import Resource, named
from kaon.resources.dns import dns_publishing
from kaon.resources.errors import conflict
from kaon.resources.networks import pvlan
from kaon.resources.networks.network import NETWORK
from kaon.resources.port_binding import attributes as binding
from kaon.resources.port_binding import held as bindings
from kaon.resources.port_extensions import hardware_offload, mac_override, numa_affinity, trusted
from kaon.resources.ports import (
    dhcp_port,
    port_addresses,
    port_attributes,
    port_filters,
    port_followers,
    port_security,
)
from kaon.resources.qos import ports as qos_ports
from kaon.resources.roles import (
    ADMIN_OR_SERVICE,
    MEMBER,
    NETWORK_OWNER_MEMBER,
    NETWORK_OWNER_READER,
    READER,
    either,
)
from kaon.resources.security import log
from kaon.resources.subnets import ipam
from kaon.resources.trunk import details as trunk_details
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

# ---------------------------------------------------------------- creation


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Store a port: its MAC and IP addresses, its security groups. Also for internal ports of routers and the like."""
    network = records.get(tx.conn, NETWORK, body["network_id"])
    owner, id = body["device_owner"], types.new_id()
    _demand_own_router(tx, owner, body["device_id"], body["project_id"])
    profile = trusted.profile(
        body.get("trusted"), hardware_offload.profile(body["hardware_offload_type"], body["binding:profile"])
    )
    mac = port_addresses.mac_address(tx, network["id"], mac_override.of_device(body) or body.get("mac_address"))
    values = {
        **body,
        **port_security.for_creation(tx, body, network),
        **qos_ports.for_creation(tx, id, body, network),
        "id": id,
        "mac_address": mac,
        **port_addresses.first(
            tx, id, network["id"], owner, mac, body.get("fixed_ips"), body.get("binding:host_id") or ""
        )._asdict(),
        "status": "DOWN",
        **binding.UNBOUND,
        "binding:host_id": body.get("binding:host_id") or "",
        "binding:profile": profile,
        "published_domain": dns_publishing.for_creation(tx, body, network),
    }
    values["allowed_address_pairs"] = _with_mac(values["allowed_address_pairs"], mac)
    values["extra_dhcp_opts"] = _options([], body["extra_dhcp_opts"])
    values |= pvlan.of_port(network, {**values, "pvlan_type": None}, body)
    port = records.insert(tx, PORT, values)
    bindings.follow(tx, port)
    port_security.join(tx, id, port["security_groups"])
    if owner in ipam.ROUTER_INTERFACES:
        dhcp_port.ensure(tx, network["id"])
    return port


def _demand_own_router(tx: Transaction, owner: str, device_id: str, project_id: str) -> None:
    """A project cannot pass its port off as a leg of somebody else's router, of whatever kind."""
    if not owner.startswith("network:") or tx.caller.is_admin or not (device_id and project_id):
        return  # What belongs to no project was made by the network itself.
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
    numa_affinity.demand_changeable(port, body)
    body = mac_override.changed(port, body)
    if "mac_address" in body and body["mac_address"] is None:
        body = {**body, "mac_address": port_addresses.mac_address(tx, port["network_id"], None)}
    after = {**port, **body}
    if {"device_owner", "device_id"} & body.keys():
        _demand_own_router(tx, after["device_owner"], after["device_id"], port["project_id"])
    changes = {**body, **port_security.for_update(tx, port, body), **qos_ports.for_update(tx, port, body)}
    changes |= pvlan.port_changed(tx, port, body)
    mac = after["mac_address"]
    if mac != port["mac_address"]:
        _demand_movable(tx, port, mac)
    gives_room = "fixed_ips" in body and dhcp_port.is_waiting(tx, port["fixed_ips"])
    host = after["binding:host_id"] or ""
    moved = {} if "fixed_ips" in body else port_addresses.on_host(tx, port, host, mac)
    changes |= moved
    if "fixed_ips" in body or (mac != port["mac_address"] and not moved):
        changes["fixed_ips"] = port_addresses.changed(tx, port, body.get("fixed_ips"), mac, host)
        port_followers.demand_kept(tx, port, changes["fixed_ips"])
    if "allowed_address_pairs" in body:
        changes["allowed_address_pairs"] = _with_mac(body["allowed_address_pairs"], mac)
    if "extra_dhcp_opts" in body:
        changes["extra_dhcp_opts"] = _options(port["extra_dhcp_opts"], body["extra_dhcp_opts"])
    if "binding:host_id" in body:
        changes["binding:host_id"] = host
    if {"binding:profile", "trusted"} & body.keys():
        changes["binding:profile"] = trusted.profile(after["trusted"], after["binding:profile"])
    binding.demand_changeable(port, changes)
    changes["published_domain"] = dns_publishing.for_update(tx, port, body)
    if changes["security_groups"] != port["security_groups"]:
        port_security.leave(tx, port["id"])
        port_security.join(tx, port["id"], changes["security_groups"])
    stored = records.update(tx, PORT, port, changes)
    bindings.follow(tx, stored)
    if "fixed_ips" in changes:
        stored = port_followers.follow(tx, stored)
    if mac != port["mac_address"]:
        trunk_details.follow(tx, stored)
    joins = (stored["device_owner"] in ipam.ROUTER_INTERFACES) != (port["device_owner"] in ipam.ROUTER_INTERFACES)
    if joins or gives_room:
        dhcp_port.ensure(tx, port["network_id"])
    return stored


def _demand_movable(tx: Transaction, port: Record, mac: str) -> None:
    if binding.is_bound(port):
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
    port_addresses.mac_address(tx, port["network_id"], mac)


# ---------------------------------------------------------------- deletion


def delete(tx: Transaction, port: Record) -> None:
    """A client's DELETE: refused for the ports by which routers and floating IPs reach a network."""
    trunk_details.demand_in_no_trunk(port)
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
    port = port_followers.leave(tx, port)
    subnets = {item["id"]: item for item in port_addresses.subnets_of(tx, port["network_id"])}
    gives_room = dhcp_port.is_waiting(tx, port["fixed_ips"])
    ipam.release(tx, port["fixed_ips"], subnets)
    port_security.leave(tx, port["id"])
    log.forget(tx, target_id=port["id"])
    place = records.find(tx.conn, attachment, port["id"])
    if place is not None:
        records.delete(tx, attachment, place)
    bindings.forget(tx, port["id"])
    records.delete(tx, PORT, port)
    if gives_room or place is not None or port["device_owner"] in ipam.ROUTER_INTERFACES:
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


def _visible(caller: Caller) -> sa.ColumnElement[bool]:
    own = sa.select(NETWORK.table.c.id).where(NETWORK.table.c.project_id == caller.project_id)
    return PORT.table.c.network_id.in_(own)


PORT = Resource(
    name="port",
    collection="ports",
    attributes=port_attributes.ATTRIBUTES,
    create=create,
    update=update,
    delete=delete,
    create_rule=either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER, "rule:shared"),
    get_rule=either(ADMIN_OR_SERVICE, NETWORK_OWNER_READER, READER),
    update_rule=either(ADMIN_OR_SERVICE, MEMBER),
    delete_rule=either(ADMIN_OR_SERVICE, NETWORK_OWNER_MEMBER, MEMBER),
    extra_rules=port_attributes.POLICIES,
    parents={"network": ("network_id", "network")},
    head=("network_id",),
    visible=_visible,
    filters={
        "fixed_ips": port_filters.fixed_ips,
        "security_groups": port_filters.security_groups,
        "allowed_address_pairs": port_filters.allowed_address_pairs,
        "mac_address": port_filters.mac_address,
    },
    quota=500,
    constraints=(
        sa.UniqueConstraint("network_id", "mac_address", name="uq_ports_mac"),
        sa.Index("ix_ports_network_owner", "network_id", "device_owner"),
    ),
)

RESOURCES = (PORT,)
