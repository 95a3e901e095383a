"""What a port may speak as."""

from __future__ import annotations

from kaon.world.addresses import Source, canonical, link_local, port_addresses, port_sources

MAC = "fa:16:3e:00:00:01"


def test_a_link_local_address_is_made_of_the_mac() -> None:
    # The example of RFC 4291, appendix A, with the universal/local bit inverted.
    assert link_local("34:56:78:9a:bc:de") == "fe80::3656:78ff:fe9a:bcde"


def test_text_becomes_canonical() -> None:
    assert canonical("FD00:0::0005") == "fd00::5"
    assert canonical("10.0.0.7/24") == "10.0.0.0/24"
    assert canonical("10.0.0.7/32") == "10.0.0.7"


def test_allowed_pairs_may_have_a_mac_of_their_own() -> None:
    port = {
        "mac_address": MAC.upper(),
        "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.5"}],
        "allowed_address_pairs": [
            {"ip_address": "10.0.9.0/24"},
            {"ip_address": "10.0.0.9", "mac_address": "00:00:5e:00:01:01"},
        ],
    }
    assert port_sources(port) == [
        Source(MAC, "10.0.0.5"),
        Source(MAC, "10.0.9.0/24"),
        Source("00:00:5e:00:01:01", "10.0.0.9"),
        Source(MAC, link_local(MAC)),
        Source("00:00:5e:00:01:01", link_local("00:00:5e:00:01:01")),
    ]
    assert port_addresses(port) == ["10.0.0.5", "10.0.9.0/24", "10.0.0.9"]
