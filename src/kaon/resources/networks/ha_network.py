"""The network over which the hosts of a project's highly available routers speak; there while there is one."""

from __future__ import annotations

import sqlalchemy as sa

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, named
from kaon.resources.errors import ApiError, conflict
from kaon.store.transaction import Transaction

CIDR = "169.254.192.0/18"
"""Addresses of the hosts on a project's HA network, as Neutron has them by default."""


def follow(tx: Transaction, project_id: str) -> None:
    """Make the HA network of a project that has a highly available router, remove that of one that has none."""
    network, router = named("network"), named("router").table.c
    held = records.by(tx.conn, network, ha_of=project_id)
    needed = tx.execute(sa.select(router.id).where(router.project_id == project_id, router.ha).limit(1)).first()
    if needed and not held:
        _make(tx, project_id)
    elif held and not needed:
        try:
            network.delete(tx, held[0])
        except ApiError as error:
            # Somebody has put a port there; it goes with the next router, when that port has gone.
            if error.type != "NetworkInUse":
                raise


def _make(tx: Transaction, project_id: str) -> None:
    network, subnet = named("network"), named("subnet")
    # Nobody's, so that the project does not see it.
    values = {"name": f"HA network project {project_id}", "project_id": ""}
    made = network.create(tx, network.with_defaults(values))
    records.update(tx, network, made, {"ha": True, "ha_of": project_id})
    subnet.create(
        tx,
        subnet.with_defaults(
            {
                "name": f"HA subnet project {project_id}",
                "project_id": "",
                "network_id": made["id"],
                "ip_version": 4,
                "cidr": CIDR,
                "enable_dhcp": False,
                "gateway_ip": None,
            }
        ),
    )


def demand_only(tx: Transaction, wanted: bool, project_id: str) -> str | None:
    """The project whose HA network a new network shall be, None for an ordinary one; 409 when there is one."""
    if not wanted:
        return None
    if records.by(tx.conn, named("network"), ha_of=project_id):
        raise conflict("DuplicatedHANetwork", f"Project {project_id} already has a HA network.")
    return project_id


ATTRIBUTES = (
    Attribute("ha", types.BOOLEAN, default=False, post=True, shown=False, filter=False, sort=False, alias="network_ha"),
    Attribute("ha_of", types.nullable(types.text(255)), internal=True, index=True),
)

EXTENSIONS = (
    Extension(
        "network_ha",
        "Network HA creation flag",
        "Network high availability creation flag.",
        "2023-04-27T10:00:00-00:00",
        awaits="the network carries nothing",
    ),
)
