"""Command-line options that are settings: their names, help and types come from the declaration of the settings."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from kaon.config import SETTINGS, Settings, flag_name, load

REPEATED = {"physical_networks": "--physical-network"}
"""Settings with several values, given one a flag: `--physical-network public=bridge:br-ex`."""


def add_settings(parser: argparse.ArgumentParser, paths: Iterable[str]) -> None:
    """Add `--config` and an option for each of these settings."""
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings (`kaon config` prints one)")
    for path in paths:
        setting = SETTINGS[path]
        text = f"{setting.description} [{setting.variable}]".replace("%", "%%")
        if path in REPEATED:
            parser.add_argument(REPEATED[path], dest=path, action="append", metavar="NAME=KIND:DEVICE", help=text)
        else:
            parser.add_argument(flag_name(path), dest=path, metavar=setting.name.upper(), help=text)


def settings_from(arguments: argparse.Namespace, paths: Iterable[str]) -> Settings:
    """The settings with what this command line says about them; raises ConfigError."""
    given = {path: getattr(arguments, path) for path in paths}
    for path in REPEATED:
        if given.get(path) is not None:
            given[path] = ",".join(given[path])
    return load(given, path=arguments.config)
