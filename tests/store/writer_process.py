"""A process that writes as fast as it can and says on its standard output what has been acknowledged, until killed.

`python -m tests.store.writer_process DATABASE`: each line is the id of a network whose creation was acknowledged.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kaon.caller import Caller
from kaon.resources.catalog import first_starts
from kaon.resources.declare import named
from kaon.store.engine import Store
from kaon.store.migrate import open_store
from kaon.store.transaction import Transaction

CALLER = Caller(project_id="red", roles=frozenset({"member"}))
WRITERS = 4


async def _write(store: Store) -> None:
    network = named("network")

    def create(tx: Transaction) -> str:
        made = network.create(tx, network.with_defaults({"project_id": "red"}))
        return str(made["id"])

    while True:
        id = await store.write(create, CALLER)
        sys.stdout.write(f"{id}\n")
        sys.stdout.flush()


async def main(path: Path) -> None:
    """Write until the end, which comes from outside."""
    store = await open_store(path, first_starts())
    await asyncio.gather(*(_write(store) for _ in range(WRITERS)))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
