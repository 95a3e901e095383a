"""Settings: one declaration, read from a TOML file, then the environment, then flags; the later one wins.

A setting `network.mtu` is `mtu` in the table `[network]` of the file and `KAON_NETWORK_MTU` in the environment. What
nobody declared here is an error that names the nearest setting, because a misspelt setting is otherwise silent.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_origin, get_type_hints

import msgspec
from msgspec import Meta

ENVIRONMENT_PREFIX = "KAON_"

NOT_SETTINGS = frozenset({"KAON_CONFIG", "KAON_LAUNCH_FD", "KAON_INHERITED"})
"""Variables with the prefix that are no settings: the file's path, and what `kaon up` hands to its own processes."""

SECRETS = frozenset({"admin_password", "identity.password", "nova.metadata_secret"})
"""Settings that are never printed, and are given only to the process that needs them."""


_IDENTIFIERS = {"geneve": 2**24 - 1, "gre": 2**32 - 1, "vlan": 4094, "vxlan": 2**24 - 1}
"""The last identifier of the types of segments that have one."""


class ConfigError(Exception):
    """A setting that cannot be used: which, where it was set, why, and what to write instead."""


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who asks: the embedded Keystone, or a real one."""

    url: Annotated[str, Meta(description="A real Keystone (http://host:5000/v3); empty: the embedded one")] = ""
    username: Annotated[str, Meta(description="Service user at the real Keystone")] = "neutron"
    password: Annotated[str, Meta(description="Password of the service user")] = ""
    project_name: Annotated[str, Meta(description="Project of the service user")] = "service"
    user_domain_name: Annotated[str, Meta(description="Domain of the service user")] = "Default"
    project_domain_name: Annotated[str, Meta(description="Domain of the service user's project")] = "Default"
    cacert: Annotated[
        str, Meta(description="PEM file of the authorities that vouch for the real Keystone; empty: the system's")
    ] = ""
    cache_time: Annotated[int, Meta(ge=0, description="Seconds for which a validated token is believed")] = 60
    token_expiry: Annotated[int, Meta(ge=1, description="Seconds that a token of the embedded Keystone lives")] = 3600
    region: Annotated[str, Meta(min_length=1, description="Region of the catalog")] = "RegionOne"


class Nova(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The metadata service behind Kaon's, where Nova runs the instances."""

    metadata_url: Annotated[str, Meta(description="Nova's metadata service; empty: Kaon answers by itself")] = ""
    metadata_secret: Annotated[str, Meta(description="Nova's metadata_proxy_shared_secret")] = ""


class Dns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Name resolution for instances."""

    upstreams: Annotated[
        tuple[str, ...], Meta(description="Resolvers that a network's DNS asks; empty: those of the host")
    ] = ()
    domain: Annotated[str, Meta(description="Domain of instance names")] = "openstacklocal"


class Network(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Defaults of networks."""

    mtu: Annotated[int, Meta(ge=1280, le=65535, description="Bytes that the physical networks carry")] = 1500
    segment_ranges: Annotated[
        tuple[str, ...],
        Meta(
            description="Identifiers for networks that name none: TYPE:FIRST:LAST or vlan:PHYSICAL_NETWORK:FIRST:LAST"
        ),
    ] = ("vxlan:1:65535",)

    def __post_init__(self) -> None:
        for text in self.segment_ranges:
            segment_range(text)


def segment_range(text: str) -> tuple[str, str, int, int]:
    """Type, physical network (empty but for VLANs), first and last identifier of a range. Raises ValueError."""
    parts = text.split(":")
    kind, physical = parts[0], parts[1] if len(parts) == 4 else ""
    first, last = (int(part) if part.isdecimal() else 0 for part in parts[-2:]) if len(parts) > 2 else (0, 0)
    right = len(parts) <= 4 and bool(physical) == (kind == "vlan")
    if not right or not 1 <= first <= last <= _IDENTIFIERS.get(kind, 0):
        raise ValueError(
            f"segment_ranges: {text!r}: write TYPE:FIRST:LAST, TYPE being one of geneve, gre and vxlan, or "
            "vlan:PHYSICAL_NETWORK:FIRST:LAST, with identifiers that the type has"
        )
    return kind, physical, first, last


class Quota(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many of each resource a project may have, unless told otherwise; -1 is without limit."""

    network: Annotated[int, Meta(ge=-1, description="Networks of a project")] = 100
    subnet: Annotated[int, Meta(ge=-1, description="Subnets of a project")] = 100
    subnetpool: Annotated[int, Meta(ge=-1, description="Subnet pools of a project")] = -1
    port: Annotated[int, Meta(ge=-1, description="Ports of a project")] = 500
    router: Annotated[int, Meta(ge=-1, description="Routers of a project")] = 10
    floatingip: Annotated[int, Meta(ge=-1, description="Floating IPs of a project")] = 50
    security_group: Annotated[int, Meta(ge=-1, description="Security groups of a project")] = 10
    security_group_rule: Annotated[int, Meta(ge=-1, description="Security group rules of a project")] = 100
    rbac_policy: Annotated[int, Meta(ge=-1, description="RBAC policies of a project")] = 10
    trunk: Annotated[int, Meta(ge=-1, description="Trunks of a project")] = -1


class Journal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The history of all changes."""

    keep_days: Annotated[int, Meta(ge=0, description="Days for which changes are kept; 0: for ever")] = 0


class Log(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is logged, and how; it goes to standard error."""

    format: Annotated[Literal["text", "json"], Meta(description="text: key=value; json: one object a line")] = "text"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Least important level that is logged")
    ] = "info"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of Kaon."""

    data: Annotated[str, Meta(description="Data folder; empty: /var/lib/kaon as root, else the XDG data folder")] = ""
    listen: Annotated[str, Meta(description="ADDRESS:PORT of the API; [ADDRESS]:PORT for IPv6")] = "127.0.0.1:9696"
    agent_listen: Annotated[
        str, Meta(description="ADDRESS:PORT for agents of other hosts, by mutual TLS (port 9697); empty: none")
    ] = ""
    engine: Annotated[Literal["linux", "fake"], Meta(description="What makes networks real")] = "linux"
    host: Annotated[str, Meta(description="Name of this host in the API; empty: its host name")] = ""
    local_ip: Annotated[
        str, Meta(description="Address at which other hosts reach this one; empty: that of the route to the server")
    ] = ""
    tls_cert: Annotated[str, Meta(description="PEM file of the certificate chain; with tls_key: serve HTTPS")] = ""
    tls_key: Annotated[str, Meta(description="PEM file of the private key")] = ""
    public_url: Annotated[str, Meta(description="URL at which clients reach the API; empty: made from listen")] = ""
    admin_password: Annotated[str, Meta(description="Password of the user admin; empty: random at first start")] = ""
    policy_file: Annotated[str, Meta(description="oslo.policy file with rules that replace the built-in ones")] = ""
    physical_networks: Annotated[
        dict[str, str], Meta(description='Physical networks: name = "bridge:NAME" or "interface:NAME"')
    ] = {}
    identity: Identity = Identity()
    nova: Nova = Nova()
    dns: Dns = Dns()
    network: Network = Network()
    quota: Quota = Quota()
    journal: Journal = Journal()
    log: Log = Log()

    def __post_init__(self) -> None:
        listen_address(self.listen)
        if self.agent_listen:
            ip_address("agent_listen", listen_address(self.agent_listen, "agent_listen")[0])
        if self.local_ip:
            ip_address("local_ip", self.local_ip)
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key go together: set both to serve HTTPS, or neither")
        for name, where in self.physical_networks.items():
            kind, _, device = where.partition(":")
            if kind not in {"bridge", "interface"} or not device or not name:
                raise ValueError(
                    f'physical_networks: {name!r} is mapped to {where!r}; write "bridge:NAME" or "interface:NAME"'
                )


class Setting(NamedTuple):
    """One leaf of the declaration: `path` is dotted, `section` is "" for those outside a table."""

    path: str
    section: str
    name: str
    type: Any
    default: Any
    description: str

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return ENVIRONMENT_PREFIX + self.path.upper().replace(".", "_")


def _leaves(struct: type[msgspec.Struct], section: str = "") -> Iterator[Setting]:
    hints = get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        annotated = hints[field.name]
        if isinstance(annotated, type) and issubclass(annotated, msgspec.Struct):
            yield from _leaves(annotated, field.name)
            continue
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        path = f"{section}.{field.name}" if section else field.name
        meta = next(item for item in annotated.__metadata__ if isinstance(item, Meta))
        yield Setting(path, section, field.name, annotated, default, meta.description or "")


SETTINGS: dict[str, Setting] = {setting.path: setting for setting in _leaves(Settings)}
"""Every setting by its dotted path, in the order of the declaration."""

_BY_VARIABLE = {setting.variable: setting for setting in SETTINGS.values()}
_SECTIONS = frozenset(setting.section for setting in SETTINGS.values() if setting.section)


def ip_address(name: str, text: str) -> None:
    """Check the IP address in a setting; raises ValueError."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{name}: {text!r} is no IP address; write one of this host, such as 192.0.2.10") from None


def listen_address(text: str, name: str = "listen") -> tuple[str, int]:
    """Split `ADDRESS:PORT` or `[ADDRESS]:PORT`; raises ValueError with the way to write it."""
    address, _, port = text.rpartition(":")
    if not address or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{name} is {text!r}; write ADDRESS:PORT, such as 127.0.0.1:9696 or [::1]:9696")
    return address.removeprefix("[").removesuffix("]"), int(port)


def config_path(environment: Mapping[str, str], *, root: bool) -> Path:
    """Where the file is looked for when nobody names one."""
    if root:
        return Path("/etc/kaon/kaon.toml")
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "/")) / ".config")
    return Path(base) / "kaon" / "kaon.toml"


def data_path(environment: Mapping[str, str], *, root: bool) -> Path:
    """Where data lies when nobody says otherwise."""
    if root:
        return Path("/var/lib/kaon")
    base = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME", "/")) / ".local" / "share")
    return Path(base) / "kaon"


def load(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    path: str | None = None,
) -> Settings:
    """Read the settings: file, then environment, then flags (by dotted path; None means that the flag was not given).

    `path` names the file (`--config`), else `KAON_CONFIG`, else the usual place; only a file that someone named must
    exist. Empty `data` and `host` are filled in. Raises ConfigError.
    """
    environment = os.environ if environment is None else environment
    root = os.geteuid() == 0
    named = path or environment.get("KAON_CONFIG")
    values = _from_file(Path(named) if named else config_path(environment, root=root), must_exist=bool(named))
    values |= _from_environment(environment)
    values |= {
        name: _convert(SETTINGS[name], value, f"flag {flag_name(name)}")
        for name, value in (flags or {}).items()
        if value is not None
    }
    values["data"] = str(Path(values.get("data") or data_path(environment, root=root)).expanduser().absolute())
    values["host"] = values.get("host") or os.uname().nodename
    tree: dict[str, Any] = {}
    for name, value in values.items():
        setting = SETTINGS[name]
        (tree.setdefault(setting.section, {}) if setting.section else tree)[setting.name] = value
    try:
        return msgspec.convert(tree, Settings)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error)) from error


def flag_name(path: str) -> str:
    """How a setting is spelt on a command line, where a command offers it."""
    return "--" + path.replace(".", "-").replace("_", "-")


def _from_file(path: Path, *, must_exist: bool) -> dict[str, Any]:
    try:
        tree = tomllib.loads(path.read_text())
    except FileNotFoundError:
        if must_exist:
            raise ConfigError(f"{path}: no such file; name an existing one, or none") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    values: dict[str, Any] = {}
    for name, value in tree.items():
        if name in _SECTIONS and isinstance(value, dict):
            values |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            values[name] = value
    unknown = [name for name in values if name not in SETTINGS]
    if unknown:
        raise ConfigError(f"{path}: unknown setting {unknown[0]}{_nearest(unknown[0], SETTINGS)}")
    return {name: _convert(SETTINGS[name], value, str(path)) for name, value in values.items()}


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, value in environment.items():
        if not variable.startswith(ENVIRONMENT_PREFIX) or variable in NOT_SETTINGS:
            continue
        setting = _BY_VARIABLE.get(variable)
        if setting is None:
            raise ConfigError(f"environment: unknown setting {variable}{_nearest(variable, _BY_VARIABLE)}")
        values[setting.path] = _convert(setting, value, f"environment variable {variable}")
    return values


def _convert(setting: Setting, value: Any, source: str) -> Any:
    """Bring a value to its setting's type. Text becomes a number, a comma-separated list, or `name=value,...`."""
    kind = get_origin(setting.type.__origin__)
    try:
        if kind is tuple and isinstance(value, str):
            value = [item.strip() for item in value.split(",") if item.strip()]
        elif kind is dict and isinstance(value, str):
            pairs = [item.partition("=") for item in value.split(",") if item.strip()]
            value = {name.strip(): text.strip() for name, _, text in pairs}
        return msgspec.convert(value, setting.type, strict=not isinstance(value, str))
    except msgspec.ValidationError as error:
        shown = "" if setting.path in SECRETS else f" {value!r}"
        raise ConfigError(f"{source}: {setting.path}{shown}: {error} ({setting.description})") from error


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else "; `kaon config` prints every setting"


def without(settings: Settings, *paths: str) -> Settings:
    """The same settings with these back at their defaults: what a process needs not know, it does not get."""
    tree = msgspec.to_builtins(settings)
    for path in paths:
        setting = SETTINGS[path]
        (tree[setting.section] if setting.section else tree).pop(setting.name, None)
    return msgspec.convert(tree, Settings)


def render(settings: Settings) -> str:
    """The settings as a TOML file with a comment and the environment variable for each; secrets are masked."""
    tree = msgspec.to_builtins(settings)
    lines: list[str] = []
    section = ""
    for setting in SETTINGS.values():
        if setting.section != section:
            section = setting.section
            lines += ["", f"[{section}]"]
        value = (tree[section] if section else tree)[setting.name]
        if setting.path in SECRETS and value:
            value = "********"
        lines += [f"# {setting.description}. {setting.variable}", f"{setting.name} = {_toml(value)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    # JSON's strings, numbers, booleans and arrays of these are TOML's.
    return msgspec.json.encode(value).decode()
