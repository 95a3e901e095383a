"""Settings: file, then environment, then flags; and what is misspelt or misplaced is said."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from kaon import config
from kaon.config import ConfigError, Settings, load
from kaon.resources.catalog import resources
from kaon.resources.declare import counted

ENVIRONMENT = {"HOME": "/home/ada"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "kaon.toml"
    path.write_text('listen = "127.0.0.1:1"\nengine = "fake"\n[network]\nmtu = 9000\n')
    return path


def test_nothing_set_gives_the_declared_defaults() -> None:
    settings = load({}, ENVIRONMENT)
    assert (settings.listen, settings.engine, settings.network.mtu) == ("127.0.0.1:9696", "linux", 1500)
    assert settings.host
    assert Path(settings.data).is_absolute()


def test_environment_wins_over_file_and_flag_over_both(file: Path) -> None:
    assert load({}, ENVIRONMENT, str(file)).listen == "127.0.0.1:1"
    environment = ENVIRONMENT | {"KAON_LISTEN": "127.0.0.1:2", "KAON_CONFIG": str(file)}
    assert load({}, environment).listen == "127.0.0.1:2"
    settings = load({"listen": "127.0.0.1:3", "engine": None}, environment)
    assert (settings.listen, settings.engine, settings.network.mtu) == ("127.0.0.1:3", "fake", 9000)


@pytest.mark.parametrize(
    ("written", "named", "nearest"),
    [
        ('lisen = "127.0.0.1:1"', "lisen", "listen"),
        ("[network]\nmut = 1", "network.mut", "network.mtu"),
        ("[quotas]\nport = 1", "quotas", "quota"),
        ("[physical_network]\na = 'bridge:x'", "physical_network", "physical_networks"),
    ],
)
def test_an_unknown_key_of_the_file_is_named_with_the_nearest(
    tmp_path: Path, written: str, named: str, nearest: str
) -> None:
    path = tmp_path / "kaon.toml"
    path.write_text(written)
    with pytest.raises(ConfigError, match=rf"{path}: unknown setting {named}; did you mean {nearest}"):
        load({}, ENVIRONMENT, str(path))


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"KAON_NETWROK_MTU; did you mean KAON_NETWORK_MTU\?"):
        load({}, {"KAON_NETWROK_MTU": "1500"})


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("KAON_NETWORK_MTU", "big", "KAON_NETWORK_MTU: network.mtu 'big': Expected `int`"),
        ("KAON_NETWORK_MTU", "576", ">= 1280"),
        ("KAON_ENGINE", "ovs", "engine 'ovs'"),
        ("KAON_LISTEN", "9696", "write ADDRESS:PORT"),
        ("KAON_LISTEN", "127.0.0.1:99999", "write ADDRESS:PORT"),
        ("KAON_TLS_CERT", "/c.pem", "tls_cert and tls_key go together"),
        ("KAON_PHYSICAL_NETWORKS", "public=br-ex", 'write "bridge:NAME" or "interface:NAME"'),
    ],
)
def test_an_unusable_value_says_where_it_was_set_and_what_to_write(variable: str, value: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({}, ENVIRONMENT | {variable: value})
    assert reason in str(caught.value)


def test_an_unusable_secret_is_not_repeated(tmp_path: Path) -> None:
    path = tmp_path / "kaon.toml"
    path.write_text("admin_password = 12345678")
    with pytest.raises(ConfigError, match="admin_password") as caught:
        load({}, ENVIRONMENT, str(path))
    assert "12345678" not in str(caught.value)


def test_lists_and_mappings_fit_into_variables() -> None:
    settings = load(
        {},
        ENVIRONMENT
        | {"KAON_DNS_UPSTREAMS": "192.0.2.1, 2001:db8::1", "KAON_PHYSICAL_NETWORKS": "a=bridge:x,b=interface:eth1"},
    )
    assert settings.dns.upstreams == ("192.0.2.1", "2001:db8::1")
    assert settings.physical_networks == {"a": "bridge:x", "b": "interface:eth1"}


def test_a_file_that_someone_named_must_exist_and_be_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load({}, ENVIRONMENT, str(tmp_path / "absent.toml"))
    path = tmp_path / "kaon.toml"
    path.write_text("listen 127")
    with pytest.raises(ConfigError, match=str(path)):
        load({}, ENVIRONMENT, str(path))


def test_places_follow_the_xdg_folders() -> None:
    assert config.data_path({"HOME": "/home/ada"}, root=False) == Path("/home/ada/.local/share/kaon")
    assert config.data_path({"XDG_DATA_HOME": "/d"}, root=False) == Path("/d/kaon")
    assert config.config_path({"XDG_CONFIG_HOME": "/c"}, root=False) == Path("/c/kaon/kaon.toml")
    assert config.data_path({}, root=True) == Path("/var/lib/kaon")
    assert config.config_path({}, root=True) == Path("/etc/kaon/kaon.toml")


def test_the_printed_settings_read_back_as_they_were_but_for_secrets(tmp_path: Path) -> None:
    settings = load({"physical_networks": "public=bridge:br-ex", "admin_password": "geheim"}, ENVIRONMENT)
    text = config.render(settings)
    assert "geheim" not in text
    assert {f"# {item.description}. {item.variable}" for item in config.SETTINGS.values()} <= set(text.splitlines())
    path = tmp_path / "kaon.toml"
    path.write_text(text)
    assert tomllib.loads(text)["listen"] == "127.0.0.1:9696"
    again = load({"admin_password": "geheim"}, ENVIRONMENT, str(path))
    assert again == settings


def test_a_process_is_not_told_what_it_needs_not_know() -> None:
    settings = load({"admin_password": "geheim", "identity.password": "auch"}, ENVIRONMENT)
    less = config.without(settings, "admin_password", "identity.password")
    assert (less.admin_password, less.identity.password) == ("", "")
    assert less.network == settings.network


@pytest.mark.parametrize(
    "text",
    ["vxlan", "vxlan:5", "vxlan:9:5", "vxlan:0:5", "vlan:1:4094", "vlan:rack1:1:4095", "gre:rack1:1:2", "flat:1:2"],
)
def test_a_segment_range_that_no_type_has_is_refused_with_the_way_out(text: str) -> None:
    with pytest.raises(ConfigError, match="write TYPE:FIRST:LAST"):
        load({"network.segment_ranges": text}, ENVIRONMENT)


def test_segment_ranges_are_read_by_type_and_physical_network() -> None:
    settings = load({"network.segment_ranges": "vxlan:1:9,vlan:rack1:100:199"}, ENVIRONMENT)
    found = [config.segment_range(text) for text in settings.network.segment_ranges]
    assert found == [("vxlan", "", 1, 9), ("vlan", "rack1", 100, 199)]


def test_every_setting_has_a_description_and_a_variable_of_its_own() -> None:
    variables = [setting.variable for setting in config.SETTINGS.values()]
    assert len(set(variables)) == len(variables)
    assert all(setting.description for setting in config.SETTINGS.values())
    assert set(config.SETTINGS) >= config.SECRETS
    assert not config.NOT_SETTINGS & set(variables)
    assert isinstance(Settings(), Settings)


def test_every_setting_is_read_by_somebody() -> None:
    """One that is declared but that nobody reads would promise what does not happen."""
    source = Path(config.__file__).parent
    text = "\n".join(path.read_text() for path in source.rglob("*.py") if path != Path(config.__file__))
    # A section may be handed over as a whole.
    whole = set(re.findall(r"asdict\(settings\.(\w+)\)", text))
    unread = [
        setting.path
        for setting in config.SETTINGS.values()
        if setting.section not in whole and not re.search(rf"\bsettings\.{re.escape(setting.path)}\b", text)
    ]
    assert unread == []


def test_quotas_have_the_same_defaults_wherever_they_are_declared() -> None:
    resources()
    assert msgspec.structs.asdict(Settings().quota) == {resource.name: resource.quota for resource in counted()}
