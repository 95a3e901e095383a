"""Networks through the API: what is made, who sees it, what is refused."""

from __future__ import annotations

from tests.api.cloud import Cloud


async def test_a_network_gets_a_vxlan_segment_that_only_admins_see(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks", name="blue-net")
    assert net["mtu"] == 1450 and net["status"] == "ACTIVE" and net["project_id"] == net["tenant_id"] == "red"
    assert "provider:network_type" not in net and "zone" not in net
    _, body = await cloud("admin:ops", "GET", f"/networks/{net['id']}")
    assert body["network"]["provider:network_type"] == "vxlan"
    assert body["network"]["provider:segmentation_id"] >= 1


async def test_another_project_neither_lists_nor_shows_nor_changes_it(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    status, body = await cloud("member:blue", "GET", f"/networks/{net['id']}")
    assert (status, body["NeutronError"]["type"]) == (404, "NetworkNotFound")
    assert (await cloud("member:blue", "GET", "/networks"))[1] == {"networks": []}
    assert (await cloud("member:blue", "DELETE", f"/networks/{net['id']}"))[0] == 404
    assert (await cloud("reader:red", "DELETE", f"/networks/{net['id']}"))[0] == 403
    assert (await cloud("member:red", "DELETE", f"/networks/{net['id']}"))[0] == 204


async def test_a_shared_network_is_seen_by_all_and_says_so(cloud: Cloud) -> None:
    net = await cloud.made("admin:ops", "/networks", shared=True)
    assert net["shared"] is True
    _, body = await cloud("member:blue", "GET", "/networks?shared=true")
    assert [item["id"] for item in body["networks"]] == [net["id"]]
    status, body = await cloud("member:blue", "POST", "/networks", {"network": {"shared": True}})
    assert (status, body["NeutronError"]["type"]) == (403, "PolicyNotAuthorized")
    await cloud("admin:ops", "PUT", f"/networks/{net['id']}", {"network": {"shared": False}})
    assert (await cloud("member:blue", "GET", "/networks"))[1] == {"networks": []}


async def test_bulk_creation_makes_all_or_none(cloud: Cloud) -> None:
    status, body = await cloud("member:red", "POST", "/networks", {"networks": [{"name": "a"}, {"name": "b"}]})
    assert status == 201 and [item["name"] for item in body["networks"]] == ["a", "b"]
    bad = {"networks": [{"name": "c"}, {"name": "d", "mtu": 9000}]}
    assert (await cloud("member:red", "POST", "/networks", bad))[0] == 400
    _, body = await cloud("member:red", "GET", "/networks?sort_key=name&sort_dir=desc&fields=name")
    assert body == {"networks": [{"name": "b"}, {"name": "a"}]}


async def test_pages_follow_their_links_in_both_directions(cloud: Cloud) -> None:
    await cloud("member:red", "POST", "/networks", {"networks": [{"name": f"n{i}"} for i in range(5)]})
    seen: list[str] = []
    path = "/networks?limit=2&sort_key=name&sort_dir=asc"
    while path:
        _, body = await cloud("member:red", "GET", path)
        seen += [item["name"] for item in body["networks"]]
        after = [link["href"] for link in body.get("networks_links", []) if link["rel"] == "next"]
        path = after[0].split("/v2.0", 1)[1] if after else ""
    assert seen == ["n0", "n1", "n2", "n3", "n4"]
    _, body = await cloud("member:red", "GET", "/networks?sort_key=name&sort_dir=asc")
    marker = body["networks"][4]["id"]
    _, body = await cloud(
        "member:red", "GET", f"/networks?limit=2&sort_key=name&sort_dir=asc&page_reverse=true&marker={marker}"
    )
    assert [item["name"] for item in body["networks"]] == ["n2", "n3"]


async def test_revisions_count_and_guard_updates(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks")
    path = f"/networks/{net['id']}"
    status, body = await cloud("member:red", "PUT", path, {"network": {"name": "x"}}, {"If-Match": "revision_number=0"})
    assert status == 200 and body["network"]["revision_number"] == 1
    status, body = await cloud("member:red", "PUT", path, {"network": {"name": "y"}}, {"If-Match": "revision_number=0"})
    assert (status, body["NeutronError"]["type"]) == (412, "RevisionNumberConstraintFailed")


async def test_bad_input_is_named_and_writes_nothing(cloud: Cloud) -> None:
    for body, words in (
        ({"network": {"nmae": "x"}}, "Unrecognized attribute(s) 'nmae'"),
        ({"network": {"admin_state_up": "maybe"}}, "cannot be converted to boolean"),
        ({"network": {"status": "DOWN"}}, "not allowed in POST"),
        ({"net": {}}, "Unable to find 'network'"),
        ({"networks": []}, "Unable to find 'networks'"),
        ([1], "Resource body required"),
        ({"network": {"project_id": "blue"}}, "is not allowed for current user"),
    ):
        status, reply = await cloud("member:red", "POST", "/networks", body)
        assert status == 400 and words in reply["NeutronError"]["message"], reply
    reply = await cloud.http.post("/v2.0/networks", content=b"{", headers={"X-Auth-Token": "member:red"})
    assert reply.status_code == 400
    reply = await cloud.http.post("/v2.0/networks", content=b"x" * 3_000_000, headers={"X-Auth-Token": "member:red"})
    assert reply.status_code == 413
    assert (await cloud("member:red", "GET", "/networks"))[1] == {"networks": []}
    assert (await cloud("nobody", "GET", "/networks"))[0] == 401


async def test_quota_limits_a_project_and_frees_again(cloud: Cloud) -> None:
    many = {"networks": [{"name": str(i)} for i in range(100)]}
    assert (await cloud("member:red", "POST", "/networks", many))[0] == 201
    status, body = await cloud("member:red", "POST", "/networks", {"network": {}})
    assert (status, body["NeutronError"]["type"]) == (409, "OverQuota")
    assert (await cloud("member:blue", "POST", "/networks", {"network": {}}))[0] == 201


async def test_qinq_is_chosen_at_creation_and_a_projects_default_at_any_time(cloud: Cloud) -> None:
    net = await cloud.made("member:red", "/networks", qinq=True)
    assert (net["qinq"], net["project_default"]) == (True, False)
    path = f"/networks/{net['id']}"
    assert (await cloud("member:red", "PUT", path, {"network": {"qinq": False}}))[0] == 400
    _, body = await cloud("member:red", "PUT", path, {"network": {"project_default": True}})
    assert body["network"]["project_default"] is True
    other = await cloud.made("member:red", "/networks")
    assert (other["qinq"], other["project_default"]) == (False, False)
    _, body = await cloud("member:red", "GET", "/networks?qinq=true&project_default=true")
    assert [item["id"] for item in body["networks"]] == [net["id"]]
