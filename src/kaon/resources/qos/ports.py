"""QoS policies of ports: their own, or their network's where they have none, and what follows from its rules."""

from __future__ import annotations

from typing import Any

from kaon.resources import records, types
from kaon.resources.declare import Attribute, Extension, named
from kaon.resources.errors import conflict
from kaon.resources.qos import following, placement
from kaon.resources.roles import ADMIN
from kaon.store.journal import Record
from kaon.store.transaction import Transaction

VNIC_TYPES = ("normal", "direct")
"""Kinds of interfaces that QoS rules can be put on; any other that is bound already has shown that it can."""


def for_creation(tx: Transaction, id: str, body: dict[str, Any], network: Record) -> dict[str, Any]:
    """What a new port takes from its policies; 404 for one that the caller may not use."""
    own, inherited = following.usable(tx, body["qos_policy_id"]), network["qos_policy_id"]
    policy = own or following.policy(tx, inherited)
    vnic_type = body["binding:vnic_type"]
    if policy is not None and vnic_type not in VNIC_TYPES:
        _demand_no_rules(policy, id)
    return {
        "qos_network_policy_id": inherited,
        "resource_request": placement.request(id, vnic_type, network, policy),
    }


def for_update(tx: Transaction, port: Record, body: dict[str, Any]) -> dict[str, Any]:
    """What an update of a port changes beyond what it names; 403 or 404 for policies that are not the caller's."""
    if not {"qos_policy_id", "binding:vnic_type"} & body.keys():
        return {}
    after = {**port, **body}
    own = following.changed(tx, port["qos_policy_id"], after["qos_policy_id"])
    if own is not None and own["id"] != port["qos_policy_id"]:
        _demand_supported(own, after)
    network = records.get(tx.conn, named("network"), port["network_id"])
    return _followed(after, network, own or following.policy(tx, port["qos_network_policy_id"]))


def _followed(port: Record, network: Record, policy: Record | None) -> dict[str, Any]:
    """What follows for a port from the policy that counts for it."""
    wanted = placement.request(port["id"], port["binding:vnic_type"], network, policy)
    profile = placement.moved_allocation(port, wanted)
    return {"resource_request": wanted, **({} if profile is None else {"binding:profile": profile})}


def _demand_supported(policy: Record, port: Record) -> None:
    if port["binding:vif_type"] in ("unbound", "binding_failed") and port["binding:vnic_type"] not in VNIC_TYPES:
        _demand_no_rules(policy, port["id"])


def _demand_no_rules(policy: Record, port_id: str) -> None:
    for rule in policy["rules"]:
        raise conflict("QosRuleNotSupported", f"Rule {rule['type']} is not supported by port {port_id}")


def follow_network(tx: Transaction, network: Record, policy: Record | None) -> None:
    """Have the ports of a network follow the policy that it now has."""
    id = None if policy is None else policy["id"]
    for port in records.by(tx.conn, named("port"), network_id=network["id"]):
        after = {**port, "qos_network_policy_id": id}
        changes = {"qos_network_policy_id": id}
        if port["qos_policy_id"] is None:
            if policy is not None:
                _demand_supported(policy, after)
            changes.update(_followed(after, network, policy))
        records.update(tx, named("port"), port, changes)


def follow_segments(tx: Transaction, network: Record) -> None:
    """Have the ports of a network that other segments carry now ask for the way to those."""
    column = named("port").table.c
    guaranteed = column.qos_policy_id.is_not(None) | column.qos_network_policy_id.is_not(None)
    for port in records.select(tx.conn, named("port"), column.network_id == network["id"], guaranteed):
        policy = following.policy(tx, port["qos_policy_id"] or port["qos_network_policy_id"])
        records.update(tx, named("port"), port, _followed(port, network, policy))


def follow_rules(tx: Transaction, policy: Record, kind: str) -> None:
    """Have the ports that follow a policy meet its rules, of which those of one type have just changed.

    Raises 409 when one of them cannot, or when an instance was placed by a guarantee that would be another one now.
    """
    networks: dict[str, Record] = {}
    for port in following.ports(tx, policy["id"]):
        _demand_supported(policy, port)
        if kind not in placement.GUARANTEES:
            continue
        if placement.is_placed(port):
            raise conflict(
                "QosPolicyInUse",
                f"QoS Policy {policy['id']} is used by port {port['id']} of an instance. Cannot update QoS "
                "policies/rules backed by resources tracked in Placement: give the port another policy first.",
            )
        id = port["network_id"]
        network = networks.get(id) or networks.setdefault(id, records.get(tx.conn, named("network"), id))
        records.update(tx, named("port"), port, _followed(port, network, policy))


ATTRIBUTES = (
    Attribute("qos_policy_id", types.nullable(types.UUID), default=None, post=True, put=True, index=True, alias="qos"),
    Attribute("qos_network_policy_id", types.nullable(types.UUID), index=True, alias="qos-port-network-policy"),
    Attribute(
        "resource_request",
        types.nullable(types.MAPPING),
        get_rule=ADMIN,
        filter=False,
        sort=False,
        alias="port-resource-request",
    ),
)

EXTENSIONS = (
    Extension(
        "qos-port-network-policy",
        "QoS port network policy ID",
        "Adds the QoS policy of the network to the port definition",
        "2019-11-01T10:00:00-00:00",
    ),
    Extension(
        "port-resource-request", "Port Resource Request", "Expose resource request to Port", "2018-05-08T10:00:00-00:00"
    ),
    Extension(
        "port-resource-request-groups",
        "Port Resource Request Groups",
        "Support requesting multiple groups of resources and traits from the same RP subtree in resource_request",
        "2021-08-02T10:00:00-00:00",
    ),
)
