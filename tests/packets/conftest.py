"""One Kaon for all of these tests, and for no others; a project of its own for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon.agent import main as agent
from tests import sandbox
from tests.packets import lab as labs
from tests.packets.lab import Lab, Project
from tests.running import running


@pytest.fixture(scope="package")
def lab() -> Iterator[Lab]:
    """A whole Kaon as `kaon up` starts it, on an empty folder, with a host outside; all of it removed at the end."""
    # The server runs as another user, who may not enter pytest's own temporary folder.
    folder = Path(tempfile.mkdtemp(prefix="kaon-packets-"))
    folder.chmod(0o755)
    physical = ("--physical-network", "outside=bridge:br-outside", "--physical-network", "wire=interface:wire0")
    try:
        labs.build_outside("br-outside", "wire0")
        with running(folder / "data", *physical) as kaon:
            http, admin = labs.log_in_as_admin(kaon)
            yield Lab(kaon, http, admin, labs.external_network(admin))
            http.close()
    finally:
        agent.cleanup("linux", folder / "data" / "agent")
        for netns in (labs.OUTSIDE, labs.WIRE):
            sandbox.remove_namespace(netns)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(lab: Lab) -> Iterator[Project]:
    """A tenant's project; what it made is removed when the test ends, however it ends."""
    with lab.project() as made:
        yield made
