from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.api.cloud import Cloud


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    """An empty cloud."""
    made = await Cloud(tmp_path).start()
    yield made
    await made.stop()
