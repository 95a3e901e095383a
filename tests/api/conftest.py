from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon.compile.config import HostConfig
from kaon.resources import records
from kaon.resources.catalog import resources
from kaon.server.desired import Desired
from kaon.world.world import Change, World
from tests.api.cloud import Cloud

HOST = HostConfig(host="alpha", physical_networks={"physnet1": "bridge:br-ex"})


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """An empty cloud. Whatever a test leaves in it must compile, as if every port were attached."""
    made = await Cloud(tmp_path).start()
    yield made
    await demand_compilable(made)
    await made.stop()


async def demand_compilable(cloud: Cloud) -> None:
    """Compile all that the API has accepted; raises what the compiler cannot read, or rows that collide."""
    held = await cloud.store.read(lambda conn: list(records.load_all(conn, resources())))
    attached = [
        ("attachment", {"id": port["id"], "port_id": port["id"], "host": HOST.host, "netns": "vm", "ifname": "eth0"})
        for kind, port in held
        if kind == "port" and not port["device_owner"].startswith("network:")
    ]
    world = World(Change(kind, record["id"], None, record) for kind, record in [*held, *attached])
    Desired(world, HOST).snapshot()
