"""`kaon config`: every setting with its value and its place, as a TOML file."""

from __future__ import annotations

import argparse

from kaon.cli.options import add_settings, settings_from
from kaon.config import render


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_settings(parser, ())


def run(arguments: argparse.Namespace) -> int:
    """Print the settings in force; secrets are masked."""
    print(render(settings_from(arguments, ())), end="")
    return 0
