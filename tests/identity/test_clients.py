"""Real clients over a real socket: keystoneauth, openstacksdk and the openstack command."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import openstack
import pytest
from keystoneauth1 import exceptions, session
from keystoneauth1.identity import v3
from openstack.exceptions import SDKException

from tests.identity.conftest import ADMIN_PASSWORD


def _admin(url: str, **scope: Any) -> v3.Password:
    return v3.Password(
        auth_url=f"{url}/identity", username="admin", password=ADMIN_PASSWORD, user_domain_name="Default", **scope
    )


def _connect(url: str) -> openstack.connection.Connection:
    return openstack.connect(
        auth_url=f"{url}/identity",
        username="admin",
        password=ADMIN_PASSWORD,
        project_name="admin",
        user_domain_name="Default",
        project_domain_name="Default",
        region_name="RegionOne",
        load_yaml_config=False,
        load_envvars=False,
    )


async def test_keystoneauth_discovers_authenticates_and_finds_the_endpoints(live: str) -> None:
    def story() -> None:
        # Both the unversioned and the versioned URL are used as auth_url.
        for auth_url in (f"{live}/identity", f"{live}/identity/", f"{live}/identity/v3"):
            auth = v3.Password(
                auth_url=auth_url,
                username="admin",
                password=ADMIN_PASSWORD,
                user_domain_id="default",
                project_name="admin",
                project_domain_name="Default",
            )
            client = session.Session(auth=auth)
            assert client.get_endpoint(service_type="network", interface="public", region_name="RegionOne") == live
            assert client.get_endpoint(service_type="identity", version=(3, 0)) == f"{live}/identity/v3/"
            assert auth.get_access(client).has_service_catalog()
        system = session.Session(auth=_admin(live, system_scope="all"))
        assert system.auth.get_access(system).system == {"all": True}
        token = system.get_token()
        again = session.Session(
            auth=v3.Token(
                auth_url=f"{live}/identity/v3", token=token, project_name="admin", project_domain_id="default"
            )
        )
        assert again.auth.get_access(again).project_name == "admin"
        with pytest.raises(exceptions.Unauthorized):
            session.Session(auth=_admin(live, project_name="nowhere", project_domain_id="default")).get_token()

    await asyncio.to_thread(story)


async def test_the_sdk_makes_a_tenant_and_works_as_it(live: str) -> None:
    def story() -> None:
        cloud = _connect(live)
        identity = cloud.identity
        red = identity.create_project(name="red", domain_id="default", tags=["hot"])
        user = identity.create_user(name="alice", password="secret", domain_id="default", default_project_id=red.id)
        role = identity.find_role("member")
        identity.assign_project_role_to_user(red, user, role)
        assert identity.validate_user_has_project_role(red, user, role)
        assert identity.find_project("red").id == red.id
        assert identity.find_project(red.id).name == "red"
        assert identity.find_project("nowhere") is None
        assert identity.find_user("alice", domain_id="default").id == user.id
        assert {found.name for found in identity.roles()} == {"admin", "manager", "member", "reader", "service"}
        assert len(list(identity.endpoints())) == 6
        assert [region.id for region in identity.regions()] == ["RegionOne"]
        held = list(identity.role_assignments(user_id=user.id, include_names=True))
        assert [entry.role["name"] for entry in held] == ["member"]
        tenant = cloud.connect_as(username="alice", password="secret", project_name="red")
        made = tenant.identity.create_application_credential(user.id, "robot")
        assert [project.name for project in tenant.identity.user_projects(user.id)] == ["red"]
        robot = session.Session(
            auth=v3.ApplicationCredential(
                auth_url=f"{live}/identity/v3",
                application_credential_id=made.id,
                application_credential_secret=made.secret,
            )
        )
        assert robot.auth.get_access(robot).project_id == red.id
        identity.update_user(user, is_enabled=False)
        with pytest.raises(SDKException, match="HTTP 401"):
            cloud.connect_as(username="alice", password="secret", project_name="red").authorize()
        identity.delete_user(user)
        identity.delete_project(red)
        assert identity.find_user("alice") is None

    await asyncio.to_thread(story)


@pytest.mark.slow
async def test_the_command_line_manages_identity(live: str) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "OS_AUTH_URL": f"{live}/identity",
        "OS_USERNAME": "admin",
        "OS_PASSWORD": ADMIN_PASSWORD,
        "OS_PROJECT_NAME": "admin",
        "OS_USER_DOMAIN_NAME": "Default",
        "OS_PROJECT_DOMAIN_NAME": "Default",
        "OS_IDENTITY_API_VERSION": "3",
        "OS_REGION_NAME": "RegionOne",
    }

    def run(*lines: str) -> list[Any]:
        """The JSON of each command; one interpreter runs them all, because starting one takes a second."""
        script = (
            "import io, sys, json, contextlib\n"
            "from openstackclient.shell import OpenStackShell\n"
            "for line in json.loads(sys.argv[1]):\n"
            "    out = io.StringIO()\n"
            "    shell = OpenStackShell(); shell.stdout = out\n"
            "    with contextlib.redirect_stdout(out):\n"
            "        status = shell.run(line.split())\n"
            "    print(json.dumps([line, status, out.getvalue()]))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, json.dumps(lines)],
            env=environment, capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
        results = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(results) == len(lines), done.stderr
        for line, status, output in results:
            assert status in (0, None), f"{line}: {output} {done.stderr}"
        return [json.loads(output) if output.strip() else None for _, _, output in results]

    token, catalog, project, user, _, assignments, *others = await asyncio.to_thread(
        run,
        "token issue -f json",
        "catalog list -f json",
        "project create red --description first --tag hot -f json",
        "user create alice --password secret --project red --email a@example.org -f json",
        "role add --user alice --project red member",
        "role assignment list --user alice --project red --names -f json",
        "project list -f json",
        "user show alice -f json",
        "role list -f json",
        "service create --name cinder volumev3 -f json",
        "region create RegionTwo -f json",
        "endpoint create --region RegionTwo volumev3 public http://volumes/$(project_id)s -f json",
        "endpoint list --service volumev3 -f json",
        "domain create west -f json",
        "group create crew -f json",
        "group add user crew alice",
        "implied role list -f json",
        "application credential create robot -f json",
        "project set red --name crimson --disable",
        "project show crimson -f json",
        "region list -f json",
        "role remove --user alice --project crimson member",
        "user delete alice",
        "project delete crimson",
    )
    assert len(token["id"]) < 255
    assert {service["Type"] for service in catalog} == {"identity", "network"}
    assert project["tags"] == ["hot"]
    assert user["default_project_id"] == project["id"]
    assert assignments[0]["Role"] == "member"
    assert {"Name": "red", "ID": project["id"]} in others[0]
    assert others[1]["email"] == "a@example.org"
    assert others[13]["enabled"] is False
