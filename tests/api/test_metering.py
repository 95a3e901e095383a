"""Metering labels and their rules through the API."""

from __future__ import annotations

from typing import Any

from tests.api.cloud import Cloud
from tests.api.l3 import kind

LABELS, RULES = "/metering/metering-labels", "/metering/metering-label-rules"
NOBODY = "00000000-0000-4000-8000-000000000000"


async def label(cloud: Cloud, token: str = "admin:ops", **values: Any) -> dict[str, Any]:
    status, body = await cloud(token, "POST", LABELS, {"metering_label": values})
    assert status == 201, body
    return dict(body["metering_label"])


async def rule(cloud: Cloud, token: str = "admin:ops", **values: Any) -> tuple[int, Any]:
    return await cloud(token, "POST", RULES, {"metering_label_rule": {"direction": "ingress", **values}})


async def test_a_label_counts_what_its_rules_say_and_takes_them_with_it(cloud: Cloud) -> None:
    made = await label(cloud, name="north", description="to the world", project_id="red")
    assert made == {
        "id": made["id"],
        "name": "north",
        "description": "to the world",
        "project_id": "red",
        "tenant_id": "red",
        "shared": False,
    }
    status, body = await rule(cloud, metering_label_id=made["id"], remote_ip_prefix="10.0.0.1/24")
    assert status == 201
    first = body["metering_label_rule"]
    assert (first["remote_ip_prefix"], first["excluded"], first["project_id"]) == ("10.0.0.0/24", False, "red")
    both = {"source_ip_prefix": "10.1.0.0/16", "destination_ip_prefix": "192.0.2.0/24"}
    status, body = await rule(cloud, metering_label_id=made["id"], direction="egress", **both)
    assert status == 201 and both.items() <= body["metering_label_rule"].items()
    assert len((await cloud("reader:red", "GET", RULES))[1]["metering_label_rules"]) == 2
    assert (await cloud("reader:blue", "GET", RULES))[1] == {"metering_label_rules": []}
    assert kind(await cloud("reader:blue", "GET", f"{LABELS}/{made['id']}")) == (404, "MeteringLabelNotFound")
    assert (await cloud("admin:ops", "DELETE", f"{LABELS}/{made['id']}"))[0] == 204
    assert (await cloud("admin:ops", "GET", RULES))[1] == {"metering_label_rules": []}
    assert kind(await cloud("admin:ops", "GET", f"{RULES}/{first['id']}")) == (404, "MeteringLabelRuleNotFound")


async def test_rules_that_say_nothing_or_two_things_or_the_same_again_are_refused(cloud: Cloud) -> None:
    id = (await label(cloud))["id"]
    assert kind(await rule(cloud, metering_label_id=id)) == (400, "Invalid")
    mixed = {"remote_ip_prefix": "10.0.0.0/8", "source_ip_prefix": "10.0.0.0/8"}
    assert kind(await rule(cloud, metering_label_id=id, **mixed)) == (400, "Invalid")
    families = {"source_ip_prefix": "10.0.0.0/8", "destination_ip_prefix": "fd00::/64"}
    assert kind(await rule(cloud, metering_label_id=id, **families)) == (400, "Invalid")
    assert kind(await rule(cloud, metering_label_id=id, remote_ip_prefix="ten"))[0] == 400
    assert kind(await rule(cloud, metering_label_id=id, remote_ip_prefix="::/0", direction="both"))[0] == 400
    absent = await rule(cloud, metering_label_id=NOBODY, remote_ip_prefix="::/0")
    assert kind(absent) == (404, "MeteringLabelNotFound")
    assert (await rule(cloud, metering_label_id=id, remote_ip_prefix="10.0.0.0/24"))[0] == 201
    wider = await rule(cloud, metering_label_id=id, remote_ip_prefix="10.0.0.0/8")
    assert kind(wider) == (409, "MeteringLabelRuleOverlaps")
    host = await rule(cloud, metering_label_id=id, destination_ip_prefix="fd00::7")
    assert host[1]["metering_label_rule"]["destination_ip_prefix"] == "fd00::7/128"
    apart: tuple[dict[str, Any], ...] = (
        {"remote_ip_prefix": "10.0.1.0/24"},
        {"remote_ip_prefix": "fd00::/64"},
        {"remote_ip_prefix": "10.0.0.0/8", "direction": "egress"},
        {"remote_ip_prefix": "10.0.0.0/8", "excluded": True},
    )
    for values in apart:
        assert (await rule(cloud, metering_label_id=id, **values))[0] == 201


async def test_metering_is_for_managers_and_admins(cloud: Cloud) -> None:
    refused = await cloud("member:red", "POST", LABELS, {"metering_label": {"name": "mine"}})
    assert kind(refused) == (403, "PolicyNotAuthorized")
    long = await cloud("admin:ops", "POST", LABELS, {"metering_label": {"name": "x" * 256}})
    assert kind(long)[0] == 400
