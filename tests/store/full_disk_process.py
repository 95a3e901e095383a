"""A cloud on a disk of 2 MiB that fills up. Run it in a mount namespace of its own: it mounts a tmpfs.

`python -m tests.store.full_disk_process FOLDER` ends with status 0 when writes were refused while the disk was full,
reads went on, nothing of what was refused is there, and writes went on when there was room again.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from kaon.store import journal
from tests.api.cloud import Cloud

TOKEN = "member:red"


def _fill(folder: Path) -> Path:
    """Leave no byte free."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    return filler


async def main(folder: Path) -> None:
    """The story, told by assertions."""
    cloud = await Cloud(folder).start()
    kept = await cloud.made(TOKEN, "/networks", name="kept")
    filler = _fill(folder)

    refused = []
    for number in range(100):
        status, body = await cloud(TOKEN, "POST", "/networks", {"network": {"name": f"more-{number}"}})
        if status == 503:
            assert body["NeutronError"]["type"] == "ServiceUnavailable", body
            assert "Nothing was changed; try again" in body["NeutronError"]["message"], body
            refused.append(f"more-{number}")
        else:
            # Pages of the log that were there already take a few writes before the disk is needed.
            assert status == 201, (status, body)
            assert not refused, "a write went through after one was refused"
    assert len(refused) > 50, refused
    seq = cloud.store.read_now(journal.last)
    updated = await cloud(TOKEN, "PUT", f"/networks/{kept['id']}", {"network": {"name": "changed"}})
    deleted = await cloud(TOKEN, "DELETE", f"/networks/{kept['id']}")
    assert (updated[0], deleted[0]) == (503, 503)

    status, body = await cloud(TOKEN, "GET", f"/networks/{kept['id']}")
    assert (status, body["network"]["name"]) == (200, "kept")
    status, body = await cloud(TOKEN, "GET", "/networks")
    assert status == 200 and not {item["name"] for item in body["networks"]} & set(refused)
    assert cloud.store.read_now(journal.last) == seq

    filler.unlink()
    made = await cloud.made(TOKEN, "/networks", name="after")
    status, body = await cloud(TOKEN, "GET", f"/networks/{made['id']}")
    assert (status, body["network"]["name"]) == (200, "after")
    assert cloud.store.read_now(journal.last) > seq
    await cloud.stop()


if __name__ == "__main__":
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", sys.argv[1]], check=True)
    asyncio.run(main(Path(sys.argv[1])))
