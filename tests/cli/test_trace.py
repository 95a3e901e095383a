"""`kaon trace` and `kaon reach`: what one reads when something cannot ping."""

from __future__ import annotations

import httpx
import msgspec
import pytest

from kaon.cli import reach, trace
from kaon.cli.client import Client, ClientError
from kaon.insight import reach as matrix
from kaon.insight.answer import Trace
from tests.insight.story import Story

CLOUD = {"auth": {"auth_url": "http://kaon/identity/v3"}}


def lines(found: Trace) -> list[str]:
    return list(trace.told(msgspec.to_builtins(found)))


def test_a_trace_reads_from_the_question_to_the_way_out() -> None:
    story = Story()
    network = story.network("n", 1, "10.0.0.0/24")
    a = story.vm("a", network, "10.0.0.5", groups=(story.open(),))
    b = story.vm("b", network, "10.0.0.6", groups=(story.group("closed"),))
    dropped = lines(story.trace(a, "10.0.0.6:80"))
    assert dropped[0] == "tcp 10.0.0.5:40000 > 10.0.0.6:80: DROPPED"
    assert dropped[1].split()[:3] == ["there", "port", f"port/{a}"] and "[security_group_rule/" in dropped[2]
    assert dropped[-2].startswith(f"  dropped at port/{b}: no-ingress-rule: ")
    assert dropped[-1].startswith("  to let it through: add a rule to group ")
    story.put("port", b, security_groups=story.records["port", a]["security_groups"])
    passing = lines(story.trace(a, "10.0.0.6:80"))
    assert passing[0] == f"tcp 10.0.0.5:40000 > 10.0.0.6:80: delivered to port/{b}"
    assert [line.split()[0] for line in passing if line.startswith("  ") and line[2] != " "] == ["there", "back"]
    # The packet is told where it begins and where it is another one, not at each hop.
    assert sum("(tcp" in line for line in passing) == 2


def test_a_matrix_tells_each_reason_once_and_nothing_to_the_terminal() -> None:
    story = Story()
    network = story.network("n", 1, "10.0.0.0/24")
    story.vm("a", network, "10.0.0.5", groups=(story.open(),), project_id="p")
    hidden = story.vm("b", network, "10.0.0.6", groups=(story.group("closed"),), project_id="p")
    story.put("port", hidden, name="\x1b[2J")
    world = story.world()
    ends = matrix.ends(world, "p", 4)
    rows = list(matrix.rows(world, ends, "tcp", 22))
    told = list(reach.told(msgspec.to_builtins({"protocol": "tcp", "port": 22, "ends": ends, "rows": rows})))
    assert told[0] == "tcp 22: rows send, columns receive"
    cells = [line.split()[-3:] for line in told[2:5]]
    assert cells == [[".", "a", "b"], ["c", ".", "c"], ["d", "d", "."]]
    assert [line.split() for line in told[5:]] == [
        ["a", "no-ingress-rule"],
        ["b", "no-router"],
        ["c", "no-egress-rule"],
        ["d", "no-route"],
    ]
    assert "\x1b" not in "".join(told)


def test_a_port_is_named_by_its_id_or_by_a_name_that_is_one_ports() -> None:
    ports = {("id", "p1"): ["p1"], ("name", "web"): ["p1"], ("name", "twins"): ["p1", "p2"]}

    def answer(request: httpx.Request) -> httpx.Response:
        query = request.url.params
        name = next(each for each in ("id", "name") if each in query)
        found = ports.get((name, query[name]), [])
        return httpx.Response(200, json={"ports": [{"id": id} for id in found]})

    client = Client(httpx.Client(transport=httpx.MockTransport(answer)), "http://kaon", CLOUD)
    assert trace.port_id(client, "p1") == trace.port_id(client, "web") == "p1"
    assert trace.port_id(client, "EXTERNAL") == "external"
    for name, words in (("twins", "2 of that name"), ("nobody", "none of that id or name")):
        with pytest.raises(ClientError, match=words):
            trace.port_id(client, name)
