"""Onboarding: a network's subnets come to belong to a subnet pool, which gets their prefixes."""

from __future__ import annotations

from typing import Any

from kaon.resources import records
from kaon.resources.access.sharing import is_shared
from kaon.resources.declare import Extension, named
from kaon.resources.errors import bad_request, forbidden
from kaon.resources.networks.network import NETWORK
from kaon.resources.subnets import prefixes
from kaon.store.journal import Record
from kaon.store.transaction import Transaction


def onboard(tx: Transaction, pool: Record, body: dict[str, Any]) -> list[dict[str, str]]:
    """PUT …/onboard_network_subnets: all subnets of the pool's IP version. Tells which they are."""
    subnet, subnetpool = named("subnet"), named("subnetpool")
    network = records.get(tx.conn, NETWORK, body["network_id"])
    _demand_own(tx, network)
    version = pool["ip_version"]
    found = records.by(tx.conn, subnet, network_id=network["id"], ip_version=version)
    allocated = [item["cidr"] for item in records.by(tx.conn, subnet, subnetpool_id=pool["id"])]
    for item in found:
        if prefixes.share_any([item["cidr"]], allocated):
            raise bad_request(
                f"Illegal subnetpool update : Onboarding subnet {item['id']}: {item['cidr']} conflicts with allocated "
                f"prefixes in subnet pool {pool['id']}.",
                "IllegalSubnetPoolUpdate",
            )
    if found:
        subnetpool.update(tx, pool, {"prefixes": [*pool["prefixes"], *(item["cidr"] for item in found)]})
        for item in found:
            records.update(tx, subnet, item, {"subnetpool_id": pool["id"]})
        network = records.get(tx.conn, NETWORK, network["id"])
        records.update(tx, NETWORK, network, {f"ipv{version}_address_scope": pool["address_scope_id"]})
    return [{"id": item["id"], "cidr": item["cidr"]} for item in found]


def _demand_own(tx: Transaction, network: Record) -> None:
    """Whoever may only use a network cannot change whose pool its subnets are from."""
    caller = tx.caller
    if caller.is_admin or network["project_id"] == caller.project_id:
        return
    if is_shared(network, caller) or {"*", caller.project_id} & set(network["external_to"]):
        raise forbidden("Not authorized.", "NotAuthorized")
    raise records.missing(NETWORK, network["id"])


EXTENSIONS = (
    Extension(
        "subnet_onboard",
        "Subnet Onboard",
        "Provides support for onboarding subnets into subnet pools",
        "2018-12-18T09:00:00-00:00",
    ),
)
