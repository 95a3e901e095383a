"""Lists against a plain model: any filters, any order and any page size give what a loop over the ports would."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cmp_to_key
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.cloud import Cloud

NAMES = ("", "a", "b", "B", "a%", "a_", "é", "a,b")
ADDRESSES = tuple(f"10.0.0.{number}" for number in (2, 3, 12, 20, 120))


class Shelf:
    """A cloud with ports that differ in every filtered attribute, and a loop of its own to ask it in."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.cloud, self.ports = self.loop.run_until_complete(self._fill(folder))

    async def _fill(self, folder: Path) -> tuple[Cloud, list[dict[str, Any]]]:
        cloud = await Cloud(folder).start()
        nets = [await cloud.made("member:red", "/networks") for _ in range(2)]
        for net in nets:
            await cloud.made("member:red", "/subnets", network_id=net["id"], ip_version=4, cidr="10.0.0.0/24")
        made = [
            await cloud.made(
                "member:red",
                "/ports",
                network_id=nets[index % 2]["id"],
                name=name,
                device_id=("", "vm")[index % 3 == 0],
                admin_state_up=index % 4 != 0,
                fixed_ips=[{"ip_address": ADDRESSES[index % len(ADDRESSES)]}],
            )
            for index, name in enumerate(NAMES)
        ]
        return cloud, made

    def listed(self, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        """The answer to a list with this query string."""
        status, body = self.loop.run_until_complete(self.cloud("member:red", "GET", f"/ports?{urlencode(pairs)}"))
        assert status == 200, body
        return dict(body)

    def close(self) -> None:
        """Stop the cloud."""
        self.loop.run_until_complete(self.cloud.stop())
        self.loop.close()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """One for all examples: they only read."""
    made = Shelf(tmp_path_factory.mktemp("shelf"))
    yield made
    made.close()


def matches(port: dict[str, Any], pairs: list[tuple[str, str]]) -> bool:
    """Values of one name are alternatives, names all hold."""
    for name in {name for name, _ in pairs}:
        values = [value for other, value in pairs if other == name]
        if name == "fixed_ips":
            keys = {value.partition("=")[0] for value in values}
            held = port["fixed_ips"][0]["ip_address"]
            for key in keys:
                texts = [value.partition("=")[2] for value in values if value.startswith(f"{key}=")]
                if not any(held == text if key == "ip_address" else text in held for text in texts):
                    return False
        elif name == "admin_state_up":
            if str(port[name]).lower() not in values:
                return False
        elif port[name] not in values:
            return False
    return True


FILTERS = st.lists(
    st.one_of(
        st.tuples(st.just("name"), st.sampled_from(NAMES)),
        st.tuples(st.just("device_id"), st.sampled_from(("", "vm", "other"))),
        st.tuples(st.just("admin_state_up"), st.sampled_from(("true", "false"))),
        st.tuples(
            st.just("fixed_ips"),
            st.one_of(
                st.sampled_from(ADDRESSES).map("ip_address={}".format),
                st.sampled_from(("2", "12", "0.2", "%", "_")).map("ip_address_substr={}".format),
            ),
        ),
    ),
    max_size=5,
)
SORTS = st.lists(
    st.tuples(st.sampled_from(("name", "device_id", "admin_state_up", "mac_address")), st.booleans()),
    max_size=3,
    unique_by=lambda sort: sort[0],
)


def in_order(ports: list[dict[str, Any]], sorts: list[tuple[str, bool]]) -> list[dict[str, Any]]:
    """Sorted by each key in turn, the id last."""

    def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
        for key, ascending in [*sorts, ("id", True)]:
            if one[key] != other[key]:
                return (1 if one[key] > other[key] else -1) * (1 if ascending else -1)
        return 0

    return sorted(ports, key=cmp_to_key(compare))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(filters=FILTERS, sorts=SORTS, limit=st.integers(1, 5))
def test_a_list_is_what_a_loop_would_find(
    shelf: Shelf, filters: list[tuple[str, str]], sorts: list[tuple[str, bool]], limit: int
) -> None:
    order = [pair for key, up in sorts for pair in (("sort_key", key), ("sort_dir", "asc" if up else "desc"))]
    expected = [port["id"] for port in in_order([port for port in shelf.ports if matches(port, filters)], sorts)]
    whole = [port["id"] for port in shelf.listed([*filters, *order])["ports"]]
    assert sorted(whole) == sorted(expected)
    pages: list[str] = []
    marker: list[tuple[str, str]] = []
    while True:
        page = [port["id"] for port in shelf.listed([*filters, *order, ("limit", str(limit)), *marker])["ports"]]
        pages += page
        if len(page) < limit:
            break
        marker = [("marker", page[-1])]
    assert pages == expected
