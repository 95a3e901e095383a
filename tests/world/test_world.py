"""The world finds records by what matters about them, whatever came first and whatever changed since."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.world.world import Change, World, policy_bucket


def put(kind: str, id: str, **attributes: Any) -> Change:
    return Change(kind, id, None, {"id": id, **attributes})


def ids(world: World, kind: str, attribute: str, value: str) -> list[str]:
    return [record["id"] for record in world.by(kind, attribute, value)]


def test_a_port_is_found_by_network_device_groups_and_subnets() -> None:
    world = World(
        [
            put("port", "p2", network_id="n", device_id="d", security_groups=["g", "h"]),
            put("port", "p1", network_id="n", fixed_ips=[{"subnet_id": "s", "ip_address": "10.0.0.5"}]),
        ]
    )
    assert ids(world, "port", "network_id", "n") == ["p1", "p2"]
    assert ids(world, "port", "device_id", "d") == ["p2"]
    assert ids(world, "port", "security_groups", "h") == ["p2"]
    assert ids(world, "port", "subnet_id", "s") == ["p1"]


def test_a_record_that_changes_is_found_under_its_new_values_only() -> None:
    world = World([put("port", "p", network_id="n", security_groups=["g"])])
    world.apply(put("port", "p", network_id="n", security_groups=["h"]))
    assert ids(world, "port", "security_groups", "g") == []
    assert ids(world, "port", "security_groups", "h") == ["p"]
    world.apply(Change("port", "p", None, None))
    assert ids(world, "port", "network_id", "n") == []
    assert world.get("port", "p") is None


def test_the_first_and_the_last_record_of_an_entry_are_told_apart_from_others() -> None:
    world = World()
    entry = ("port", "network_id", "n")
    assert world.apply(put("port", "p1", network_id="n"))[entry] is True
    assert world.apply(put("port", "p2", network_id="n"))[entry] is False
    assert entry not in world.apply(put("port", "p2", network_id="n", name="new"))
    assert world.apply(Change("port", "p1", None, None))[entry] is False
    assert world.apply(Change("port", "p2", None, None))[entry] is True


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_attachment_is_found_by_its_ports_network_whichever_came_first(order: tuple[int, int]) -> None:
    changes = [put("port", "p", network_id="n", security_groups=["g"]), put("attachment", "p", host="h")]
    world = World(changes[i] for i in order)
    assert ids(world, "attachment", "host_network", "h n") == ["p"]
    assert ids(world, "attachment", "host_group", "h g") == ["p"]
    world.apply(put("port", "p", network_id="n", security_groups=["other"]))
    assert ids(world, "attachment", "host_group", "h g") == []
    assert ids(world, "attachment", "host_policy", "h other") == ["p"]
    world.apply(Change("port", "p", None, None))
    assert ids(world, "attachment", "host_network", "h n") == []


def test_policies_are_known_while_a_port_has_them() -> None:
    world = World([put("port", "p1", network_id="n", security_groups=["b", "a"])])
    assert list(world.ids_by("policy", "bucket", policy_bucket("a,b"))) == ["a,b"]
    world.apply(put("port", "p2", network_id="n", security_groups=["a", "b"]))
    world.apply(Change("port", "p1", None, None))
    assert list(world.ids_by("policy", "bucket", policy_bucket("a,b"))) == ["a,b"]
    world.apply(Change("port", "p2", None, None))
    assert list(world.ids_by("policy", "bucket", policy_bucket("a,b"))) == []


def test_asking_for_an_index_that_is_not_declared_says_where_to_declare_it() -> None:
    with pytest.raises(KeyError, match="declare it in"):
        World().by("port", "colour", "red")
