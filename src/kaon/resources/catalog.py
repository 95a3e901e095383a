"""Every resource and extension there is, found by looking through this package: a new one edits nothing else."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import kaon.resources
from kaon.resources.declare import Call, Extension, Resource


@cache
def _modules() -> tuple[Any, ...]:
    names = sorted(info.name for info in pkgutil.walk_packages(kaon.resources.__path__, "kaon.resources."))
    return tuple(importlib.import_module(name) for name in names if name != __name__)


@cache
def resources() -> tuple[Resource, ...]:
    """All declared resources; their tables are on the store's MetaData once this has been called."""
    found = tuple(item for module in _modules() for item in getattr(module, "RESOURCES", ()))
    for resource in found:
        _ = resource.table
    return found


@cache
def calls() -> tuple[Call, ...]:
    """All requests on what is no collection of records."""
    return tuple(call for module in _modules() for call in getattr(module, "CALLS", ()))


@cache
def extensions() -> dict[str, Extension]:
    """All announced extensions by alias."""
    found = (item for module in _modules() for item in getattr(module, "EXTENSIONS", ()))
    return {extension.alias: extension for extension in sorted(found, key=lambda item: item.alias)}


def first_starts() -> tuple[Any, ...]:
    """What modules do to a new database, in order: functions of a transaction. Declares all tables, which they need."""
    resources()
    return tuple(module.first_start for module in _modules() if hasattr(module, "first_start"))


def starts() -> tuple[Any, ...]:
    """What modules do to a database whenever a server starts on it, in order: functions of a transaction."""
    return tuple(module.start for module in _modules() if hasattr(module, "start"))
