"""A private kernel for the tests that send packets."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.compile.kernel import Kernel


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    if os.geteuid() != 0:
        pytest.skip("needs root to make network namespaces")
    kernel = Kernel()
    try:
        yield kernel
    finally:
        kernel.close()
