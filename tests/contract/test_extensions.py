"""Which extensions Kaon announces: all that Neutron serves, and those of neutron-lib that its operators run besides."""

from __future__ import annotations

from pathlib import Path

from kaon.resources.catalog import extensions

NEUTRON = Path(__file__).parent / "extensions.txt"
"""What Neutron 29 answers at GET /v2.0/extensions with every service plugin and extension driver that it comes with."""

BESIDES = {
    "external-gateway-multihoming",
    "floatingip-autodelete-internal",
    "network-cascade-delete",
    "project-default-networks",
    "pvlan",
    "qinq",
    "subnet-segmentid-enforce",
}


def test_every_extension_that_neutron_serves_is_announced() -> None:
    wanted = {*NEUTRON.read_text().split(), *BESIDES}
    assert len(wanted) == 136
    assert sorted(wanted - extensions().keys()) == []
