"""Port forwardings: ports of one floating address that lead to ports of several instances."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.access import visible
from kaon.resources.declare import REQUIRED, Attribute, Extension, Resource, standard
from kaon.resources.errors import ApiError, bad_request, conflict
from kaon.resources.floatingips.floatingip import FLOATINGIP, router_between
from kaon.resources.ports.port import PORT
from kaon.resources.roles import ADMIN, PARENT_OWNER_MEMBER, PARENT_OWNER_READER, either
from kaon.resources.routers.conntrack_helper import PROTOCOL
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

OUTSIDE, INSIDE = "external_port", "internal_port"
"""The two sides: a port of the floating address, and one of the instance."""
_PORTS = frozenset({OUTSIDE, f"{OUTSIDE}_range", INSIDE, f"{INSIDE}_range"})


def _refused(message: str) -> ApiError:
    return bad_request(f"Bad port_forwarding request: {message}.", "BadRequest")


# ---------------------------------------------------------------- ports and ranges of ports


def _span(value: Any) -> str | None:
    """One port or a range of them, as ``first:last``."""
    if value is None:
        return None
    numbers = [types.natural(part) for part in str(value).split(":")]
    if isinstance(value, bool) or len(numbers) > 2 or None in numbers:
        raise ValueError(f"'{value}' is neither a port nor a range of ports such as 80:90")
    first, last = numbers[0] or 0, numbers[-1] or 0
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        raise ValueError(f"'{value}' is not within the ports 1 to 65535")
    if first > last:
        raise ValueError(f"'{value}': the first port of a range must not be over the last one")
    return f"{first}:{last}"


PORTS = types.Type(
    _span, sa.String(11), {"anyOf": [{"type": "string", "pattern": "^[0-9]+(:[0-9]+)?$"}, {"type": "null"}]}
)
PORT_NUMBER = types.unchanged(types.nullable(types.integer(1, 65535)))


def _bounds(span: str) -> tuple[int, int]:
    first, _, last = span.partition(":")
    return int(first), int(last)


def _both_forms(body: dict[str, Any], side: str) -> dict[str, Any]:
    """One side's ports as number and as range, from whichever a client used; nothing where it used neither."""
    port, span = body.get(side), body.get(f"{side}_range")
    if port is None and span is None:
        return {}
    if span is None:
        span = f"{port}:{port}"
    first, last = _bounds(span)
    if port is not None and (port, port) != (first, last):
        raise _refused(f"{side} {port} and {side}_range {span} name different ports; one of the two is enough")
    return {side: first if first == last else None, f"{side}_range": span}


def _demand_related(forwarding: Record) -> None:
    """Each outer port leads to one of its own inside, or all of them to the same one."""
    outer, outer_last = _bounds(forwarding[f"{OUTSIDE}_range"])
    inner, inner_last = _bounds(forwarding[f"{INSIDE}_range"])
    if inner_last > inner and inner_last - inner != outer_last - outer:
        raise _refused(
            "Invalid ranges of internal and/or external ports. The relation between internal and external ports must "
            "be N-N or 1-N"
        )


def _demand_no_collision(tx: Transaction, forwarding: Record) -> None:
    """Raise 400 when another forwarding holds one of these ports: of the floating address, or of the instance."""
    inside = ("internal_port_id", "internal_ip_address")
    for side, where in ((INSIDE, inside), (OUTSIDE, ("floatingip_id",))):
        first, last = _bounds(forwarding[f"{side}_range"])
        key = {name: forwarding[name] for name in (*where, "protocol")}
        for other in records.by(tx.conn, PORT_FORWARDING, **key):
            other_first, other_last = _bounds(other[f"{side}_range"])
            if other["id"] != forwarding.get("id") and first <= other_last and other_first <= last:
                raise _refused(
                    f"There is a port collision with the {side}_range. The following ranges collide: "
                    f"{other[f'{side}_range']} and {forwarding[f'{side}_range']}"
                )


# ---------------------------------------------------------------- where it leads


def _led(tx: Transaction, floatingip: Record, forwarding: Record) -> dict[str, str]:
    """The inside address and the router of a forwarding; the port's first IPv4 address when none is named."""
    port = visible.port(tx, forwarding["internal_port_id"])
    held = [item for item in port["fixed_ips"] if ":" not in item["ip_address"]]
    if not held:
        raise _refused(f"Requested internal port {port['id']} must allocate an IPv4 address at least")
    wanted = forwarding["internal_ip_address"] or held[0]["ip_address"]
    fixed = next((item for item in held if item["ip_address"] == wanted), None)
    if fixed is None:
        raise _refused(
            f"Requested internal IP address {wanted} is not suitable for internal neutron port {port['id']}, as its "
            f"fixed_ips are {held}"
        )
    router_id = router_between(tx, port, fixed["subnet_id"], floatingip["floating_network_id"])
    if router_id is None:
        raise _refused(
            f"External network {floatingip['floating_network_id']} is not reachable from subnet {fixed['subnet_id']}. "
            f"Cannot set Port forwarding for port {port['id']} with Floating IP {floatingip['id']}"
        )
    if floatingip["router_id"] not in (None, router_id):
        raise _refused(
            f"The Floating IP {floatingip['id']} had been set on router {floatingip['router_id']}, the internal "
            f"Neutron port {port['id']} can not reach it"
        )
    return {"internal_ip_address": wanted, "router_id": router_id}


def _demand_not_associated(tx: Transaction, floatingip: Record, forwarding: Record) -> None:
    """Raise 409 when the floating IP leads to a port altogether, or another one does to the inside port."""
    port_id, address = forwarding["internal_port_id"], forwarding["internal_ip_address"]
    for other in records.by(tx.conn, FLOATINGIP, port_id=port_id):
        raise conflict(
            "PortHasBindingFloatingIP",
            f"Cannot create port forwarding to floating IP {other['floating_ip_address']} ({other['id']}) with port "
            f"{port_id} using fixed IP {address}, as that port already has a binding floating IP.",
        )
    if floatingip["port_id"]:
        raise conflict(
            "FloatingIPPortAlreadyAssociated",
            f"Cannot associate floating IP {floatingip['floating_ip_address']} ({floatingip['id']}) with port "
            f"{port_id} using fixed IP {address}, as that fixed IP already has a floating IP on external network "
            f"{floatingip['floating_network_id']}.",
        )


# ---------------------------------------------------------------- creation, update, deletion


def create(tx: Transaction, body: dict[str, Any]) -> Record:
    """Lead ports of a floating IP to an instance; the first one puts the floating IP on the instance's router."""
    floatingip = records.get(tx.conn, FLOATINGIP, body["floatingip_id"])
    values = {**body, **_both_forms(body, OUTSIDE), **_both_forms(body, INSIDE)}
    for side in (OUTSIDE, INSIDE):
        if values[f"{side}_range"] is None:
            raise _refused(f"Either {side} or {side}_range must be specified")
    _demand_related(values)
    _demand_not_associated(tx, floatingip, values)
    led = _led(tx, floatingip, values)
    values["internal_ip_address"] = led["internal_ip_address"]
    _demand_no_collision(tx, values)
    made = records.insert(tx, PORT_FORWARDING, {**values, "id": types.new_id()})
    if floatingip["router_id"] is None:
        records.update(tx, FLOATINGIP, floatingip, {"router_id": led["router_id"], "status": "ACTIVE"})
    else:
        records.touch(tx, FLOATINGIP, floatingip["id"])
    records.touch(tx, PORT, made["internal_port_id"])
    return made


def update(tx: Transaction, forwarding: Record, body: dict[str, Any]) -> Record:
    """Store changed attributes; another port is reached at its first IPv4 address, unless one is named."""
    floatingip = records.get(tx.conn, FLOATINGIP, forwarding["floatingip_id"])
    ports = {**_both_forms(body, OUTSIDE), **_both_forms(body, INSIDE)}
    after = {**forwarding, **{name: value for name, value in body.items() if name not in _PORTS}, **ports}
    if after["internal_port_id"] != forwarding["internal_port_id"]:
        after["internal_ip_address"] = body.get("internal_ip_address")
        _demand_not_associated(tx, floatingip, after)
    if {"internal_port_id", "internal_ip_address"} & body.keys():
        after["internal_ip_address"] = _led(tx, floatingip, after)["internal_ip_address"]
    _demand_related(after)
    _demand_no_collision(tx, after)
    stored = records.update(tx, PORT_FORWARDING, forwarding, after)
    records.touch(tx, FLOATINGIP, floatingip["id"])
    for port_id in {forwarding["internal_port_id"], stored["internal_port_id"]}:
        records.touch(tx, PORT, port_id)
    return stored


def delete(tx: Transaction, forwarding: Record) -> None:
    """Lead the ports nowhere; with its last forwarding a floating IP leaves the router."""
    records.delete(tx, PORT_FORWARDING, forwarding)
    floatingip = records.get(tx.conn, FLOATINGIP, forwarding["floatingip_id"])
    if records.by(tx.conn, PORT_FORWARDING, floatingip_id=floatingip["id"]):
        records.touch(tx, FLOATINGIP, floatingip["id"])
    else:
        records.update(tx, FLOATINGIP, floatingip, {"router_id": None, "status": "DOWN"})
    records.touch(tx, PORT, forwarding["internal_port_id"])


_MEMBER = either(ADMIN, PARENT_OWNER_MEMBER)
_RANGES = "floating-ip-port-forwarding-port-ranges"

PORT_FORWARDING = Resource(
    name="port_forwarding",
    collection="port_forwardings",
    attributes=standard(
        Attribute("floatingip_id", types.UUID, shown=False, filter=False, sort=False, index=True),
        Attribute("protocol", PROTOCOL, default=REQUIRED, post=True, put=True),
        Attribute(OUTSIDE, PORT_NUMBER, default=None, post=True, put=True),
        Attribute(f"{OUTSIDE}_range", PORTS, default=None, post=True, put=True, alias=_RANGES),
        Attribute("internal_port_id", types.UUID, default=REQUIRED, post=True, put=True),
        Attribute(
            "internal_ip_address", types.nullable(types.IP_ADDRESS), default=None, post=True, put=True, filter=False
        ),
        Attribute(INSIDE, PORT_NUMBER, default=None, post=True, put=True, filter=False),
        Attribute(f"{INSIDE}_range", PORTS, default=None, post=True, put=True, filter=False, alias=_RANGES),
        Attribute(
            "description",
            types.text(1024),
            default="",
            post=True,
            put=True,
            alias="floating-ip-port-forwarding-description",
        ),
        named=False,
        description=False,
        tags=False,
        stamped=False,
        owner_shown=False,
    ),
    create=create,
    update=update,
    delete=delete,
    create_rule=_MEMBER,
    get_rule=either(ADMIN, PARENT_OWNER_READER),
    update_rule=_MEMBER,
    delete_rule=_MEMBER,
    path="port_forwardings",
    within=("floatingip", "floatingip_id"),
    constraints=(
        sa.Index("ix_port_forwardings_outside", "floatingip_id", "protocol"),
        sa.Index("ix_port_forwardings_inside", "internal_port_id", "internal_ip_address", "protocol"),
    ),
)

RESOURCES = (PORT_FORWARDING,)

EXTENSIONS = (
    Extension(
        "floating-ip-port-forwarding",
        "Floating IP Port Forwarding",
        "Allow port forwarding from floating IP port to an internal port",
        "2018-01-19T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-description",
        "Floating IP Port Forwarding new attribute description",
        "Add a description field to Port Forwarding rules",
        "2019-11-01T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-detail",
        "Floating IP port forwarding detail",
        "Allow list floating ip return more port forwarding data, include 'id' and 'internal_port_id'",
        "2022-05-06T10:00:00-00:00",
    ),
    Extension(
        _RANGES,
        "Floating IP Port Forwarding support port ranges",
        "Add support to port ranges",
        "2020-07-01T10:00:00-00:00",
    ),
    Extension(
        "expose-port-forwarding-in-fip",
        "Expose Floating IP port forwardings",
        "Expose port forwarding fields in floating IP response",
        "2018-06-28T16:00:00-00:00",
    ),
)
