"""A private kernel for the tests that send packets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.compile.kernel import Kernel


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.close()
