"""A policy, who follows it, and the rows that must and must not follow."""

from __future__ import annotations

from typing import Any

import pytest

from kaon.rows import Chain, Element, RateLimit
from kaon.server.desired import Desired
from tests.compile.cloud import Cloud, named
from tests.compile.test_rows import desired, elements, one_port, rows


def policy(cloud: Cloud, *rules: dict[str, Any], name: str = "gold") -> str:
    """A policy with these rules."""
    parts = [
        {"id": named(f"{name} {number}"), "qos_policy_id": named(name), **rule} for number, rule in enumerate(rules)
    ]
    return cloud.put("qos_policy", named(name), rules=parts)


def bandwidth(direction: str, kbps: int, burst: int = 0) -> dict[str, Any]:
    return {"type": "bandwidth_limit", "direction": direction, "max_kbps": kbps, "max_burst_kbps": burst}


def packets(direction: str, kpps: int, burst: int = 0) -> dict[str, Any]:
    return {"type": "packet_rate_limit", "direction": direction, "max_kpps": kpps, "max_burst_kpps": burst}


def dscp(mark: int) -> dict[str, Any]:
    return {"type": "dscp_marking", "dscp_mark": mark}


def limits(state: Desired) -> dict[tuple[str, ...], RateLimit]:
    return {key[1:]: row.value for key, row in rows(state, RateLimit).items()}  # type: ignore[misc]


def texts(state: Desired, name: str, netns: str = "") -> list[str]:
    """The rules of the one chain whose name begins so; none when there is none."""
    found = [row.value for key, row in rows(state, Chain).items() if key[0] == netns and key[3].startswith(name)]
    return [rule.text for value in found for rule in value.rules]  # type: ignore[attr-defined]


def test_what_an_instance_sends_comes_in_at_its_bridge_port() -> None:
    cloud, _, port = one_port(qos_policy_id=named("gold"))
    policy(cloud, bandwidth("egress", 1000, 400), bandwidth("ingress", 8000))
    cloud.attach(port, netns="i")
    state = desired(cloud)
    tap = f"tap{port[:11]}"
    sent, received = limits(state)[tap, "ingress"], limits(state)[tap, "egress"]
    assert (sent.rate, sent.burst, sent.via) == (125_000, 50_000, f"kl{port[:11]}")
    assert (received.rate, received.burst, received.via) == (1_000_000, 800_000, "")
    assert set(limits(state)) == {(tap, "ingress"), (tap, "egress")}


def test_a_changed_rule_changes_one_row_and_a_removed_one_takes_it() -> None:
    cloud, _, port = one_port(qos_policy_id=named("gold"))
    policy(cloud, bandwidth("ingress", 1000))
    cloud.attach(port, netns="i")
    state = desired(cloud)
    policy(cloud, bandwidth("ingress", 2000))
    put, delete = state.apply(cloud.take())
    assert [type(item.value) for item in put] == [RateLimit] and not delete
    policy(cloud)
    put, delete = state.apply(cloud.take())
    assert not put and [id.table for id in delete] == ["rate_limit"]


def test_a_port_follows_its_own_policy_before_its_networks() -> None:
    cloud, _, port = one_port(qos_policy_id=named("own"), qos_network_policy_id=named("of network"))
    policy(cloud, bandwidth("ingress", 1000), name="own")
    policy(cloud, bandwidth("ingress", 9000), name="of network")
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert [value.rate for value in limits(state).values()] == [125_000]
    cloud.put("port", port, qos_policy_id=None)
    state.apply(cloud.take())
    assert [value.rate for value in limits(state).values()] == [1_125_000]


def test_the_policy_of_a_network_is_no_matter_of_kaons_own_ports() -> None:
    cloud, network, port = one_port()
    policy(cloud, bandwidth("ingress", 1000))
    cloud.attach(port, netns="i")
    router = cloud.router("r")
    inside = cloud.interface(router, network, "10.0.0.1")
    cloud.put("port", inside, qos_network_policy_id=named("gold"))
    state = desired(cloud)
    assert not limits(state)
    cloud.put("port", inside, qos_policy_id=named("gold"))
    state.apply(cloud.take())
    assert set(limits(state)) == {(f"kq{inside[:11]}", "egress")}


def test_a_port_that_is_elsewhere_has_no_limit_here() -> None:
    cloud, _, port = one_port(qos_policy_id=named("gold"))
    policy(cloud, bandwidth("ingress", 1000), dscp(10))
    cloud.attach(port, netns="i", host="another host")
    state = desired(cloud)
    assert not limits(state) and not texts(state, "qos")


def test_marks_and_packet_rates_are_rules_of_the_ports_own_chain() -> None:
    cloud, _, port = one_port(qos_policy_id=named("gold"))
    policy(cloud, packets("egress", 2, 1), packets("ingress", 1), dscp(46))
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert texts(state, "qos-egress") == [
        "limit rate over 2000/second burst 1000 packets drop",
        "ip dscp set 0x2e",
        "ip6 dscp set 0x2e",
    ]
    assert texts(state, "qos-ingress") == ["limit rate over 1000/second burst 800 packets drop"]
    tap = f'"tap{port[:11]}"'
    assert elements(state, "qos_egress") == {tap: f"goto qos-egress-{port}"}
    assert elements(state, "qos_ingress") == {tap: f"goto qos-ingress-{port}"}
    assert not limits(state)


def test_a_host_where_nobody_follows_a_policy_has_no_chain_for_it() -> None:
    cloud, _, port = one_port()
    policy(cloud, dscp(10))
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert not texts(state, "qos")
    cloud.put("port", port, qos_network_policy_id=named("gold"))
    state.apply(cloud.take())
    assert texts(state, "qos_prerouting") == ["iifname vmap @qos_egress"]


@pytest.mark.parametrize("rule", [bandwidth("egress", 0), packets("egress", 0)])
def test_a_limit_of_nothing_is_none(rule: dict[str, Any]) -> None:
    cloud, _, port = one_port(qos_policy_id=named("gold"))
    policy(cloud, rule)
    cloud.attach(port, netns="i")
    state = desired(cloud)
    assert not limits(state) and not texts(state, "qos-")


def test_the_greatest_rates_that_the_api_takes_are_rows_that_the_kernel_takes() -> None:
    cloud, _, port = one_port(qos_policy_id=named("gold"))
    most = 2**31 - 1
    policy(cloud, bandwidth("egress", most, most), packets("egress", most, most), bandwidth("ingress", 1, most))
    cloud.attach(port, netns="i")
    state = desired(cloud)
    for value in limits(state).values():
        assert max(value.burst, value.queue) < 2**32
    assert texts(state, "qos-egress") == ["limit rate over 1000000000/second burst 4294967295 packets drop"]


# ---------------------------------------------------------------- addresses outside


def outside() -> tuple[Cloud, str, str]:
    """A router with a gateway, and a floating IP on its way to a port; nobody follows a policy yet."""
    cloud, network, port = one_port()
    external = cloud.network("out", 9, "203.0.113.0/24")
    cloud.attach(port, netns="i")
    router = cloud.router("r")
    cloud.interface(router, network, "10.0.0.1")
    cloud.gateway(router, external, "203.0.113.5")
    return cloud, router, cloud.floatingip("203.0.113.9", router, port, "10.0.0.5")


def test_floating_ips_without_a_policy_cost_nothing() -> None:
    cloud, router, _ = outside()
    assert not texts(desired(cloud), "qos", f"kaon-router-{router}")


def test_a_floating_ip_is_limited_by_its_address_outside() -> None:
    cloud, router, floating = outside()
    policy(cloud, bandwidth("egress", 1000), packets("ingress", 1))
    cloud.put("floatingip", floating, qos_policy_id=named("gold"))
    state = desired(cloud)
    netns = f"kaon-router-{router}"
    assert texts(state, "qos-egress", netns) == [
        "limit rate over 125000 bytes/second drop",
        "accept",
    ]
    assert texts(state, "qos-ingress", netns) == ["limit rate over 1000/second burst 800 packets drop", "accept"]
    assert elements(state, "qos_egress", netns) == {"203.0.113.9": f"goto qos-egress-{floating}"}
    device, *rest = texts(state, "qos_egress", netns)
    assert device.startswith('oifname != "gw-') and rest == ["ip saddr vmap @qos_egress"]
    cloud.put("floatingip", floating, qos_policy_id=None)
    state.apply(cloud.take())
    assert not texts(state, "qos", netns) and not elements(state, "qos_egress", netns)


def test_a_gateway_is_limited_without_its_floating_ips() -> None:
    cloud, router, floating = outside()
    policy(cloud, bandwidth("ingress", 1000))
    info = cloud.records["router", router]["external_gateway_info"]
    cloud.put("router", router, external_gateway_info={**info, "qos_policy_id": named("gold")})
    state = desired(cloud)
    netns = f"kaon-router-{router}"
    assert texts(state, "qos_ingress", netns)[1:] == [
        "ip daddr vmap @qos_ingress",
        "limit rate over 125000 bytes/second drop",
    ]
    assert texts(state, "qos_egress", netns)[1:] == ["ip saddr vmap @qos_egress"]
    assert elements(state, "qos_ingress", netns) == {"203.0.113.9": "accept"}
    assert {key[4]: row.origin for key, row in rows(state, Element).items() if key[3] == "qos_ingress"} == {
        "203.0.113.9": f"floatingip/{floating}"
    }


def test_a_burst_of_more_than_a_second_is_what_goes_beyond_that_second() -> None:
    cloud, router, floating = outside()
    policy(cloud, bandwidth("egress", 1000, 3000))
    cloud.put("floatingip", floating, qos_policy_id=named("gold"))
    (limit, _) = texts(desired(cloud), "qos-egress", f"kaon-router-{router}")
    assert limit == "limit rate over 125000 bytes/second burst 250000 bytes drop"


def test_the_greatest_rates_of_a_floating_ip_are_ones_that_the_kernel_can_count() -> None:
    cloud, router, floating = outside()
    policy(cloud, bandwidth("egress", 2**31 - 1, 2**31 - 1))
    cloud.put("floatingip", floating, qos_policy_id=named("gold"))
    (limit, _) = texts(desired(cloud), "qos-egress", f"kaon-router-{router}")
    assert limit == "limit rate over 18000000000 bytes/second drop"
